"""Raw scans out of MRD (ISMRMRD) HDF5 files: Cartesian, one encoding; any number of slices, frames, averages; volumes.

Source: Inati et al., MRM 2017 (ISMRMRD).
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import ismrmrd
import numpy as np
from xsdata.exceptions import ConverterError, ConverterWarning, ParserError

from snraware_jax.errors import InputError
from snraware_jax.formats.hdf5 import read_dataset, require_finite
from snraware_jax.formats.mrd_header import Axis, Layout, read_layout
from snraware_jax.formats.mrd_lines import ANY_CALIBRATION, Readouts, calibration, columns, first_of_frames, flagged, imaging
from snraware_jax.formats.mrd_write import write_scan, write_scans
from snraware_jax.formats.scan import RawScan

__all__ = [
    "document_of",
    "heads_of",
    "read_scan",
    "read_scans",
    "require_noise",
    "scans_of",
    "stored",
    "write_scan",
    "write_scans",
]

NEITHER_NOISE_NOR_IMAGE = (
    ismrmrd.ACQ_IS_NAVIGATION_DATA,
    ismrmrd.ACQ_IS_PHASECORR_DATA,
    ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
    ismrmrd.ACQ_IS_RTFEEDBACK_DATA,
    ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
    ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE,
)
SCAN_AXES = ("contrast", "set", "slice")
# what parsing raises where numbers of a header contradict each other or the samples
MISFIT = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class _Measurement(NamedTuple):
    """One file: `scans` holds (contrast, set, slice) of its scans, `[S, 3]` ascending, `member` the scan of each readout."""

    path: Path
    layout: Layout
    readouts: Readouts
    scans: np.ndarray
    member: np.ndarray
    dwell_us: float
    echo_samples: int | None
    noise: np.ndarray
    noise_dwell_us: float


def read_scans(path: str | Path, noise: str | Path | None = None, *, without_noise: bool = False) -> list[RawScan]:
    """Read every raw scan of a file, ordered by contrast, set and slice; the file is opened read-only, and once.

    Frames are the distinct (repetition, cardiac phase), in this order. The imaging data are the lines of the regular grid of
    every R-th line (along ky, and along kz in a volume): calibration lines between them are left out of it, for two densities
    in one k-space have no single g-factor. A line acquired as n averages becomes their sum/sqrt(n): its noise SD is that of
    one readout, so SNR units stay exact and the signal grows by sqrt(n). Calibration lines acquired more than once are
    averaged by count. An unaccelerated or interleaved (TPAT) scan without calibration readouts has `calibration` None.

    An asymmetric echo is placed so that its centre falls on kx//2, zeros where nothing was acquired.

    `cycle` is the median time since the trigger (physiology_time_stamp[0], ticks of 2.5 ms on Siemens) of the lines of a
    frame, over an RR interval taken as the largest such time plus the median step between successive frames. It is None
    where these times do not rise from frame to frame, or pass 3 s: then nothing triggered.

    Args:
      path: MRD file.
      noise: another MRD file, whose noise readouts are used instead of those of `path`.
      without_noise: leave `noise` empty, `[C, 0]`, where the file holds none, instead of an error.

    Returns:
      Scans of one geometry and one noise scan, named as the file, with "slice 3" (set, contrast) where it holds several.

    Raises:
      InputError: if a file cannot be read, is of an unsupported kind, or lacks noise, calibration or imaging lines; the
        message names the file, what was found, and what to do.
    """
    measurement = _read(Path(path), noise, without_noise)
    with _fitting(measurement.path):
        return [_scan(measurement, number) for number in range(len(measurement.scans))]


def read_scan(path: str | Path, noise: str | Path | None = None) -> RawScan:
    """Read the one raw scan of a file, as `read_scans` does.

    Raises:
      InputError: as `read_scans`, and where the file holds several scans.
    """
    measurement = _read(Path(path), noise)
    if len(measurement.scans) > 1:
        counts = [len(np.unique(numbers)) for numbers in measurement.scans.T]
        several = [f"{count} {axis}s" for count, axis in zip(counts, SCAN_AXES, strict=True) if count > 1]
        raise InputError(f"{path} holds {', '.join(several)}; one scan is expected here: split the file, or use read_scans.")
    with _fitting(measurement.path):
        return _scan(measurement, 0)


def scans_of(path: Path, xml: str | bytes, acquisitions: np.ndarray, noise: Path | None = None) -> list[RawScan]:
    """`read_scans` of a header and readouts that are in memory.

    Args:
      path: a name for messages.
      xml: the header of the measurement.
      acquisitions: `[N]` of `ismrmrd.hdf5.acquisition_dtype`.
      noise: MRD file, whose noise readouts are used instead.

    Raises:
      InputError: as `read_scans`.
    """
    measurement = _measurement(path, xml, acquisitions, noise)
    with _fitting(path):
        return [_scan(measurement, number) for number in range(len(measurement.scans))]


def heads_of(acquisitions: np.ndarray) -> list[np.ndarray]:
    """The header of the first readout of every frame, `[T]` for every scan, both in the order of `scans_of`."""
    head = acquisitions["head"]
    head = head[~flagged(head, ismrmrd.ACQ_IS_NOISE_MEASUREMENT, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, *NEITHER_NOISE_NOR_IMAGE)]
    scans, member = _by_scan(head)
    return [head[member == number][first_of_frames(head[member == number])] for number in range(len(scans))]


def _by_scan(head: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(contrast, set, slice) of the scans, `[S, 3]` ascending, and the scan of each readout."""
    scans, member = np.unique(np.stack([head["idx"][axis] for axis in SCAN_AXES], axis=1), axis=0, return_inverse=True)
    return scans, member.ravel()


@contextmanager
def _fitting(path: Path) -> Iterator[None]:
    """Turns what contradictory headers raise into a message that names the file."""
    try:
        yield
    except InputError:
        raise
    except MISFIT as error:
        raise InputError(
            f"{path}: its headers and samples do not fit together ({error}): convert the measurement again."
        ) from error
    except MemoryError as error:
        raise InputError(
            f"{path}: no room for its matrix ({error}): check matrixSize in its header, or free memory."
        ) from error


def _read(path: Path, noise: str | Path | None, without_noise: bool = False) -> _Measurement:
    return _measurement(path, *stored(path), None if noise is None else Path(noise), without_noise)


def _measurement(
    path: Path, xml: str | bytes, acquisitions: np.ndarray, noise: Path | None, without_noise: bool = False
) -> _Measurement:
    if not len(acquisitions):
        raise InputError(f"{path} holds 0 readouts: convert it again.")
    document, noise_path = document_of(path, xml), path if noise is None else noise
    noise_acquisitions = acquisitions if noise is None else stored(noise)[1]
    noise_samples, noise_dwell_us = None, 1.0
    if not without_noise or flagged(noise_acquisitions["head"], ismrmrd.ACQ_IS_NOISE_MEASUREMENT).any():
        with _fitting(noise_path):
            noise_samples, noise_dwell_us = _noise(noise_path, noise_acquisitions)
    with _fitting(path):
        layout = read_layout(path, document)
        readouts = _place(path, layout, acquisitions)
        coils = _one(path, "imaging", "coil counts", readouts.head["active_channels"])
        if noise_samples is None:
            noise_samples = np.empty((coils, 0), np.complex64)
        if coils != len(noise_samples):
            raise InputError(
                f"{noise_path}: the noise scan has {len(noise_samples)} coils, the images {coils}: "
                "use the noise scan of this measurement."
            )
        echo_samples = _echo_samples(path, layout, readouts)
        dwell_us = _dwell(path, "imaging", readouts.head)
    scans, member = _by_scan(readouts.head)
    return _Measurement(path, layout, readouts, scans, member, dwell_us, echo_samples, noise_samples, noise_dwell_us)


def stored(path: Path) -> tuple[bytes, np.ndarray]:
    """The header (XML) and readouts `[N]` of a raw file, as they are stored.

    Raises:
      InputError: if the file is absent, or not raw MRD.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    try:
        with h5py.File(path, "r") as file:
            if "dataset/xml" not in file or "dataset/data" not in file:
                raise InputError(f"{path} is HDF5 but not raw MRD: it holds {sorted(file)}, not dataset/xml and dataset/data.")
            return read_dataset(file, "dataset/xml").ravel()[0], read_dataset(file, "dataset/data")
    except IndexError as error:
        raise InputError(f"{path}: its XML header is not an ISMRMRD header ({error}): convert it again.") from error
    except (OSError, KeyError, RuntimeError) as error:
        raise InputError(f"{path} cannot be read as HDF5 ({error}): copy or convert it again.") from error


def document_of(path: Path, xml: str | bytes) -> ismrmrd.xsd.ismrmrdHeader:
    """The header of a measurement.

    Raises:
      InputError: if it is no such header.
    """
    try:
        with warnings.catch_warnings():
            # a patient's weight in words is no reason to complain; the numbers that matter are checked by `read_layout`
            warnings.simplefilter("ignore", ConverterWarning)
            return ismrmrd.xsd.CreateFromDocument(xml)
    except (ParserError, ConverterError, LookupError, TypeError, ValueError) as error:  # LookupError: of an unknown encoding
        raise InputError(f"{path}: its XML header is not an ISMRMRD header ({error}): convert it again.") from error


def require_noise(path: Path) -> None:
    """Refuse a file that is no noise scan.

    Raises:
      InputError: if it cannot be read, or has no noise readouts.
    """
    _, acquisitions = stored(path)
    with _fitting(path):
        _noise(path, acquisitions)


def _noise(path: Path, acquisitions: np.ndarray) -> tuple[np.ndarray, float]:
    """Samples `[C, M]` and dwell time of the noise readouts."""
    chosen = flagged(acquisitions["head"], ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    if not chosen.any():
        raise InputError(
            f"{path} has no noise readouts (ACQ_IS_NOISE_MEASUREMENT) among its {len(chosen)} readouts: convert the noise scan "
            "(a dependency of the measurement) into the same file, or name the file that holds it: --noise FILE; or give "
            "--noise-from-edges (an estimate; SNR units are then approximate)."
        )
    head, data = acquisitions["head"][chosen], acquisitions["data"][chosen]
    coils = _one(path, "noise", "coil counts", head["active_channels"])
    noise = np.concatenate([readout.view(np.complex64).reshape(coils, -1) for readout in data], axis=1)
    require_finite(path, "noise [coil, sample]", noise)
    return noise, _dwell(path, "noise", head)


def _place(path: Path, layout: Layout, acquisitions: np.ndarray) -> Readouts:
    """Imaging and calibration readouts with their places on the grid, DC at N//2."""
    head = acquisitions["head"]
    chosen = ~flagged(head, ismrmrd.ACQ_IS_NOISE_MEASUREMENT, *NEITHER_NOISE_NOR_IMAGE)
    head = head[chosen]
    if not len(head):
        raise InputError(
            f"{path} has noise readouts but no imaging readouts: convert the measurement itself, not its noise scan."
        )
    if flagged(head, ismrmrd.ACQ_IS_REVERSE).any():
        raise InputError(f"{path} has reversed readouts (EPI), which are not supported yet.")
    ky = _places(path, "kspace_encoding_step_1", layout.ky, head["idx"]["kspace_encode_step_1"])
    kz = np.zeros_like(ky)
    if layout.volume:
        kz = _places(path, "kspace_encoding_step_2", layout.kz, head["idx"]["kspace_encode_step_2"])
    return Readouts(head, acquisitions["data"][chosen], kz, ky)


def _places(path: Path, name: str, axis: Axis, numbers: np.ndarray) -> np.ndarray:
    place = numbers.astype(int) + axis.shift
    if place.min() < 0 or place.max() >= axis.size:
        raise InputError(
            f"{path}: lines {place.min()}..{place.max()} do not fit the {axis.size} lines of the matrix: "
            f"check encodingLimits.{name}.center."
        )
    return place


def _one(path: Path, kind: str, what: str, values: np.ndarray) -> int:
    found = np.unique(values)
    if len(found) > 1:
        raise InputError(
            f"{path}: its {kind} readouts differ in {what} ({', '.join(map(str, found))}): convert the measurements separately."
        )
    return int(found[0])


def _dwell(path: Path, what: str, head: np.ndarray) -> float:
    found = np.unique(head["sample_time_us"])
    if len(found) > 1 or not 0 < found[0] < np.inf:
        raise InputError(
            f"{path}: sample_time_us of the {len(head)} {what} readouts is {', '.join(map(str, found))}; "
            "one positive dwell time is needed: correct the headers."
        )
    return float(found[0])


def _echo_samples(path: Path, layout: Layout, readouts: Readouts) -> int | None:
    """Samples of the imaging readouts, None where they fill the matrix; all readouts must fit it about one echo."""
    whole = (0, layout.oversampled)
    frames = readouts.head[~flagged(readouts.head, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)]
    reference = readouts.head[flagged(readouts.head, *ANY_CALIBRATION)]
    first, end = _echo(path, layout, "imaging", frames) if len(frames) else whole
    found = _echo(path, layout, "calibration", reference) if len(reference) else whole
    if found not in ((first, end), whole):
        raise InputError(
            f"{path}: calibration readouts fill places {found[0]} to {found[1] - 1} of the matrix, imaging readouts {first} to "
            f"{end - 1}; calibration must be whole or alike: convert the measurement again."
        )
    return None if (first, end) == whole else end - first


def _echo(path: Path, layout: Layout, kind: str, head: np.ndarray) -> tuple[int, int]:
    """Columns of the matrix, first and one past the last, that readouts of one kind fill."""
    for name in ("number_of_samples", "discard_pre", "discard_post", "center_sample"):
        _one(path, kind, name, head[name])
    _, start, count = columns(layout, head[0])
    if not (0 <= start <= layout.oversampled // 2 < start + count <= layout.oversampled):
        raise InputError(
            f"{path}: {kind} readouts have {count} samples with the echo at {layout.oversampled // 2 - start}, which do not fit "
            f"the {layout.oversampled} of the matrix with the echo at {layout.oversampled // 2}: correct the headers."
        )
    return start, start + count


def _scan(measurement: _Measurement, number: int) -> RawScan:
    layout = measurement.layout
    label = _label(measurement.scans, number)
    where = f"{measurement.path}{label}"
    readouts = measurement.readouts.take(measurement.member == number)
    kspace, acquired, cycle = imaging(where, layout, readouts)
    block, start = calibration(where, layout, readouts, acquired)
    if not layout.volume:
        kspace, acquired = kspace[:, :, 0], acquired[:, 0]
        block, start = None if block is None else block[:, 0], start and start[1:]
    return RawScan(
        name=f"{measurement.path.name}{label}",
        noise=measurement.noise,
        kspace=kspace,
        acquired=acquired,
        calibration=block,
        calibration_start=start,
        acceleration=layout.acceleration,
        readout=layout.readout,
        dwell_us=measurement.dwell_us,
        noise_dwell_us=measurement.noise_dwell_us,
        bandwidth=layout.bandwidth,
        fov_mm=layout.fov_mm,
        echo_samples=measurement.echo_samples,
        cycle=cycle,
    )


def _label(scans: np.ndarray, number: int) -> str:
    """What tells a scan from the others of its file, slice first: " slice 3 set 1"; "" for the only one."""
    differing = [i for i in (2, 1, 0) if len(np.unique(scans[:, i])) > 1]
    return "".join(f" {SCAN_AXES[i]} {scans[number, i]}" for i in differing)
