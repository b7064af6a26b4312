"""Raw MRD files that cannot be used say why: one line with the file, what was found, and what to do."""

import h5py
import ismrmrd
import numpy as np
import pytest

from snraware_jax.errors import InputError
from snraware_jax.formats.mrd import read_scan, read_scans, write_scan, write_scans
from tests.formats.raw import edit, edit_header, is_calibration, is_imaging, is_noise, place, random_scan
from tests.recon.phantom import make_scan, replace


@pytest.fixture(scope="module")
def scan():
    return make_scan(acceleration=3, frames=3, calibration_lines=26)


@pytest.fixture
def path(scan, tmp_path):
    write_scan(tmp_path / "scan.h5", scan)
    return tmp_path / "scan.h5"


@pytest.fixture
def slices(tmp_path):
    """A file of two slices of 12 lines, 3 coils, 10 samples."""
    write_scans(tmp_path / "slices.h5", [random_scan(block=((3, 10),))] * 2)
    return tmp_path / "slices.h5"


@pytest.fixture
def volume(tmp_path):
    """A file of a volume of 8 x 12 lines, R = 2 x 2."""
    write_scan(tmp_path / "volume.h5", random_scan((8, 12), acceleration=(2, 2), frames=1, block=((1, 7), (2, 10))))
    return tmp_path / "volume.h5"


def assert_refused(path, message, **arguments):
    with pytest.raises(InputError, match=message) as caught:
        read_scans(path, **arguments)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def without_noise(rows):
    return rows[~is_noise(rows)]


def without_calibration(rows):
    return rows[~is_calibration(rows)]


def without_two_lines(rows):
    kz, ky = place(rows)
    return rows[~(is_imaging(rows) & (rows["head"]["idx"]["phase"] == 1) & np.isin(ky, (4, 10)))]


def without_a_calibration_line(rows):
    return np.delete(rows, np.flatnonzero(is_calibration(rows))[5])


def calibration_beside_dc(rows):
    kz, ky = place(rows)
    return rows[~(is_calibration(rows) & (ky <= 24))]


def without_frames(rows):
    return rows[~is_imaging(rows)]


def line_twice(rows):
    return np.concatenate([rows, rows[-1:]])


def line_off_the_grid(rows):
    rows["head"]["idx"]["kspace_encode_step_1"][-1] -= 1
    return rows


def line_off_the_matrix(rows):
    rows["head"]["idx"]["kspace_encode_step_1"][-1] = 60
    return rows


def nan_in_a_readout(rows):
    rows["data"][np.flatnonzero(is_imaging(rows))[0]][7] = np.nan
    return rows


def inf_in_a_calibration_line(rows):
    rows["data"][np.flatnonzero(is_calibration(rows))[2]][0] = np.inf
    return rows


def inf_in_the_noise(rows):
    rows["data"][0][7] = np.inf
    return rows


def noise_of_fewer_coils(rows):
    return fewer(rows, is_noise(rows), coils=6)


def fewer(rows, chosen, coils=None, samples=None):
    """Readouts of fewer coils or samples, the echo in the middle."""
    for row in np.flatnonzero(chosen):
        head = rows["head"][row]
        values = rows["data"][row].view(np.complex64).reshape(head["active_channels"], -1)[:coils, :samples]
        rows["data"][row] = np.ascontiguousarray(values).view(np.float32).ravel()
        rows["head"]["active_channels"][row], rows["head"]["number_of_samples"][row] = values.shape
        rows["head"]["center_sample"][row] = values.shape[1] // 2
    return rows


def samples_cut_off(rows):
    row = np.flatnonzero(is_imaging(rows))[3]
    rows["data"][row] = rows["data"][row][:-2]
    return rows


def no_dwell(rows):
    rows["head"]["sample_time_us"][0] = 0
    return rows


def two_dwells(rows):
    rows["head"]["sample_time_us"][-1] = 3
    return rows


def late_echo(rows):
    rows["head"]["center_sample"][~is_noise(rows)] = 30
    return rows


def short_calibration(rows):
    return fewer(rows, is_calibration(rows), samples=60)


def one_short_readout(rows):
    return fewer(rows, np.arange(len(rows)) == len(rows) - 1, samples=70)


def one_readout_of_fewer_coils(rows):
    return fewer(rows, np.arange(len(rows)) == len(rows) - 1, coils=7)


def reversed_readout(rows):
    rows["head"]["flags"][-1] = 1 << (ismrmrd.ACQ_IS_REVERSE - 1)
    return rows


def half_an_average(rows):
    copy = rows[is_imaging(rows)][:20].copy()
    copy["head"]["idx"]["average"] = 1
    return np.concatenate([rows, copy])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_noise, r"has no noise readouts \(ACQ_IS_NOISE_MEASUREMENT\) among its 74 readouts.*--noise FILE"),
        (without_calibration, r"has no calibration lines .* R = 3 needs 10 \(3R \+ 1\)"),
        (without_two_lines, r"frame 1 \(repetition 0, phase 1\) has 14 of 16 lines; missing: 4, 10"),
        (without_a_calibration_line, "its 25 calibration lines 11..36 must lie without gaps about the centre line 24; 1 "),
        (calibration_beside_dc, "its 12 calibration lines 25..36 must lie without gaps about the centre line 24; 0 "),
        (without_frames, "all 26 readouts are for calibration alone"),
        (line_twice, "holds line 47 2 times under one average number"),
        (line_off_the_grid, "1 of 16 lines are not on a grid of every R = 3"),
        (line_off_the_matrix, "lines 0..60 do not fit the 48 lines of the matrix: check encodingLimits"),
        (nan_in_a_readout, r"frame 0 .* holds 1 NaN or Inf of \d+ values \(first: \(0, 0, 3\)\)"),
        (inf_in_a_calibration_line, r"calibration: .* holds 1 NaN or Inf of \d+ values \(first: \(2, 0, 0\)\)"),
        (inf_in_the_noise, r"noise \[coil, sample\] holds 1 NaN or Inf"),
        (noise_of_fewer_coils, "the noise scan has 6 coils, the images 8"),
        (samples_cut_off, "headers and samples do not fit together"),
        (no_dwell, "sample_time_us of the 52 noise readouts"),
        (two_dwells, "sample_time_us of the 74 imaging readouts is 2.5, 3.0"),
        (late_echo, "imaging readouts have 80 samples with the echo at 30, which do not fit the 80 of the matrix"),
        (short_calibration, "calibration readouts fill places 10 to 69 of the matrix, imaging readouts 0 to 79"),
        (one_short_readout, r"its imaging readouts differ in number_of_samples \(70, 80\)"),
        (one_readout_of_fewer_coils, r"its imaging readouts differ in coil counts \(7, 8\)"),
        (reversed_readout, "has reversed readouts"),
        (half_an_average, "frame 1 .* holds 12 lines 1 times, 4 lines 2 times; averages must be of one count"),
        (lambda rows: rows[:0], "holds 0 readouts"),
        (lambda rows: rows[:52], "no imaging readouts"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_unusable_readouts_are_refused(path, change, message):
    edit(path, change)
    assert_refused(path, message)


def test_frames_that_leave_gaps_are_no_calibration(tmp_path):
    path = tmp_path / "scan.h5"
    write_scan(path, random_scan((12,), acceleration=3, frames=2))
    assert_refused(path, "its 8 lines of 2 frames together 0..10 must lie without gaps about the centre line 6; 3 are missing")


def test_one_scan_is_not_picked_out_of_several(slices):
    with pytest.raises(InputError, match="slices.h5 holds 2 slices; one scan is expected here: split the file"):
        read_scan(slices)

    def sets(rows):
        rows["head"]["idx"]["set"][-3:] = 2
        return rows

    edit(slices, sets)
    with pytest.raises(InputError, match="holds 2 sets, 2 slices"):
        read_scan(slices)


def in_slice_1(rows):
    return rows["head"]["idx"]["slice"] == 1


def slice_of_fewer_lines(rows):
    return rows[~(in_slice_1(rows) & is_imaging(rows) & (place(rows)[1] > 8))]


def slice_of_fewer_samples(rows):
    return fewer(rows, in_slice_1(rows), samples=8)


def slice_of_fewer_coils(rows):
    return fewer(rows, in_slice_1(rows), coils=2)


def slice_without_calibration(rows):
    return rows[~(in_slice_1(rows) & is_calibration(rows))]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (slice_of_fewer_lines, r"slice 1: frame 0 \(repetition 0, phase 0\) has 5 of 6 lines; missing: 10"),
        (slice_of_fewer_samples, r"its imaging readouts differ in number_of_samples \(8, 10\)"),
        (slice_of_fewer_coils, r"its imaging readouts differ in coil counts \(2, 3\)"),
        (slice_without_calibration, r"slice 1 has no calibration lines .* among its 12 readouts"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_slices_that_differ_are_refused(slices, change, message):
    edit(slices, change)
    assert_refused(slices, message)


def hole(rows):
    kz, ky = place(rows)
    return rows[~(is_imaging(rows) & (kz == 2) & np.isin(ky, (4, 6)))]


def hole_in_the_calibration(rows):
    kz, ky = place(rows)
    return rows[~(is_calibration(rows) & (kz == 3) & (ky == 6))]


def sheared_grid(rows):
    kz, ky = place(rows)
    ky[is_imaging(rows) & (kz == 4)] += 1
    return rows


def partition_off_the_matrix(rows):
    place(rows)[0][-1] = 9
    return rows


def ellipse(rows):
    kz, ky = place(rows)
    outside = ((kz.astype(float) - 3) / 3.1) ** 2 + ((ky.astype(float) - 5) / 5.1) ** 2 > 1
    return rows[~(is_imaging(rows) & outside)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (hole, r"frame 0 .* has 22 of 24 lines; missing: \(kz 2, ky 4\), \(kz 2, ky 6\)\. "),
        (
            hole_in_the_calibration,
            r"its 47 calibration lines \(kz 1, ky 2\)..\(kz 6, ky 9\) .* line \(kz 4, ky 6\); 1 are missing",
        ),
        (without_calibration, r"R = 2 x 2 needs 7 x 7 \(3R \+ 1\)"),
        (sheared_grid, r"6 of 24 lines are not on a grid of every R = 2 x 2 lines \(first: \(kz 4, ky 1\)\)"),
        (partition_off_the_matrix, r"lines 0..9 do not fit the 8 lines .* encodingLimits.kspace_encoding_step_2.center"),
        (line_twice, r"holds line \(kz 6, ky 10\) 2 times under one average number"),
        (ellipse, "has 1[0-9] of 24 lines, the corners of ky-kz were not acquired; elliptical scanning is not supported yet"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_volumes_with_holes_are_refused(volume, change, message):
    edit(volume, change)
    assert_refused(volume, message)


def test_unusable_noise_files_are_refused(path, scan):
    other = path.with_name("noise.h5")
    write_scan(other, replace(scan, noise=scan.noise[:5]))
    with pytest.raises(InputError, match="noise.h5: the noise scan has 5 coils, the images 8"):
        read_scan(path, noise=other)
    edit(other, without_noise)
    with pytest.raises(InputError, match="noise.h5 has no noise readouts .* among its 74 readouts.*--noise FILE"):
        read_scan(path, noise=other)
    with pytest.raises(InputError, match="absent.h5: no such file"):
        read_scan(path, noise=path.with_name("absent.h5"))


@pytest.mark.parametrize(
    ("pattern", "text", "message"),
    [
        ("<z>1</z>", "<z>32</z>", "no encodingLimits.kspace_encoding_step_2, so the centre line is unknown"),
        ("cartesian", "spiral", "has a spiral trajectory; only Cartesian"),
        (r"(?s)(<encoding>.*</encoding>)", r"\1\1", "has 2 encodings"),
        (r"(?s)<kspace_encoding_step_1>\s*<minimum>.*?</kspace_encoding_step_1>", "", "step_1, so the centre line is unknown"),
        ("<maximum>47</maximum>", "<maximum>50</maximum>", r"step_1 \(0 to 50, centre 24\) do not fit the 48 lines"),
        ("<kspace_encoding_step_2>1<", "<kspace_encoding_step_2>2<", "one partition but acceleration 2 along kz"),
        ("<kspace_encoding_step_1>3<", "<kspace_encoding_step_1>0<", "acceleration 0: give it 1 or more"),
        ("Bandwidth>0.8<", "Bandwidth>1.8<", "relativeReceiverNoiseBandwidth is 1.8"),
        (r"(?s)(<reconSpace>.*?<x>)200.0<", r"\g<1>0<", "fieldOfView_mm is 240.0 along y, and along x 400.0 encoded, 0.0 to"),
        ("<y>240.0<", "<y>tall<", "headers and samples do not fit together"),
        (
            "<y>48<",
            "<y>4000000000<",
            "lines .* do not fit the 4000000000 lines|encodingLimits.* do not fit|no room for its matrix",
        ),
        ("<x>80</x>", "<x>72</x>", "80 samples with the echo at 40, which do not fit the 72"),
        ("<trajectory>", "<trajecto", "XML header is not an ISMRMRD header"),
    ],
    ids=[
        "3D",
        "spiral",
        "two encodings",
        "no centre",
        "limits",
        "two axes",
        "R = 0",
        "bandwidth",
        "no extent",
        "words",
        "memory",
        "matrix",
        "broken XML",
    ],
)
def test_unusable_headers_are_refused(path, pattern, text, message):
    edit_header(path, pattern, text)
    assert_refused(path, message)


def test_files_that_are_not_hdf5_or_cut_short_are_refused(path):
    path.with_name("text.h5").write_text("not HDF5")
    path.with_name("short.h5").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with h5py.File(path.with_name("other.h5"), "w") as file:
        file["image"] = 1
    for name, message in (("text.h5", "cannot be read as HDF5"), ("short.h5", "truncated"), ("other.h5", "not raw MRD")):
        assert_refused(path.with_name(name), message)
    assert_refused(path.with_name("absent.h5"), "no such file")
