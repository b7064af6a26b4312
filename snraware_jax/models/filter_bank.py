"""A head that lets a network steer a bank of smoothing filters: it starts as a sensible smoother and learns where not to be.

Measured in docs/benchmarks.md; not part of the paper's networks.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from snraware_jax.models.channels import check_input

FILTERS = 9
SHARPNESS = 3.0  # factor on the weights' logits
LEAST_G = 1e-2  # g-maps are 0 where there is no sensitivity


class FilterBank(nnx.Module):
    """output = sum_k softmax_k(3 n)_k F_k(y) + m, with the 9 logits n and the channels m from a network, pixel by pixel.

    y is the noisy image, real and imaginary part or the magnitude alone. The filters F_k are the identity, the temporal binomial
    T = (1 2 1)/4 applied 1, 3 and 9 times, the spatial one S = (1 2 1)/4 x (1 2 1)/4, and the products S T, S T^3, S T^9,
    S^2 T^3; all keep a constant as it is. The network sees y/10, asinh(y - S^3 y), asinh(y - T^3 y), log(1 + 0.3 |S T y|) and,
    where there is a g-map, log g. y is not divided by g: the probe found that neutral, and g is 0 where coils see nothing.

    Args:
      network: makes the network, (input channels, output channels) -> module with the call (x, keys).
      inputs, outputs: channels; y has as many as the output, and a g-map follows it if the input has one more.
    """

    def __init__(self, network: Callable[[int, int], nnx.Module], inputs: int = 3, outputs: int = 2):
        self.inputs, self.outputs = inputs, outputs
        # y/10, two high-pass images, smoothed magnitude, log g
        self.network = network(3 * outputs + 1 + (inputs - outputs), FILTERS + outputs)

    def __call__(self, x: Array, keys: Array | None = None) -> Array:
        """`[B, T, H, W, inputs]` (real, imaginary, g-map) -> `[B, T, H, W, outputs]` float32; `keys` None is inference."""
        check_input(x, self.inputs)
        x = x.astype(jnp.float32)
        y, g = x[..., : self.outputs], x[..., self.outputs :]
        filtered, features = filters_and_features(y, g)
        steering = self.network(features, keys)  # pyright: ignore[reportCallIssue]
        weights = jax.nn.softmax(SHARPNESS * steering[..., :FILTERS])
        mixed = jnp.einsum("bthwk,kbthwc->bthwc", weights, filtered, precision=jax.lax.Precision.HIGHEST)
        return mixed + steering[..., FILTERS:]


def filters_and_features(y: Array, g: Array) -> tuple[Array, Array]:
    """F_k(y) `[9, B, T, H, W, C]` of y `[B, T, H, W, C]`, and what the network sees, `[..., 3 C + 1]` and log g if there is one."""
    t1, t3, t9 = temporal_binomials(y, (1, 3, 9))
    s, s_t1, s_t3, s_t9 = (spatial_binomial(v) for v in (y, t1, t3, t9))
    filtered = jnp.stack([y, t1, t3, t9, s, s_t1, s_t3, s_t9, spatial_binomial(s_t3)])
    s3 = spatial_binomial(spatial_binomial(s))
    magnitude = jnp.sqrt(jnp.sum(s_t1**2, axis=-1, keepdims=True) + 1e-6)
    parts = [y / 10, jnp.arcsinh(y - s3), jnp.arcsinh(y - t3), jnp.log1p(0.3 * magnitude), jnp.log(jnp.maximum(g, LEAST_G))]
    return filtered, jnp.concatenate(parts, axis=-1)


def temporal_binomials(x: Array, times: tuple[int, ...]) -> Array:
    """(1 2 1)/4 along T, applied so many times, ends repeated: `[B, T, H, W, C]` -> `[len(times), B, T, H, W, C]`."""
    frames = x.shape[1]
    padded = np.pad(np.eye(frames), ((1, 1), (0, 0)), mode="edge")
    once = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    matrices = np.stack([np.linalg.matrix_power(once, n) for n in times]).astype(np.float32)
    return jnp.einsum("nts,bshwc->nbthwc", matrices, x, precision=jax.lax.Precision.HIGHEST)


def spatial_binomial(x: Array) -> Array:
    """(1 2 1)/4 along H and W, edges repeated: `[B, T, H, W, C]` -> the same."""
    for axis in (2, 3):
        size = x.shape[axis]
        part = lambda start, stop, x=x, axis=axis: jax.lax.slice_in_dim(x, start, stop, axis=axis)
        before = jnp.concatenate([part(0, 1), part(0, size - 1)], axis)
        after = jnp.concatenate([part(1, size), part(size - 1, size)], axis)
        x = 0.25 * before + 0.5 * x + 0.25 * after
    return x
