"""Whether what a denoiser removes looks like the noise it should remove: a parametric bootstrap of its residual.

The residual of even a perfect denoiser does not have the noise's SD: what the denoiser leaves of the noise is missing in it. So it is
compared with residuals of the same denoiser on series of which all is known, its own output with new noise.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from snraware_jax.errors import InputError
from snraware_jax.evaluation.noise_maps import Denoiser, Noise

LAGS = ((1, 0, 0), (0, 1, 0), (0, 0, 1))  # frames, rows, columns


class ResidualTest(NamedTuple):
    """`moments` of the residual and of its copies.

    Attributes:
      observed: `[K]`, of y - f(y).
      copies: `[copies, K]`, of y* - f(y*), y* = f(y) + new noise.
      p_values: `[K]`, two-sided: the share of copies that lie as far from their mean. Small ones say that the denoiser removes what
        is not noise, leaves more than it does of its own output, or that the noise is another.
    """

    observed: np.ndarray
    copies: np.ndarray
    p_values: np.ndarray


def residuals(denoise: Denoiser, noisy: Array, g_map: Array, noise: Noise, key: Array, copies: int = 64) -> tuple[Array, Array]:
    """`moments` of the residual, and of copies of it under the noise model: `[4]` and `[copies, 4]`, for `compared`.

    Args:
      denoise: `[T, H, W]` complex64 -> the same; its g-map is bound before.
      noisy: `[T, H, W]` complex64.
      g_map: `[H, W]`, by which residuals are divided.
      noise: realisations of the noise in `noisy`, a function of a key.
      key: of the copies' noise.
      copies: their number; the least p-value is 1 / (copies + 1).

    Source: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 6 and 16.
    """
    output = denoise(noisy)

    def of_copy(one: Array) -> Array:
        copy = output + noise(one)
        return moments((copy - denoise(copy)) / g_map)

    return moments((noisy - output) / g_map), jax.lax.map(of_copy, jax.random.split(key, copies))


def compared(observed: ArrayLike, copied: ArrayLike) -> ResidualTest:
    """The residual against its copies, figures of `residuals`.

    Raises:
      InputError: if they are not finite.
    """
    observed, copied = np.asarray(observed), np.asarray(copied)
    if not (np.isfinite(observed).all() and np.isfinite(copied).all()):
        raise InputError("residuals over g are not finite: the g-map has points of 0, or the denoiser gives what is no number")
    distance = lambda x: np.abs(x - copied.mean(axis=0))
    farther = np.sum(distance(copied) >= distance(observed), axis=0)
    return ResidualTest(observed, copied, (1 + farther) / (1 + len(copied)))


def moments(residual: Array) -> Array:
    """SD per real component, correlations of neighbours along T, H, W (0 of an axis of 1): `[T, H, W]` complex64 -> `[4]`."""
    power = jnp.mean(jnp.abs(residual) ** 2)
    correlations = [_correlation(residual, lag, power) for lag in LAGS]
    return jnp.stack([jnp.sqrt(power / 2), *correlations])


def _correlation(residual: Array, lag: tuple[int, int, int], power: Array) -> Array:
    first = residual[tuple(slice(n - step) for n, step in zip(residual.shape, lag, strict=True))]
    second = residual[tuple(slice(step, None) for step in lag)]
    if not first.size:
        return jnp.zeros(())
    return jnp.where(power > 0, jnp.mean((jnp.conj(first) * second).real) / jnp.where(power > 0, power, 1), 0)
