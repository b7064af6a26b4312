"""The error of a denoiser without the truth: Stein's unbiased risk estimate, for noise of known g-map and colour."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from snraware_jax.evaluation.noise_maps import Denoiser, Noise, mean_over


class Risk(NamedTuple):
    """An estimate of the mean squared error.

    Attributes:
      mse: per real component, unit noise has 1; may be negative where the error is small.
      standard_error: of the part that comes from the probes, not of the one realisation of the noise.
    """

    mse: Array
    standard_error: Array


def sure(denoise: Denoiser, noisy: Array, noise: Noise, key: Array, probes: int = 16) -> Risk:
    """E|f(y) - x|^2 = |f(y) - y|^2 - tr C + 2 E[b . J b], over probes b of the noise itself, whose covariance C is not needed.

    Valid for Gaussian noise, which complex images have and magnitudes have not, and only as far as `noise` is that of the series: of
    another colour it is wrong, and nothing in the result says so. Print it together with the noise model.

    Args:
      denoise: the denoiser, differentiable.
      noisy: `[T, H, W]` complex64.
      noise: realisations of the noise in `noisy`.
      key: of the probes.
      probes: their number, 2 or more.

    Source: Stein, Ann. Stat. 1981; Ramani et al., IEEE Trans. Image Process. 2008, with derivatives instead of differences.
    """
    output = denoise(noisy)

    def of_probe(one: Array) -> tuple[Array, Array]:
        b = noise(one)
        _, derivative = jax.jvp(denoise, (noisy,), (b,))
        # tr C is that of the same probe: what it is too large by is in b . J b too
        divergence = 2 * power(b, derivative) - power(b, b)
        return divergence, divergence**2

    mean, square = mean_over(of_probe, jax.random.split(key, probes))
    variance = jnp.maximum(square - mean**2, 0) / (probes - 1)
    return Risk(power(output - noisy, output - noisy) + mean, jnp.sqrt(variance))


def power(a: Array, b: Array) -> Array:
    """Mean product per real component: `[T, H, W]` complex x 2 -> []."""
    return jnp.mean(a.real * b.real + a.imag * b.imag) / 2
