"""Raw MRD files: what is written is read back, real files are understood, and unusable ones say why."""

import re

import h5py
import ismrmrd
import numpy as np
import pytest

from snraware_jax.errors import InputError
from snraware_jax.formats.mrd import read_scan, write_scan
from tests.recon.phantom import make_scan, replace


@pytest.fixture(scope="module")
def scan():
    return replace(make_scan(acceleration=3, frames=3, calibration_lines=26), name="scan.h5")


@pytest.fixture
def path(scan, tmp_path):
    write_scan(tmp_path / "scan.h5", scan)
    return tmp_path / "scan.h5"


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


def imaging(rows):
    return rows["head"]["flags"] == 0


def assert_same(found, expected):
    for name, value in vars(expected).items():
        if isinstance(value, np.ndarray):
            assert getattr(found, name).dtype == value.dtype, name
            np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)
        else:
            assert getattr(found, name) == pytest.approx(value, rel=1e-6) if name != "name" else True, name


def test_round_trip(path, scan):
    assert_same(read_scan(path), scan)


def test_the_file_is_read_by_the_reference_package(path, scan):
    with ismrmrd.File(path, "r") as file:
        acquisitions = file["dataset"].acquisitions
        assert len(acquisitions) == np.ceil(4096 / 80) + 26 + 48
        first = acquisitions[0]
        assert first.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        np.testing.assert_array_equal(first.data, scan.noise[:, :80])
        assert file["dataset"].header.encoding[0].encodedSpace.matrixSize.y == 48


def test_reading_needs_no_permission_to_write(path, scan):
    path.chmod(0o444)
    assert_same(read_scan(path), scan)


def test_embedded_calibration_lines_stay_out_of_the_imaging_data(path, scan):
    """As scanners write it: lines of the grid serve both purposes and are flagged so, the lines between are for calibration."""
    frame = replace(scan, kspace=scan.kspace[:1], acquired=scan.acquired[:1])
    write_scan(path, frame)

    def embed(rows):
        lines = rows["head"]["idx"]["kspace_encode_step_1"]
        calibration = flagged(rows, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
        on_grid = scan.acquired[0][lines]
        inside = imaging(rows) & np.isin(lines, lines[calibration])
        rows["head"]["flags"][inside] = 1 << (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING - 1)
        return rows[~(calibration & on_grid)]

    edit(path, embed)
    found = read_scan(path)
    np.testing.assert_array_equal(found.kspace, frame.kspace)
    np.testing.assert_array_equal(found.acquired, frame.acquired)
    assert found.calibration.shape == scan.calibration.shape
    start, lines = scan.calibration_start, np.flatnonzero(scan.acquired[0])
    shared_lines = lines[(lines >= start) & (lines < start + 26)]
    np.testing.assert_array_equal(found.calibration[:, shared_lines - start], frame.kspace[0][:, shared_lines])


def test_the_centre_line_of_the_header_is_placed_at_dc(path, scan):
    edit_header(path, "<center>24</center>", "<center>20</center>")
    edit_header(path, "<maximum>47</maximum>", "<maximum>43</maximum>")

    def drop(rows):
        return rows[(rows["head"]["idx"]["kspace_encode_step_1"] < 44)]

    edit(path, drop)
    found = read_scan(path)
    np.testing.assert_array_equal(found.kspace[:, :, 4:], scan.kspace[:, :, :44])
    assert not found.acquired[:, :4].any()
    assert found.calibration_start == scan.calibration_start + 4


def test_interleaved_frames_are_their_own_calibration(path, scan):
    edit_header(path, "<calibrationMode>separate", "<calibrationMode>interleaved")
    edit(path, lambda rows: rows[~flagged(rows, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)])
    found = read_scan(path)
    assert (found.calibration_start, found.calibration.shape[1]) == (0, 48)
    np.testing.assert_array_equal(found.calibration, scan.kspace.sum(axis=0))  # three frames, every line once


def test_the_measured_phantom(shared):
    scan = read_scan(shared / "data" / "phantom_ssfp_r3_14ch.h5")
    assert scan.kspace.shape == (1, 14, 144, 384)
    assert scan.noise.shape == (14, 384)
    # centre line 54 of 0..105 on a grid of 144: shifted by 18
    np.testing.assert_array_equal(np.flatnonzero(scan.acquired[0]), np.arange(18, 124, 3))
    assert (scan.calibration.shape[1], scan.calibration_start) == (48, 48)
    assert (scan.acceleration, scan.readout, scan.bandwidth, scan.fov_mm) == (3, 192, 0.793, (210.0, 280.0))
    assert (scan.dwell_us, scan.noise_dwell_us) == (pytest.approx(2.4), 20.0)


def without_noise(rows):
    return rows[~flagged(rows, ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]


def without_calibration(rows):
    return rows[~flagged(rows, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)]


def without_two_lines(rows):
    lines, frame = rows["head"]["idx"]["kspace_encode_step_1"], rows["head"]["idx"]["phase"]
    return rows[~(imaging(rows) & (frame == 1) & np.isin(lines, (4, 10)))]


def without_a_calibration_line(rows):
    drop = np.flatnonzero(flagged(rows, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION))[5]
    return np.delete(rows, drop)


def line_twice(rows):
    return np.concatenate([rows, rows[-1:]])


def line_off_the_grid(rows):
    rows["head"]["idx"]["kspace_encode_step_1"][-1] -= 1
    return rows


def nan_in_a_readout(rows):
    row = np.flatnonzero(imaging(rows))[0]
    rows["data"][row][7] = np.nan
    return rows


def inf_in_the_noise(rows):
    rows["data"][0][7] = np.inf
    return rows


def noise_of_fewer_coils(rows):
    for row in np.flatnonzero(flagged(rows, ismrmrd.ACQ_IS_NOISE_MEASUREMENT)):
        rows["data"][row] = rows["data"][row].reshape(8, -1)[:6].ravel()
        rows["head"]["active_channels"][row] = 6
    return rows


def no_dwell(rows):
    rows["head"]["sample_time_us"][0] = 0
    return rows


def two_slices(rows):
    rows["head"]["idx"]["slice"][-1] = 1
    return rows


def late_echo(rows):
    rows["head"]["center_sample"][imaging(rows) | flagged(rows, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)] = 30
    return rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_noise, r"has no noise readouts \(ACQ_IS_NOISE_MEASUREMENT\) among its 74 readouts"),
        (without_calibration, r"has no calibration lines .* R = 3 needs 10 \(3R \+ 1\)"),
        (without_two_lines, r"frame 1 \(repetition 0, phase 1\) has 14 of 16 lines; missing: 4, 10"),
        (without_a_calibration_line, "its 25 calibration lines 11..36 must lie without gaps about the centre line 24; 1 "),
        (line_twice, "holds line 47 2 times"),
        (line_off_the_grid, "1 of 16 lines are not on a grid of every R = 3"),
        (nan_in_a_readout, r"holds 1 NaN or Inf of \d+ values \(first: \(26, 0, 3\)\)"),
        (inf_in_the_noise, r"noise \[coil, sample\] holds 1 NaN or Inf"),
        (noise_of_fewer_coils, "the noise scan has 6 coils, the images 8"),
        (no_dwell, "sample_time_us of the 52 noise readouts"),
        (two_slices, "holds 2 slices; only one is supported yet"),
        (late_echo, "partial echoes are not supported yet"),
        (lambda rows: rows[:0], "holds 0 readouts"),
        (lambda rows: rows[:52], "no imaging readouts"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_unusable_readouts_are_refused(path, change, message):
    edit(path, change)
    with pytest.raises(InputError, match=message) as caught:
        read_scan(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "text", "message"),
    [
        ("<z>1</z>", "<z>32</z>", "is 3D .32 partitions."),
        ("cartesian", "spiral", "has a spiral trajectory"),
        (r"(?s)(<encoding>.*</encoding>)", r"\1\1", "has 2 encodings"),
        (r"(?s)<kspace_encoding_step_1>\s*<minimum>.*?</kspace_encoding_step_1>", "", "centre line is unknown"),
        ("<trajectory>", "<trajecto", "XML header is not an ISMRMRD header"),
    ],
    ids=["3D", "spiral", "two encodings", "no centre", "broken XML"],
)
def test_unusable_headers_are_refused(path, pattern, text, message):
    edit_header(path, pattern, text)
    with pytest.raises(InputError, match=message):
        read_scan(path)


def test_files_that_are_not_hdf5_or_cut_short_are_refused(path):
    path.with_name("text.h5").write_text("not HDF5")
    path.with_name("short.h5").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with h5py.File(path.with_name("other.h5"), "w") as file:
        file["image"] = 1
    for name, message in (("text.h5", "cannot be read as HDF5"), ("short.h5", "truncated"), ("other.h5", "not raw MRD")):
        with pytest.raises(InputError, match=message):
            read_scan(path.with_name(name))
    with pytest.raises(InputError, match="no such file"):
        read_scan(path.with_name("absent.h5"))


def test_a_writing_that_fails_leaves_nothing(scan, tmp_path):
    with pytest.raises(AttributeError):
        write_scan(tmp_path / "scan.h5", replace(scan, fov_mm=None, kspace=None))
    assert not list(tmp_path.iterdir())
