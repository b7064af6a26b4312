"""Frequency responses of one axis: the product of the drawn filters on its own samples, or on those of a window of it."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from snraware_jax.noise.sampling import Draw
from snraware_jax.noise.settings import NoiseSettings
from snraware_jax.recon import filters

LONGEST = 2048  # samples of the longest axis of which a window can be filtered


class Filters(NamedTuple):
    """The filters of one axis, [] each, as in `Draw`."""

    gaussian: ArrayLike
    partial_fourier: ArrayLike = 1.0
    cut_start: ArrayLike = False
    resolution: ArrayLike = 1.0


def of_axes(choices: Draw, settings: NoiseSettings, axes: int) -> list[tuple[int, Filters]]:
    """Which axes are filtered, counted from the end, and by what."""
    drawn = (choices.gaussian, choices.partial_fourier, choices.cut_start, choices.resolution)
    found = [(axis - axes, Filters(*(values[axis] for values in drawn))) for axis in range(axes)]
    return [(-3, Filters(choices.temporal)), *found] if axes == 2 and settings.temporal_probability else found


def full(size: int, chosen: Filters, taper: int) -> Array:
    """The product of the filters on a whole axis, scaled once to keep unit noise; `[N]`, DC first as in an FFT."""
    return jnp.fft.ifftshift(filters.unit_noise(_product(size, chosen, taper)))


def window(size: ArrayLike, points: int, chosen: Filters, taper: int) -> Array:
    """The response on a window of K points of an axis of N = `size` samples, which may be traced; `[K]`, DC first.

    Sample j is the root of the mean of |f|^2 over [j - 1/2, j + 1/2] / K of the band, f being the response on all N samples. So
    unit noise keeps its SD exactly. Its covariance is sum_m r(d + m K) sinc((d + m K) / K) sinc((d + m K) / N), r that of the whole
    axis: at distances d below K / 2 it differs from r by 1.3 % of the variance at most, near K by up to 5 % (the paper's filters,
    K = 80, N = 144 to 256; docs/physics.md). That the ends of an axis are neighbours, as the transform has it, is lost: a patch as
    long as its axis has independent ends.

    N may not be more than `LONGEST`, which the loader and `make_pair` check.
    """
    size = jnp.asarray(size, jnp.int32)
    power = _product(size, chosen, taper, LONGEST) ** 2
    below = jnp.concatenate([jnp.zeros(1), jnp.cumsum(power)])  # [LONGEST + 1], power below the border before each sample
    below = below / below[-1]
    # borders of the window's samples, in samples of the axis from its first border on; the band repeats
    borders = (np.arange(points + 1) - points // 2 - 0.5) / points * size + size // 2 + 0.5
    turns = jnp.floor(borders / size)
    place = borders - turns * size
    low = jnp.clip(place.astype(jnp.int32), 0, size - 1)
    at_borders = below[low] + (place - low) * (below[low + 1] - below[low])
    mean = jnp.maximum(jnp.diff(at_borders + turns), 0) * points
    return jnp.fft.ifftshift(jnp.sqrt(mean))


def _product(size: int | Array, chosen: Filters, taper: int, length: int | None = None) -> Array:
    return (
        filters.gaussian(size, chosen.gaussian, length)
        * filters.partial_fourier(size, chosen.partial_fourier, chosen.cut_start, taper, length)
        * filters.reduced_resolution(size, chosen.resolution, length)
    )
