"""Noise map and SURE against what is known of a linear denoiser: a Gaussian filter, made here from its taps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snraware_jax.evaluation import cases, noise_maps, sure
from snraware_jax.metrics import mse
from snraware_jax.noise import NoiseSettings
from tests.evaluation.linear import SERIES, filtered, truth_of_noise


@pytest.fixture(scope="module")
def settings():
    return {"white": NoiseSettings(filters=False), "coloured": NoiseSettings()}


@pytest.mark.parametrize("colour", ["white", "coloured"])
def test_both_maps_are_that_of_the_filter(settings, colour):
    noise = cases.noise_of(SERIES, 8.0, settings[colour])
    (case,) = cases.noisy_cases([SERIES], (8.0,), settings[colour])
    key = jax.random.key(1)
    truth = truth_of_noise(noise)
    derivative = jax.jit(lambda y: noise_maps.from_derivative(filtered, y, noise, key, 256))(case.noisy)
    replicas = jax.jit(lambda y: noise_maps.from_replicas(filtered, y, noise, key, 256))(case.noisy)
    for found, error in ((derivative, 1 / np.sqrt(4 * 256)), (replicas, 1 / np.sqrt(4 * 255))):
        ratio = np.asarray(found / truth)
        assert abs(ratio.mean() - 1) < 0.01
        assert ratio.std() == pytest.approx(error, rel=0.25)


@pytest.mark.parametrize("colour", ["white", "coloured"])
def test_sure_is_the_true_error_on_average(settings, colour):
    noise = cases.noise_of(SERIES, 8.0, settings[colour])
    (case,) = cases.noisy_cases([SERIES], (8.0,), settings[colour])

    @jax.jit
    def estimated_and_true(key):
        of_noise, of_probes = jax.random.split(key)
        noisy = case.clean + noise(of_noise)
        return sure.sure(filtered, noisy, noise, of_probes, 8).mse, mse(filtered(noisy), case.clean)

    estimated, true = np.array([estimated_and_true(key) for key in jax.random.split(jax.random.key(2), 100)]).T
    error = np.std(estimated - true) / np.sqrt(len(true))
    assert abs(np.mean(estimated - true)) < 3 * error
    assert 3 * error < 0.1 * true.mean()


def test_sure_with_the_noise_of_another_colour_is_wrong(settings):
    (case,) = cases.noisy_cases([SERIES], (8.0,), settings["coloured"])
    found = {name: sure.sure(filtered, case.noisy, cases.noise_of(SERIES, 8.0, settings[name]), jax.random.key(3), 8)
             for name in settings}  # fmt: skip
    true = float(mse(filtered(case.noisy), case.clean))
    assert abs(float(found["coloured"].mse) - true) < abs(float(found["white"].mse) - true)


def test_the_standard_error_is_that_of_the_probes(settings):
    noise = cases.noise_of(SERIES, 8.0, settings["white"])
    (case,) = cases.noisy_cases([SERIES], (8.0,), settings["white"])
    estimates = [sure.sure(filtered, case.noisy, noise, key, 8) for key in jax.random.split(jax.random.key(4), 40)]
    spread = np.std([float(one.mse) for one in estimates])
    assert np.mean([float(one.standard_error) for one in estimates]) == pytest.approx(spread, rel=0.4)


def test_a_mean_is_that_of_any_number_of_keys():
    for count in (1, 3, 7, 8):
        keys = jax.random.split(jax.random.key(5), count)
        of = lambda key: (jax.random.normal(key, (2,)), jnp.float32(1))
        mean, one = noise_maps.mean_over(of, keys)
        np.testing.assert_allclose(mean, np.mean([of(key)[0] for key in keys], axis=0), rtol=1e-5)
        assert one == 1


def test_noise_of_a_series_that_has_its_own_is_refused(settings):
    with pytest.raises(ValueError, match="noise of its own"):
        cases.noise_of(SERIES._replace(native_noise=1.0), 8.0, settings["white"])
