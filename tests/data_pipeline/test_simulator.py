"""The simulated subjects: reproducible, beating, conserving mass, and like a real cine in their statistics."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from data_pipeline.simulator import Settings, from_magnitude, simulate
from data_pipeline.simulator.motion import volume_curve
from data_pipeline.simulator.subject import draw_card, draw_view, stream
from snraware_jax.errors import InputError

SMALL = Settings(matrix=(48, 64), frames=6, coils=4, calibration_lines=24, noise_readouts=8)


def radial_slope(images: np.ndarray) -> float:
    """Slope of log power over log frequency, 0.05 to 0.45 cycles per pixel, of a windowed series `[T, H, W]`."""
    images = images - images.mean(axis=(-2, -1), keepdims=True)
    window = np.hanning(images.shape[-2])[:, None] * np.hanning(images.shape[-1])
    power = np.mean(np.abs(np.fft.fft2(images * window)) ** 2, axis=0)
    frequency = np.hypot(np.fft.fftfreq(images.shape[-2])[:, None], np.fft.fftfreq(images.shape[-1]))
    edges = np.linspace(0.05, 0.45, 17)
    mean = [power[(frequency >= low) & (frequency < high)].mean() for low, high in itertools.pairwise(edges)]
    return float(np.polyfit(np.log((edges[1:] + edges[:-1]) / 2), np.log(mean), 1)[0])


def moving_share(images: np.ndarray) -> float:
    """Part of the variance of a series that is not in its mean frame."""
    return float(np.sum((images - images.mean(0)) ** 2) / np.sum((images - images.mean()) ** 2))


@pytest.fixture(scope="module")
def small():
    return simulate(0, 1, SMALL)


def test_a_subject_follows_from_seed_and_index(small):
    again = simulate(0, 1, SMALL)
    for field in ("kspace", "noise", "calibration"):
        np.testing.assert_array_equal(getattr(small.scan, field), getattr(again.scan, field))
    np.testing.assert_array_equal(small.truth, again.truth)
    assert small.card == again.card


@pytest.mark.parametrize("other", [(0, 2), (1, 1)], ids=["subject", "seed"])
def test_other_subjects_differ(small, other):
    correlation = np.corrcoef(np.abs(small.truth).ravel(), np.abs(simulate(*other, SMALL).truth).ravel())[0, 1]
    assert correlation < 0.8


def test_the_anatomy_does_not_depend_on_the_noise(small):
    noisier = simulate(0, 1, dataclasses.replace(SMALL, noise_readouts=9))
    np.testing.assert_array_equal(small.labels, noisier.labels)
    np.testing.assert_allclose(small.truth, noisier.truth, rtol=1e-6)


@pytest.mark.parametrize("matrix", [(48, 64), (47, 63)], ids=["even", "odd"])
def test_shapes_and_types(matrix):
    simulated = simulate(3, 0, dataclasses.replace(SMALL, matrix=matrix, acceleration=3))
    scan, (ky, kx) = simulated.scan, matrix
    assert scan.kspace.shape == simulated.noise_free.shape == (6, 4, ky, 2 * kx)
    assert scan.calibration.shape == (4, 24, 2 * kx)
    assert scan.calibration_start[0] <= ky // 2 < scan.calibration_start[0] + 24
    assert scan.noise.shape == (4, 8 * 2 * kx)
    assert simulated.truth.shape == simulated.labels.shape == (6, ky, kx)
    assert {a.dtype for a in (scan.kspace, scan.noise, scan.calibration, simulated.truth)} == {np.dtype(np.complex64)}
    assert simulated.labels.dtype == np.uint8
    assert scan.acquired[:, ky // 2].all()
    np.testing.assert_array_equal(scan.kspace[~np.broadcast_to(scan.acquired[:, None], scan.kspace.shape[:3])], 0)
    assert np.isfinite(scan.kspace).all()


def test_the_card_is_json(small):
    restored = json.loads(json.dumps(small.card))
    assert restored["subject"] == 1
    assert len(restored["relative_volume"]) == SMALL.frames


def test_signal_snr_is_in_its_range(small):
    low, high = SMALL.signal_snr
    peak = np.percentile(np.abs(small.truth), 99.5)
    assert low <= peak <= high
    np.testing.assert_allclose(peak, small.card["signal_snr"], rtol=1e-5)


def test_volume_curve_is_periodic_and_ejects():
    phase = np.linspace(0, 1, 501)
    volume = volume_curve(0.6, 0.36, phase)
    np.testing.assert_allclose(volume_curve(0.6, 0.36, phase + 1), volume, atol=1e-12)
    np.testing.assert_allclose([volume[0], volume.min()], [1, 0.4], atol=1e-6)
    np.testing.assert_allclose(phase[volume.argmin()], 0.36, atol=0.003)


@pytest.fixture(scope="module")
def mid_ventricle():
    """The first short-axis view through the middle of a heart without a wall-motion defect, seen close."""
    settings = dataclasses.replace(SMALL, matrix=(80, 96), frames=8, zoom=(0.6, 0.65))
    for subject in range(200):
        card = draw_card(stream(7, subject, "subject"), settings) | draw_view(stream(7, subject, "subject", 0), settings)
        if card["plane"] == "short_axis" and 0.4 < card["level"] < 0.6 and not card["defect"]:
            return simulate(7, subject, settings)
    raise AssertionError("no such view in 200 subjects")


def test_blood_is_ejected_and_the_wall_keeps_its_mass(mid_ventricle):
    blood = np.sum(mid_ventricle.labels == 1, axis=(1, 2))
    muscle = np.sum(mid_ventricle.labels == 2, axis=(1, 2))
    volume = np.array(mid_ventricle.card["relative_volume"])
    assert abs(int(blood.argmin()) - int(volume.argmin())) <= 1
    assert 0.3 < blood.min() / blood.max() < 0.85
    assert muscle.min() / muscle.max() > 0.8


def test_blood_is_brighter_than_muscle(mid_ventricle):
    signal = np.abs(mid_ventricle.truth)
    ratio = np.median(signal[mid_ventricle.labels == 1]) / np.median(signal[mid_ventricle.labels == 2])
    assert 1.6 < ratio < 5


def test_statistics_are_those_of_a_real_cine(shared):
    """Slope of the spectrum and share of motion: the mean over subjects close to that of the real series on the same matrix."""
    settings = Settings(matrix=(96, 128), frames=10, coils=4, noise_readouts=8)
    real = np.load(shared / "data" / "cine_sax_sunnybrook.npz")["images"][2:9:2, ::2]
    measured = [np.abs(from_magnitude(x.astype(np.float32), settings, np.random.default_rng(0), "real").truth) for x in real]
    simulated = [np.abs(simulate(0, subject, settings).truth) for subject in range(8)]
    slopes = [[radial_slope(x) for x in series] for series in (measured, simulated)]
    shares = [[moving_share(x) for x in series] for series in (measured, simulated)]
    assert abs(np.mean(slopes[1]) - np.mean(slopes[0])) < 0.35
    assert all(-3.3 < slope < -1.8 for slope in slopes[1])
    assert 1 / 3 < np.mean(shares[1]) / np.mean(shares[0]) < 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"calibration_lines": 6}, "choose at least 7"),
        ({"calibration_lines": 49}, "choose fewer"),
        ({"field_strength": 7.0}, "choose 1.5 or 3.0"),
        ({"noise_readouts": 0}, "give a whole number above 0"),
    ],
    ids=["few lines", "many lines", "field", "noise scan"],
)
def test_settings_that_cannot_work_say_what_to_choose(change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(SMALL, **change)
