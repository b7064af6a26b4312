"""Coil sensitivity maps from low-resolution calibration images."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from snraware_jax.recon.fourier import ifft2c


def low_resolution_images(calibration: ArrayLike, start: int, lines: int) -> Array:
    """Coil images of the calibration block: Hann window about DC on both axes, zero-filled to the matrix; -> `[C, lines, kx]`.

    w(q) = (1 + cos(pi q/h))/2 for |q| < h, h the distance from DC to the nearer end of the block, q = index - N//2.

    Args:
      calibration: `[C, A, kx]` k-space, A contiguous lines.
      start: line of the ky grid at which the block begins.
      lines: ky lines of the matrix.

    Raises:
      ValueError: if the block does not hold DC with at least one line on either side.
    """
    calibration = jnp.asarray(calibration)
    _, count, readout = calibration.shape
    window = _hann(count, lines // 2 - start)[:, None] * _hann(readout, readout // 2)
    padded = jnp.pad(calibration * window.astype(np.float32), ((0, 0), (start, lines - start - count), (0, 0)))
    return ifft2c(padded)


def _hann(size: int, centre: int) -> np.ndarray:
    half_width = min(centre, size - centre)
    if half_width < 2:
        raise ValueError(f"{size} calibration lines with DC at index {centre}: the block must hold DC and lines on either side")
    distance = np.abs(np.arange(size) - centre)
    return np.where(distance < half_width, 0.5 * (1 + np.cos(np.pi * distance / half_width)), 0.0)


@partial(jax.jit, static_argnames=("patch", "iterations"))
def inati(images: ArrayLike, patch: int = 7, iterations: int = 3) -> Array:
    """Coil maps of unit norm: conj(v) e^(i theta), v the dominant right singular vector of the patch about a pixel.

    D(r) = `[patch^2, C]` holds the coil images in a square about r (wrapping around); v follows from power iteration on D^H D,
    begun at the conjugate column sum, which is exact for a patch of rank one; theta = phase of the sum of D v, so that the
    combined image sum_c conj(map_c) a_c is real and positive where the patch is smooth.

    Args:
      images: `[C, ky, kx]` coil images, smooth.
      patch: side of the square, odd.
      iterations: of the power method.

    Returns:
      `[C, ky, kx]`, sum_c |map_c|^2 = 1; 0 where all coil images are exactly 0 throughout the patch.

    Source: Inati et al., ISMRM 2013, 2672; docs/physics.md.
    """
    images = jnp.asarray(images)
    half = patch // 2
    wrapped = jnp.pad(images, ((0, 0), (half, half), (half, half)), mode="wrap")
    offsets = jnp.stack(jnp.meshgrid(jnp.arange(patch), jnp.arange(patch), indexing="ij"), -1).reshape(-1, 2)
    shifted = lambda offset: lax.dynamic_slice(wrapped, (0, offset[0], offset[1]), images.shape)

    def add_column(total: Array, offset: Array) -> tuple[Array, None]:
        return total + shifted(offset), None

    def power_step(_: int, maps: Array) -> Array:
        def add_row(total: Array, offset: Array) -> tuple[Array, None]:
            row = shifted(offset)
            return total + row * jnp.sum(row.conj() * maps, axis=0), None

        return _unit_norm(lax.scan(add_row, jnp.zeros_like(maps), offsets)[0])

    column_sum = lax.scan(add_column, jnp.zeros_like(images), offsets)[0]
    maps = lax.fori_loop(0, iterations, power_step, _unit_norm(column_sum))
    combined = jnp.sum(maps.conj() * column_sum, axis=0)
    magnitude = jnp.abs(combined)
    return maps * jnp.where(magnitude > 0, combined / jnp.where(magnitude > 0, magnitude, 1), 1)


def _unit_norm(maps: Array) -> Array:
    norm = jnp.sqrt(jnp.sum(jnp.abs(maps) ** 2, axis=0))
    return maps / jnp.where(norm > 0, norm, 1)
