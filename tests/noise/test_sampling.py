"""Every random choice has the distribution that the settings say."""

import jax
import numpy as np
import pytest
from scipy import stats

from snraware_jax.noise import PRESETS, NoiseSettings
from snraware_jax.noise.sampling import draw

COUNT = 6000
LEAST_P = 1e-4  # chi-square; some 40 of them are made, with fixed keys


def draws(settings: NoiseSettings, maps: int = 7, axes: int = 2):
    keys = jax.random.split(jax.random.key(3), COUNT)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(lambda key: draw(key, settings, maps, axes)))(keys))


def check_even(values: np.ndarray, choices: tuple[float, ...]) -> None:
    check_shares(values, dict.fromkeys(choices, 1 / len(choices)))


def check_shares(values: np.ndarray, shares: dict[float, float]) -> None:
    counts = np.array([np.isclose(values, choice).sum() for choice in shares])
    assert counts.sum() == len(values)
    assert stats.chisquare(counts, np.array(list(shares.values())) * len(values)).pvalue > LEAST_P


@pytest.mark.parametrize("distribution", ["uniform", "log_uniform"])
def test_sigma(distribution):
    settings = NoiseSettings(sigma_min=0.5, sigma_distribution=distribution)
    sigma = draws(settings).sigma
    share = (sigma - 0.5) / 31.5 if distribution == "uniform" else np.log(sigma / 0.5) / np.log(64)
    assert stats.kstest(share, "uniform").pvalue > LEAST_P


@pytest.mark.parametrize(("name", "axes"), [("paper", 2), ("paper", 3), ("upstream", 2)])
def test_filters_of_every_axis(name, axes):
    settings = PRESETS[name]
    found = draws(settings, axes=axes)
    # a ratio of 1 comes where none was drawn, too
    drawn = 2 / 3 if name == "upstream" else 0.5
    ratios = settings.partial_fourier_ratios
    shares = {ratio: drawn / len(ratios) for ratio in ratios}
    shares[1.0] += 1 - drawn
    for axis in range(axes):
        check_even(found.gaussian[:, axis], settings.gaussian_sigmas)
        check_even(found.resolution[:, axis], settings.resolution_ratios)
        check_shares(found.partial_fourier[:, axis], shares)
        check_even(found.cut_start[:, axis], (0, 1))
    for values in (found.gaussian, found.resolution, found.cut_start.astype(float)):
        assert abs(np.corrcoef(values[:, :2].T)[0, 1]) < 4 / np.sqrt(COUNT)


def test_partial_fourier_of_one_axis_or_both():
    settings = NoiseSettings(partial_fourier_axes="one_or_both", partial_fourier_ratios=(0.6,))
    cut = draws(settings).partial_fourier < 1
    check_even(cut[:, 0] + 2 * cut[:, 1], (1, 2, 3))


def test_partial_fourier_of_both_axes_alone_in_the_paper():
    cut = draws(NoiseSettings(partial_fourier_ratios=(0.6,))).partial_fourier < 1
    check_even(cut[:, 0] + 2 * cut[:, 1], (0, 1, 2, 3))


def test_g_maps():
    check_even(draws(PRESETS["paper"]).g_index, tuple(range(7)))
    check_even(draws(PRESETS["upstream"]).g_index, tuple(range(8)))


def test_temporal_filter():
    assert not draws(PRESETS["paper"]).temporal.any()
    settings = PRESETS["upstream"]
    temporal = draws(settings).temporal
    each = settings.temporal_probability / len(settings.temporal_sigmas)
    check_shares(temporal, {0.0: 0.8} | dict.fromkeys(settings.temporal_sigmas, each))


def test_choices_are_independent_of_each_other():
    found = draws(PRESETS["upstream"])
    columns = [found.sigma, found.g_index, found.temporal, *found.gaussian.T, *found.resolution.T, *found.cut_start.T]
    correlation = np.corrcoef(np.array(columns, float))
    assert np.abs(correlation - np.eye(len(columns))).max() < 5 / np.sqrt(COUNT)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sigma_min": -1.0}, "sigma_min"),
        ({"sigma_min": 3.0, "sigma_max": 2.0}, "sigma_min"),
        ({"sigma_max": float("nan")}, "sigma_max"),
        ({"sigma_distribution": "log_uniform"}, "log-uniform"),
        ({"sigma_distribution": "normal"}, "sigma_distribution"),
        ({"order": "both"}, "order"),
        ({"g_maps": "all"}, "g_maps"),
        ({"partial_fourier_axes": "none"}, "partial_fourier_axes"),
        ({"resolution_ratios": (1.5,)}, "resolution_ratios"),
        ({"partial_fourier_ratios": (0.0, 1.0)}, "partial_fourier_ratios"),
        ({"gaussian_sigmas": ()}, "gaussian_sigmas is empty"),
        ({"gaussian_sigmas": (-0.5,)}, "gaussian_sigmas"),
        ({"temporal_sigmas": (float("inf"),)}, "temporal_sigmas"),
        ({"temporal_probability": 1.5}, "temporal_probability"),
        ({"taper_samples": -1}, "taper_samples"),
        ({"margin": 2.5}, "margin"),
        ({"partial_fourier_ratios": (0.1,)}, "leave nothing of an axis"),
        ({"gaussian_sigmas": 0.8}, "gaussian_sigmas is 0.8: give several numbers"),
        ({"gaussian_sigmas": [0.8]}, "gaussian_sigmas"),
        ({"gaussian_sigmas": (50.0,)}, "strengths lie from 0 to 10"),
        ({"sigma_max": 1e30}, "max <= 1e"),
        ({"sigma_min": "a"}, "sigma_min is 'a': give a number"),
    ],
)
def test_impossible_settings_are_refused_by_name(wrong, message):
    with pytest.raises(ValueError, match=f"noise.*{message}"):
        NoiseSettings(**wrong)


def test_the_configuration_states_the_paper_preset():
    from configs import base, upstream

    assert NoiseSettings(**base.get_config().noise) == PRESETS["paper"]
    assert NoiseSettings(**upstream.get_config().noise) == PRESETS["upstream"]
