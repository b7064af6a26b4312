"""Whether what a denoiser removes looks like the noise it should remove: a parametric bootstrap of its residual.

The residual of even a perfect denoiser does not have the noise's SD: what the denoiser leaves of the noise is missing in it. So it is
compared with residuals of the same denoiser on series of which all is known, its own output with new noise.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from snraware_jax.errors import InputError
from snraware_jax.evaluation.noise_maps import Denoiser, Noise

Statistic = Callable[[Array], Array]  # of a residual over g, [T, H, W] complex64 -> [K]
LAGS = ((1, 0, 0), (0, 1, 0), (0, 0, 1))  # frames, rows, columns


class ResidualTest(NamedTuple):
    """A statistic of the residual and of its copies.

    Attributes:
      observed: `[K]`, of y - f(y).
      copies: `[copies, K]`, of y* - f(y*), y* = f(y) + new noise.
      p_values: `[K]`, two-sided: the share of copies that lie as far from their mean. Small ones say that the denoiser removes what
        is not noise, leaves more than it does of its own output, or that the noise is another.
    """

    observed: np.ndarray
    copies: np.ndarray
    p_values: np.ndarray


def residual_test(
    denoise: Denoiser, noisy: Array, g_map: Array, noise: Noise, statistic: Statistic, key: Array, copies: int = 64
) -> ResidualTest:
    """Compares a statistic of the residual with its distribution under the noise model.

    Args:
      denoise: `[T, H, W]` complex64 -> the same; its g-map is bound before.
      noisy: `[T, H, W]` complex64.
      g_map: `[H, W]`, by which residuals are divided.
      noise: realisations of the noise in `noisy`, a function of a key.
      statistic: `moments`, say.
      key: of the copies' noise.
      copies: their number; the least p-value is 1 / (copies + 1).

    Raises:
      InputError: if a statistic is not finite.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 6 and 16.
    """
    output = denoise(noisy)

    def of_copy(one: Array) -> Array:
        copy = output + noise(one)
        return statistic((copy - denoise(copy)) / g_map)

    observed = np.asarray(statistic((noisy - output) / g_map))
    copied = np.asarray(jax.lax.map(of_copy, jax.random.split(key, copies)))
    if not (np.isfinite(observed).all() and np.isfinite(copied).all()):
        raise InputError("residuals over g are not finite: the g-map has points of 0, or the denoiser gives what is no number")
    distance = lambda x: np.abs(x - copied.mean(axis=0))
    farther = np.sum(distance(copied) >= distance(observed), axis=0)
    return ResidualTest(observed, copied, (1 + farther) / (1 + copies))


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
