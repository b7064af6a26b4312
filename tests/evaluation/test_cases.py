"""Test cases have the noise level that they say, and the same noise in every list."""

import numpy as np
import pytest

from snraware_jax.evaluation.cases import cases_as_in_training, cases_at_input_snr, noisy_cases
from snraware_jax.noise import NoiseSettings
from tests.evaluation.linear import SERIES

NOISE = NoiseSettings(sigma_min=1.0)
OTHER = SERIES._replace(sample_id=8)


def test_levels_are_drawn_by_series_and_draw():
    cases = cases_as_in_training([SERIES, OTHER], NOISE, draws=2)
    assert len({case.sigma for case in cases}) == 4
    for case in cases:
        assert 1 <= case.sigma <= 32
        np.testing.assert_allclose(case.sigma * case.clean, SERIES.image, rtol=1e-5)
        assert case.peak_snr == pytest.approx(np.abs(case.clean).max())
    alone = cases_as_in_training([OTHER], NOISE)[0]
    np.testing.assert_array_equal(alone.noisy, cases[1].noisy)


def test_noise_is_unit_noise_times_g():
    case = cases_as_in_training([SERIES], NoiseSettings(sigma_min=1.0, filters=False))[0]
    unit = (case.noisy - case.clean) / case.g_map
    assert np.sqrt(np.mean(np.abs(unit) ** 2) / 2) == pytest.approx(1, abs=4 / np.sqrt(4 * unit.size))


def test_input_snr_is_the_mean_signal():
    found = cases_at_input_snr([SERIES, OTHER], (0.5, 2.0), NOISE)
    assert [level for level, _ in found] == [0.5, 0.5, 2.0, 2.0]
    for level, case in found:
        assert np.abs(case.clean).mean() == pytest.approx(level, rel=1e-4)
    same = noisy_cases([OTHER], (found[3][1].peak_snr,), NOISE)[0]
    np.testing.assert_allclose(same.noisy, found[3][1].noisy, rtol=1e-4, atol=1e-4)


def test_levels_that_a_series_is_too_noisy_for_are_left_out():
    """A series with noise of its own gets what is missing up to the level, and nothing at levels that its own noise is above."""
    peak = float(np.abs(SERIES.image).max())
    noisy = SERIES._replace(native_noise=peak / 8)
    assert [case.peak_snr for case in noisy_cases([noisy, OTHER], (4.0, 16.0), NOISE)] == [4.0, 4.0, 16.0]
    (case,) = noisy_cases([noisy], (4.0,), NoiseSettings(filters=False))
    assert case.sigma == pytest.approx(peak / 4, rel=1e-4)
    added = (case.noisy - case.clean) / case.g_map
    expected = np.sqrt(1 - (4 / 8) ** 2)
    assert np.sqrt(np.mean(np.abs(added) ** 2) / 2) == pytest.approx(expected, abs=4 * expected / np.sqrt(4 * added.size))
