"""The random choices behind one noisy sample, drawn as arrays so that nothing branches under jit."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from snraware_jax.noise.settings import NoiseSettings


class Draw(NamedTuple):
    """What one sample drew; the pairs of values are for the axes (H, W), that is (phase encode, readout).

    Attributes:
      sigma: noise SD before the g-map, SNR units, [].
      g_index: which of the sample's g-maps, [].
      gaussian: sigma of the Gaussian k-space filter, [2].
      partial_fourier: acquired share, [2].
      cut_start: whether the first samples are the missing ones, [2] bool.
      resolution: share that is kept, [2].
    """

    sigma: Array
    g_index: Array
    gaussian: Array
    partial_fourier: Array
    cut_start: Array
    resolution: Array


def draw(key: Array, settings: NoiseSettings, maps: int) -> Draw:
    """Draws every choice for one sample that has `maps` g-maps, the axes independent of each other."""
    keys = iter(jax.random.split(key, 7))
    choose = lambda values: jax.random.choice(next(keys), jnp.asarray(values, jnp.float32), (2,))
    uniform = jax.random.uniform(next(keys))
    low, high = settings.sigma_min, settings.sigma_max
    if settings.sigma_distribution == "uniform":
        sigma = low + (high - low) * uniform
    else:
        sigma = low * (high / low) ** uniform
    partial = jax.random.bernoulli(next(keys), settings.partial_fourier_probability, (2,))
    return Draw(
        sigma=sigma,
        g_index=jax.random.randint(next(keys), (), 0, maps),
        gaussian=choose(settings.gaussian_sigmas),
        partial_fourier=jnp.where(partial, choose(settings.partial_fourier_ratios), 1.0),
        cut_start=jax.random.bernoulli(next(keys), 0.5, (2,)),
        resolution=choose(settings.resolution_ratios),
    )
