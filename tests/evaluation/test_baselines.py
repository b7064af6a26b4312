"""Baselines on noise and phantoms of known make."""

import importlib.util
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from snraware_jax.errors import InputError
from snraware_jax.evaluation import baselines
from snraware_jax.evaluation.in_distribution import Case
from snraware_jax.metrics import gain_db

needs_dipy = pytest.mark.skipif(importlib.util.find_spec("dipy") is None, reason="needs dipy: pip install -e '.[baselines]'")
needs_bm4d = pytest.mark.skipif(importlib.util.find_spec("bm4d") is None, reason="needs bm4d, for non-commercial use only")


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
    converged = partial(baselines.tv3d, tolerance=baselines.CONVERGED)
    weight = baselines.best_strength(converged, baselines.WEIGHTS, [case])
    assert gain_db(case.noisy, converged(case.noisy, case.g_map, weight), case.clean) > tv + 1


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
    strength = baselines.best_strength(baselines.nlm3d, baselines.STRENGTHS, [case])
    assert strength in baselines.STRENGTHS
    gain = gain_db(case.noisy, baselines.nlm3d(case.noisy, case.g_map, strength), case.clean)
    width = baselines.best_gaussian([case])
    assert gain > gain_db(case.noisy, baselines.gaussian(case.noisy, case.g_map, width), case.clean) + 3


def low_rank(peak=10.0, shape=(12, 20, 24)):
    """Two regions, each with a curve over time and a phase of its own, both signs in both parts; g rises along x."""
    frames, height, width = shape
    t, y, x = np.mgrid[:frames, :height, :width]
    left = x < width // 2
    curve = np.where(left, np.cos(2 * np.pi * t / frames), np.sin(4 * np.pi * t / frames))
    clean = (peak * curve * np.exp(1j * np.where(left, 0.7, 2.5) + 0.1j * y)).astype(np.complex64)
    g = np.broadcast_to(1 + x[0] / width, shape[1:]).astype(np.float32)
    return Case("low rank", clean, (clean + g * unit_noise(shape)).astype(np.complex64), g, peak, 1.0)


PCA = {"mp_pca": lambda y, g: baselines.mp_pca(y, g, radius=3), "local_pca": lambda y, g: baselines.local_pca(y, g, radius=3)}


@needs_dipy
@pytest.mark.parametrize("name", PCA)
def test_pca_finds_the_few_components_of_a_series(name):
    """49 pixels of 12 frames (24 measurements) hold few components: white noise falls by more than 5 dB, and the mean is kept."""
    case = low_rank()
    smooth = PCA[name](case.noisy, case.g_map)
    assert smooth.dtype == np.complex64
    assert gain_db(case.noisy, smooth, case.clean) > 5
    residual = (smooth - case.clean) / case.g_map
    assert abs(residual.mean()) < 0.05
    assert smooth.real.min() < -5  # dipy alone gives nothing below 0
    assert smooth.imag.min() < -5


@needs_dipy
@pytest.mark.parametrize("name", PCA)
def test_pca_is_of_the_series_over_g(name):
    """As much more noise as g says is the same series in unit noise: the output has the scale of g."""
    case = low_rank(shape=(5, 9, 10))
    once, thrice = PCA[name](case.noisy, case.g_map), PCA[name](3 * case.noisy, 3 * case.g_map)
    np.testing.assert_allclose(thrice, 3 * once, rtol=1e-4, atol=1e-4)


@needs_dipy
def test_mp_pca_estimates_the_noise_and_local_pca_is_told():
    """With a g-map that is a third of the noise, MP-PCA does the same, and local PCA takes noise for signal."""
    case = low_rank()
    gains = {
        name: [gain_db(case.noisy, pca(case.noisy, g), case.clean) for g in (case.g_map, case.g_map / 3)]
        for name, pca in PCA.items()
    }
    assert gains["mp_pca"][1] == pytest.approx(gains["mp_pca"][0], abs=0.01)
    assert gains["local_pca"][1] < gains["local_pca"][0] - 3


@needs_dipy
def test_mp_pca_takes_magnitudes():
    """Without an imaginary part it has half the measurements, not as many again without noise."""
    case = low_rank()
    noisy, clean = np.abs(case.noisy) + 0j, np.abs(case.clean) + 0j
    assert gain_db(noisy, baselines.mp_pca(noisy, case.g_map, radius=3), clean) > 1


@needs_dipy
@pytest.mark.parametrize("method", [baselines.mp_pca, baselines.local_pca])
def test_pca_needs_frames_and_patches(method):
    with pytest.raises(InputError, match="single frame has no temporal components"):
        method(np.ones((1, 16, 16), np.complex64), np.ones((16, 16)))
    with pytest.raises(InputError, match=r"image of 5 x 16 is smaller than a patch, 11 x 11"):
        method(np.ones((3, 5, 16), np.complex64), np.ones((5, 16)), radius=5)


def test_a_missing_package_is_named_with_the_way_to_get_it(monkeypatch):
    for module in ("dipy", "dipy.denoise.localpca", "bm4d"):
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    series, g = np.ones((5, 12, 12), np.complex64), np.ones((12, 12))
    with pytest.raises(InputError, match=r"mp_pca needs the package dipy: pip install 'snraware-jax\[baselines\]'"):
        baselines.mp_pca(series, g)
    with pytest.raises(InputError, match=r"local_pca needs the package dipy"):
        baselines.local_pca(series, g)
    with pytest.raises(InputError, match=r"bm4d needs the package bm4d: pip install bm4d .*non-commercial"):
        baselines.bm4d(series, g, np.ones(series.shape))


@pytest.mark.parametrize("shape", [(3, 12, 12), (5, 12, 7)])
def test_bm4d_needs_as_much_as_its_blocks(shape):
    with pytest.raises(InputError, match="is smaller than its blocks"):
        baselines.bm4d(np.ones(shape, np.complex64), np.ones(shape[1:]), np.ones(shape))


def test_bm4d_filters_both_parts_in_unit_noise_and_is_given_the_psd(monkeypatch):
    """What stands in for the package multiplies by 1 or 2 and notes its input: the series over g, frames last, as the PSD."""
    given = []

    def stand_in(part, psd):
        given.append((part, psd))
        return len(given) * part

    monkeypatch.setitem(sys.modules, "bm4d", SimpleNamespace(bm4d=stand_in))
    case, psd = low_rank(shape=(5, 9, 10)), np.arange(450.0).reshape(5, 9, 10)
    output = baselines.bm4d(case.noisy, case.g_map, psd)
    np.testing.assert_allclose(output, case.noisy.real + 2j * case.noisy.imag, rtol=1e-5)
    np.testing.assert_allclose(given[0][0][..., 2], case.noisy[2].real / case.g_map, rtol=1e-5)
    np.testing.assert_array_equal(given[1][1][..., 2], psd[2])


@needs_bm4d
def test_bm4d_gains_from_knowing_the_colour():
    """Noise that is smooth along x: told so, BM4D gains more than taking it for white (one frame: a call takes seconds)."""
    case = beating_disk(8, (1, 64, 80))
    spread = np.fft.fft(np.exp(-(np.minimum(np.arange(80), 80 - np.arange(80)) ** 2) / 4))
    response = spread.real / np.sqrt(np.mean(spread.real**2))  # of SD 1
    noise = np.fft.ifft(np.fft.fft(unit_noise(case.clean.shape)) * response)
    noisy = (case.clean + case.g_map * noise).astype(np.complex64)
    psd = np.broadcast_to(response**2, noisy.shape) * noisy.size
    white = np.full(noisy.shape, float(noisy.size))
    gains = [gain_db(noisy, baselines.bm4d(noisy, case.g_map, known), case.clean) for known in (psd, white)]
    assert gains[0] > gains[1] + 1
    assert gains[0] > 5
