"""Properties of the centred orthonormal transforms (T2) and of the removal of readout oversampling (T15)."""

import numpy as np
import pytest

from snraware_jax.recon.fourier import crop, fft2c, ifft2c, remove_oversampling

SIZES = [144, 145, 192, 255, 256]


def unit_noise(*shape):
    rng = np.random.default_rng(0)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


@pytest.mark.parametrize("transform", [fft2c, ifft2c])
@pytest.mark.parametrize("size", SIZES)
def test_unit_noise_stays_unit_noise(size, transform):
    """T2: SD 1 +- 3/sqrt(2 samples), in the real and in the imaginary part."""
    transformed = np.asarray(transform(unit_noise(31, size)))
    tolerance = 3 / np.sqrt(2 * transformed.size)
    assert abs(transformed.real.std() - 1) < tolerance
    assert abs(transformed.imag.std() - 1) < tolerance


@pytest.mark.parametrize(
    "shape", [(16, 24), (15, 23), (15, 24), *((size, 5) for size in SIZES), *((4, size) for size in SIZES)]
)
def test_an_impulse_at_the_centre_is_a_constant(shape):
    """T2: zero phase, both ways."""
    impulse = np.zeros(shape, np.complex64)
    impulse[shape[0] // 2, shape[1] // 2] = 1
    constant = np.full(shape, 1 / np.sqrt(impulse.size))
    for transform in (fft2c, ifft2c):
        np.testing.assert_allclose(transform(impulse), constant, atol=1e-7)
        np.testing.assert_allclose(transform(constant), impulse, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_the_transform_is_its_defining_sum(size):
    """T2, negative control: with fftshift and ifftshift swapped, even sizes agree too, and odd ones are wrong."""
    position = np.arange(size) - size // 2
    noise = unit_noise(3, size)
    expected = noise @ np.exp(-2j * np.pi * np.outer(position, position) / size) / np.sqrt(size)
    np.testing.assert_allclose(fft2c(noise, axes=(-1,)), expected, atol=1e-4)
    np.testing.assert_allclose(ifft2c(expected, axes=(-1,)), noise, atol=1e-5)
    swapped = np.fft.ifftshift(np.fft.fft(np.fft.fftshift(noise, -1), norm="ortho"), -1)
    error = np.linalg.norm(swapped - expected) / np.linalg.norm(expected)
    assert error > 1 if size % 2 else error < 1e-6


@pytest.mark.parametrize("shape", [(16, 24), (15, 23)])
def test_a_shifted_impulse_follows_the_sign_of_the_definition(shape):
    """T2."""
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


OVERSAMPLED = [(128, 64), (128, 63), (127, 64), (127, 63)]


@pytest.mark.parametrize(("oversampled", "readout"), OVERSAMPLED)
def test_oversampling_removal_keeps_unit_noise(oversampled, readout):
    """T15: SD 1 in either part, of the readout as k-space too, and white."""
    kept = np.asarray(remove_oversampling(unit_noise(400, oversampled), readout))
    assert kept.shape == (400, readout)
    tolerance = 3 / np.sqrt(2 * kept.size)
    for noise in (kept, np.asarray(fft2c(kept, axes=(-1,)))):
        assert abs(noise.real.std() - 1) < tolerance
        assert abs(noise.imag.std() - 1) < tolerance
    assert abs(np.mean(kept[:, 1:] * kept[:, :-1].conj())) / 2 < 4 / np.sqrt(kept.size)


@pytest.mark.parametrize(("oversampled", "readout"), OVERSAMPLED)
def test_oversampling_removal_returns_the_field_of_view(oversampled, readout):
    """T15: pixel for pixel, without a scale; a sample of k-space then grows by sqrt(oversampling)."""
    image = np.zeros((3, oversampled), np.complex64)
    first = oversampled // 2 - readout // 2
    image[:, first : first + readout] = unit_noise(3, readout)
    kspace = np.asarray(fft2c(image, axes=(-1,)))
    kept = np.asarray(remove_oversampling(kspace, readout))
    np.testing.assert_allclose(kept, image[:, first : first + readout], atol=1e-5)
    at_dc = np.asarray(fft2c(kept, axes=(-1,)))[:, readout // 2]
    np.testing.assert_allclose(at_dc, kspace[:, oversampled // 2] * np.sqrt(oversampled / readout), rtol=1e-4)
