"""Raw MRD files: what is written is read back, and real files are understood."""

import ismrmrd
import numpy as np
import pytest

from snraware_jax.formats.mrd import read_scan, read_scans, write_scan, write_scans
from tests.formats.raw import (
    assert_same,
    edit,
    edit_header,
    flagged,
    is_calibration,
    is_imaging,
    is_noise,
    place,
    random_scan,
)
from tests.recon.phantom import complex_normal, make_scan, replace

SCANS = {
    "calibrated": random_scan(block=((3, 10),)),
    "odd": random_scan((11,), acceleration=3, frames=3, oversampled=9, block=((2, 9),)),
    "interleaved": random_scan((11,), acceleration=3, frames=4),
    "whole": random_scan((7,), acceleration=1, frames=1),
    "whole with calibration": random_scan((7,), acceleration=1, frames=1, block=((2, 6),)),
    "one coil, one pixel": random_scan((1,), acceleration=1, frames=1, coils=1, oversampled=1, readout=1),
    "volume": random_scan((6, 8), acceleration=(2, 2), frames=1, block=((1, 5), (2, 7))),
    "odd volume": random_scan((5, 7), acceleration=(3, 1), frames=2, oversampled=9, block=((0, 5), (2, 6))),
    "volume of two partitions": random_scan((2, 7), acceleration=(2, 1), frames=1, block=((0, 2), (2, 6))),
    "interleaved volume": random_scan((5, 6), acceleration=(2, 3), frames=6),
    "whole volume": random_scan((4, 5), acceleration=(1, 1), frames=1),
    "late echo": random_scan(echo=(0, 7), block=((3, 10),)),
    "early echo": random_scan(echo=(4, 10), oversampled=11, block=((3, 10),)),
    "narrow echo": random_scan(echo=(4, 7)),
    "volume, early echo": random_scan((4, 6), acceleration=(2, 1), echo=(3, 10), block=((1, 4), (1, 5))),
    "cycle": random_scan(frames=5, cycle=np.arange(5, dtype=np.float32) / 5),
}


@pytest.mark.parametrize("name", SCANS)
def test_round_trip(tmp_path, name):
    write_scan(tmp_path / "scan.h5", SCANS[name])
    assert_same(read_scan(tmp_path / "scan.h5"), SCANS[name])


@pytest.fixture(scope="module")
def scan():
    return make_scan(acceleration=3, frames=3, calibration_lines=26)


@pytest.fixture
def path(scan, tmp_path):
    write_scan(tmp_path / "scan.h5", scan)
    return tmp_path / "scan.h5"


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


def shuffled(rows):
    """Readouts of slices, frames and kinds in any order; the noise keeps its own, which is that of its samples."""
    rng = np.random.default_rng(1)
    order = np.arange(len(rows))
    others = np.flatnonzero(~is_noise(rows))
    order[others] = rng.permutation(others)
    return rows[order]


@pytest.mark.parametrize("kind", ["calibrated", "interleaved", "volume", "late echo", "cycle"])
def test_slices_come_back_in_order_however_their_readouts_are_mixed(tmp_path, kind):
    noise = SCANS[kind].noise
    scans = [replace(SCANS[kind], kspace=SCANS[kind].kspace * (s + 1), noise=noise) for s in range(3)]
    write_scans(tmp_path / "scan.h5", scans)
    edit(tmp_path / "scan.h5", shuffled)
    found = read_scans(tmp_path / "scan.h5")
    assert len(found) == 3
    for s in range(3):
        assert_same(found[s], scans[s], f"scan.h5 slice {s}")


def test_sets_and_contrasts_are_scans_too_ordered_and_named(tmp_path):
    scans = [random_scan(frames=2, seed=s, noise=SCANS["calibrated"].noise) for s in range(8)]
    write_scans(tmp_path / "scan.h5", scans)

    def relabel(rows):
        index = rows["head"]["idx"]
        number = index["slice"].copy()
        index["slice"], index["set"], index["contrast"] = number % 2 + 3, number // 2 % 2, number // 4
        return shuffled(rows)

    edit(tmp_path / "scan.h5", relabel)
    found = read_scans(tmp_path / "scan.h5")
    names = [f"scan.h5 slice {s} set {k} contrast {c}" for c in (0, 1) for k in (0, 1) for s in (3, 4)]
    for one, expected, name in zip(found, scans, names, strict=True):
        assert_same(one, expected, name)


def test_the_only_scan_of_a_file_is_named_as_the_file_whatever_its_slice_number(path):
    def renumber(rows):
        rows["head"]["idx"]["slice"][~is_noise(rows)] = 7
        return rows

    edit(path, renumber)
    assert [one.name for one in read_scans(path)] == ["scan.h5"]


def test_the_noise_scan_may_lie_in_another_file(path, scan):
    other = path.with_name("noise.h5")
    write_scan(other, replace(scan, noise=2 * scan.noise, noise_dwell_us=10.0))
    edit(other, lambda rows: rows[is_noise(rows)])
    expected = replace(scan, noise=2 * scan.noise, noise_dwell_us=10.0)
    assert_same(read_scan(path, noise=other), expected)  # it goes before the file's own
    edit(path, lambda rows: rows[~is_noise(rows)])
    assert_same(read_scan(path, noise=other), expected)


@pytest.mark.parametrize("kind", ["calibrated", "volume"])
def test_embedded_calibration_lines_stay_out_of_the_imaging_data(tmp_path, kind):
    """As scanners write it: lines of the grid serve both purposes and are flagged so, the lines between are for calibration."""
    scan = SCANS[kind]
    scan = replace(scan, kspace=scan.kspace[:1], acquired=scan.acquired[:1])
    write_scan(tmp_path / "scan.h5", scan)
    block = tuple(slice(s, s + n) for s, n in zip(scan.calibration_start, scan.calibration.shape[1:-1], strict=True))
    inside = np.zeros_like(scan.acquired[0])
    inside[block] = True
    with_kz = lambda array: array.reshape(-1, array.shape[-1])
    on_grid, inside = with_kz(scan.acquired[0]), with_kz(inside)

    def embed(rows):
        both = is_imaging(rows) & inside[place(rows)]
        rows["head"]["flags"][both] = 1 << (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING - 1)
        return rows[~(is_calibration(rows) & on_grid[place(rows)])]

    edit(tmp_path / "scan.h5", embed)
    found = read_scan(tmp_path / "scan.h5")
    np.testing.assert_array_equal(found.kspace, scan.kspace)
    np.testing.assert_array_equal(found.acquired, scan.acquired)
    assert found.calibration_start == scan.calibration_start
    shared_lines = scan.acquired[0][block]
    expected = np.where(shared_lines[..., None], scan.kspace[(0, slice(None), *block)], scan.calibration)
    np.testing.assert_array_equal(found.calibration, expected)


def test_calibration_lines_acquired_again_are_averaged_by_count(path, scan):
    def again(rows):
        extra = rows[np.flatnonzero(is_calibration(rows))[4:10]].copy()
        for row in range(len(extra)):
            extra["data"][row] = 3 * extra["data"][row]
        return np.concatenate([rows, extra])

    edit(path, again)
    found = read_scan(path)
    factor = np.ones(26)
    factor[4:10] = 2
    np.testing.assert_allclose(found.calibration, scan.calibration * factor[:, None], rtol=1e-6)


def test_the_centre_line_of_the_header_is_placed_at_dc(path, scan):
    edit_header(path, "<center>24</center>", "<center>20</center>")
    edit_header(path, "<maximum>47</maximum>", "<maximum>43</maximum>")
    edit(path, lambda rows: rows[rows["head"]["idx"]["kspace_encode_step_1"] < 44])
    found = read_scan(path)
    np.testing.assert_array_equal(found.kspace[:, :, 4:], scan.kspace[:, :, :44])
    assert not found.acquired[:, :4].any()
    assert found.calibration_start == (scan.calibration_start[0] + 4,)


def test_the_centre_partition_of_the_header_is_placed_at_dc(tmp_path):
    scan = random_scan((6, 8), acceleration=(2, 1), frames=1, block=((1, 5), (2, 7)))
    write_scan(tmp_path / "scan.h5", scan)
    step_2 = r"(?s)(<kspace_encoding_step_2>\s*<minimum>)0(</minimum>\s*<maximum>)5(</maximum>\s*<center>)3"
    edit_header(tmp_path / "scan.h5", step_2, r"\g<1>0\g<2>4\g<3>2")
    edit(tmp_path / "scan.h5", lambda rows: rows[place(rows)[0] < 5])
    found = read_scan(tmp_path / "scan.h5")
    np.testing.assert_array_equal(found.kspace[:, :, 1:], scan.kspace[:, :, :5])
    assert not found.acquired[:, 0].any()
    assert found.calibration_start == (2, 2)


@pytest.mark.parametrize("averages", [2, 3])
def test_averages_keep_the_noise_of_one_readout(tmp_path, averages):
    scan = random_scan((16,), frames=2, coils=4, oversampled=64)
    write_scan(tmp_path / "scan.h5", scan)
    rng = np.random.default_rng(5)

    def repeat(rows):
        copies = [rows]
        for n in range(1, averages):
            copy = rows[is_imaging(rows)].copy()
            copy["head"]["idx"]["average"] = n
            for row in range(len(copy)):
                copy["data"][row] = complex_normal(rng, 4 * 64).view(np.float32)
            copies.append(copy)
        return shuffled(np.concatenate(copies))

    edit(tmp_path / "scan.h5", repeat)
    found = read_scan(tmp_path / "scan.h5")
    np.testing.assert_array_equal(found.acquired, scan.acquired)
    samples = found.kspace.swapaxes(1, 2)[found.acquired]
    assert np.std(samples.real) == pytest.approx(1, abs=5 / np.sqrt(2 * samples.size))


def test_averages_of_the_same_samples_are_sqrt_n_times_one(tmp_path):
    scan = SCANS["volume"]
    write_scan(tmp_path / "scan.h5", scan)

    def repeat(rows):
        copies = [rows[is_imaging(rows)].copy() for _ in range(3)]
        for n, copy in enumerate(copies):
            copy["head"]["idx"]["average"] = n + 1
        return np.concatenate([rows, *copies])

    edit(tmp_path / "scan.h5", repeat)
    np.testing.assert_array_equal(read_scan(tmp_path / "scan.h5").kspace, 2 * scan.kspace)


def test_samples_to_discard_are_dropped(path, scan):
    def pad(rows):
        for row in np.flatnonzero(~is_noise(rows)):
            samples = rows["data"][row].view(np.complex64).reshape(8, 80)
            rows["data"][row] = np.pad(samples, ((0, 0), (3, 2)), constant_values=9).view(np.float32).ravel()
        head = rows["head"][~is_noise(rows)]
        head["number_of_samples"], head["center_sample"], head["discard_pre"], head["discard_post"] = 85, 43, 3, 2
        rows["head"][~is_noise(rows)] = head
        return rows

    edit(path, pad)
    assert_same(read_scan(path), scan)


def test_whole_calibration_lines_beside_asymmetric_echoes(tmp_path):
    scan = random_scan(echo=(0, 7), block=((3, 10),))
    write_scan(tmp_path / "scan.h5", scan)
    found = read_scan(tmp_path / "scan.h5")
    assert found.echo_samples == 7
    assert found.calibration[..., 7:].any()
    cut = replace(scan, calibration=np.where(np.arange(10) < 7, scan.calibration, 0))
    write_scan(tmp_path / "scan.h5", cut)
    with ismrmrd.File(tmp_path / "scan.h5", "r") as file:
        last, calibration = file["dataset"].acquisitions[-1], file["dataset"].acquisitions[5]
        assert (last.number_of_samples, last.center_sample) == (calibration.number_of_samples, 5) == (7, 5)
    assert_same(read_scan(tmp_path / "scan.h5"), cut)


def with_stamps(scan, path, stamps_of_frames):
    """The cycle read where line i of frame t carries `stamps_of_frames[t][i]`."""
    write_scan(path, scan)

    def stamp(rows):
        head, frame = rows["head"], rows["head"]["idx"]["phase"]
        for t, stamps in enumerate(stamps_of_frames):
            chosen = np.flatnonzero(is_imaging(rows) & (frame == t))
            head["physiology_time_stamp"][chosen, 0] = stamps
        return rows

    edit(path, stamp)
    return read_scan(path).cycle


def test_the_cycle_is_the_median_trigger_time_over_the_heartbeat(tmp_path):
    scan = random_scan((3,), acceleration=1, frames=4)
    heartbeat = 320 + 100
    stamps = [(0, 10, 20), (100, 110, 120), (200, 210, 220), (300, 310, 320)]
    found = with_stamps(scan, tmp_path / "scan.h5", stamps)
    np.testing.assert_allclose(found, np.array([10, 110, 210, 310]) / heartbeat, rtol=1e-6)
    # two heartbeats of two frames each: the fall at the trigger is no step
    found = with_stamps(scan, tmp_path / "scan.h5", [(20,) * 3, (120,) * 3] * 2)
    np.testing.assert_allclose(found, np.array([20, 120, 20, 120]) / 220, rtol=1e-6)


@pytest.mark.parametrize(
    "stamps", [[0, 0, 0, 0], [50, 50, 50, 50], [400, 800, 1200, 1600]], ids=["none", "constant", "without triggers"]
)
def test_no_cycle_without_triggers(tmp_path, stamps):
    scan = random_scan((3,), acceleration=1, frames=4)
    assert with_stamps(scan, tmp_path / "scan.h5", stamps) is None


def test_the_measured_phantom(shared):
    scan = read_scan(shared / "data" / "phantom_ssfp_r3_14ch.h5")
    assert scan.kspace.shape == (1, 14, 144, 384)
    assert scan.noise.shape == (14, 384)
    # centre line 54 of 0..105 on a grid of 144: shifted by 18
    np.testing.assert_array_equal(np.flatnonzero(scan.acquired[0]), np.arange(18, 124, 3))
    assert (scan.calibration.shape[1], scan.calibration_start) == (48, (48,))
    assert (scan.acceleration, scan.readout, scan.bandwidth, scan.fov_mm) == (3, 192, 0.793, (210.0, 280.0))
    assert (scan.dwell_us, scan.noise_dwell_us) == (pytest.approx(2.4), 20.0)
    assert (scan.echo_samples, scan.cycle) == (None, None)


def test_flags_tell_readouts_apart(path):
    def count(rows):
        assert (is_noise(rows).sum(), is_calibration(rows).sum(), is_imaging(rows).sum()) == (52, 26, 48)
        assert not flagged(rows, ismrmrd.ACQ_IS_REVERSE).any()
        return rows

    edit(path, count)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dwell_us": 3.0}, "differ in noise, matrix or timing"),
        ({"noise": SCANS["odd"].noise + 1}, "differ in noise, matrix or timing"),
        ({"acceleration": 3}, "differ in noise, matrix or timing"),
        ({"kspace": SCANS["calibrated"].kspace[..., :-1]}, "differ in noise, matrix or timing"),
    ],
    ids=["dwell", "noise", "acceleration", "matrix"],
)
def test_scans_of_two_geometries_do_not_go_into_one_file(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        write_scans(tmp_path / "scan.h5", [SCANS["calibrated"], replace(SCANS["calibrated"], **change)])
    assert not list(tmp_path.iterdir())


def test_what_mrd_cannot_hold_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="give one or more"):
        write_scans(tmp_path / "scan.h5", [])
    with pytest.raises(ValueError, match="drop its kz axis"):
        write_scan(tmp_path / "scan.h5", random_scan((1, 6), acceleration=(1, 1)))
    with pytest.raises(AttributeError):
        write_scan(tmp_path / "scan.h5", random_scan(fov_mm=None, kspace=None))
    assert not list(tmp_path.iterdir())
