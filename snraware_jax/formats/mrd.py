"""Raw scans as MRD (ISMRMRD) HDF5 files: 2D Cartesian, one encoding, any number of frames.

Source: Inati et al., MRM 2017 (ISMRMRD).
"""

from pathlib import Path
from typing import NamedTuple

import h5py
import ismrmrd
import numpy as np
from ismrmrd.hdf5 import acquisition_dtype
from xsdata.exceptions import ConverterError, ParserError

from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import replacing
from snraware_jax.formats.hdf5 import read_dataset, require_finite
from snraware_jax.formats.scan import RawScan

# of Siemens receivers; for headers that do not say
DEFAULT_BANDWIDTH = 0.793
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


class _Layout(NamedTuple):
    """What the XML header says of the matrix. `shift` leads from a line number to its place on the ky grid."""

    lines: int
    oversampled: int
    readout: int
    shift: int
    first: int
    last: int
    acceleration: int
    interleaved: bool
    bandwidth: float
    fov_mm: tuple[float, float]


class _Readouts(NamedTuple):
    """Readouts of one kind: headers `[N]`, samples `[N, C, kx_oversampled]`, places on the ky grid `[N]`."""

    head: np.ndarray
    samples: np.ndarray
    line: np.ndarray


# what parsing raises where numbers of a header contradict each other or the samples
MISFIT = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def read_scan(path: str | Path) -> RawScan:
    """Read a raw scan; the file is opened read-only.

    Frames are the distinct (repetition, cardiac phase), in this order. The imaging data are the lines of the regular grid of
    every R-th line: calibration lines between them are left out of it (two densities in one k-space have no single g-factor).
    Calibration lines acquired more than once are averaged by count. An unaccelerated or interleaved (TPAT) scan without
    calibration readouts is calibrated on the average of its frames.

    Raises:
      InputError: if the file cannot be read, is of an unsupported kind, or lacks noise, calibration or imaging lines; the
        message names the file, what was found, and what to do.
    """
    path = Path(path)
    document, acquisitions = _load(path)
    try:
        return _scan(path, document, acquisitions)
    except InputError:
        raise
    except MISFIT as error:
        raise InputError(
            f"{path}: its headers and samples do not fit together ({error}): convert the measurement again."
        ) from error


def _scan(path: Path, document: ismrmrd.xsd.ismrmrdHeader, acquisitions: np.ndarray) -> RawScan:
    layout = _layout(path, document)
    head, data = acquisitions["head"], acquisitions["data"]
    is_noise = _flagged(head, ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    others = ~is_noise & ~np.any([_flagged(head, flag) for flag in NEITHER_NOISE_NOR_IMAGE], axis=0)
    if not is_noise.any():
        raise InputError(
            f"{path} has no noise readouts (ACQ_IS_NOISE_MEASUREMENT) among its {len(head)} readouts: "
            "convert the noise scan (a dependency of the measurement) into the same file."
        )

    readouts = _place(path, layout, head[others], data[others])
    coils = readouts.samples.shape[1]
    noise = _noise(path, head[is_noise], data[is_noise], coils)
    kspace, acquired = _imaging(path, layout, readouts)
    calibration, start = _calibration(path, layout, readouts, kspace, acquired)
    return RawScan(
        name=path.name,
        noise=noise,
        kspace=kspace,
        acquired=acquired,
        calibration=calibration,
        calibration_start=start,
        acceleration=layout.acceleration,
        readout=layout.readout,
        dwell_us=_dwell(path, "imaging", readouts.head),
        noise_dwell_us=_dwell(path, "noise", head[is_noise]),
        bandwidth=layout.bandwidth,
        fov_mm=layout.fov_mm,
    )


def _load(path: Path) -> tuple[ismrmrd.xsd.ismrmrdHeader, np.ndarray]:
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    try:
        with h5py.File(path, "r") as file:
            if "dataset/xml" not in file or "dataset/data" not in file:
                raise InputError(f"{path} is HDF5 but not raw MRD: it holds {sorted(file)}, not dataset/xml and dataset/data.")
            xml, acquisitions = read_dataset(file, "dataset/xml"), read_dataset(file, "dataset/data")
    except (OSError, KeyError, RuntimeError) as error:
        raise InputError(f"{path} cannot be read as HDF5 ({error}): copy or convert it again.") from error
    if not len(acquisitions):
        raise InputError(f"{path} holds 0 readouts: convert it again.")
    try:
        return ismrmrd.xsd.CreateFromDocument(xml.ravel()[0]), acquisitions
    except (ParserError, ConverterError, TypeError, IndexError) as error:
        raise InputError(f"{path}: its XML header is not an ISMRMRD header ({error}): convert it again.") from error


def _layout(path: Path, document: ismrmrd.xsd.ismrmrdHeader) -> _Layout:
    if len(document.encoding) != 1:
        raise InputError(f"{path} has {len(document.encoding)} encodings; only one is supported yet: split the file.")
    encoding = document.encoding[0]
    if encoding.trajectory.value != "cartesian":
        raise InputError(f"{path} has a {encoding.trajectory.value} trajectory; only Cartesian scans are supported yet.")
    encoded, recon, limits = encoding.encodedSpace, encoding.reconSpace, encoding.encodingLimits.kspace_encoding_step_1
    if encoded.matrixSize.z > 1:
        raise InputError(f"{path} is 3D ({encoded.matrixSize.z} partitions); only 2D scans are supported yet.")
    if limits is None:
        raise InputError(
            f"{path}: its header has no encodingLimits.kspace_encoding_step_1, so the centre line is unknown: add it."
        )
    parallel = encoding.parallelImaging
    factor = parallel.accelerationFactor if parallel else None
    if factor and factor.kspace_encoding_step_2 > 1:
        raise InputError(f"{path} is accelerated along two axes; only 1D acceleration is supported yet.")
    mode = parallel.calibrationMode.value if parallel and parallel.calibrationMode else ""
    system = document.acquisitionSystemInformation
    if factor and factor.kspace_encoding_step_1 < 1:
        raise InputError(f"{path}: its header has acceleration {factor.kspace_encoding_step_1}: give it 1 or more.")
    if system and system.relativeReceiverNoiseBandwidth is not None and not 0 < system.relativeReceiverNoiseBandwidth <= 1:
        found = system.relativeReceiverNoiseBandwidth
        raise InputError(f"{path}: relativeReceiverNoiseBandwidth is {found}; it lies in (0, 1]: correct the header.")
    lines, oversampled = encoded.matrixSize.y, encoded.matrixSize.x
    return _Layout(
        lines=lines,
        oversampled=oversampled,
        readout=round(oversampled * recon.fieldOfView_mm.x / encoded.fieldOfView_mm.x),
        shift=lines // 2 - limits.center,
        first=limits.minimum + lines // 2 - limits.center,
        last=limits.maximum + lines // 2 - limits.center,
        acceleration=factor.kspace_encoding_step_1 if factor else 1,
        interleaved=mode == "interleaved",
        bandwidth=(system and system.relativeReceiverNoiseBandwidth) or DEFAULT_BANDWIDTH,
        fov_mm=(encoded.fieldOfView_mm.y, recon.fieldOfView_mm.x),
    )


def _flagged(head: np.ndarray, flag: int) -> np.ndarray:
    return (head["flags"] >> np.uint64(flag - 1)) & np.uint64(1) != 0


def _place(path: Path, layout: _Layout, head: np.ndarray, data: np.ndarray) -> _Readouts:
    """Imaging and calibration readouts, checked, and placed on the grid with DC at N//2."""
    if not len(head):
        raise InputError(
            f"{path} has noise readouts but no imaging readouts: convert the measurement itself, not its noise scan."
        )
    for axis in ("slice", "contrast", "set", "average"):
        count = len(np.unique(head["idx"][axis]))
        if count > 1:
            raise InputError(f"{path} holds {count} {axis}s; only one is supported yet: split the file.")
    if _flagged(head, ismrmrd.ACQ_IS_REVERSE).any():
        raise InputError(f"{path} has reversed readouts (EPI), which are not supported yet.")
    coils = _one(path, "coil counts", head["active_channels"])
    samples = _one(path, "readout lengths", head["number_of_samples"])
    before, after = _one(path, "discard_pre", head["discard_pre"]), _one(path, "discard_post", head["discard_post"])
    kept, centre = samples - before - after, _one(path, "center_sample", head["center_sample"]) - before
    if (kept, centre) != (layout.oversampled, layout.oversampled // 2):
        raise InputError(
            f"{path}: readouts have {kept} samples with the echo at {centre}, the matrix {layout.oversampled} with the echo at "
            f"{layout.oversampled // 2}; partial echoes are not supported yet."
        )
    line = head["idx"]["kspace_encode_step_1"].astype(int) + layout.shift
    if line.min() < 0 or line.max() >= layout.lines:
        raise InputError(
            f"{path}: lines {line.min()}..{line.max()} do not fit the {layout.lines} lines of the matrix: "
            "check encodingLimits.kspace_encoding_step_1.center."
        )
    values = np.stack([readout.view(np.complex64) for readout in data]).reshape(-1, coils, samples)
    values = values[:, :, before : before + kept]
    require_finite(path, "readouts [readout, coil, sample]", values)
    return _Readouts(head, values, line)


def _one(path: Path, what: str, values: np.ndarray) -> int:
    found = np.unique(values)
    if len(found) > 1:
        raise InputError(
            f"{path}: its readouts differ in {what} ({', '.join(map(str, found))}): convert the measurements separately."
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


def _noise(path: Path, head: np.ndarray, data: np.ndarray, coils: int) -> np.ndarray:
    found = _one(path, "coil counts of the noise", head["active_channels"])
    if found != coils:
        raise InputError(
            f"{path}: the noise scan has {found} coils, the images {coils}: use the noise scan of this measurement."
        )
    noise = np.concatenate([readout.view(np.complex64).reshape(coils, -1) for readout in data], axis=1)
    require_finite(path, "noise [coil, sample]", noise)
    return noise


def _imaging(path: Path, layout: _Layout, readouts: _Readouts) -> tuple[np.ndarray, np.ndarray]:
    """`kspace` and `acquired` of all frames from the readouts that are not for calibration alone."""
    imaging = ~_flagged(readouts.head, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
    if not imaging.any():
        raise InputError(f"{path}: all {len(imaging)} readouts are for calibration alone: convert the measurement again.")
    between = _flagged(readouts.head, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
    index = readouts.head["idx"]
    names, frame = np.unique(np.stack([index["repetition"], index["phase"]]), axis=1, return_inverse=True)
    present = np.unique(frame[imaging])
    kspace = np.zeros((len(present), readouts.samples.shape[1], layout.lines, layout.oversampled), np.complex64)
    acquired = np.zeros((len(present), layout.lines), bool)
    for t, label in enumerate(present):
        where = f"frame {t} (repetition {names[0, label]}, phase {names[1, label]})"
        chosen = np.flatnonzero(imaging & (frame == label))
        on_grid = _on_grid(f"{path}: {where}", layout, readouts.line[chosen], between[chosen])
        kept = chosen[on_grid]
        kspace[t][:, readouts.line[kept]] = readouts.samples[kept].swapaxes(0, 1)
        acquired[t, readouts.line[kept]] = True
    return kspace, acquired


def _on_grid(where: str, layout: _Layout, line: np.ndarray, between: np.ndarray) -> np.ndarray:
    """Which readouts lie on the regular grid of one frame; `between` says which may lie beside it."""
    r = layout.acceleration
    phase = np.bincount(line % r).argmax()
    on_grid = line % r == phase
    stray = line[~on_grid & ~between]
    if len(stray):
        raise InputError(
            f"{where}: {len(stray)} of {len(line)} lines are not on a grid of every R = {r} lines (first: {stray[0]}); "
            "only regular undersampling is supported yet."
        )
    expected = np.arange(layout.first + (phase - layout.first) % r, layout.last + 1, r)
    missing = np.setdiff1d(expected, line[on_grid])
    if len(missing):
        raise InputError(
            f"{where} has {len(expected) - len(missing)} of {len(expected)} lines; missing: "
            f"{', '.join(map(str, missing[:8]))}{', ...' if len(missing) > 8 else ''}. Convert the whole measurement again."
        )
    values, counts = np.unique(line[on_grid], return_counts=True)
    if counts.max() > 1:
        raise InputError(f"{where} holds line {values[counts.argmax()]} {counts.max()} times; averages are not supported yet.")
    return on_grid


def _calibration(
    path: Path, layout: _Layout, readouts: _Readouts, kspace: np.ndarray, acquired: np.ndarray
) -> tuple[np.ndarray, int]:
    """The contiguous block of calibration lines and the line at which it begins."""
    flags = (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
    chosen = np.any([_flagged(readouts.head, flag) for flag in flags], axis=0)
    if chosen.any():
        count = np.bincount(readouts.line[chosen], minlength=layout.lines)
        total = np.zeros((layout.lines, *readouts.samples.shape[1:]), np.complex64)
        np.add.at(total, readouts.line[chosen], readouts.samples[chosen])
        total = total.swapaxes(0, 1)
    elif layout.interleaved or layout.acceleration == 1:
        count, total = acquired.sum(axis=0), kspace.sum(axis=0)
    else:
        raise InputError(
            f"{path} has no calibration lines (ACQ_IS_PARALLEL_CALIBRATION) among its {len(chosen)} readouts; R = "
            f"{layout.acceleration} needs {3 * layout.acceleration + 1} (3R + 1): convert the reference lines with the scan."
        )
    found, centre = np.flatnonzero(count), layout.lines // 2
    missing = np.flatnonzero(count[found[0] : found[-1] + 1] == 0) + found[0]
    if len(missing) or not found[0] < centre < found[-1]:
        raise InputError(
            f"{path}: its {len(found)} calibration lines {found[0]}..{found[-1]} must lie without gaps about the centre line {centre}; "
            f"{len(missing)} are missing between them: convert the measurement again."
        )
    block = total[:, found[0] : found[-1] + 1] / count[found[0] : found[-1] + 1, None]
    return np.ascontiguousarray(block, np.complex64), int(found[0])


def write_scan(path: str | Path, scan: RawScan) -> None:
    """Write a raw scan so that `read_scan` returns the same; the file appears under its name only when it is complete.

    Noise readouts first, then the calibration lines as readouts of their own, then the frames, numbered as cardiac phases.
    """
    oversampled = scan.kspace.shape[-1]
    chunks = [scan.noise[:, i : i + oversampled] for i in range(0, scan.noise.shape[1], oversampled)]
    rows = [_readout(chunk, scan.noise_dwell_us, ismrmrd.ACQ_IS_NOISE_MEASUREMENT) for chunk in chunks]
    for i in range(scan.calibration.shape[1]):
        line = scan.calibration_start + i
        rows.append(_readout(scan.calibration[:, i], scan.dwell_us, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, line))
    for frame, line in np.argwhere(scan.acquired):
        rows.append(_readout(scan.kspace[frame, :, line], scan.dwell_us, 0, line, frame))
    for i, row in enumerate(rows):
        row["head"]["scan_counter"] = i + 1

    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        group = file.create_group("dataset")
        group.create_dataset("xml", data=[ismrmrd.xsd.ToXML(_document(scan))], dtype=h5py.string_dtype())
        group.create_dataset("data", data=np.concatenate(rows), maxshape=(None,), chunks=True)


def _readout(samples: np.ndarray, dwell_us: float, flag: int, line: int = 0, frame: int = 0) -> np.ndarray:
    row = np.zeros(1, acquisition_dtype)
    head = row["head"]
    head["version"], head["flags"] = 1, 1 << (flag - 1) if flag else 0
    head["available_channels"], head["active_channels"] = samples.shape[0], samples.shape[0]
    head["number_of_samples"], head["center_sample"] = samples.shape[1], samples.shape[1] // 2
    head["sample_time_us"] = dwell_us
    head["read_dir"], head["phase_dir"], head["slice_dir"] = (1, 0, 0), (0, 1, 0), (0, 0, 1)
    head["idx"]["kspace_encode_step_1"], head["idx"]["phase"] = line, frame
    row["traj"][0] = np.zeros(0, np.float32)
    row["data"][0] = np.ascontiguousarray(samples, np.complex64).view(np.float32).ravel()
    return row


def _document(scan: RawScan) -> ismrmrd.xsd.ismrmrdHeader:
    xsd = ismrmrd.xsd
    frames, coils, lines, oversampled = scan.kspace.shape
    sampled = np.flatnonzero(scan.acquired.any(axis=0))
    height, width = scan.fov_mm

    def space(columns: int, extent: float) -> ismrmrd.xsd.encodingSpaceType:
        return xsd.encodingSpaceType(
            matrixSize=xsd.matrixSizeType(x=columns, y=lines, z=1),
            fieldOfView_mm=xsd.fieldOfViewMm(x=extent, y=height, z=1.0),
        )

    limits = xsd.encodingLimitsType(
        kspace_encoding_step_1=xsd.limitType(minimum=int(sampled[0]), maximum=int(sampled[-1]), center=lines // 2),
        phase=xsd.limitType(minimum=0, maximum=frames - 1, center=0),
    )
    parallel = xsd.parallelImagingType(
        accelerationFactor=xsd.accelerationFactorType(kspace_encoding_step_1=scan.acceleration, kspace_encoding_step_2=1),
        calibrationMode=xsd.calibrationModeType.SEPARATE,
    )
    return xsd.ismrmrdHeader(
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(
            relativeReceiverNoiseBandwidth=scan.bandwidth, receiverChannels=coils
        ),
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=123_000_000),
        encoding=[
            xsd.encodingType(
                encodedSpace=space(oversampled, width * oversampled / scan.readout),
                reconSpace=space(scan.readout, width),
                encodingLimits=limits,
                trajectory=xsd.trajectoryType.CARTESIAN,
                parallelImaging=parallel,
            )
        ],
    )
