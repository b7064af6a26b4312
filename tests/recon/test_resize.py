"""Another matrix keeps unit noise, and the signal is that of the Fourier series at the new points (T14)."""

import jax
import numpy as np
import pytest

from snraware_jax.noise.normal import complex_normal
from snraware_jax.recon.fourier import ifft2c
from snraware_jax.recon.resize import crop_resolution, pad_kspace, zero_fill

SIZES = [((12, 16), (20, 24)), ((11, 15), (20, 24)), ((12, 16), (19, 25)), ((11, 15), (19, 23)), ((12, 15), (12, 16))]
VOLUMES = [((6, 9, 12), (8, 12, 17)), ((5, 8, 11), (8, 8, 13))]


def smooth_object(*sizes: int) -> np.ndarray:
    """A complex object without symmetry, its Fourier series of order 2 per axis evaluated on a grid with the origin at N//2."""
    rng = np.random.default_rng(0)
    coefficients = rng.normal(size=(5,) * len(sizes)) + 1j * rng.normal(size=(5,) * len(sizes))
    for size in sizes:
        waves = np.exp(2j * np.pi * np.outer(np.arange(-2, 3), (np.arange(size) - size // 2) / size))
        coefficients = np.tensordot(coefficients, waves, (0, 0))
    return coefficients.astype(np.complex64)


@pytest.mark.parametrize(("small", "large"), SIZES + VOLUMES)
def test_zero_filling_interpolates_exactly(small, large):
    axes = tuple(range(-len(small), 0))
    np.testing.assert_allclose(zero_fill(smooth_object(*small), large, axes), smooth_object(*large), atol=1e-4)


@pytest.mark.parametrize(("small", "large"), SIZES + VOLUMES)
def test_lower_resolution_has_more_signal(small, large):
    axes = tuple(range(-len(small), 0))
    gain = np.sqrt(np.prod(large) / np.prod(small))
    np.testing.assert_allclose(crop_resolution(smooth_object(*large), small, axes), gain * smooth_object(*small), atol=1e-4)


@pytest.mark.parametrize(("small", "large"), SIZES)
def test_unit_noise_stays_unit_noise(small, large):
    frames = 2**19 // np.prod(small)
    for image, resize, size in (
        (complex_normal(jax.random.key(0), (frames, *small)), zero_fill, large),
        (complex_normal(jax.random.key(1), (frames, *large)), crop_resolution, small),
    ):
        resized = np.asarray(resize(image, size))
        assert resized.shape == (frames, *size)
        assert resized.dtype == np.complex64
        assert resized.real.std() == pytest.approx(1, abs=0.004)
        assert resized.imag.std() == pytest.approx(1, abs=0.004)
        np.testing.assert_allclose(resized.real.std(axis=0), 1, atol=6 / np.sqrt(2 * frames))


@pytest.mark.parametrize(("small", "large"), VOLUMES)
def test_a_volume_counts_all_its_axes(small, large):
    noise = complex_normal(jax.random.key(2), (2**18 // np.prod(small), *small))
    assert np.std(np.asarray(zero_fill(noise, large, (-3, -2, -1))).real) == pytest.approx(1, abs=0.006)


@pytest.mark.parametrize(("small", "large"), SIZES)
def test_there_and_back_is_the_identity_up_to_the_signal_gain(small, large):
    image = complex_normal(jax.random.key(3), (3, *small))
    back = crop_resolution(zero_fill(image, large), small)
    np.testing.assert_allclose(back, np.sqrt(np.prod(large) / np.prod(small)) * image, atol=1e-5)


@pytest.mark.parametrize(("small", "large"), SIZES)
def test_the_mean_signal_of_any_image(small, large):
    """T14: unchanged by zero-filling; times sqrt(N/N') at a lower resolution of N' pixels, whose voxels are larger."""
    image = 1 + complex_normal(jax.random.key(5), small)
    np.testing.assert_allclose(np.mean(zero_fill(image, large)), np.mean(image), rtol=1e-5)
    gain = np.sqrt(np.prod(large) / np.prod(small))
    fine = 1 + complex_normal(jax.random.key(6), large)
    np.testing.assert_allclose(np.mean(crop_resolution(fine, small)), gain * np.mean(fine), rtol=1e-5)


@pytest.mark.parametrize(("small", "large"), SIZES)
def test_padding_keeps_dc_at_the_centre(small, large):
    kspace = np.zeros((2, *small), np.complex64)
    kspace[:, small[0] // 2, small[1] // 2] = 1j
    padded = np.asarray(pad_kspace(kspace, large))
    assert padded.shape == (2, *large)
    np.testing.assert_array_equal(padded[:, large[0] // 2, large[1] // 2], 1j)
    assert np.abs(padded).sum() == 2
    np.testing.assert_allclose(ifft2c(padded), 1j / np.sqrt(np.prod(large)), atol=1e-6)


def test_an_inner_axis_alone():
    image = smooth_object(11, 15)
    np.testing.assert_allclose(zero_fill(image, (16,), (0,)), smooth_object(16, 15), atol=1e-4)
    assert crop_resolution(image, (7,), (0,)).shape == (7, 15)


def test_under_jit_and_vmap():
    image = complex_normal(jax.random.key(4), (3, 11, 12))
    mapped = jax.jit(jax.vmap(lambda one: zero_fill(one, (15, 16))))(image)
    np.testing.assert_allclose(mapped, zero_fill(image, (15, 16)), atol=1e-5)


def test_the_wrong_direction_is_refused():
    image = np.ones((12, 16), np.complex64)
    with pytest.raises(ValueError, match="axis -1 .* to 15: use crop_resolution"):
        zero_fill(image, (12, 15))
    with pytest.raises(ValueError, match="axis -2 .* to 13: use zero_fill"):
        crop_resolution(image, (13, 15))
    with pytest.raises(ValueError, match="zip"):
        pad_kspace(image, (20,))
