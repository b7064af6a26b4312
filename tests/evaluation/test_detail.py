"""Measures of detail, of a linear filter whose answers are known and of operators that break a symmetry on purpose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snraware_jax.evaluation import detail
from tests.evaluation.linear import SERIES, TAPS, filtered

NOISY = jnp.asarray(SERIES.image)


def test_the_impulse_response_is_the_filter():
    response = detail.impulse_response(filtered, NOISY, (3, 10, 8))
    expected = np.zeros(NOISY.shape)
    for t, y, x in np.ndindex(3, 3, 3):
        expected[2 + t, 9 + y, 7 + x] = TAPS[t - 1] * TAPS[y - 1] * TAPS[x - 1]
    np.testing.assert_allclose(response, expected, atol=1e-6)
    for axis in range(3):
        assert detail.width_at_half_maximum(response, axis) == pytest.approx(2.0, abs=1e-6)


def test_a_gaussian_has_its_width_along_each_axis():
    t, y, x = np.mgrid[:15, :31, :41]
    response = np.exp(-((t - 7) ** 2) / 2 / 4.0 - (y - 15) ** 2 / 2 / 9.0 - (x - 20) ** 2 / 2 / 16.0)
    for axis, sigma in enumerate((2, 3, 4)):
        assert detail.width_at_half_maximum(jnp.asarray(response), axis) == pytest.approx(2.355 * sigma, rel=0.03)
    with pytest.raises(ValueError, match="does not fall to half"):
        detail.width_at_half_maximum(jnp.asarray(response[:, :, 20:]), 2)


def test_contrast_recovery_of_a_linear_filter_is_the_same_for_all_contrasts():
    lesion = jnp.asarray(detail.blob(NOISY.shape, (9.0, 8.0), 1.5))
    found = detail.contrast_recovery(filtered, NOISY, lesion, (0.5, 2.0, 8.0))
    expected = float(jnp.sum(lesion * filtered(lesion)) / jnp.sum(lesion**2))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert 0.3 < expected < 0.9
    np.testing.assert_allclose(detail.contrast_recovery(lambda y: y, NOISY, lesion, (1.0,)), 1, rtol=1e-4)
    np.testing.assert_allclose(detail.contrast_recovery(jnp.zeros_like, NOISY, lesion, (1.0,)), 0)


def test_a_denoiser_that_loves_real_parts_has_a_phase_error():
    assert detail.phase_error(filtered, NOISY) < 1e-5
    shrinks = lambda y: jax.lax.complex(filtered(y).real, 0.5 * filtered(y).imag)
    assert detail.phase_error(shrinks, NOISY) > 0.1


def test_the_right_g_map_is_the_best():
    g_map = jnp.asarray(SERIES.gmaps[0])
    ideal = lambda y, g: NOISY + (g - g_map)  # right where the g-map is, as wrong as it
    noisy = NOISY + 1
    shifted = lambda y, g: ideal(y, g) + 0.01
    assert (detail.g_map_sensitivity(shifted, noisy, g_map, NOISY) > 3).all()
    np.testing.assert_allclose(detail.g_map_sensitivity(lambda y, g: filtered(y), noisy, g_map, NOISY), 0, atol=1e-5)
