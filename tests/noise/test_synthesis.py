"""Noise has the SD that theory gives, in both orders, on even and odd sizes, and depends on its key alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snraware_jax.noise import NoiseSettings, make_pair, sample_key
from snraware_jax.noise.sampling import Draw, draw
from snraware_jax.noise.synthesis import deviation, synthesise

FRAMES = 4096
HARSH = Draw(
    sigma=jnp.float32(3.0),
    g_index=jnp.int32(0),
    gaussian=jnp.array([1.5, 2.25]),
    partial_fourier=jnp.array([0.7, 1.0]),
    cut_start=jnp.array([True, False]),
    resolution=jnp.array([0.85, 0.65]),
)


def g_map(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return (1.5 + 0.5 * np.sin(y / 2) * np.cos(x / 3)).astype(np.float32)


@pytest.mark.parametrize("order", ["g_then_filter", "filter_then_g"])
@pytest.mark.parametrize("size", [(16, 20), (15, 17)], ids=["even", "odd"])
def test_sd_is_the_theoretical_one_in_every_pixel(order, size):
    settings = NoiseSettings(order=order)
    g = g_map(*size)
    noise = np.asarray(synthesise(jax.random.key(0), g, HARSH, settings, FRAMES))
    expected = np.asarray(deviation(g, HARSH, settings))
    if order == "filter_then_g":
        np.testing.assert_allclose(expected, 3 * g, rtol=1e-6)
    standard_error = 1 / np.sqrt(2 * FRAMES)
    for part in (noise.real, noise.imag):
        np.testing.assert_allclose(part.std(axis=0) / expected, 1, atol=5 * standard_error)
    assert abs(np.mean(noise.real * noise.imag)) < 5 * 9 * standard_error / np.sqrt(noise[0].size / 10)


def test_filters_colour_the_noise_and_white_noise_stays_white():
    shape = (16, 20)
    correlation = {}
    for filters in (True, False):
        settings = NoiseSettings(filters=filters)
        noise = np.asarray(synthesise(jax.random.key(1), np.ones(shape, np.float32), HARSH, settings, 512))
        correlation[filters] = np.mean(noise[:, :, 1:] * noise[:, :, :-1].conj()).real / np.mean(abs(noise) ** 2)
    assert correlation[True] > 0.3
    assert abs(correlation[False]) < 0.02


def test_pair_has_unit_noise_and_equal_signal():
    settings = NoiseSettings(sigma_min=5.0, sigma_max=5.0, order="filter_then_g", g_maps="ones")
    clean = np.full((256, 16, 16), 40 + 9j, np.complex64)
    noisy, target, g, sigma = make_pair(sample_key(0, 0, 7), clean, np.full((7, 16, 16), 3.0, np.float32), settings)
    assert sigma == 5
    np.testing.assert_array_equal(g, 1)
    np.testing.assert_allclose(target, clean / np.sqrt(26), rtol=1e-6)
    # the clean series' own unit noise is not part of this difference: 5 / sqrt(26)
    np.testing.assert_allclose(np.std((noisy - target).real), 5 / np.sqrt(26), rtol=0.02)


def test_truth_without_noise_gives_exactly_unit_noise():
    settings = NoiseSettings(sigma_min=5.0, sigma_max=5.0, order="filter_then_g", g_maps="ones")
    clean = np.zeros((256, 16, 16), np.complex64)
    noisy, *_ = make_pair(sample_key(0, 0, 7), clean, np.ones((7, 16, 16), np.float32), settings, native_noise=0.0)
    np.testing.assert_allclose(np.std(np.asarray(noisy).imag), 1, rtol=0.02)


def test_no_noise_at_all_stays_finite():
    settings = NoiseSettings(sigma_min=0.0, sigma_max=0.0)
    noisy, target, *_ = make_pair(
        sample_key(0, 0, 1), np.ones((2, 8, 8), np.complex64), np.ones((7, 8, 8), np.float32), settings, native_noise=0.0
    )
    assert np.isfinite(noisy).all()
    assert np.isfinite(target).all()


def test_noise_depends_on_seed_epoch_and_id_alone():
    settings = NoiseSettings()
    clean, maps = np.zeros((2, 8, 8), np.complex64), np.ones((7, 8, 8), np.float32)
    make = jax.jit(lambda seed, epoch, sample: make_pair(sample_key(seed, epoch, sample), clean, maps, settings)[0])
    reference = make(0, 0, 0)
    np.testing.assert_array_equal(make(0, 0, 0), reference)
    for other in [(1, 0, 0), (0, 1, 0), (0, 0, 1)]:
        assert not np.allclose(make(*other), reference)
    in_batch = jax.vmap(make, (None, None, 0))(0, 0, jnp.arange(3))
    np.testing.assert_allclose(in_batch[0], reference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("distribution", ["uniform", "log_uniform"])
def test_draws_cover_their_ranges_evenly(distribution):
    settings = NoiseSettings(sigma_min=0.5, sigma_distribution=distribution)
    draws = jax.vmap(lambda key: draw(key, settings, 7))(jax.random.split(jax.random.key(3), 7000))
    share = np.asarray((draws.sigma - 0.5) / 31.5 if distribution == "uniform" else jnp.log(draws.sigma / 0.5) / jnp.log(64))
    assert ((share >= 0) & (share <= 1)).all()
    for counts in (
        np.histogram(share, 7, (0, 1))[0],
        np.bincount(np.asarray(draws.g_index), minlength=7),
        *(np.unique(np.asarray(draws.gaussian)[:, axis], return_counts=True)[1] for axis in (0, 1)),
        *(np.unique(np.asarray(draws.resolution)[:, axis], return_counts=True)[1] for axis in (0, 1)),
    ):
        expected = 7000 / len(counts)
        assert ((counts - expected) ** 2 / expected).sum() < 30  # chi-square of at most 6 degrees: p < 1e-4
    without = np.asarray(draws.partial_fourier == 1).mean()
    assert abs(without - 0.6) < 0.02  # half not drawn, and a fifth of the other half drew ratio 1
    assert abs(np.corrcoef(np.asarray(draws.gaussian).T)[0, 1]) < 0.05


@pytest.mark.parametrize(
    "wrong",
    [
        {"sigma_min": 3.0, "sigma_max": 2.0},
        {"sigma_distribution": "log_uniform"},
        {"order": "both"},
        {"resolution_ratios": (1.5,)},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="noise"):
        dataclasses.replace(NoiseSettings(), **wrong)
