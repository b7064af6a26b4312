"""Tiny raw scans of white noise in every shape, and hands on the readouts and the header of a raw file."""

import re

import h5py
import ismrmrd
import numpy as np
import pytest

from snraware_jax.formats.scan import RawScan
from tests.recon.phantom import complex_normal, replace


def random_scan(
    grid=(12,), acceleration=2, frames=2, coils=3, oversampled=10, block=None, echo=None, seed=0, **changes
) -> RawScan:
    """White noise on `grid`; frame t samples the t-th phase of the pattern; `block` is the (first, end) of calibration per axis.

    `echo` is the (first, end) of the columns that were acquired.
    """
    rng = np.random.default_rng(seed)
    along_ky, along_kz = acceleration if isinstance(acceleration, tuple) else (acceleration, 1)
    acquired = np.ones((frames, *grid), bool)
    for t in range(frames):
        acquired[t] &= (np.arange(grid[-1]) - t) % along_ky == 0
        if len(grid) == 2:
            acquired[t] &= ((np.arange(grid[0]) - t // along_ky) % along_kz == 0)[:, None]
    kspace = np.where(acquired[:, None, ..., None], complex_normal(rng, frames, coils, *grid, oversampled), 0)
    if echo:
        kspace[..., : echo[0]], kspace[..., echo[1] :] = 0, 0
    scan = RawScan(
        name="scan.h5",
        noise=complex_normal(rng, coils, 37),
        kspace=kspace.astype(np.complex64),
        acquired=acquired,
        calibration=block and complex_normal(rng, coils, *(end - first for first, end in block), oversampled),
        calibration_start=block and tuple(first for first, _ in block),
        acceleration=acceleration,
        readout=5,
        dwell_us=2.5,
        noise_dwell_us=5.0,
        bandwidth=0.8,
        fov_mm=(240.0, 200.0),
        echo_samples=echo and echo[1] - echo[0],
    )
    return replace(scan, **changes)


def assert_same(found: RawScan, expected: RawScan, name: str = "scan.h5") -> None:
    """Equal in every bit, but for the name, float32 header fields, and `cycle`, which is kept in ticks of 1/400."""
    assert found.name == name
    for field, value in vars(replace(expected, name=name)).items():
        if field == "cycle" and value is not None:
            np.testing.assert_allclose(found.cycle, value, atol=1 / 400)
        elif isinstance(value, np.ndarray):
            assert getattr(found, field).dtype == value.dtype, field
            np.testing.assert_array_equal(getattr(found, field), value, err_msg=field)
        else:
            assert type(getattr(found, field)) is type(value), field
            exact = value is None or field == "name"
            assert getattr(found, field) == (value if exact else pytest.approx(value, rel=1e-6)), field


def edit(path, change):
    """Apply `change` to the readouts of a file: it takes and returns the structured array."""
    with h5py.File(path, "r+") as file:
        changed = change(file["dataset/data"][()])
        del file["dataset/data"]
        file["dataset"].create_dataset("data", data=changed)


def edit_header(path, pattern, text):
    with h5py.File(path, "r+") as file:
        xml = file["dataset/xml"][0].decode()
        assert re.search(pattern, xml)
        file["dataset/xml"][0] = re.sub(pattern, text, xml)


def flagged(rows, flag):
    return rows["head"]["flags"] >> np.uint64(flag - 1) & np.uint64(1) != 0


def is_noise(rows):
    return flagged(rows, ismrmrd.ACQ_IS_NOISE_MEASUREMENT)


def is_calibration(rows):
    return flagged(rows, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)


def is_imaging(rows):
    return rows["head"]["flags"] == 0


def place(rows):
    """(kz, ky) of readouts."""
    return rows["head"]["idx"]["kspace_encode_step_2"], rows["head"]["idx"]["kspace_encode_step_1"]
