"""From a draw to noise: white, amplified by a g-map, coloured by k-space filters, its level kept."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snraware_jax.noise.sampling import Draw
from snraware_jax.noise.settings import NoiseSettings
from snraware_jax.recon import filters
from snraware_jax.recon.fourier import fft2c, ifft2c


def complex_normal(key: Array, shape: tuple[int, ...]) -> Array:
    """White noise of SD 1 in the real and 1 in the imaginary part, complex64 of `shape`."""
    return jax.lax.complex(*jax.random.normal(key, (2, *shape)))


def response(size: int, draw: Draw, axis: int, settings: NoiseSettings) -> Array:
    """The product of one axis' filters, scaled once to keep unit noise; `[size]`, axis 0 is H and 1 is W."""
    product = (
        filters.gaussian(size, draw.gaussian[axis])
        * filters.partial_fourier(size, draw.partial_fourier[axis], draw.cut_start[axis], round(settings.taper * size))
        * filters.reduced_resolution(size, draw.resolution[axis])
    )
    return filters.unit_noise(product)


def colour(noise: Array, draw: Draw, settings: NoiseSettings) -> Array:
    """Applies the drawn k-space filters; white unit noise keeps SD 1 in every pixel. `[T, H, W]` -> `[T, H, W]`."""
    if not settings.filters:
        return noise
    height, width = noise.shape[-2:]
    of_h, of_w = response(height, draw, 0, settings), response(width, draw, 1, settings)
    return ifft2c(fft2c(noise) * of_h[:, None] * of_w)


def synthesise(key: Array, g_map: Array, draw: Draw, settings: NoiseSettings, frames: int) -> Array:
    """Noise of one series, sigma Filter(g n0) or sigma g Filter(n0), n0 white with SD 1.

    The SD in a pixel is sigma sqrt(|h|^2 * g^2) in the first order (h: point spread of the filters) and sigma g in the second.

    Args:
      g_map: `[H, W]` g-factor map.
      frames: T; every frame has noise of its own.

    Returns:
      `[T, H, W]` complex64, SNR units.
    """
    white = complex_normal(key, (frames, *g_map.shape))
    if settings.order == "g_then_filter":
        noise = colour(g_map * white, draw, settings)
    else:
        noise = g_map * colour(white, draw, settings)
    return draw.sigma * noise


def deviation(g_map: Array, draw: Draw, settings: NoiseSettings) -> Array:
    """The exact noise SD that `synthesise` makes in every pixel, `[H, W]` -> `[H, W]`.

    filter-then-g: sigma g.  g-then-filter: sigma sqrt(|h|^2 * g^2), a circular convolution with the filters' point spread.
    """
    if settings.order == "filter_then_g" or not settings.filters:
        return draw.sigma * g_map
    height, width = g_map.shape
    impulse = jnp.zeros((height, width), jnp.complex64).at[height // 2, width // 2].set(1)
    power = jnp.abs(colour(impulse, draw, settings)) ** 2
    convolved = jnp.fft.ifft2(jnp.fft.fft2(jnp.fft.ifftshift(power)) * jnp.fft.fft2(g_map**2)).real
    return draw.sigma * jnp.sqrt(jnp.maximum(convolved, 0))


def noise_scale(sigma: ArrayLike, native_noise: ArrayLike) -> Array:
    """What a noisy sample is divided by to return to unit noise, sqrt(sigma^2 + native_noise^2)."""
    return jnp.sqrt(jnp.asarray(sigma) ** 2 + jnp.asarray(native_noise) ** 2)
