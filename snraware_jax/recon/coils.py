"""Coil sensitivity maps from low-resolution calibration images."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from snraware_jax.recon.fourier import ifft2c


def low_resolution_images(calibration: ArrayLike, start: Sequence[int], grid: Sequence[int]) -> Array:
    """Coil images of the calibration block: Hann window about DC on every axis, zero-filled to the grid; -> `[C, (kz,) ky, kx]`.

    w(q) = (1 + cos(pi q/h))/2 for |q| < h, h the distance from DC to the nearer end of the block, q = index - N//2.

    Args:
      calibration: `[C, (A_z,) A, kx]` k-space without gaps.
      start: place on the grid at which the block begins, one number an axis.
      grid: `((kz,) ky, kx)` of the images.

    Raises:
      ValueError: if the block does not hold DC with at least one line on either side.
    """
    calibration = jnp.asarray(calibration)
    widths = [(0, 0)]
    for axis, (first, size) in enumerate(zip(start, grid, strict=True), 1):
        count = calibration.shape[axis]
        window = _hann(count, size // 2 - first).astype(np.float32)
        calibration = calibration * np.expand_dims(window, tuple(range(1, calibration.ndim - axis)))
        widths.append((first, size - first - count))
    return ifft2c(jnp.pad(calibration, widths), tuple(range(1, calibration.ndim)))


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
      images: `[C, (kz,) ky, kx]` coil images, smooth; a volume partition by partition.
      patch: side of the square, odd.
      iterations: of the power method.

    Returns:
      `[C, (kz,) ky, kx]`, sum_c |map_c|^2 = 1; 0 where all coil images are exactly 0 throughout the patch.

    Source: Inati et al., ISMRM 2013, 2672; docs/physics.md.
    """
    start = lambda coils: _unit_norm(_sum_over_patch(coils, patch, lambda a: a))
    return _by_partition(lambda coils: _dominant(coils, patch, iterations, start(coils)), jnp.asarray(images))


@partial(jax.jit, static_argnames=("patch", "iterations"))
def walsh(images: ArrayLike, patch: int = 5, iterations: int = 5) -> Array:
    """Coil maps of unit norm: v e^(i theta), v the dominant eigenvector of the coils' covariance, smoothed over a square.

    R(r) = sum of a a^H over a square about r (wrapping around) is never formed: a step of the power method sums a (a^H v). It
    begins at the coil of most power in the square, which no cancellation within the square can hide; theta = phase of v^H sum a,
    so that the combined image sum_c conj(map_c) a_c, smoothed over the square, is real and positive.

    Args:
      images: `[C, (kz,) ky, kx]` coil images; a volume partition by partition.
      patch: side of the square, odd.
      iterations: of the power method.

    Returns:
      `[C, (kz,) ky, kx]`, sum_c |map_c|^2 = 1; 0 where all coil images are exactly 0 throughout the patch.

    Source: Walsh et al., MRM 2000; docs/physics.md.
    """

    def start(coils: Array) -> Array:
        power = _sum_over_patch(coils, patch, lambda a: jnp.abs(a) ** 2)
        return (jnp.arange(len(coils))[:, None, None] == jnp.argmax(power, axis=0)).astype(coils.dtype)

    return _by_partition(lambda coils: _dominant(coils, patch, iterations, start(coils)), jnp.asarray(images))


def _by_partition(estimate: Callable[[Array], Array], images: Array) -> Array:
    """Maps of a slice `[C, ky, kx]`, or of the partitions of a volume one after the other, which bounds the memory."""
    if images.ndim == 3:
        return estimate(images)
    return jnp.moveaxis(lax.map(estimate, jnp.moveaxis(images, 1, 0)), 0, 1)


def _dominant(images: Array, patch: int, iterations: int, start: Array) -> Array:
    """Power iteration on R(r) = sum of a a^H over the patch, which is never formed: a step sums a (a^H v). Phase: that of v^H sum a."""

    def power_step(_: int, maps: Array) -> Array:
        return _unit_norm(_sum_over_patch(images, patch, lambda a: a * jnp.sum(a.conj() * maps, axis=0)))

    maps = lax.fori_loop(0, iterations, power_step, start)
    combined = jnp.sum(maps.conj() * _sum_over_patch(images, patch, lambda a: a), axis=0)
    return maps * jnp.exp(1j * jnp.angle(combined))


def _sum_over_patch(images: Array, patch: int, term: Callable[[Array], Array]) -> Array:
    """Sum of term(a(r + d)) over the displacements d in a square, wrapping around; `[C, ky, kx]` -> `[C, ky, kx]`."""
    half = patch // 2
    wrapped = jnp.pad(images, ((0, 0), (half, half), (half, half)), mode="wrap")
    displacements = jnp.stack(jnp.meshgrid(jnp.arange(patch), jnp.arange(patch), indexing="ij"), -1).reshape(-1, 2)

    def add(total: Array, displacement: Array) -> tuple[Array, None]:
        return total + term(lax.dynamic_slice(wrapped, (0, displacement[0], displacement[1]), images.shape)), None

    return lax.scan(add, jnp.zeros_like(term(images)), displacements)[0]


def _unit_norm(maps: Array) -> Array:
    norm = jnp.sqrt(jnp.sum(jnp.abs(maps) ** 2, axis=0))
    return maps / jnp.where(norm > 0, norm, 1)
