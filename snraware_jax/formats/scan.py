"""A raw multi-coil scan in memory, whatever file it came from."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RawScan:
    """One Cartesian acquisition with its noise scan and calibration lines: a slice (2D, any number of frames) or a volume (3D).

    Nothing has been done to the samples: not whitened, readout oversampling still there. A 2D scan is accelerated along ky; a 3D
    scan has an axis kz before ky, and may be accelerated along both. Axes in brackets are those of a 3D scan.

    Attributes:
      name: file or subject, for messages; with the slice, where a file holds several.
      noise: `[C, M]` complex64, noise-only samples of the noise scan.
      kspace: `[T, C, (kz,) ky, kx_oversampled]` complex64, DC at N//2 of every axis, samples that were not acquired exactly 0.
      acquired: `[T, (kz,) ky]` bool, the imaging lines that `kspace` holds (calibration-only lines are not among them).
      calibration: `[C, (A_z,) A, kx_oversampled]` complex64, a block of lines without gaps about DC; None where the frames are
        their own calibration (interleaved, or not accelerated): the chain averages them.
      calibration_start: place of the first line of `calibration` on the grid, `(ky,)` or `(kz, ky)`; None with it.
      acceleration: R along ky, or (R along ky, R along kz).
      readout: kx after the readout oversampling is removed.
      dwell_us: sampling interval of imaging and calibration samples, microseconds.
      noise_dwell_us: the same of the noise scan.
      bandwidth: receiver noise bandwidth relative to the nominal one (0.793 on Siemens).
      fov_mm: field of view (ky, kx without oversampling), millimetres.
      echo_samples: samples of a readout that were acquired; fewer than kx_oversampled for an asymmetric echo. None: all.
      cycle: `[T]` place of every frame in the heart's cycle, 0 to 1, from the trigger times; None where there are none.
    """

    name: str
    noise: np.ndarray
    kspace: np.ndarray
    acquired: np.ndarray
    calibration: np.ndarray | None
    calibration_start: tuple[int, ...] | None
    acceleration: int | tuple[int, int]
    readout: int
    dwell_us: float
    noise_dwell_us: float
    bandwidth: float
    fov_mm: tuple[float, float]
    echo_samples: int | None = None
    cycle: np.ndarray | None = None
