"""Another matrix for the same field of view, by padding or cropping centred k-space: unit noise stays unit noise.

Any number of axes; a volume names all three. The sample of index N//2 stays at N'//2, for odd and even sizes.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snraware_jax.recon.fourier import crop, fft2c, ifft2c


def zero_fill(image: ArrayLike, shape: Sequence[int], axes: Sequence[int] = (-2, -1)) -> Array:
    """Interpolates an image to a finer grid, I' = sqrt(prod N' / prod N) IFFT(pad(FFT(I))).

    Signal and noise SD stay what they were: the values are those of the image's own Fourier series at the new points. The
    noise of neighbouring pixels becomes correlated.

    Args:
      image: any shape.
      shape: N' of each of `axes`, none below N.
      axes: to resize.

    Returns:
      complex array, `shape` along `axes`.

    Raises:
      ValueError: if an axis would shrink, or `shape` and `axes` differ in length.

    Source: docs/physics.md.
    """
    image = jnp.asarray(image)
    padded = pad_kspace(fft2c(image, axes), shape, axes)
    return math.sqrt(padded.size / image.size) * ifft2c(padded, axes)


def crop_resolution(image: ArrayLike, shape: Sequence[int], axes: Sequence[int] = (-2, -1)) -> Array:
    """Lowers the resolution of an image, I' = IFFT(crop(FFT(I))), without a scale.

    The noise SD stays 1, and the signal grows by sqrt(prod N / prod N'): larger voxels have more SNR.

    Args:
      image: any shape.
      shape: N' of each of `axes`, none above N.
      axes: to resize.

    Returns:
      complex array, `shape` along `axes`.

    Raises:
      ValueError: if an axis would grow, or `shape` and `axes` differ in length.

    Source: docs/physics.md.
    """
    kspace = fft2c(image, axes)
    for axis, size in zip(axes, shape, strict=True):
        if size > kspace.shape[axis]:
            raise ValueError(f"axis {axis} of {kspace.shape} cannot be cropped to {size}: use zero_fill to enlarge")
        kspace = crop(kspace, size, axis)
    return ifft2c(kspace, axes)


def pad_kspace(kspace: ArrayLike, shape: Sequence[int], axes: Sequence[int] = (-2, -1)) -> Array:
    """Zeros around centred k-space: the block of N samples begins at N'//2 - N//2, so DC stays at the centre; no scale.

    Arguments and errors as for `zero_fill`.
    """
    kspace = jnp.asarray(kspace)
    widths = [(0, 0)] * kspace.ndim
    for axis, size in zip(axes, shape, strict=True):
        present = kspace.shape[axis]
        if size < present:
            raise ValueError(f"axis {axis} of {kspace.shape} cannot be padded to {size}: use crop_resolution to reduce")
        before = size // 2 - present // 2
        widths[axis] = (before, size - present - before)
    return jnp.pad(kspace, widths)
