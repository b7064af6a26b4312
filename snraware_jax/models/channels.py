"""Between complex images and the real channels that networks work on."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

SMOOTHING = 1e-6  # added to squared magnitudes, whose root has no derivative at 0


class Seeing(nnx.Module):
    """A network that is shown a part of the three channels (real, imaginary, g-map): for ablations, and images without phase.

    Args:
      network: makes the network, (input channels, output channels) -> module with the call (x, keys).
      magnitude: show sqrt(real^2 + imaginary^2 + 1e-6) in place of both.
      g_map: show the g-map.
    """

    def __init__(self, network: Callable[[int, int], nnx.Module], *, magnitude: bool, g_map: bool):
        image_channels = 1 if magnitude else 2
        self.magnitude, self.g_map = magnitude, g_map
        self.network = network(image_channels + g_map, image_channels)

    def __call__(self, x: Array, keys: Array | None = None) -> Array:
        """`[B, T, H, W, 3]` -> `[B, T, H, W, 2]` float32; of a magnitude the second channel is 0."""
        check_input(x, 3)
        image, g = x[..., :2], x[..., 2:]
        if self.magnitude:
            image = jnp.sqrt(jnp.sum(image**2, axis=-1, keepdims=True) + SMOOTHING)
        seen = jnp.concatenate([image, g], axis=-1) if self.g_map else image
        output = self.network(seen, keys)  # pyright: ignore[reportCallIssue]
        return jnp.concatenate([output, jnp.zeros_like(output)], axis=-1) if self.magnitude else output


def check_input(x: Array, channels: int) -> None:
    """What every network asks of its input.

    Raises:
      ValueError: if it is not real and `[B, T, H, W, channels]`, or has an axis of no samples.
    """
    if x.ndim != 5 or x.shape[-1] != channels or 0 in x.shape or jnp.iscomplexobj(x):
        raise ValueError(
            f"x is {x.dtype} {x.shape}, where real [B, T, H, W, {channels}] is expected: real part, imaginary part and g-map for most "
            "networks (models.channels.network_input)"
        )


def network_input(noisy: Array, g_map: Array) -> Array:
    """Channels of a network: real part, imaginary part, g-map; `[B, T, H, W]` and `[B, H, W]` -> `[B, T, H, W, 3]` float32."""
    g = jnp.broadcast_to(g_map[:, None], noisy.shape)
    return jnp.stack([noisy.real, noisy.imag, g], axis=-1)


def to_complex(output: Array) -> Array:
    """The two channels of a network's output as a complex64 image; `[B, T, H, W, 2]` -> `[B, T, H, W]`."""
    return jax.lax.complex(output[..., 0].astype(jnp.float32), output[..., 1].astype(jnp.float32))
