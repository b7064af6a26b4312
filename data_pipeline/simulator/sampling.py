"""Which samples a scan acquires: its lines in every frame, its calibration block, the part of a readout after an early echo."""

import math

import numpy as np

from data_pipeline.simulator.subject import Settings


def lines(settings: Settings) -> tuple[int, ...]:
    """Phase encodes `(ky,)`, of a volume `(kz, ky)`."""
    return (settings.partitions, settings.matrix[0]) if settings.kind == "mprage" else settings.matrix[:1]


def factors(settings: Settings) -> tuple[int, ...]:
    """Accelerations in the order of `lines`."""
    return settings.acceleration[::-1] if isinstance(settings.acceleration, tuple) else (settings.acceleration,)


def acquired_lines(settings: Settings, frames: int) -> np.ndarray:
    """Imaging lines of every frame, `[T, (kz,) ky]` bool.

    Every R-th line along an axis, those with (q - N//2 - t) mod R = 0 in frame t of an interleaved scan (Breuer et al., MRM 2005),
    t = 0 in all frames of a uniform one; without the first lines along ky of a partial Fourier scan.
    """
    *partitions, rows = (np.arange(n) - n // 2 for n in lines(settings))
    *r_partitions, r_rows = factors(settings)
    move = np.arange(frames) if settings.sampling == "interleaved" else np.zeros(frames, int)
    acquired = (rows - move[:, None]) % r_rows == 0
    acquired[:, : len(rows) - math.ceil(settings.partial_fourier * len(rows))] = False
    for q, r in zip(partitions, r_partitions, strict=True):
        acquired = acquired[:, None] & (q % r == 0)[:, None]
    return acquired


def calibration_block(settings: Settings) -> tuple[slice, ...] | None:
    """Calibration lines of their own; None for an interleaved scan, which has none."""
    return central_block(settings) if settings.sampling == "uniform" else None


def central_block(settings: Settings) -> tuple[slice, ...]:
    """`settings.calibration_lines` lines about DC along `(kz,) ky`, as far as the axis has them."""
    sizes = lines(settings)
    starts = [n // 2 - min(settings.calibration_lines, n) // 2 for n in sizes]
    return tuple(slice(first, first + min(settings.calibration_lines, n)) for first, n in zip(starts, sizes, strict=True))


def echo_samples(settings: Settings) -> int:
    """Samples of an oversampled readout that are acquired, its last ones."""
    return math.ceil(settings.echo * settings.oversampling * settings.matrix[1])
