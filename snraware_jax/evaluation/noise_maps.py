"""Noise that a denoiser leaves in its output, point by point: from derivatives of one output, or from many noisy copies.

A denoiser is here a function of JAX, series `[T, H, W]` -> `[T, H, W]`, complex64 in SNR units; its g-map is bound before. Noise is a
function of a key, the realisations of what is in its input (`cases.noise_of` makes one with the g-map and colour of a test case).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

Denoiser = Callable[[Array], Array]
Noise = Callable[[Array], Array]  # key -> [T, H, W] complex64

AT_ONCE = 4  # realisations in one pass of the network


def from_derivative(denoise: Denoiser, noisy: Array, noise: Noise, key: Array, probes: int = 64) -> Array:
    """SD of the output's noise to first order, sqrt(mean |J b|^2 / 2) over probes b of the input's noise.

    Nothing is added to the series: J is the derivative where it is. Needs a denoiser that is smooth on the scale of the noise.

    Args:
      denoise: the denoiser.
      noisy: `[T, H, W]` complex64.
      noise: realisations of the noise that `noisy` has.
      key: of the probes.
      probes: their number; the relative error of a point is 1 / sqrt(4 probes).

    Returns:
      `[T, H, W]` float32, per real component: 1 for unit noise.
    """
    power = lambda one: jnp.abs(jax.jvp(denoise, (noisy,), (noise(one),))[1]) ** 2
    return jnp.sqrt(mean_over(power, jax.random.split(key, probes)) / 2)


def from_replicas(
    denoise: Denoiser, noisy: Array, noise: Noise, key: Array, replicas: int = 64, magnitude: bool = False
) -> Array:
    """SD of the outputs of noisy copies of the series (pseudo-replicas), per real component: `[T, H, W]` float32.

    Copies have the noise of the series and as much again, so that it is the noise map at 1.4 times the noise. The relative error of a
    point is 1 / sqrt(4 replicas - 4): 6.3 % for 64. It knows nothing of bias: a constant output has none.

    Args:
      denoise, noisy, noise, key: as of `from_derivative`.
      replicas: how many copies, 2 or more.
      magnitude: whether outputs are magnitudes, which have one component.

    Source: SNRAware, Generalization tests; Robson et al., Magn. Reson. Med. 2008.
    """
    # about the first output, so that float32 does not lose the spread beside the signal
    origin = denoise(noisy)

    def moments(one: Array) -> tuple[Array, Array]:
        difference = denoise(noisy + noise(one)) - origin
        return difference, jnp.abs(difference) ** 2

    mean, power = mean_over(moments, jax.random.split(key, replicas))
    variance = jnp.maximum(power - jnp.abs(mean) ** 2, 0) * replicas / (replicas - 1)
    return jnp.sqrt(variance / (1 if magnitude else 2))


def mean_over(of: Callable[[Array], Array | tuple[Array, ...]], keys: Array) -> Array:
    """The mean of `of(key)` over keys, a few at a time in one program; memory does not grow with their number."""
    at_once = next(count for count in range(min(AT_ONCE, len(keys)), 0, -1) if len(keys) % count == 0)

    def add(total, some):
        sums = jax.tree.map(lambda x: jnp.sum(x, axis=0), jax.vmap(of)(some))
        return jax.tree.map(jnp.add, total, sums), None

    start = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(of, keys[0]))
    total, _ = jax.lax.scan(add, start, keys.reshape(-1, at_once))
    return jax.tree.map(lambda x: x / len(keys), total)
