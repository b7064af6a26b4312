"""The response on a window has the noise level of the whole axis exactly, and its covariance nearly."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snraware_jax.noise import PRESETS, response
from snraware_jax.noise.response import Filters

TAPER = 10
PATCH, POINTS = 64, 80
PAPER = PRESETS["paper"]
# every combination of the paper's choices on one axis
CHOICES = np.array(
    list(itertools.product(PAPER.gaussian_sigmas, PAPER.partial_fourier_ratios, (0, 1), PAPER.resolution_ratios)), np.float32
)
chosen = lambda row: Filters(row[0], row[1], row[2] > 0, row[3])
WINDOWS = jax.jit(jax.vmap(lambda size, row: response.window(size, POINTS, chosen(row), TAPER), (None, 0)))


def covariance(f: np.ndarray, distances: int) -> np.ndarray:
    """Covariance of unit white noise filtered with f (DC first), at distances from 0 on, relative to the variance."""
    return np.fft.ifft(np.abs(f) ** 2, axis=-1)[..., :distances]


@pytest.mark.parametrize("size", [80, 144, 191, 256])
def test_covariance_of_a_window_is_that_of_the_axis(size):
    windows = np.asarray(WINDOWS(size, CHOICES), np.float64)
    whole = np.asarray(jax.vmap(lambda row: response.full(size, chosen(row), TAPER))(CHOICES), np.float64)
    expected = covariance(whole, PATCH)
    error = np.abs(covariance(windows, PATCH) - expected)
    np.testing.assert_allclose(covariance(windows, 1), 1, atol=1e-5)  # unit noise
    assert error[:, : POINTS // 2].max() < 0.015
    assert error.max() < 0.05  # as far apart as the patch is long, where the window's period comes in
    pairs = PATCH - np.arange(PATCH)  # at every distance
    assert np.sqrt((error**2 @ pairs).max() / pairs.sum()) < 0.01


@pytest.mark.parametrize("size", [20, 33])
def test_a_window_of_all_points_is_the_axis(size):
    for row in CHOICES[::17]:
        window = response.window(size, size, chosen(row), 4)
        np.testing.assert_allclose(window**2, response.full(size, chosen(row), 4) ** 2, atol=2e-5)


def test_the_size_may_be_traced():
    sizes = jnp.array([64, 143, 200])
    together = jax.vmap(lambda size: response.window(size, 40, Filters(1.5, 0.7, True, 0.65), TAPER))(sizes)
    for size, one in zip(sizes, together, strict=True):
        whole = response.full(int(size), Filters(1.5, 0.7, True, 0.65), TAPER)
        np.testing.assert_allclose(covariance(np.asarray(one), 20), covariance(np.asarray(whole), 20), atol=0.03)


def test_the_loader_refuses_what_is_too_long():
    from data_pipeline import loader

    assert loader.LONGEST == response.LONGEST
