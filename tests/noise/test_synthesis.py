"""Noise has the SD, covariance and spectrum that theory gives, in both orders, of whole series, patches and volumes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snraware_jax.noise import PRESETS, NoiseSettings
from snraware_jax.noise.sampling import Draw
from snraware_jax.noise.synthesis import colour, deviation, responses, synthesise

FRAMES = 4096
ORDERS = ("g_then_filter", "filter_then_g")
HARSH = Draw(
    sigma=jnp.float32(3.0),
    g_index=jnp.int32(0),
    gaussian=jnp.array([1.5, 2.25]),
    partial_fourier=jnp.array([0.7, 1.0]),
    cut_start=jnp.array([True, False]),
    resolution=jnp.array([0.85, 0.65]),
    temporal=jnp.float32(0.0),
)
MILD = HARSH._replace(gaussian=jnp.array([0.8, 1.0]), partial_fourier=jnp.array([1.0, 0.85]), resolution=jnp.array([1.0, 0.85]))
NONE = HARSH._replace(gaussian=jnp.zeros(2), partial_fourier=jnp.ones(2), resolution=jnp.ones(2))
SETTINGS = {order: NoiseSettings(order=order, taper_samples=3, margin=6) for order in ORDERS}


def bumpy_g(*shape: int) -> np.ndarray:
    """A g-map from 1 to 3, smooth."""
    places = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return (2 + np.sin(places[-2] / 2 + 1) * np.cos(places[-1] / 3) * (1 if len(shape) == 2 else np.cos(places[0]))).astype(
        np.float32
    )


def window_of(g: np.ndarray, start: tuple[int, int], shape: tuple[int, int], margin: int) -> np.ndarray:
    """A patch of a g-map with a margin, as it continues around the image."""
    rows, columns = (
        np.arange(first - margin, first + n + margin) % size for first, n, size in zip(start, shape, g.shape, strict=True)
    )
    return g[rows[:, None], columns]


def check_sd(noise: np.ndarray, expected: np.ndarray) -> None:
    error = 5 / np.sqrt(2 * len(noise))
    for part in (noise.real, noise.imag):
        np.testing.assert_allclose(part.std(axis=0) / expected, 1, atol=error)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [(16, 20), (15, 17)], ids=["even", "odd"])
@pytest.mark.parametrize("choices", [HARSH, MILD, NONE], ids=["harsh", "mild", "none"])
def test_sd_is_the_theoretical_one_in_every_pixel(order, size, choices):
    settings, g = SETTINGS[order], bumpy_g(*size)
    noise = np.asarray(synthesise(jax.random.key(0), g, choices, settings, (FRAMES, *size)))
    expected = np.asarray(deviation(g, choices, settings, (FRAMES, *size)))
    if order == "filter_then_g" or choices is NONE:
        np.testing.assert_allclose(expected, 3 * g, rtol=1e-5)
    else:
        np.testing.assert_allclose(expected, direct_deviation(g, choices, settings), rtol=1e-4)
    check_sd(noise, expected)


def direct_deviation(g: np.ndarray, choices: Draw, settings: NoiseSettings) -> np.ndarray:
    """sigma sqrt(sum_j |h(i - j)|^2 g(j)^2), pixel by pixel."""
    impulse = np.zeros(g.shape, np.complex64)
    impulse[0, 0] = 1
    power = np.abs(np.asarray(colour(impulse, responses(choices, settings, (1, *g.shape))))) ** 2
    variance = np.zeros(g.shape)
    for row, column in np.ndindex(g.shape):
        variance += g[row, column] ** 2 * np.roll(power, (row, column), (0, 1))
    return float(choices.sigma) * np.sqrt(variance)


@pytest.mark.parametrize("order", ORDERS)
def test_sd_of_a_patch(order):
    settings, whole, start, shape = SETTINGS[order], bumpy_g(40, 36), (7, 20), (12, 10)
    g = window_of(whole, start, shape, settings.g_margin)
    size = jnp.array([FRAMES, 40, 36])
    noise = np.asarray(synthesise(jax.random.key(1), g, HARSH, settings, (FRAMES, *shape), size))
    assert noise.shape == (FRAMES, *shape)
    exact = np.asarray(deviation(g, HARSH, settings, (FRAMES, *shape), size))
    check_sd(noise, exact)
    of_series = np.asarray(deviation(whole, HARSH, settings, (FRAMES, 40, 36)))[7:19, 20:30]
    np.testing.assert_allclose(exact, of_series, rtol=1e-6 if order == "filter_then_g" else 0.03)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("choices", [HARSH, MILD], ids=["harsh", "mild"])
def test_covariance_of_a_patch_is_that_of_the_series(order, choices):
    """Between any two pixels, relative to their SDs; exact matrices, from the noise that single white pixels become."""
    settings, whole, start, shape = SETTINGS[order], bumpy_g(40, 36), (7, 20), (12, 10)
    inside = np.ix_(range(7, 19), range(20, 30))
    expected = correlation(spreads(whole, choices, settings, None, lambda pixels: pixels[:, *inside]))
    window = window_of(whole, start, shape, settings.margin)
    trim = slice(settings.margin, -settings.margin)
    found = correlation(spreads(window, choices, settings, jnp.array([1, 40, 36]), lambda pixels: pixels[:, trim, trim]))
    error = np.abs(found - expected)
    assert error.max() < 0.06
    assert np.quantile(error, 0.95) < 0.02
    neighbours = np.abs(expected)[~np.eye(len(expected), dtype=bool)]
    assert neighbours.max() > 0.3  # there is something to get wrong


def spreads(g: np.ndarray, choices: Draw, settings: NoiseSettings, size, part) -> np.ndarray:
    """What each white pixel contributes to every pixel of a part: `[white pixels, pixels of the part]`."""
    pixels = np.eye(g.size, dtype=np.complex64).reshape(-1, *g.shape)
    filters = responses(choices, settings, (1, *g.shape), 2, size)
    g_first = settings.order == "g_then_filter"
    filtered = np.asarray(colour(pixels * (g if g_first else 1), filters)) * (1 if g_first else g)
    return part(filtered).reshape(g.size, -1)


def correlation(spread: np.ndarray) -> np.ndarray:
    covariance = spread.T @ spread.conj()
    sd = np.sqrt(np.diag(covariance).real)
    return covariance / np.outer(sd, sd)


@pytest.mark.parametrize("size", [(2048, 12, 14), (2048, 11, 13)], ids=["even", "odd"])
@pytest.mark.parametrize("choices", [HARSH, MILD, NONE], ids=["harsh", "mild", "none"])
def test_spectrum_and_autocorrelation_are_those_of_the_filters(size, choices):
    settings = SETTINGS["g_then_filter"]
    noise = np.asarray(synthesise(jax.random.key(2), np.ones(size[1:], np.float32), choices, settings, size)) / 3
    f = np.outer(*(np.asarray(f) for _, f in responses(choices, settings, size)))
    power = np.mean(np.abs(np.fft.fft2(noise, norm="ortho")) ** 2, axis=0) / 2
    np.testing.assert_allclose(power, f**2, atol=1e-6 + 6 * (f**2).max() / np.sqrt(size[0]))
    kept = f > 0
    np.testing.assert_allclose(power[kept] / f[kept] ** 2, 1, atol=6 / np.sqrt(size[0]))
    # Wiener-Khinchin: the autocorrelation is the transform of the power
    expected = np.fft.ifft2(f**2)
    for shift in ((0, 1), (1, 0), (2, 3)):
        found = np.mean(np.roll(noise, (-shift[0], -shift[1]), (1, 2)) * noise.conj()) / 2
        np.testing.assert_allclose(found, expected[shift], atol=6 / np.sqrt(noise.size / 4))


def test_filter_along_time():
    settings = dataclasses.replace(PRESETS["upstream"], taper_samples=3, margin=6)
    choices, shape = MILD._replace(temporal=jnp.float32(1.5)), (30, 32, 32)
    noise = np.asarray(jax.vmap(lambda key: synthesise(key, np.ones((32, 32), np.float32), choices, settings, shape))(keys(16)))
    check_sd(noise.reshape(16, 30, -1).transpose(0, 2, 1).reshape(-1, 30), np.full(30, 3.0))
    f = np.asarray(responses(choices, settings, shape)[0][1])
    power = np.mean(np.abs(np.fft.fft(noise, axis=1, norm="ortho")) ** 2, axis=(0, 2, 3)) / 18
    # pixels are correlated, so there are fewer independent ones
    np.testing.assert_allclose(power, f**2, atol=0.05)
    assert power.max() / power[15] > 5
    # of a patch of 8 frames: neighbours in time are as alike as in the series
    patch = jax.vmap(
        lambda key: synthesise(key, np.ones((12, 12), np.float32), choices, settings, (8, 12, 12), jnp.array(shape))
    )
    of_patch = np.asarray(patch(keys(64)))
    for distance in (1, 2, 3):
        alike = lambda n, d=distance: np.mean(n[:, d:] * n[:, :-d].conj()).real / 18
        np.testing.assert_allclose(alike(of_patch), np.fft.ifft(f**2)[distance].real, atol=0.03)
        np.testing.assert_allclose(alike(noise), np.fft.ifft(f**2)[distance].real, atol=0.03)
    # without a margin along time its ends would be neighbours
    assert abs(np.mean(of_patch[:, 0] * of_patch[:, -1].conj())) / 18 < 0.1 < np.fft.ifft(f**2)[1].real


@pytest.mark.parametrize("order", ORDERS)
def test_volumes_are_filtered_along_depth_too(order):
    settings, shape = SETTINGS[order], (9, 10, 12)
    choices, g = volume_choices(), bumpy_g(*shape)
    make = jax.jit(jax.vmap(lambda key: synthesise(key, g, choices, settings, shape)))
    noise = np.concatenate([np.asarray(make(keys(512, first))) for first in range(4)])
    check_sd(noise, np.asarray(deviation(g, choices, settings, shape)))
    across = np.mean(noise[:, 1:] * noise[:, :-1].conj() / (g[1:] * g[:-1]))
    assert abs(across) / 18 > 0.2


@pytest.mark.parametrize("order", ORDERS)
def test_sd_and_covariance_of_a_patch_of_a_volume(order):
    """Along D too there is a margin: the first and the last slice of a patch are not neighbours."""
    settings, whole, patch = SETTINGS[order], (30, 20, 24), (8, 6, 6)
    choices = volume_choices()
    g = bumpy_g(*whole)
    margin = settings.g_margin
    places = [
        np.arange(start - margin, start + n + margin) % size for start, n, size in zip((12, 7, 8), patch, whole, strict=True)
    ]
    window = g[np.ix_(*places)]
    exact = np.asarray(deviation(window, choices, settings, patch, jnp.array(whole)))
    of_volume = np.asarray(deviation(g, choices, settings, whole))[12:20, 7:13, 8:14]
    np.testing.assert_allclose(exact, of_volume, rtol=1e-6 if order == "filter_then_g" else 0.05)
    make = jax.jit(jax.vmap(lambda key: synthesise(key, window, choices, settings, patch, jnp.array(whole))))
    noise = np.concatenate([np.asarray(make(keys(512, first))) for first in range(4)])
    check_sd(noise, exact)
    ends = np.mean(noise[:, 0] * noise[:, -1].conj() / (exact[0] * exact[-1]))
    assert abs(ends) / 2 < 0.1


def volume_choices() -> Draw:
    three = lambda values: jnp.concatenate([values[:1], values])
    return Draw(*(three(value) if jnp.ndim(value) else value for value in HARSH))


def test_without_filters_noise_is_white():
    settings = NoiseSettings(filters=False)
    g = bumpy_g(16, 20)
    noise = np.asarray(synthesise(jax.random.key(1), g, HARSH, settings, (512, 16, 20))) / (3 * g)
    for axis, shape in ((0, 512), (1, 16), (2, 20)):
        alike = np.mean(np.take(noise, range(1, shape), axis) * np.take(noise, range(shape - 1), axis).conj()) / 2
        assert abs(alike) < 5 / np.sqrt(noise.size)


@pytest.mark.parametrize("order", ORDERS)
def test_frames_parts_and_samples_are_independent(order):
    settings, shape = SETTINGS[order], (64, 16, 20)
    make = jax.jit(jax.vmap(lambda key: synthesise(key, bumpy_g(16, 20), HARSH, settings, shape)))
    noise = np.asarray(make(keys(32)))
    noise = noise / np.asarray(deviation(bumpy_g(16, 20), HARSH, settings, shape))
    error = 5 / np.sqrt(noise.size / 12)  # neighbouring pixels are alike: a twelfth of them counts
    assert abs(np.mean(noise.real * noise.imag)) < error
    assert abs(np.mean(noise[:, 1:] * noise[:, :-1].conj())) / 2 < error
    assert abs(np.mean(noise[1:] * noise[:-1].conj())) / 2 < error


@pytest.mark.parametrize(("shape", "size"), [((2, 16, 20), None), ((2, 8, 8), (2, 16, 20))])
def test_a_g_map_of_another_shape_is_refused(shape, size):
    with pytest.raises(ValueError, match=r"g-map is \(16, 19\): noise of .* needs"):
        synthesise(jax.random.key(0), np.ones((16, 19), np.float32), HARSH, SETTINGS["g_then_filter"], shape, size)


def keys(count: int, seed: int = 0) -> jax.Array:
    return jax.random.split(jax.random.key(seed), count)
