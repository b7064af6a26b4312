"""What is wrong with a scan is said before anything compiles: one sentence that names the scan, the fault and the remedy."""

import os
import warnings

import numpy as np
import pytest

from snraware_jax.errors import InputError
from snraware_jax.recon.inputs import as_option, calibration_block, prepare
from tests.formats.raw import random_scan
from tests.recon.phantom import complex_normal, make_scan, replace


@pytest.fixture(scope="module")
def scan():
    return make_scan()


def volume(grid=(10, 20), block=((0, 10), (3, 17)), **changes):
    noise = complex_normal(np.random.default_rng(1), 3, 400)
    return random_scan(grid, (2, 2), 1, 3, 60, block, noise=noise, readout=30, **changes)


def calibrated_by(scan, first, end):
    """The scan with the calibration lines of these places on the grid."""
    whole = make_scan(calibration_lines=scan.kspace.shape[2]).calibration
    return replace(scan, calibration=whole[:, first:end], calibration_start=(first,))


def scaled(scan, gains):
    """The scan with its coils' signals multiplied."""
    gains = np.asarray(gains, np.complex64)[:, None]
    return replace(
        scan, noise=scan.noise * gains, kspace=scan.kspace * gains[..., None], calibration=scan.calibration * gains[..., None]
    )


def of_coils(scan, coils):
    return replace(scan, noise=scan.noise[coils], kspace=scan.kspace[:, coils], calibration=scan.calibration[coils])


REFUSED = {
    "no noise samples": (lambda s: replace(s, noise=s.noise[:, :0]), "0 noise samples for 8 coils; a covariance needs 80"),
    "a short noise scan": (lambda s: replace(s, noise=s.noise[:, :79]), "79 noise samples .* needs 80: repeat the noise scan"),
    "a noise scan of zeros": (
        lambda s: replace(s, noise=0 * s.noise),
        "holds no noise .4096 samples, all 0.: repeat the noise",
    ),
    "nan in the noise": (
        lambda s: replace(s, noise=np.where(np.arange(4096) == 5, np.nan, s.noise)),
        "its noise scan holds NaN or Inf: convert it again",
    ),
    "a noise scan of one channel": (
        lambda s: replace(s, noise=np.repeat(s.noise[:1], 8, axis=0) * np.arange(1, 9, dtype=np.float32)[:, None]),
        "the noise of its 8 coils has 1 independent channels: this is no noise scan",
    ),
    "calibration lines of zeros": (
        lambda s: replace(s, calibration=0 * s.calibration),
        "all samples of its calibration lines are 0: convert the reference lines again",
    ),
    "a slice accelerated along kz": (
        lambda s: replace(s, acceleration=(2, 2)),
        "is a 2D scan with R = 2x2: convert it as a volume",
    ),
    "images of zeros": (lambda s: replace(s, kspace=0 * s.kspace), "all samples of its images are 0: convert"),
    "few calibration lines": (
        lambda s: calibrated_by(s, 20, 26),
        "scan's own acceleration: 6 calibration lines along ky; R = 2 needs 7 .3R . 1.: repeat the scan with more",
    ),
    "calibration lines on one side of DC": (
        lambda s: calibrated_by(s, 23, 46),
        "23 calibration samples along ky, 1 of them before DC; coil maps need 2 before it and 1 after",
    ),
    "frames that leave DC out": (
        lambda s: replace(s, calibration=None, calibration_start=None, kspace=s.kspace[1:], acquired=s.acquired[1:]),
        "has no calibration lines, and no frame sampled the line at DC",
    ),
    "a short readout": (lambda s: replace(s, readout=9), "its calibration readouts hold 9 of 9 pixels; a kernel needs 10"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_scan_that_cannot_be_used_is_refused(scan, fault):
    change, message = REFUSED[fault]
    with pytest.raises(InputError, match=f"^phantom.*{message}"):
        prepare(change(scan), (2,))


@pytest.mark.parametrize(
    ("accelerations", "message"),
    [
        ((), "accelerations .. must be numbers from 1 up, for example 2-8"),
        ((0, 2), "must be numbers from 1 up"),
        (((2, 2),), "is a 2D scan, accelerated along ky alone: pass --accelerations 2-8, not 2x2"),
        (range(2, 10), "26 calibration lines along ky; R = 9 needs 28 .3R . 1.* pass --accelerations 2-8"),
        ((9, 10), "R = 10 needs 31.* repeat the scan with more calibration lines"),
    ],
)
def test_accelerations_that_cannot_be_had_are_refused(scan, accelerations, message):
    with pytest.raises(InputError, match=message):
        prepare(scan, tuple(accelerations))


@pytest.mark.parametrize("matrix", [(47, 40), (48, 39), (10, 48, 40), (48,), (1, 1)], ids=str)
def test_a_matrix_that_is_not_finer_is_refused(scan, matrix):
    with pytest.raises(InputError, match=f"a matrix of {'x'.join(map(str, matrix))} is not finer than its own 48x40"):
        prepare(scan, (2,), matrix)
    with pytest.raises(InputError, match="is not finer than its own 10x20x30: give as many sizes"):
        prepare(volume(), (2,), (20, 30))


def test_the_finer_readout_must_keep_the_oversampling_whole(scan):
    """80 samples for 30 pixels: 8/3, so that 33 pixels take 88 samples and 32 take no whole number."""
    odd = replace(scan, readout=30)
    with pytest.raises(InputError, match="kx of the matrix must be a multiple of 3, .* whole: give 33"):
        prepare(odd, (2,), (48, 32))
    assert prepare(odd, (2,), (48, 33)).geometry.grid == (48, 33)


def test_a_matrix_beyond_the_memory_is_refused(scan, monkeypatch):
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}.get)
    assert prepare(scan, (2,), (60, 60)).geometry.grid == (60, 60)
    with pytest.raises(InputError, match="a matrix of 4000x4000 takes about 9 GiB, this computer has 0: give a smaller one"):
        prepare(scan, (2,), (4000, 4000))


def test_raw_units_do_not_matter(scan):
    """Samples of 1e-25 would underflow where they are squared in single precision."""
    tiny = prepare(replace(scan, noise=scan.noise * np.float32(1e-25)), (2,))
    np.testing.assert_allclose(tiny.whitening * 1e-25, prepare(scan, (2,)).whitening, rtol=1e-4, atol=1e-5)


def test_a_volume_that_calibrates_itself_does_so_by_its_middle():
    whole = random_scan((40, 50), 1, 1, 3, 40, noise=complex_normal(np.random.default_rng(1), 3, 400), readout=20)
    block, start = calibration_block(whole)
    assert block.shape == (3, 32, 32, 40)
    assert start == (4, 9)
    np.testing.assert_allclose(block, whole.kspace[0, :, 4:36, 9:41], rtol=1e-6)


def test_a_volume_says_which_of_its_axes_lacks_lines():
    message = r"9 calibration lines along kz; R = 2x3 needs 10 \(3R \+ 1\).*: pass --accelerations 2x2\.$"
    with pytest.raises(InputError, match=message):
        prepare(volume((9, 20), ((0, 9), (3, 17))), ((2, 2), (2, 3)))
    with pytest.raises(InputError, match="3 calibration samples along kz, 1 of them before DC"):
        prepare(replace(volume((3, 20), ((0, 3), (3, 17))), acceleration=(2, 1)), (2,))


def test_slices_have_numbers_and_volumes_pairs(scan):
    assert prepare(scan, (2, (3, 1), 4)).geometry.accelerations == (2, 3, 4)
    with warnings.catch_warnings(action="ignore"):
        assert prepare(volume(), (2, (2, 2))).geometry.accelerations == ((2, 1), (2, 2))


def test_a_disconnected_coil_is_left_out_and_said(scan):
    gains = np.ones(8)
    gains[[2, 5]] = 0, 1e-4
    with pytest.warns(UserWarning, match=r"phantom: coils 2, 5 of 8 \(from 0\) disconnected, left out"):
        prepared = prepare(scaled(scan, gains), (2,))
    assert prepared.whitening.shape == (6, 8)
    np.testing.assert_array_equal(prepared.whitening[:, [2, 5]], 0)
    alone = prepare(of_coils(scan, [0, 1, 3, 4, 6, 7]), (2,))
    np.testing.assert_allclose(prepared.whitening[:, [0, 1, 3, 4, 6, 7]], alone.whitening, rtol=1e-5)
    assert prepared.condition == pytest.approx(alone.condition, rel=1e-3)


def test_quiet_coils_are_not_taken_for_disconnected(scan):
    prepared = prepare(scaled(scan, np.geomspace(1, 30, 8)), (2,))
    assert prepared.whitening.shape == (8, 8)


def test_a_channel_that_is_stored_twice_is_said_and_survived(scan):
    with pytest.warns(UserWarning, match=r"covariance of its 8 coils is singular.*A channel that is stored twice"):
        prepared = prepare(of_coils(scan, [0, 1, 2, 3, 4, 5, 6, 0]), (2,))
    assert np.isfinite(prepared.whitening).all()
    assert prepared.condition > 1e6


def test_few_equations_are_said(scan):
    with pytest.warns(UserWarning, match="26 calibration lines of 8 coils give R = 5-8 fewer than 3 equations an unknown"):
        prepare(scan, tuple(range(2, 9)))


def test_whitening_gives_unit_noise_at_the_dwell_of_the_images(scan):
    prepared = prepare(scan, (2,))
    covariance = scan.noise @ scan.noise.conj().T / (scan.noise.shape[1] - 1)
    of_images = covariance * scan.noise_dwell_us / (scan.dwell_us * scan.bandwidth)
    white = prepared.whitening @ of_images @ prepared.whitening.conj().T
    np.testing.assert_allclose(white, 2 * np.eye(8), atol=1e-4)


def test_calibration_of_the_scan_comes_before_that_of_its_frames(scan):
    assert calibration_block(scan)[0] is scan.calibration
    block, start = calibration_block(replace(scan, calibration=None, calibration_start=None))
    assert (block.shape, start) == ((8, 48, 80), (0,))


@pytest.mark.parametrize("echo", [(24, 80), (0, 60), (13, 80), (30, 71), (0, 80)])
def test_an_asymmetric_echo_keeps_the_columns_that_were_sampled(scan, echo):
    """After oversampling removal a column beside the cut mixes with zeros: it must not calibrate."""
    sampled = np.zeros(80, bool)
    sampled[slice(*echo)] = True
    cut = replace(scan, calibration=scan.calibration * sampled, echo_samples=int(sampled.sum()))
    with warnings.catch_warnings(action="ignore"):
        first, last = prepare(cut, (2,)).geometry.kept
    fine = lambda column: (column - 20) * 2 + 40  # where a column of the readout lies among the oversampled ones
    clear = [
        c for c in range(40) if sampled[fine(c)] and not {fine(c) - 1, fine(c) + 1} & set(np.flatnonzero(~sampled).tolist())
    ]
    assert first >= clear[0]
    assert last <= clear[-1] + 1
    assert last - first >= len(clear) - 2


@pytest.mark.parametrize(
    ("accelerations", "text"),
    [((2, 3, 4), "2-4"), ((4,), "4"), ((2, 4), "2,4"), (((2, 1), (2, 2)), "2x1,2x2"), ((2, (2, 2)), "2,2x2")],
)
def test_accelerations_as_they_are_typed(accelerations, text):
    assert as_option(accelerations) == text
