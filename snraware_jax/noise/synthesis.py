"""From a draw to noise: white, amplified by a g-map, coloured by k-space filters, its level kept.

Of a patch, noise is made on a window: the patch and a margin around it, with the frequency response of the whole series. Arrays
called `size` `[3]` are T, H, W (of a volume D, H, W) of that series and may be traced; None stands for the array's own size.
"""

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snraware_jax.noise import response
from snraware_jax.noise.normal import complex_normal
from snraware_jax.noise.sampling import Draw
from snraware_jax.noise.settings import NoiseSettings

Responses = Sequence[tuple[int, Array]]  # axis and response, DC first


def synthesise(
    key: Array, g_map: Array, choices: Draw, settings: NoiseSettings, shape: tuple[int, int, int], size: ArrayLike | None = None
) -> Array:
    """Noise of one series, sigma Filter(g n0) or sigma g Filter(n0), n0 white with SD 1.

    The SD in a pixel is sigma sqrt(|h|^2 * g^2) in the first order (h: point spread of the filters) and sigma g in the second.

    Args:
      key: every number depends on it alone.
      g_map: g-factor map `[H, W]`; of a volume `[D, H, W]`, whose filters act along D too. For a patch it covers
        `settings.g_margin` points more on every side.
      choices: of `sampling.draw`.
      settings: as for the draw.
      shape: T, H, W of the noise.
      size: of the whole series if `shape` is a patch of it.

    Returns:
      `[T, H, W]` complex64, SNR units.

    Raises:
      ValueError: if the g-map has another shape.
    """
    g_map, axes = jnp.asarray(g_map), jnp.ndim(g_map)
    patch = size is not None
    _check_shape(g_map, shape, settings.g_margin if patch else 0)
    margins = _margins(settings, axes) if patch else (0, 0, 0)
    points = tuple(n + 2 * margin for n, margin in zip(shape, margins, strict=True))
    inside = tuple(slice(margin, margin + n) for n, margin in zip(shape, margins, strict=True))
    if not settings.filters:
        return scaled(choices.sigma * g_map, complex_normal(key, points))
    filters = responses(choices, settings, points, axes, size)
    g_first = settings.order == "g_then_filter" and settings.g_maps != "ones"

    def coloured(points: tuple[int, ...], inside: tuple[slice, ...], first: ArrayLike = 0) -> Array:
        white = complex_normal(key, points, first)
        if g_first:
            return colour(scaled(choices.sigma * g_map, white), filters)[inside]
        return scaled(choices.sigma * g_map, colour_kspace(white, filters)[inside])

    if any(axis == -3 for axis, _ in filters):
        return coloured(points, inside)
    # frame by frame: what is worked on then stays in a processor's caches (docs/benchmarks.md; not measured on accelerators)
    numbers = jnp.arange(shape[0]) * (points[1] * points[2])
    return jax.lax.map(lambda first: coloured(points[1:], inside[1:], first), numbers)


def responses(
    choices: Draw, settings: NoiseSettings, points: tuple[int, ...], axes: int = 2, size: ArrayLike | None = None
) -> Responses:
    """The response of every axis that is filtered, for arrays of `points` T, H, W."""
    taper = settings.taper_samples
    chosen = response.of_axes(choices, settings, axes)
    if size is None:
        return [(axis, response.full(points[axis], filters, taper)) for axis, filters in chosen]
    whole = jnp.asarray(size)
    return [(axis, response.window(whole[axis], points[axis], filters, taper)) for axis, filters in chosen]


def colour(noise: ArrayLike, filters: Responses) -> Array:
    """Filters noise along the axes of `filters`, IFFT(f FFT(n)); white unit noise keeps SD 1 in every pixel.

    No shifts are needed: they commute with a circular convolution.
    """
    axes = [axis for axis, _ in filters]
    return jnp.fft.ifftn(scaled(_product(filters), jnp.fft.fftn(noise, axes=axes)), axes=axes)


def colour_kspace(white: Array, filters: Responses) -> Array:
    """`colour` of white noise, drawn in k-space right away: the unitary transform of white noise is white noise."""
    return jnp.fft.ifftn(scaled(_product(filters), white), axes=[axis for axis, _ in filters], norm="ortho")


def deviation(
    g_map: Array, choices: Draw, settings: NoiseSettings, shape: tuple[int, int, int], size: ArrayLike | None = None
) -> Array:
    """The exact noise SD that `synthesise` makes in every pixel: `[H, W]`, of a volume `[D, H, W]`; arguments as there.

    filter-then-g: sigma g.  g-then-filter: sigma sqrt(|h|^2 * g^2), a circular convolution with the filters' point spread.
    """
    g_map, axes = jnp.asarray(g_map), jnp.ndim(g_map)
    margin = settings.g_margin if size is not None else 0
    _check_shape(g_map, shape, margin)
    if settings.order == "filter_then_g" or not settings.filters:
        return choices.sigma * g_map
    points = (*shape[: 3 - axes], *g_map.shape)
    spatial = [(axis, f) for axis, f in responses(choices, settings, points, axes, size) if axis >= -axes]
    # |h|^2 is separable, and so is the convolution with it
    variance = g_map**2
    for axis, f in spatial:
        spread = jnp.abs(jnp.fft.ifft(f)) ** 2
        transformed = jnp.fft.fft(variance, axis=axis) * _along(jnp.fft.fft(spread), axis)
        variance = jnp.maximum(jnp.fft.ifft(transformed, axis=axis).real, 0)
    inside = tuple(slice(margin, n - margin) for n in g_map.shape)
    return choices.sigma * jnp.sqrt(variance[inside])


def noise_scale(sigma: ArrayLike, native_noise: ArrayLike) -> Array:
    """What a noisy sample is divided by to return to unit noise, sqrt(sigma^2 + native_noise^2)."""
    return jnp.sqrt(jnp.asarray(sigma) ** 2 + jnp.asarray(native_noise) ** 2)


def _margins(settings: NoiseSettings, axes: int) -> tuple[int, int, int]:
    along_time, height, width = settings.margins
    return (height, height, width) if axes == 3 else (along_time, height, width)


def _check_shape(g_map: Array, shape: tuple[int, int, int], margin: int) -> None:
    expected = tuple(n + 2 * margin for n in shape[3 - g_map.ndim :])
    if g_map.ndim not in (2, 3) or g_map.shape != expected:
        of_patch = f", which is {margin} points more on every side of a patch" if margin else ""
        raise ValueError(f"g-map is {g_map.shape}: noise of {tuple(shape)} needs {expected}{of_patch}")


def _product(filters: Responses) -> Array:
    """All responses as one factor."""
    return functools.reduce(operator.mul, (_along(f, axis) for axis, f in filters))


def scaled(factor: Array, image: Array) -> Array:
    """A complex image times a real factor, which XLA would make complex first."""
    return jax.lax.complex(factor * image.real, factor * image.imag)


def _along(values: Array, axis: int) -> Array:
    """`[N]` as a factor along `axis` (counted from the end) of an array."""
    return values.reshape(-1, *(1,) * (-1 - axis))
