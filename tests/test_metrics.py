"""Metrics of series whose errors are known in closed form."""

import jax
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from snraware_jax import metrics


@pytest.fixture
def series():
    rng = np.random.default_rng(0)
    normal = lambda: (rng.standard_normal((2, 3, 4, 5)) + 1j * rng.standard_normal((2, 3, 4, 5))).astype(np.complex64)
    return 10 * normal(), normal()  # clean, unit noise


@pytest.mark.parametrize("factor", [1.0, 0.5, 0.1j, -2.0])
def test_gain_of_a_scaled_error(series, factor):
    clean, noise = series
    gain = metrics.gain_db(clean + noise, clean + factor * noise, clean)
    np.testing.assert_allclose(gain, np.full(2, -20 * np.log10(abs(factor))), atol=1e-4)


def test_gain_has_no_scale_and_no_phase(series):
    clean, noise = series
    noisy, denoised = clean + noise, clean + 0.3 * noise.conj()
    turned = 7 * np.exp(1j)
    np.testing.assert_allclose(
        metrics.gain_db(turned * noisy, turned * denoised, turned * clean), metrics.gain_db(noisy, denoised, clean), rtol=1e-5
    )


def test_gain_is_of_each_series_by_itself(series):
    clean, noise = series
    denoised = clean + noise * np.array([0.5, 0.1])[:, None, None, None]
    np.testing.assert_allclose(metrics.gain_db(clean + noise, denoised, clean), [6.0206, 20.0], atol=1e-3)


def test_unit_noise_has_mse_1_and_66_db():
    clean = np.zeros((2, 2, 2), np.complex64)
    noise = np.full((2, 2, 2), 1 - 1j, np.complex64)
    assert metrics.mse(noise, clean) == 1
    np.testing.assert_allclose(metrics.psnr(noise, clean), 20 * np.log10(2048), atol=1e-4)
    np.testing.assert_allclose(metrics.psnr(noise, clean, maximum=1.0), 0, atol=1e-6)


def test_psnr_times_sigma_is_20_log_sigma_lower(series):
    clean, noise = series
    lower = metrics.psnr(clean + noise, clean) - metrics.psnr(8 * (clean + noise), 8 * clean)
    np.testing.assert_allclose(lower, 20 * np.log10(8), atol=1e-4)


def test_real_series_count_one_component():
    assert metrics.mse(np.full((1, 2, 2), 3.0), np.zeros((1, 2, 2))) == 9


def test_all_of_them_compile(series):
    clean, noise = series
    np.testing.assert_allclose(jax.jit(metrics.gain_db)(clean + noise, clean + 0.5 * noise, clean), 6.0206, atol=1e-3)
    np.testing.assert_allclose(jax.jit(metrics.psnr)(clean + noise, clean), metrics.psnr(clean + noise, clean), rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3, 21, 16), (1, 7, 7)])
def test_ssim_is_scikit_images(shape):
    rng = np.random.default_rng(1)
    clean = 100 + 20 * rng.standard_normal(shape) + 30 * np.hypot(*np.mgrid[: shape[-2], : shape[-1]])
    noisy = (clean * np.exp(0.3j) + 10 * rng.standard_normal(shape)).astype(np.complex64)
    found = metrics.ssim(noisy, clean.astype(np.float32), clean.max())
    frames = [
        structural_similarity(np.abs(a), b, data_range=clean.max())
        for a, b in zip(noisy.reshape(-1, *shape[-2:]), clean.reshape(-1, *shape[-2:]), strict=True)
    ]
    np.testing.assert_allclose(found, np.mean(np.reshape(frames, shape[:-2]), axis=-1), rtol=2e-5)
    assert metrics.ssim(noisy, noisy, 200.0).max() == pytest.approx(1, abs=1e-5)
