"""A training sample without a raw scan: the clean series and its g-maps, from coils that are calibrated as a scan's would be."""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from data_pipeline.simulator import coils as receive
from data_pipeline.simulator import sampling
from data_pipeline.simulator.acquisition import draw_peak, lossy
from data_pipeline.simulator.encoding import product_grid
from data_pipeline.simulator.fourier import resize, transform
from data_pipeline.simulator.receiver import draw_covariance, root_sum_of_squares, whitened
from data_pipeline.simulator.subject import Settings
from snraware_jax.recon import grappa
from snraware_jax.recon.coils import inati, low_resolution_images

Box = tuple[slice, slice]


class CleanSample(NamedTuple):
    """What a record of one series holds.

    Attributes:
      image: `[T, ky, kx]` complex64 noise-free series in the SNR units of an R = 1 scan, combined with estimated coil maps.
      g_maps: `[7, ky, kx]` float32 for R = 2 to 8.
      signal_snr: 99.5th percentile of the series with the true coil maps.
    """

    image: np.ndarray
    g_maps: np.ndarray
    signal_snr: float


def clean_sample(
    still: np.ndarray,
    box: Box,
    moving: np.ndarray,
    coil_maps: np.ndarray,
    settings: Settings,
    rng: np.random.Generator,
) -> CleanSample:
    """Clean series and g-maps of an object, as `acquire` and the chain would find them without aliasing.

        image = P[|c| rho] sum_c conj(m_c) c_c / |c|

    P cuts to the matrix, c are the true whitened maps and m those estimated from the noisy calibration lines of the first frame,
    from which the g-maps follow too. P is taken past the smooth c / |c|; the difference is below a per cent (docs/data.md).

    Args:
      still: `[H, W]` complex, the object on a fine grid.
      box: rows and columns that change.
      moving: `[T, h, w]` content of the box in every frame.
      coil_maps: `[C, h, w]` complex on any grid of the same field of view.
      settings: matrix, calibration lines, noise correlation and range of the peak SNR.
      rng: source of the receivers, the peak SNR and the noise of the calibration lines.
    """
    covariance_rng, signal_rng, noise_rng = rng.spawn(3)
    matrix = settings.matrix
    first = still.copy()
    first[box] = moving[0]
    covariance = draw_covariance(covariance_rng, receive.resample(coil_maps, matrix), lossy(first[None], matrix), settings)
    whitened_maps = whitened(coil_maps, covariance)
    norm = root_sum_of_squares(whitened_maps)
    image = band_limited(still, box, moving, receive.resample(norm[None], still.shape)[0].real, matrix)
    peak = draw_peak(signal_rng, settings)
    scale = np.float32(peak / np.percentile(np.abs(image), 99.5))

    lines, start = calibration_lines(scale * first, whitened_maps, settings, noise_rng)
    estimated, g_maps = _calibrate(lines, (start, 0), matrix)
    true = receive.resample(whitened_maps, matrix)
    image *= scale * np.sum(estimated.conj() * true, axis=0) / root_sum_of_squares(true)
    return CleanSample(image, g_maps, peak)


def band_limited(still: np.ndarray, box: Box, moving: np.ndarray, weight: np.ndarray, matrix: tuple[int, int]) -> np.ndarray:
    """Pictures times a real weight `[H, W]`, cut to the k-space of a matrix, `[T, ky, kx]`; only the box is transformed every time."""
    rest = still * weight
    rest[box] = 0
    kspace = transform(transform(rest, -1, keep=matrix[1]), -2, keep=matrix[0])
    pieces = moving * weight[box]
    for axis in (-1, -2):
        size = still.shape[axis]
        pieces = transform(pieces, axis, pad=size, keep=matrix[axis], origin=size // 2 - box[axis].start)
    pieces += kspace
    pieces *= np.float32(math.sqrt(math.prod(matrix) / math.prod(still.shape)))
    return transform(transform(pieces, -2, inverse=True), -1, inverse=True)


def calibration_lines(
    picture: np.ndarray, whitened_maps: np.ndarray, settings: Settings, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Whitened calibration lines `[C, A, kx]` of a picture `[H, W]` with unit noise, and where they begin along ky."""
    matrix, (block,) = settings.matrix, sampling.central_block(settings)
    grid = product_grid(picture.shape, matrix)
    seen = resize(picture, grid) * receive.resample(whitened_maps, grid)
    lines = transform(transform(seen, -1, keep=matrix[1]), -2, keep=matrix[0])[:, block]
    lines *= np.float32(math.sqrt(math.prod(matrix) / math.prod(grid)))
    noise = rng.standard_normal((*lines.shape[:-1], 2 * lines.shape[-1]), dtype=np.float32).view(np.complex64)
    return lines + noise, block.start


def _calibrate(lines: np.ndarray, start: tuple[int, int], grid: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Coil maps `[C, ky, kx]` and g-maps `[R, ky, kx]` of whitened calibration lines, as the chain finds them.

    In two threads, because XLA has one thread for most of it on CPU.
    """
    with ThreadPoolExecutor(2) as threads:
        kernels = threads.submit(lambda: jax.block_until_ready(_kernels(lines)))
        estimated = threads.submit(lambda: np.asarray(_coil_maps(lines, start=start, grid=grid))).result()
        halves = [kernels.result()[half] for half in (slice(0, 4), slice(4, None))]
        orders = [grappa.ACCELERATIONS[half] for half in (slice(0, 4), slice(4, None))]
        maps = threads.map(lambda w, r: np.asarray(_g_maps(w, estimated, accelerations=r)), halves, orders)
        return estimated, np.concatenate(list(maps))


@partial(jax.jit, static_argnames=("start", "grid"))
def _coil_maps(lines: ArrayLike, *, start: tuple[int, int], grid: tuple[int, int]) -> Array:
    return inati(low_resolution_images(jnp.asarray(lines), start, grid))


@jax.jit
def _kernels(lines: ArrayLike) -> list[Array]:
    return grappa.fit_kernels(jnp.asarray(lines), grappa.ACCELERATIONS)


@partial(jax.jit, static_argnames="accelerations")
def _g_maps(kernels: list[Array], coil_maps: ArrayLike, *, accelerations: tuple[int, ...]) -> Array:
    return jnp.stack([grappa.g_map(w, jnp.asarray(coil_maps), r) for w, r in zip(kernels, accelerations, strict=True)])
