"""The random choices behind one noisy sample, drawn as arrays so that nothing branches under jit."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from snraware_jax.noise.settings import NoiseSettings


class Draw(NamedTuple):
    """What one sample drew. `[A]` are values of the axes that are filtered: H, W (phase encode, readout), of a volume D, H, W.

    Attributes:
      sigma: noise SD before the g-map, SNR units, [].
      g_index: which of the sample's g-maps, []; the number of maps stands for a uniform one.
      gaussian: sigma of the Gaussian k-space filter, [A].
      partial_fourier: acquired share, [A]; 1 where it was not drawn.
      cut_start: whether the first samples are the missing ones, [A] bool.
      resolution: share that is kept, [A].
      temporal: sigma of the filter along time, []; 0 if there is none.
    """

    sigma: Array
    g_index: Array
    gaussian: Array
    partial_fourier: Array
    cut_start: Array
    resolution: Array
    temporal: Array


def draw(key: Array, settings: NoiseSettings, maps: int, axes: int = 2) -> Draw:
    """Draws every choice for one sample that has `maps` g-maps, the `axes` independent of each other."""
    keys = iter(jax.random.split(key, 9))
    choose = lambda values, shape=(axes,): jax.random.choice(next(keys), jnp.asarray(values, jnp.float32), shape)
    uniform = jax.random.uniform(next(keys))
    low, high = settings.sigma_min, settings.sigma_max
    if settings.sigma_distribution == "uniform":
        sigma = low + (high - low) * uniform
    else:
        sigma = low * (high / low) ** uniform
    partial = _partial_axes(next(keys), settings, axes)
    filtered = jax.random.bernoulli(next(keys), settings.temporal_probability)
    return Draw(
        sigma=sigma,
        g_index=jax.random.randint(next(keys), (), 0, maps + (settings.g_maps == "random_or_ones")),
        gaussian=choose(settings.gaussian_sigmas),
        partial_fourier=jnp.where(partial, choose(settings.partial_fourier_ratios), 1.0),
        cut_start=jax.random.bernoulli(next(keys), 0.5, (axes,)),
        resolution=choose(settings.resolution_ratios),
        temporal=jnp.where(filtered, choose(settings.temporal_sigmas, ()), 0.0),
    )


def _partial_axes(key: Array, settings: NoiseSettings, axes: int) -> Array:
    """Which axes get a partial Fourier ratio, [A] bool."""
    if settings.partial_fourier_axes == "independent":
        return jax.random.bernoulli(key, settings.partial_fourier_probability, (axes,))
    one = jax.random.randint(key, (), 0, axes + 1)  # `axes` itself stands for all of them
    return (one == axes) | (jnp.arange(axes) == one)
