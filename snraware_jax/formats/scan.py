"""A raw multi-coil scan in memory, whatever file it came from."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RawScan:
    """One 2D+T Cartesian acquisition, undersampled along ky, with its noise scan and calibration lines.

    Nothing has been done to the samples: not whitened, readout oversampling still there.

    Attributes:
      name: file or subject, for messages.
      noise: `[C, M]` complex64, noise-only samples of the noise scan.
      kspace: `[T, C, ky, kx_oversampled]` complex64, DC at N//2 of both axes, lines that were not acquired exactly 0.
      acquired: `[T, ky]` bool, the imaging lines that `kspace` holds (calibration-only lines are not among them).
      calibration: `[C, A, kx_oversampled]` complex64, A contiguous lines around DC.
      calibration_start: line of the ky grid at which `calibration` begins.
      acceleration: R along ky.
      readout: kx after the readout oversampling is removed.
      dwell_us: sampling interval of imaging and calibration samples, microseconds.
      noise_dwell_us: the same of the noise scan.
      bandwidth: receiver noise bandwidth relative to the nominal one (0.793 on Siemens).
      fov_mm: field of view (ky, kx without oversampling), millimetres.
    """

    name: str
    noise: np.ndarray
    kspace: np.ndarray
    acquired: np.ndarray
    calibration: np.ndarray
    calibration_start: int
    acceleration: int
    readout: int
    dwell_us: float
    noise_dwell_us: float
    bandwidth: float
    fov_mm: tuple[float, float]
