"""Centred orthonormal Fourier transforms: unit noise in, unit noise out."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


def fft2c(x: ArrayLike, axes: Sequence[int] = (-2, -1)) -> Array:
    """Image to k-space, k(q) = N^-1/2 sum_r I(r) exp(-2 pi i q r / N), with r, q = index - N//2 for even and odd N.

    Unitary over `axes` (any number of them, `(-1,)` for the readout alone): white noise stays white and keeps its SD.
    Source: docs/physics.md.
    """
    return jnp.fft.fftshift(jnp.fft.fftn(jnp.fft.ifftshift(x, axes), axes=axes, norm="ortho"), axes)


def ifft2c(x: ArrayLike, axes: Sequence[int] = (-2, -1)) -> Array:
    """K-space to image, I(r) = N^-1/2 sum_q k(q) exp(+2 pi i q r / N): the inverse of `fft2c`."""
    return jnp.fft.fftshift(jnp.fft.ifftn(jnp.fft.ifftshift(x, axes), axes=axes, norm="ortho"), axes)


def crop(x: ArrayLike, size: int, axis: int = -1) -> Array:
    """The central `size` samples along `axis`, the sample of index N//2 staying the centre (odd and even sizes)."""
    x = jnp.asarray(x)
    start = x.shape[axis] // 2 - size // 2
    return jnp.take(x, jnp.arange(start, start + size), axis)


def remove_oversampling(kspace: ArrayLike, readout: int) -> Array:
    """Readouts of `[..., kx_oversampled]` k-space as images along x, cropped to the field of view: `[..., readout]`.

    No scale is applied: noise keeps its SD, and so does the SNR of a pixel. Source: docs/physics.md.
    """
    return crop(ifft2c(kspace, axes=(-1,)), readout)
