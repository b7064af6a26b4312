"""Properties of the centred orthonormal transforms (T2, T15)."""

import numpy as np
import pytest

from snraware_jax.recon.fourier import crop, fft2c, ifft2c, remove_oversampling


def unit_noise(*shape):
    rng = np.random.default_rng(0)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


@pytest.mark.parametrize("size", [144, 145, 192, 255, 256])
def test_unit_noise_stays_unit_noise(size):
    transformed = np.asarray(fft2c(unit_noise(size, 31)))
    tolerance = 4 / np.sqrt(2 * transformed.size)
    assert abs(transformed.real.std() - 1) < tolerance
    assert abs(transformed.imag.std() - 1) < tolerance


@pytest.mark.parametrize("shape", [(16, 24), (15, 23), (15, 24)])
def test_an_impulse_at_the_centre_is_a_constant(shape):
    impulse = np.zeros(shape, np.complex64)
    impulse[shape[0] // 2, shape[1] // 2] = 1
    for transform in (fft2c, ifft2c):
        np.testing.assert_allclose(transform(impulse), 1 / np.sqrt(impulse.size), atol=1e-7)


@pytest.mark.parametrize("shape", [(16, 24), (15, 23)])
def test_a_shifted_impulse_follows_the_sign_of_the_definition(shape):
    n, m = shape
    impulse = np.zeros(shape, np.complex64)
    impulse[n // 2 + 2, m // 2 - 1] = 1
    q, p = np.meshgrid(np.arange(n) - n // 2, np.arange(m) - m // 2, indexing="ij")
    expected = np.exp(-2j * np.pi * (2 * q / n - p / m)) / np.sqrt(n * m)
    np.testing.assert_allclose(fft2c(impulse), expected, atol=1e-6)
    np.testing.assert_allclose(ifft2c(fft2c(impulse)), impulse, atol=1e-6)


@pytest.mark.parametrize(("size", "kept"), [(8, 4), (9, 4), (8, 5), (9, 5), (384, 192)])
def test_crop_keeps_the_centre(size, kept):
    positions = np.arange(size) - size // 2
    np.testing.assert_array_equal(crop(positions, kept), np.arange(kept) - kept // 2)


def test_oversampling_removal_keeps_the_noise():
    kept = np.asarray(remove_oversampling(unit_noise(400, 128), 64))
    assert kept.shape == (400, 64)
    assert abs(kept.real.std() - 1) < 0.02
