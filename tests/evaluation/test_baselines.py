"""Baselines on noise and phantoms of known make."""

import numpy as np
import pytest

from snraware_jax.evaluation import baselines
from snraware_jax.evaluation.in_distribution import Case
from snraware_jax.metrics import gain_db


def unit_noise(shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def beating_disk(peak, shape=(12, 64, 80), seed=0):
    """A bright disk that grows and shrinks within a dimmer one, constant phase within each; noise of SD g."""
    t, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    radius = np.hypot(y - 32, x - 40)
    clean = 0.5j * peak * (radius < 28) + peak * (radius < 14 + 4 * np.sin(2 * np.pi * t / shape[0]))
    g = (1 + 0.5 * np.exp(-((radius[0] / 20) ** 2))).astype(np.float32)
    noisy = clean + g * unit_noise(shape, seed)
    return Case("disk", clean.astype(np.complex64), noisy.astype(np.complex64), g, peak, 1.0)


def test_gaussian_reduces_white_noise_as_its_kernel_says():
    """A kernel of width s passes white noise with SD 1 / sqrt(2 s sqrt(pi)) along each axis."""
    smooth = baselines.gaussian(unit_noise((32, 48, 48)), np.ones((48, 48)), 1.0)
    assert smooth.dtype == np.complex64
    inside = smooth[4:-4, 4:-4, 4:-4]  # reflection at the borders correlates the noise
    expected = (2 * np.sqrt(np.pi)) ** -1.5
    assert np.std(inside.real) == pytest.approx(expected, rel=0.1)
    assert np.std(inside.imag) == pytest.approx(expected, rel=0.1)


def test_gaussian_widths_are_temporal_and_spatial():
    impulse = np.zeros((9, 9, 9), np.complex64)
    impulse[4, 4, 4] = 1
    ones = np.ones((9, 9))
    assert np.count_nonzero(baselines.gaussian(impulse, ones, (1.0, 0.0))) == 9
    assert np.count_nonzero(baselines.gaussian(impulse, ones, (0.0, 1.0))[4]) == np.count_nonzero(
        baselines.gaussian(impulse, ones, (0.0, 1.0))
    )


@pytest.mark.parametrize(
    "method", [lambda y, g: baselines.gaussian(y, g, 1.0), baselines.tv3d, baselines.nlm3d], ids=["gaussian", "tv3d", "nlm3d"]
)
def test_filtering_happens_in_unit_noise(method):
    """What is proportional to g is constant after the division by g: it passes unchanged."""
    g = np.random.default_rng(0).uniform(1, 3, (12, 12))
    y = (4 - 2j) * np.broadcast_to(g, (3, 12, 12))
    np.testing.assert_allclose(method(y, g), y, rtol=1e-5)


@pytest.mark.parametrize(
    "method", [lambda y, g: baselines.gaussian(y, g, 1.0), baselines.tv3d, baselines.nlm3d], ids=["gaussian", "tv3d", "nlm3d"]
)
def test_a_single_frame_is_a_series_too(method):
    case = beating_disk(8, (1, 64, 80))
    assert gain_db(case.noisy, method(case.noisy, case.g_map), case.clean) > 3


def test_tv_gains_more_than_10_db_on_a_piecewise_constant_phantom():
    case = beating_disk(8)
    tv = gain_db(case.noisy, baselines.tv3d(case.noisy, case.g_map), case.clean)
    width = baselines.best_gaussian([case])
    assert tv > 10
    assert tv > gain_db(case.noisy, baselines.gaussian(case.noisy, case.g_map, width), case.clean)


def test_best_gaussian_is_wider_at_lower_snr_and_best_of_the_list():
    wide, narrow = (baselines.best_gaussian([beating_disk(peak, seed=s) for s in (0, 1)]) for peak in (2, 30))
    assert sum(wide) > sum(narrow)
    case = beating_disk(8)
    gains = {w: float(gain_db(case.noisy, baselines.gaussian(case.noisy, case.g_map, w), case.clean)) for w in baselines.WIDTHS}
    assert gains[baselines.best_gaussian([case])] == max(gains.values())


def test_refusals():
    with pytest.raises(ValueError, match="2 values that are not positive"):
        baselines.tv3d(np.ones((1, 2, 2), np.complex64), np.array([[1, 0], [np.nan, 1]]))
    with pytest.raises(ValueError, match="no cases"):
        baselines.best_gaussian([])


def test_non_local_means_finds_repeated_structure():
    """Stripes that repeat are averaged over their repeats: the strength of choice beats the best Gaussian."""
    clean = np.broadcast_to(20 * (np.arange(24) % 6 < 3), (6, 20, 24)) * (1 + 1j)
    case = Case(
        "stripes",
        clean.astype(np.complex64),
        (clean + unit_noise(clean.shape)).astype(np.complex64),
        np.ones((20, 24)),
        28.0,
        1.0,
    )
    strength = baselines.best_nlm([case])
    assert strength in baselines.STRENGTHS
    gain = gain_db(case.noisy, baselines.nlm3d(case.noisy, case.g_map, strength), case.clean)
    width = baselines.best_gaussian([case])
    assert gain > gain_db(case.noisy, baselines.gaussian(case.noisy, case.g_map, width), case.clean) + 3
