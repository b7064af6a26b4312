"""Noise maps and strengths of a user's own series, on denoisers and noise for which both are known."""

import jax
import numpy as np
import pytest
from jax.tree_util import Partial

from snraware_jax import own_noise
from snraware_jax.errors import InputError

SHAPE = (5, 33, 40)
G_MAP = np.linspace(1, 2, 40, dtype=np.float32) * np.ones((33, 1), np.float32)
halved = Partial(lambda image, g_map: image / 2)


def white(seed=0):
    return ((np.random.default_rng(seed).normal(size=(*SHAPE, 2)) @ [1, 1j]) * G_MAP).astype(np.complex64)


def zero_filled(image):
    kept = np.abs(np.fft.fftfreq(33, 1 / 33)) < 10
    return (np.fft.ifft(np.fft.fft(image, axis=1) * kept[:, None], axis=1) / np.sqrt(kept.mean())).astype(np.complex64)


def test_the_noise_model_has_the_sd_of_g_and_the_empty_lines_of_the_image():
    for image, lines in ((white(), 33), (zero_filled(white()), 19)):
        noise = own_noise.noise_of(image, G_MAP)
        drawn = np.stack([noise(key) for key in jax.random.split(jax.random.key(0), 64)])
        sd = np.sqrt(np.mean(np.abs(drawn / G_MAP) ** 2) / 2)
        assert sd == pytest.approx(1, rel=0.01)
        power = np.mean(np.abs(np.fft.fft(drawn / G_MAP, axis=2)) ** 2, axis=(0, 1, 3))
        assert np.count_nonzero(power > 0.01 * power.max()) == lines


def test_the_noise_map_of_a_linear_denoiser():
    image = white()
    found = own_noise.noise_map(halved, image, G_MAP, own_noise.noise_of(image, G_MAP), jax.random.key(0), 64)
    assert np.mean(found / (G_MAP / 2)) == pytest.approx(1, abs=0.01)
    partly = own_noise.with_strength(halved, 0.5)  # 3/4 of the image
    found = own_noise.noise_map(partly, image, G_MAP, own_noise.noise_of(image, G_MAP), jax.random.key(0), 64)
    assert np.mean(found / (0.75 * G_MAP)) == pytest.approx(1, abs=0.01)


def test_the_strength_of_a_linear_denoiser():
    """y / 2 of a signal with three times the power of the noise: |x a|^2 + |(1 - a) n|^2 is least at a = 1/4, half of the strength."""
    noise = white()
    power = float(np.mean(np.abs(noise) ** 2))
    signal = np.sqrt(3 * power) * np.exp(1j * np.random.default_rng(1).uniform(-np.pi, np.pi, SHAPE))
    image = (signal + noise).astype(np.complex64)
    assert own_noise.best_strength(halved, image, G_MAP, jax.random.key(0)) == pytest.approx(0.5, abs=0.02)
    assert own_noise.best_strength(halved, noise, G_MAP, jax.random.key(0)) == 1
    with pytest.raises(InputError, match="no strength above 0"):  # a denoiser that adds noise
        own_noise.best_strength(Partial(lambda y, g: 1.5 * y), image, G_MAP, jax.random.key(0))
