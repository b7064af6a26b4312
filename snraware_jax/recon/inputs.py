"""What a calibration needs of a scan, checked: every complaint about the input is made here, before anything compiles."""

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.scan import RawScan
from snraware_jax.recon import grappa
from snraware_jax.recon.averaging import central_block, temporal_average
from snraware_jax.recon.grappa import Acceleration
from snraware_jax.recon.prewhiten import noise_covariance, whitening_matrix

NOISE_SAMPLES_PER_COIL = 10
ROWS_PER_UNKNOWN = 3  # fewer, and a g-map says more about the regularisation than about the coils
DEAD_COIL = 1e-6  # noise power below this share of the median coil's: nothing is connected
LINES_OF_VOLUME = 32  # along ky and kz, of a volume that is its own calibration
SINGULAR = 1e-6  # smallest over largest eigenvalue below which a covariance is not inverted as it is


@dataclass(frozen=True)
class Geometry:
    """All that fixes the shapes and scales of a reconstruction: scans with the same one share a compiled program.

    Attributes:
      kspace: `(T, C, (kz,) ky, kx_oversampled)`.
      calibration: `(C, (A_z,) A, kx_oversampled)`.
      start: where the calibration lines begin, `(ky,)` or `(kz, ky)`.
      kept: first and last + 1 of the kx that the calibration has, at the size `readout`; all but for an asymmetric echo.
      readout: kx after oversampling removal.
      grid: pixels `((kz,) ky, kx)` of the image; finer than the k-space if it is to be zero-filled.
      echo_share: samples of an asymmetric echo over kx_oversampled; 1 otherwise.
      coils: those that are connected.
      acceleration: of the scan.
      accelerations: of the g-maps.
    """

    kspace: tuple[int, ...]
    calibration: tuple[int, ...]
    start: tuple[int, ...]
    kept: tuple[int, int]
    readout: int
    grid: tuple[int, ...]
    echo_share: float
    coils: int
    acceleration: Acceleration
    accelerations: tuple[Acceleration, ...]

    @property
    def lines(self) -> tuple[int, ...]:
        """`((kz,) ky)` of the k-space."""
        return self.kspace[2:-1]


@dataclass(frozen=True)
class Prepared:
    """A checked scan.

    Attributes:
      scan: as it was read.
      whitening: `[C', C]` complex64; C' leaves out the coils that hear nothing.
      calibration: `[C, (A_z,) A, kx_oversampled]`.
      condition: condition number of the noise covariance of the C' coils.
      geometry: of it all.
    """

    scan: RawScan
    whitening: np.ndarray
    calibration: np.ndarray
    condition: float
    geometry: Geometry


def prepare(scan: RawScan, accelerations: Sequence[Acceleration], matrix: Sequence[int] | None = None) -> Prepared:
    """Check a scan and find its whitening and calibration lines.

    A coil that hears no noise is left out, a singular covariance gets 1e-6 of its mean on the diagonal, and few calibration lines
    make unreliable g-maps: each is a warning.

    Raises:
      InputError: noise scan, calibration lines, accelerations or matrix that cannot be used; names the scan and what to do.
    """
    # a volume has two axes to accelerate, and says so of every R
    accelerations = tuple(dict.fromkeys(map(grappa.factors if scan.kspace.ndim == 5 else _along_ky, accelerations)))
    _check_noise(scan)
    if not scan.kspace.any():
        raise InputError(f"{scan.name}: all samples of its images are 0: convert the measurement again.")
    calibration, start = calibration_block(scan)
    if not calibration.any():
        raise InputError(f"{scan.name}: all samples of its calibration lines are 0: convert the reference lines again.")
    _check_accelerations(scan, calibration.shape[1:-1], accelerations)
    whitening, condition = _whitening(scan)
    geometry = Geometry(
        kspace=scan.kspace.shape,
        calibration=calibration.shape,
        start=start,
        kept=_echo(scan, calibration),
        readout=scan.readout,
        grid=_grid(scan, matrix),
        echo_share=(scan.echo_samples or scan.kspace.shape[-1]) / scan.kspace.shape[-1],
        coils=len(whitening),
        acceleration=scan.acceleration,
        accelerations=accelerations,
    )
    _check_block(scan, geometry)
    _warn_of_few_rows(scan, geometry)
    return Prepared(scan, whitening, calibration, condition, geometry)


def calibration_block(scan: RawScan) -> tuple[np.ndarray, tuple[int, ...]]:
    """Calibration lines `[C, (A_z,) A, kx_oversampled]` and where they begin; of frames that calibrate themselves, their average.

    Raises:
      InputError: if the frames together lack the line at DC.
    """
    if scan.calibration is not None and scan.calibration_start is not None:
        return scan.calibration, scan.calibration_start
    try:
        block, start = central_block(*temporal_average(scan.kspace, scan.acquired))
    except ValueError as error:
        raise InputError(f"{scan.name} has no calibration lines, and {error}: convert them with the scan.") from error
    if len(start) == 2:  # a fully sampled volume would take gigabytes to fit and gain nothing
        places = [
            _about_dc(size, first, count)
            for size, first, count in zip(scan.kspace.shape[2:4], start, block.shape[1:3], strict=True)
        ]
        block = block[:, places[0][0] : places[0][1], places[1][0] : places[1][1]]
        start = tuple(first + begin for first, (begin, _) in zip(start, places, strict=True))
    return block, start


def _about_dc(size: int, first: int, count: int) -> tuple[int, int]:
    """Bounds within a block of `count` lines from `first` on that keep at most `LINES_OF_VOLUME` about DC."""
    centre = size // 2 - first
    return max(0, centre - LINES_OF_VOLUME // 2), min(count, centre + LINES_OF_VOLUME // 2)


def _check_noise(scan: RawScan) -> None:
    coils, samples = scan.noise.shape
    if samples < NOISE_SAMPLES_PER_COIL * coils:
        needed = NOISE_SAMPLES_PER_COIL * coils
        raise InputError(
            f"{scan.name}: {samples} noise samples for {coils} coils; a covariance needs {needed}: repeat the noise scan."
        )
    if not np.isfinite(scan.noise).all():
        raise InputError(f"{scan.name}: its noise scan holds NaN or Inf: convert it again.")
    if not scan.noise.any():
        raise InputError(f"{scan.name}: its noise scan holds no noise ({samples} samples, all 0): repeat the noise scan.")


def _check_block(scan: RawScan, geometry: Geometry) -> None:
    """Sizes that `coils.low_resolution_images` and `grappa.fit_kernels` would refuse."""
    first, last = geometry.kept
    if last - first < 2 * grappa.KERNEL[1]:
        raise InputError(
            f"{scan.name}: its calibration readouts hold {last - first} of {geometry.readout} pixels; a kernel needs "
            f"{2 * grappa.KERNEL[1]}: scan with a longer readout."
        )
    axes = ("kz", "ky", "kx")[-1 - len(geometry.start) :]
    sizes, counts = (*geometry.lines, geometry.readout), (*geometry.calibration[1:-1], last - first)
    for axis, size, start, count in zip(axes, sizes, (*geometry.start, first), counts, strict=True):
        before = size // 2 - start
        if min(before, count - before) < 2:
            raise InputError(
                f"{scan.name}: {count} calibration samples along {axis}, {before} of them before DC; coil maps need 2 before it and "
                "1 after it: repeat the scan with calibration lines about DC."
            )


def _along_ky(acceleration: Acceleration) -> Acceleration:
    """R of a pair (R, 1), the form that slices have."""
    return acceleration[0] if isinstance(acceleration, tuple) and acceleration[1] == 1 else acceleration


def _whitening(scan: RawScan) -> tuple[np.ndarray, float]:
    scale = np.float32(np.abs(scan.noise).max())  # tiny raw units must not underflow in single precision
    covariance = np.asarray(noise_covariance(scan.noise / scale))
    power = np.real(np.diagonal(covariance))
    connected = np.flatnonzero(power > DEAD_COIL * np.median(power[power > 0]))
    dead = sorted(set(range(len(power))) - set(connected.tolist()))
    if dead:
        _warn(scan, f"coil{'s' * (len(dead) > 1)} {', '.join(map(str, dead))} of {len(power)} (from 0) disconnected, left out")
    covariance = covariance[np.ix_(connected, connected)]
    eigenvalues = np.linalg.eigvalsh(covariance.astype(np.complex128))
    condition = float(eigenvalues[-1] / max(eigenvalues[0], 1e-12 * eigenvalues[-1]))
    singular = int(np.sum(eigenvalues < SINGULAR * eigenvalues[-1]))
    if singular > len(connected) / 4:
        raise InputError(
            f"{scan.name}: the noise of its {len(connected)} coils has {len(connected) - singular} independent channels: this is no "
            "noise scan. Repeat it."
        )
    if singular:
        _warn(
            scan,
            f"the noise covariance of its {len(connected)} coils is singular (condition number {condition:.1e}); added 1e-6 of its "
            "mean to the diagonal. A channel that is stored twice is the usual cause",
        )
        covariance = covariance + np.eye(len(connected), dtype=covariance.dtype) * (1e-6 * power[connected].mean())
    whitening = np.zeros((len(connected), len(power)), np.complex64)
    whitening[:, connected] = whitening_matrix(covariance, scan.dwell_us / scan.noise_dwell_us, scan.bandwidth)
    return whitening / scale, condition


def _check_accelerations(scan: RawScan, lines: tuple[int, ...], accelerations: tuple[Acceleration, ...]) -> None:
    if not accelerations or min(min(grappa.factors(r)) for r in accelerations) < 1:
        raise InputError(f"{scan.name}: accelerations {accelerations} must be numbers from 1 up, for example 2-8.")
    if len(lines) == 1 and grappa.factors(scan.acceleration)[1] > 1:
        raise InputError(f"{scan.name} is a 2D scan with R = {grappa.label(scan.acceleration)}: convert it as a volume.")
    if len(lines) == 1 and any(grappa.factors(r)[1] > 1 for r in accelerations):
        raise InputError(f"{scan.name} is a 2D scan, accelerated along ky alone: pass --accelerations 2-8, not 2x2.")
    lacking = _lacking(scan.acceleration, lines)
    if lacking:
        raise InputError(f"{scan.name}, the scan's own acceleration: {lacking}: repeat the scan with more calibration lines.")
    lacking = next((text for r in reversed(accelerations) if (text := _lacking(r, lines))), None)
    if lacking:
        possible = [r for r in accelerations if not _lacking(r, lines)]
        advice = f"pass --accelerations {as_option(possible)}" if possible else "repeat the scan with more calibration lines"
        raise InputError(f"{scan.name}: {lacking}. g-maps of fewer accelerations are possible: {advice}.")


def _lacking(acceleration: Acceleration, lines: tuple[int, ...]) -> str | None:
    """What an acceleration lacks of calibration lines `((kz,) ky)`, in words; None where they suffice."""
    for name, size, r in zip(("ky", "kz"), reversed(lines), grappa.factors(acceleration), strict=False):
        if size < grappa.lines_needed(r):
            return f"{size} calibration lines along {name}; R = {grappa.label(acceleration)} needs {grappa.lines_needed(r)} (3R + 1)"
    return None


def as_option(accelerations: Sequence[Acceleration]) -> str:
    """Accelerations as they are typed: "2-7" where they are all of a range, else "2,4,2x2"."""
    first, last = accelerations[0], accelerations[-1]
    if isinstance(first, int) and isinstance(last, int) and list(accelerations) == list(range(first, last + 1)):
        return f"{first}-{last}" if last > first else f"{first}"
    return ",".join(map(grappa.label, accelerations))


def _warn_of_few_rows(scan: RawScan, geometry: Geometry) -> None:
    """Says which accelerations are fitted on fewer than `ROWS_PER_UNKNOWN` rows an unknown."""
    _, *lines, _ = geometry.calibration
    readout = geometry.kept[1] - geometry.kept[0]
    few = [
        r for r in geometry.accelerations if grappa.rows_per_unknown(r, (*lines, readout), geometry.coils) < ROWS_PER_UNKNOWN
    ]
    if few:
        _warn(
            scan,
            f"{' x '.join(map(str, lines))} calibration lines of {geometry.coils} coils give R = {as_option(few)} fewer than "
            f"{ROWS_PER_UNKNOWN} equations an unknown: those g-maps say more about the regularisation than about the coils",
        )


def _grid(scan: RawScan, matrix: Sequence[int] | None) -> tuple[int, ...]:
    own = (*scan.kspace.shape[2:-1], scan.readout)
    if matrix is None:
        return own
    if len(matrix) != len(own) or any(new < old for new, old in zip(matrix, own, strict=True)):
        sizes = lambda shape: "x".join(map(str, shape))
        raise InputError(
            f"{scan.name}: a matrix of {sizes(matrix)} is not finer than its own {sizes(own)}: give as many sizes, none smaller."
        )
    step = scan.readout // math.gcd(scan.readout, scan.kspace.shape[-1])  # of kx whose oversampled readout is a whole number
    if matrix[-1] % step:
        fitting = -(-matrix[-1] // step) * step
        raise InputError(
            f"{scan.name}: kx of the matrix must be a multiple of {step}, so that its oversampled readout is whole: give {fitting}."
        )
    needed, there = 80 * scan.kspace.shape[1] * math.prod(matrix), os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > there:
        raise InputError(
            f"{scan.name}: a matrix of {'x'.join(map(str, matrix))} takes about {needed >> 30} GiB, this computer has {there >> 30}: "
            "give a smaller one."
        )
    return tuple(matrix)


def _echo(scan: RawScan, calibration: np.ndarray) -> tuple[int, int]:
    """First and last + 1 of the kx of an asymmetric echo after oversampling removal.

    Removing the oversampling convolves kx with the transform of the field of view: the sample beside a cut mixes with zeros.
    """
    oversampled, readout = calibration.shape[-1], scan.readout
    if scan.echo_samples in (None, oversampled):
        return 0, readout
    sampled = np.flatnonzero(calibration.any(axis=tuple(range(calibration.ndim - 1))))
    first, last = (sampled[[0, -1]] - oversampled // 2) * readout / oversampled + readout // 2
    return max(0, int(np.ceil(first)) + (sampled[0] > 0)), min(readout, int(last) + 1 - (sampled[-1] < oversampled - 1))


def _warn(scan: RawScan, text: str) -> None:
    warnings.warn(f"{scan.name}: {text}.", stacklevel=4)
