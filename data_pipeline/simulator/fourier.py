"""Centred orthonormal Fourier transforms on the host: padded, cropped, and of pieces of an image, without shifting copies."""

from collections.abc import Sequence

import numpy as np
from scipy import fft


def transform(
    x: np.ndarray,
    axis: int,
    inverse: bool = False,
    pad: int | None = None,
    keep: int | None = None,
    origin: int | None = None,
) -> np.ndarray:
    """Centred orthonormal Fourier transform along one axis, in the precision of `x`; DC at N//2, odd and even sizes.

    X(k) = N^-1/2 exp(2 pi i k o / N) sum_n x(n) exp(-2 pi i k n / N), o the index of position 0; i -> -i for the inverse.

    Args:
      pad: N, size of the transform, zeros around `x`; its own size if not given.
      keep: central samples of the result to keep; all if not given.
      origin: o; may lie outside of `x`, which is then a piece of an image. The middle of `x` if not given.
    """
    axis %= x.ndim
    total = pad or x.shape[axis]
    kept = keep or total
    zero = x.shape[axis] // 2 if origin is None else origin
    result = np.asarray((fft.ifft if inverse else fft.fft)(x, n=total, axis=axis, norm="ortho"))
    frequency = np.arange(kept) - kept // 2
    # the turn of an origin in the middle replaces the shift of the input
    turn = np.exp((-2j if inverse else 2j) * np.pi * (frequency * zero % total) / total).astype(result.dtype)
    turn = np.expand_dims(turn, tuple(range(1, x.ndim - axis)))
    below = kept // 2
    kept_samples = np.empty((*result.shape[:axis], kept, *result.shape[axis + 1 :]), result.dtype)
    part = lambda array, start, stop: array[(*[slice(None)] * axis, slice(start, stop))]
    np.multiply(part(result, total - below, total), turn[:below], out=part(kept_samples, 0, below))
    np.multiply(part(result, 0, kept - below), turn[below:], out=part(kept_samples, below, kept))
    return kept_samples


def resize(images: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Images `[..., (D,) H, W]` on a coarser grid of the same field of view by cropping their k-space; the values stay (complex64)."""
    axes = range(-1, -1 - len(shape), -1)
    images = images.astype(np.complex64)
    if images.shape[-len(shape) :] == tuple(shape):
        return images
    scale = np.float32(np.sqrt(np.prod(shape) / np.prod(images.shape[-len(shape) :])))
    for axis in axes:
        images = transform(images, axis, keep=shape[axis])
    for axis in reversed(axes):
        images = transform(images, axis, inverse=True)
    images *= scale
    return images


def fast_length(least: int) -> int:
    """The smallest size of `least` or more that transforms quickly."""
    size: int | None = fft.next_fast_len(least)  # its type stub promises nothing
    assert size is not None
    return size
