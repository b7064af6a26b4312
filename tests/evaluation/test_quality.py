"""Figures of Table 2 by hand, and the conventions of PSNR apart by what they should be."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from snraware_jax.evaluation.cases import noisy_cases
from snraware_jax.evaluation.quality import quality
from snraware_jax.noise import NoiseSettings
from tests.evaluation.linear import SERIES


@pytest.fixture(scope="module")
def case():
    return noisy_cases([SERIES], (8.0,), NoiseSettings())[0]


def test_by_hand(case):
    output = case.clean + 0.5 * (case.noisy - case.clean)
    found = quality(output, case)
    difference = np.stack([(output - case.clean).real, (output - case.clean).imag])
    assert found.psnr == pytest.approx(10 * np.log10(2048**2 / np.mean(difference**2)), abs=1e-3)
    assert found.l1 == pytest.approx(np.mean(np.abs(difference)), rel=1e-5)
    assert found.gain_db == pytest.approx(20 * np.log10(2), abs=1e-3)
    magnitudes = np.abs(output), np.abs(case.clean)
    frames = [structural_similarity(a, b, data_range=magnitudes[1].max()) for a, b in zip(*magnitudes, strict=True)]
    assert found.ssim == pytest.approx(np.mean(frames), abs=1e-5)


def test_the_conventions_differ_by_sigma(case):
    """Sigma is what brings a series to its level: the largest magnitude is level x sigma."""
    assert case.sigma == pytest.approx(np.abs(SERIES.image).max() / 8)
    np.testing.assert_allclose(case.sigma * case.clean, SERIES.image, rtol=1e-5)
    found = quality(case.noisy, case)
    assert found.psnr - found.psnr_times_sigma == pytest.approx(20 * np.log10(case.sigma), abs=1e-3)
    assert found.gain_db == pytest.approx(0, abs=1e-4)


def test_magnitudes_have_one_component():
    (case,) = noisy_cases([SERIES], (8.0,), NoiseSettings(), magnitude=True)
    found = quality(case.noisy, case, magnitude=True)
    difference = (case.noisy - case.clean).real
    assert found.psnr == pytest.approx(10 * np.log10(2048**2 / np.mean(difference**2)), abs=1e-3)
    assert found.l1 == pytest.approx(np.mean(np.abs(difference)), rel=1e-5)
    assert found.gain_db == pytest.approx(0, abs=1e-4)
