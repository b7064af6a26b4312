"""Filters along the axes of centred k-space that keep unit noise.

A response is `[N]` float32 with DC at N//2; every parameter of it may be traced. Sizes are static, except where a function takes
`length`: the static length of its answer for a size that is traced, with zeros from N on.

Source: docs/physics.md; Kellman & McVeigh, MRM 2005, for the scaling.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from snraware_jax.recon.fourier import fft2c, ifft2c


def gaussian(size: int | Array, sigma: ArrayLike, length: int | None = None) -> Array:
    """Symmetric Gaussian, f(x) = exp(-sigma^2 x^2 / 2) with x from -1 to 1; sigma 0 is all ones. `[N]`.

    An even axis has its extra sample at -N/2 set to 0, so that the maximum is at N//2.
    """
    index = _index(size, length)
    q, half = index - size // 2, (size - 1) // 2
    x = q / jnp.maximum(half, 1)  # an axis of one or two samples has no slope
    response = jnp.where(abs(q) <= half, jnp.exp(-0.5 * jnp.asarray(sigma, jnp.float32) ** 2 * x**2), 0.0)
    return _within(jnp.where(jnp.asarray(sigma) > 0, response, 1.0), index, size)


def hann(size: int) -> Array:
    """Hann window about DC, f(q) = (1 + cos(pi q / h)) / 2 with q = index - N//2 and h = (N + 1)//2. `[N]`.

    For even N that is (1 - cos(2 pi j / N)) / 2 of the index j; for odd N the zeros lie one sample beyond both ends.
    """
    q = np.arange(size) - size // 2
    return jnp.asarray(0.5 * (1 + np.cos(np.pi * q / ((size + 1) // 2))), jnp.float32)


def tapered_hann(size: int, taper: ArrayLike) -> Array:
    """One, with a Hann edge of `taper` samples at both ends, w_k = (1 - cos(2 pi k / (2 taper + 1))) / 2, k = 1..taper. `[N]`.

    Symmetric about N//2: an even axis has its extra sample at -N/2 set to 0. Taper 0 is all ones.
    """
    from_end = (size + 1) // 2 - np.abs(np.arange(size) - size // 2)  # 1 at the ends, 0 at the extra sample of an even axis
    return jnp.where(jnp.asarray(taper) > 0, _edge(from_end, taper), 1.0)


def partial_fourier(
    size: int | Array, ratio: ArrayLike, cut_start: ArrayLike, taper: ArrayLike, length: int | None = None
) -> Array:
    """Keeps int(ratio N) + 1 samples from one end, with a Hann edge of `taper` samples at the cut; ratio 1 is all ones. `[N]`.

    Args:
      size: N.
      ratio: acquired share of the axis, (0, 1].
      cut_start: True if the missing samples are the first ones, False if the last.
      taper: samples of the edge, w_k = (1 - cos(2 pi k / (2 taper + 1))) / 2 for k = 1..taper, inside the kept part.
      length: static length of the answer, for a traced size.
    """
    index = _index(size, length)
    end = jnp.floor(jnp.asarray(ratio, jnp.float32) * size + 1e-4)  # 1e-4: float32 of 0.7 times 10 is below 7
    from_kept_end = jnp.where(jnp.asarray(cut_start), size - 1 - index, index)
    response = _edge(end - from_kept_end + 1, taper)
    return _within(jnp.where(jnp.asarray(ratio) >= 1, 1.0, response), index, size)


def reduced_resolution(size: int | Array, ratio: ArrayLike, length: int | None = None) -> Array:
    """Zero for the m = floor((N - ratio N) / 2) outer samples of both sides, one elsewhere. `[N]`."""
    index = _index(size, length)
    cut = jnp.floor((size - jnp.asarray(ratio, jnp.float32) * size) / 2 + 1e-4)
    return jnp.where((index >= cut) & (index < size - cut), 1.0, 0.0)


def unit_noise(response: ArrayLike, acquired: ArrayLike | None = None) -> Array:
    """Scales a response so that unit noise keeps its SD: f / sqrt(1/N_s sum f^2) over the N_s samples that carry noise.

    Filters are multiplied first and scaled once: scaling each of them apart does not keep the SD of the product.

    Args:
      response: `[..., N]`.
      acquired: `[N]` bool, the samples that carry noise where the others are zeros: lines that partial Fourier left out, in data
        scaled by sqrt(N / N_s) to unit noise in the image. None: all of them. The two differ by sqrt(N / N_s), 15 % at 6/8.

    Returns:
      `[..., N]`.
    """
    response = jnp.asarray(response)
    carries_noise = None if acquired is None else jnp.asarray(acquired, bool)
    return response / jnp.sqrt(jnp.mean(response**2, axis=-1, keepdims=True, where=carries_noise))


def apply(
    image: ArrayLike,
    responses: Sequence[ArrayLike],
    axes: Sequence[int] = (-2, -1),
    acquired: Sequence[ArrayLike | None] | None = None,
) -> Array:
    """Filters an image in its k-space, IFFT(f FFT(I)) with f the unit-noise product of all responses: unit noise stays.

    Args:
      image: any shape, real or complex.
      responses: for each of `axes` its response `[N]`, or several `[filters, N]`, which are multiplied and scaled once.
      axes: to filter, `(-1,)` for the readout alone, `(-3, -2, -1)` for a volume.
      acquired: for each of `axes` the `[N]` samples that carry noise, None for all, see `unit_noise`.

    Returns:
      complex array of the image's shape.

    Raises:
      ValueError: if a response is not as long as its axis, or the sequences differ in length.
    """
    return ifft2c(apply_to_kspace(fft2c(image, axes), responses, axes, acquired), axes)


def apply_to_kspace(
    kspace: ArrayLike,
    responses: Sequence[ArrayLike],
    axes: Sequence[int] = (-2, -1),
    acquired: Sequence[ArrayLike | None] | None = None,
) -> Array:
    """The same on centred k-space, f k; arguments and errors as for `apply`."""
    kspace = jnp.asarray(kspace)
    everywhere = [None] * len(axes)
    for axis, response, samples in zip(axes, responses, everywhere if acquired is None else acquired, strict=True):
        product = jnp.prod(jnp.atleast_2d(jnp.asarray(response)), axis=0)
        if product.shape != (kspace.shape[axis],):
            raise ValueError(f"a response of {product.size} samples for axis {axis} of {kspace.shape}: make it as long")
        trailing = kspace.ndim - 1 - axis % kspace.ndim
        kspace = kspace * unit_noise(product, samples).reshape(-1, *(1,) * trailing)
    return kspace


def _index(size: int | Array, length: int | None) -> np.ndarray:
    points = size if length is None else length
    if not isinstance(points, int):
        raise TypeError("a traced size needs the static `length` of the answer")
    return np.arange(points)


def _within(response: Array, index: np.ndarray, size: int | Array) -> Array:
    """The response, and zeros from the size on."""
    return jnp.where(index < size, response, 0.0)


def _edge(position: ArrayLike, taper: ArrayLike) -> Array:
    """0 up to position 0, w_k at k = 1..taper, 1 beyond."""
    rising = 0.5 * (1 - jnp.cos(2 * jnp.pi * jnp.asarray(position) / (2 * jnp.asarray(taper) + 1)))
    return jnp.where(jnp.asarray(position) <= 0, 0.0, jnp.where(jnp.asarray(position) <= taper, rising, 1.0))
