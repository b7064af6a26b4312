"""Raw scans into MRD (ISMRMRD) HDF5 files.

Source: Inati et al., MRM 2017 (ISMRMRD).
"""

from collections.abc import Sequence
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
from ismrmrd.hdf5 import acquisition_dtype

from snraware_jax.formats.atomic import replacing
from snraware_jax.formats.mrd_header import make_document, sampled_range
from snraware_jax.formats.scan import RawScan

HEARTBEAT_TICKS = 400  # of 2.5 ms: the RR interval to which `cycle` is written


def write_scan(path: str | Path, scan: RawScan) -> None:
    """Write one raw scan so that `read_scan` returns the same: `write_scans` with a single one."""
    write_scans(path, [scan])


def write_scans(path: str | Path, scans: Sequence[RawScan]) -> None:
    """Write raw scans of one geometry as the slices of one file; it appears under its name only when it is complete.

    Noise readouts first (once: the scans share them), then slice by slice the calibration lines as readouts of their own and
    the frames, numbered as cardiac phases. `read_scans` returns the same but for the names, and for `cycle`, which becomes
    the time since the trigger in ticks of 2.5 ms at a heartbeat of one second; reading estimates that heartbeat
    (`mrd.read_scans`), exactly where frames are spread evenly from 0.

    Raises:
      ValueError: no scans, scans that differ in noise, matrix or timing, or a volume of one partition.
    """
    _require_one_geometry(scans)
    blocks = _noise(scans[0])
    for number, scan in enumerate(scans):
        blocks += _lines(scan, number)
    rows = np.concatenate(blocks)
    rows["head"]["scan_counter"] = np.arange(1, len(rows) + 1)
    document = make_document(scans[0], slices=len(scans), frames=max(len(scan.kspace) for scan in scans))

    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        group = file.create_group("dataset")
        group.create_dataset("xml", data=[ismrmrd.xsd.ToXML(document)], dtype=h5py.string_dtype())
        group.create_dataset("data", data=rows, maxshape=(None,), chunks=True)


def _require_one_geometry(scans: Sequence[RawScan]) -> None:
    if not scans:
        raise ValueError("no scans to write: give one or more")
    first = scans[0]
    if first.kspace.ndim == 5 and first.kspace.shape[2] == 1:
        raise ValueError(f"{first.name}: MRD cannot tell a volume of one partition from a slice: drop its kz axis")
    for scan in scans[1:]:
        if _geometry(scan) != _geometry(first) or not np.array_equal(scan.noise, first.noise):
            raise ValueError(f"{scan.name} and {first.name} differ in noise, matrix or timing: write a file for each")


def _geometry(scan: RawScan) -> tuple:
    """All that the scans of one file have in common, but for the noise."""
    ranges = tuple(sampled_range(scan.acquired, axis) for axis in range(1, scan.acquired.ndim))
    scalars = (scan.acceleration, scan.readout, scan.dwell_us, scan.noise_dwell_us, scan.bandwidth, tuple(scan.fov_mm))
    return scan.kspace.shape[1:], ranges, scalars, scan.echo_samples, scan.calibration is None


def _noise(scan: RawScan) -> list[np.ndarray]:
    step = scan.kspace.shape[-1]
    chunks = [scan.noise[:, i : i + step] for i in range(0, scan.noise.shape[1], step)]
    flag = ismrmrd.ACQ_IS_NOISE_MEASUREMENT
    return [_rows(chunk[None], scan.noise_dwell_us, chunk.shape[1] // 2, flag) for chunk in chunks]


def _lines(scan: RawScan, number: int) -> list[np.ndarray]:
    """Calibration and imaging readouts of one slice."""
    volume, oversampled = scan.kspace.ndim == 5, scan.kspace.shape[-1]
    kspace, acquired = (scan.kspace, scan.acquired) if volume else (scan.kspace[:, :, None], scan.acquired[:, None])
    echo = _echo(scan)
    blocks = []
    if scan.calibration is not None and scan.calibration_start is not None:
        block = scan.calibration if volume else scan.calibration[:, None]
        start = scan.calibration_start if volume else (0, *scan.calibration_start)
        kz, ky = np.indices(block.shape[1:3]).reshape(2, -1)
        samples = np.moveaxis(block, 0, 2).reshape(-1, len(block), oversampled)  # [A_z * A, C, kx]
        columns = slice(0, oversampled) if _holds_more(samples, echo) else echo
        flag, centre = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, oversampled // 2 - columns.start
        place = {"kspace_encode_step_1": ky + start[1], "kspace_encode_step_2": kz + start[0], "slice": number}
        blocks.append(_rows(samples[..., columns], scan.dwell_us, centre, flag, **place))
    frame, kz, ky = np.nonzero(acquired)
    samples = kspace[frame, :, kz, ky][..., echo]  # [lines, C, kx]
    place = {"kspace_encode_step_1": ky, "kspace_encode_step_2": kz, "slice": number, "phase": frame}
    rows = _rows(samples, scan.dwell_us, oversampled // 2 - echo.start, **place)
    if scan.cycle is not None:
        rows["head"]["physiology_time_stamp"][:, 0] = np.round(HEARTBEAT_TICKS * np.asarray(scan.cycle))[frame]
    return [*blocks, rows]


def _echo(scan: RawScan) -> slice:
    """The columns of `kspace` that were acquired: `echo_samples` of them from the first that is not 0."""
    oversampled = scan.kspace.shape[-1]
    if scan.echo_samples is None:
        return slice(0, oversampled)
    filled = np.flatnonzero(scan.kspace.any(axis=tuple(range(scan.kspace.ndim - 1))))
    start = min(int(filled[0]), oversampled - scan.echo_samples)
    return slice(start, start + scan.echo_samples)


def _holds_more(samples: np.ndarray, echo: slice) -> bool:
    """Whether calibration readouts hold samples outside the columns of an asymmetric echo."""
    return bool(samples[..., : echo.start].any() or samples[..., echo.stop :].any())


def _rows(samples: np.ndarray, dwell_us: float, centre: int, flag: int | None = None, **index: np.ndarray | int) -> np.ndarray:
    """Readouts `[N]` of samples `[N, C, kx]`; `index` gives the counters of the header."""
    rows = np.zeros(len(samples), acquisition_dtype)
    head = rows["head"]
    head["version"], head["flags"] = 1, 0 if flag is None else 1 << (flag - 1)
    head["available_channels"], head["active_channels"] = samples.shape[1], samples.shape[1]
    head["number_of_samples"], head["center_sample"] = samples.shape[2], centre
    head["sample_time_us"] = dwell_us
    head["read_dir"], head["phase_dir"], head["slice_dir"] = (1, 0, 0), (0, 1, 0), (0, 0, 1)
    for name, values in index.items():
        head["idx"][name] = values
    for row, readout in enumerate(samples):
        rows["traj"][row] = np.zeros(0, np.float32)
        rows["data"][row] = np.ascontiguousarray(readout, np.complex64).view(np.float32).ravel()
    return rows
