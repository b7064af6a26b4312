"""Noise-free samples of an object seen by coils, and the same with noise; coil by coil, two at once."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np

from data_pipeline.simulator import sampling
from data_pipeline.simulator.coils import resample
from data_pipeline.simulator.fourier import fast_length, resize, transform
from data_pipeline.simulator.receiver import coloured_noise
from data_pipeline.simulator.subject import Settings

THREADS = 2  # numpy and scipy let go of the interpreter; the result does not depend on it
LINES_AT_ONCE = 64  # of noise, each lot from a generator of its own: part of what a seed means
MAP_CYCLES = 32  # over the field of view, of the finest structure of coil maps that matters

Item = TypeVar("Item")
Result = TypeVar("Result")


class Samples(NamedTuple):
    """What a scan without noise holds.

    Attributes:
      imaging: `[C, n, kx_oversampled]` complex64, the acquired lines in the order of the mask `[T, (kz,) ky]`.
      calibration: `[C, (A_z,) A, kx_oversampled]` of the first frame, or None.
      truth: `[T, (kz,) ky, kx]` complex64, sum_c u_c a_c of fully sampled coil images a and combination weights u.
    """

    imaging: np.ndarray
    calibration: np.ndarray | None
    truth: np.ndarray

    def scale(self, factor: float) -> None:
        """Makes the object `factor` times as bright, in place."""
        for part in self:
            if part is not None:
                part *= np.float32(factor)


def encode(series: np.ndarray, coil_maps: np.ndarray, weights: np.ndarray, acquired: np.ndarray, settings: Settings) -> Samples:
    """Samples S_c = F[c_c rho] of an object.

    Args:
      series: `[T, (D,) H, W]` complex, at least as fine as the matrix.
      coil_maps: `[C, (d,) h, w]` on any grid.
      weights: `[C, (kz,) ky, kx]` of the combination.
      acquired: `[T, (kz,) ky]` bool.
    """
    lines, kx, wide = sampling.lines(settings), settings.matrix[1], settings.oversampling * settings.matrix[1]
    block = sampling.calibration_block(settings)
    grid = product_grid(series.shape[1:], (*lines, kx))
    picture = resize(series, grid) * np.float32(math.sqrt(math.prod(lines) * kx / math.prod(grid)))
    missing = wide - sampling.echo_samples(settings)
    readouts = partial(_readouts, pad=settings.oversampling * grid[-1], wide=wide, missing=missing)
    coils = len(coil_maps)
    imaging = np.empty((coils, np.count_nonzero(acquired), wide), np.complex64)
    calibration = None if block is None else np.empty((coils, *(s.stop - s.start for s in block), wide), np.complex64)

    def seen_by(coil: int) -> np.ndarray:
        hybrid = picture * resample(coil_maps[coil : coil + 1], grid)
        for axis, size in enumerate(lines, 1):
            hybrid = transform(hybrid, axis, keep=size)
        imaging[coil] = readouts(hybrid[acquired])
        if calibration is not None and block is not None:
            calibration[coil] = readouts(hybrid[0][block])
        image = transform(transform(hybrid, -1, keep=kx), -1, inverse=True)
        for axis in range(1, 1 + len(lines)):
            image = transform(image, axis, inverse=True)
        image *= weights[coil]
        return image

    truth = np.zeros((len(series), *lines, kx), np.complex64)
    for of_coil in in_threads(seen_by, range(coils)):  # in order: the rounding of a sum depends on it
        truth += of_coil
    return Samples(imaging, calibration, truth)


def product_grid(shape: Sequence[int], matrix: Sequence[int]) -> tuple[int, ...]:
    """Grid on which an object on a grid `shape` is multiplied with coil maps: their product does not alias into the matrix."""
    return tuple(min(n, fast_length(m + 2 * MAP_CYCLES)) for n, m in zip(shape, matrix, strict=True))


def with_noise(
    samples: Samples, acquired: np.ndarray, covariance: np.ndarray, rng: np.random.Generator, settings: Settings
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Noisy k-space, noise-free k-space `[T, C, (kz,) ky, kx_oversampled]` and noisy calibration lines of a scan.

    Args:
      samples: scaled already.
      acquired: `[T, (kz,) ky]` bool.
      covariance: `[C, C]` of the noise.
      rng: its source; the calibration lines have noise of their own.
    """
    coils, count, wide = samples.imaging.shape
    shape = (len(acquired), coils, *acquired.shape[1:], wide)
    noisy, noise_free = np.zeros(shape, np.complex64), np.zeros(shape, np.complex64)
    frame, *line = np.nonzero(acquired)
    missing = wide - sampling.echo_samples(settings)
    calibration_rng, *lots = rng.spawn(1 + math.ceil(count / LINES_AT_ONCE))

    def noised(clean: np.ndarray, lot: np.random.Generator) -> np.ndarray:
        noise = coloured_noise(lot, clean.shape, covariance)
        noise += clean
        noise[..., :missing] = 0
        return noise

    def fill(lot: int) -> None:
        here = slice(lot * LINES_AT_ONCE, min((lot + 1) * LINES_AT_ONCE, count))
        place = (frame[here], slice(None), *(q[here] for q in line))
        noise_free[place] = samples.imaging[:, here].swapaxes(0, 1)
        noisy[place] = noised(samples.imaging[:, here], lots[lot]).swapaxes(0, 1)

    for _ in in_threads(fill, range(len(lots))):
        pass
    return noisy, noise_free, None if samples.calibration is None else noised(samples.calibration, calibration_rng)


def in_threads(step: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Results in order of the items."""
    with ThreadPoolExecutor(THREADS) as threads:
        yield from threads.map(step, items)


def _readouts(hybrid: np.ndarray, pad: int, wide: int, missing: int) -> np.ndarray:
    """Oversampled readouts `[..., kx_oversampled]` of lines `[..., x]` on a grid, 0 before the echo begins."""
    readouts = transform(hybrid, -1, pad=pad, keep=wide)
    readouts[..., :missing] = 0
    return readouts
