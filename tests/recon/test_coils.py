"""Coil maps: unit norm, the true sensitivities up to a phase, safe where there is nothing."""

import jax
import numpy as np
import pytest

from snraware_jax.recon.coils import inati, low_resolution_images, walsh
from tests.recon.phantom import complex_normal, object_and_coils, to_kspace


@pytest.mark.parametrize("estimate", [inati, walsh])
def test_maps_are_the_true_sensitivities_up_to_a_phase(estimate):
    image, truth = object_and_coils()
    maps = np.asarray(estimate((image * truth).astype(np.complex64)))
    inside = np.abs(image) > 0.5
    np.testing.assert_allclose(np.linalg.norm(maps, axis=0)[inside], 1, atol=1e-5)
    assert np.abs(np.sum(maps.conj() * truth, axis=0))[inside].min() > 0.99


@pytest.mark.parametrize("estimate", [inati, walsh])
def test_the_combined_image_is_real_and_positive(estimate):
    image, truth = object_and_coils()
    images = (image * truth).astype(np.complex64)
    combined = np.sum(np.asarray(estimate(images)).conj() * images, axis=0)
    inside = np.abs(image) > 0.5
    assert np.abs(np.angle(combined[inside])).max() < 0.2


@pytest.mark.parametrize("shape", [(4, 9, 11), (5, 12, 10)])
def test_inati_is_its_definition(shape):
    """Patch matrix D of every pixel, 3 power iterations on D^H D from the conjugate column sum, theta of the sum of D v."""
    images = complex_normal(np.random.default_rng(4), *shape)
    _, lines, readout = shape
    expected = np.empty(shape, complex)
    for y, x in np.ndindex(lines, readout):
        rows, columns = np.arange(y - 3, y + 4) % lines, np.arange(x - 3, x + 4) % readout
        patch = images[:, rows[:, None], columns].reshape(len(images), -1).T.astype(complex)  # [49, C]
        vector = patch.sum(axis=0).conj()
        for _ in range(3):
            vector = patch.conj().T @ (patch @ vector)
            vector /= np.linalg.norm(vector)
        expected[:, y, x] = vector.conj() * np.exp(1j * np.angle(np.sum(patch @ vector)))
    np.testing.assert_allclose(inati(images), expected, atol=1e-4)


def test_one_pixel_against_the_singular_value_decomposition():
    images = complex_normal(np.random.default_rng(0), 3, 9, 11)
    maps = np.asarray(inati(images, patch=3, iterations=200))
    patch = np.roll(images, (2, 3), (1, 2))[:, :3, :3].reshape(3, -1)  # wraps: centre at (-1, -2)
    right = np.linalg.svd(patch.T)[2][0]  # v^H: conj(v), the map up to its phase
    assert abs(np.vdot(right, maps[:, -1, -2])) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(("shape", "patch"), [((3, 9, 11), 3), ((6, 12, 10), 5)])
def test_walsh_is_the_dominant_eigenvector_of_the_smoothed_covariance(shape, patch):
    """Of white noise, whose eigenvalues lie close together: many iterations."""
    images = complex_normal(np.random.default_rng(1), *shape)
    maps = np.asarray(walsh(images, patch=patch, iterations=500))
    for pixel in ((0, 0), (4, 5), (-1, -2)):
        np.testing.assert_allclose(maps[:, *pixel], dominant_eigenvector(images, patch, pixel), atol=1e-4)


def test_walsh_converges_in_its_own_number_of_iterations():
    image, truth = object_and_coils()
    noise = complex_normal(np.random.default_rng(2), *truth.shape)
    images = (60 * image * truth + noise).astype(np.complex64)
    maps = np.asarray(walsh(images))
    for pixel in zip(*np.nonzero(np.abs(image) > 0.5), strict=True):
        np.testing.assert_allclose(maps[:, *pixel], dominant_eigenvector(images, 5, pixel), atol=1e-5)


def dominant_eigenvector(images, patch, pixel):
    """By LAPACK in double precision, its phase that of the combined image summed over the patch."""
    shift = (patch // 2 - pixel[0], patch // 2 - pixel[1])
    rows = np.roll(images, shift, (1, 2))[:, :patch, :patch].reshape(len(images), -1).astype(np.complex128)
    vector = np.linalg.eigh(rows @ rows.conj().T)[1][:, -1]
    combined = np.vdot(vector, rows.sum(axis=1))
    return vector * combined / np.abs(combined)


def test_walsh_survives_an_object_that_cancels_within_the_patch():
    """A phase that turns once per patch: the sum over it is 0 but for the variation of the coils, no place to start from."""
    _, truth = object_and_coils()
    turning = np.exp(2j * np.pi * np.arange(truth.shape[2]) / 5)
    maps = np.asarray(walsh((turning * truth).astype(np.complex64)))
    assert np.abs(np.sum(maps.conj() * truth, axis=0))[2:-2, 2:-2].min() > 0.99


@pytest.mark.parametrize("estimate", [inati, walsh])
def test_batched_maps_equal_those_one_by_one(estimate):
    images = complex_normal(np.random.default_rng(3), 2, 4, 10, 9)
    np.testing.assert_allclose(jax.vmap(estimate)(images)[1], estimate(images[1]), atol=1e-5)


@pytest.mark.parametrize("estimate", [inati, walsh])
def test_maps_have_unit_norm_in_the_background_too(estimate):
    image, truth = object_and_coils(lines=47, readout=39)
    maps = np.asarray(
        estimate((image * truth + 0.01 * complex_normal(np.random.default_rng(5), *truth.shape)).astype(np.complex64))
    )
    np.testing.assert_allclose(np.linalg.norm(maps, axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("estimate", [inati, walsh])
def test_a_volume_is_estimated_partition_by_partition(estimate):
    images = complex_normal(np.random.default_rng(6), 4, 3, 10, 9)
    apart = np.stack([np.asarray(estimate(images[:, z])) for z in range(3)], axis=1)
    np.testing.assert_allclose(estimate(images), apart, atol=1e-5)


@pytest.mark.parametrize("estimate", [inati, walsh])
def test_the_scale_of_the_images_does_not_matter(estimate):
    images = complex_normal(np.random.default_rng(7), 4, 10, 9)
    np.testing.assert_allclose(estimate(1e-3 * images), estimate(images), atol=1e-4)


@pytest.mark.parametrize("estimate", [inati, walsh])
def test_no_signal_gives_zero_not_nan(estimate):
    np.testing.assert_array_equal(estimate(np.zeros((4, 12, 12), np.complex64)), 0)


def test_the_low_resolution_image_is_centred_for_odd_and_even_blocks():
    image, truth = object_and_coils(lines=48)
    kspace = to_kspace(image * truth).astype(np.complex64)
    for start, stop in ((11, 37), (12, 37)):
        low = np.asarray(low_resolution_images(kspace[:, start:stop], (start, 0), (48, 40)))
        alike = np.abs(np.vdot(low, image * truth)) / np.linalg.norm(low) / np.linalg.norm(image * truth)
        assert alike > 0.97
        assert np.angle(np.vdot(low, image * truth)) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(("grid", "block"), [((16, 20), (8, 20)), ((15, 19), (7, 19)), ((9, 16, 13), (5, 8, 13))])
def test_the_low_resolution_image_is_the_windowed_block_alone(grid, block):
    """Against the sum over k-space, complex; the window is symmetric about DC."""
    start = tuple(size // 2 - count // 2 for size, count in zip(grid, block, strict=True))
    calibration = complex_normal(np.random.default_rng(8), 3, *block)
    expected = calibration.astype(complex)
    for axis, (size, count, first) in enumerate(zip(grid, block, start, strict=True), 1):
        q = np.arange(count) + first - size // 2
        half = min(-q[0], q[-1] + 1)
        window = np.where(np.abs(q) < half, 0.5 * (1 + np.cos(np.pi * q / half)), 0)
        wave = np.exp(2j * np.pi * np.outer(np.arange(size) - size // 2, q) / size) / np.sqrt(size)
        expected = np.moveaxis(np.tensordot(wave * window, expected, (1, axis)), 0, axis)
    np.testing.assert_allclose(low_resolution_images(calibration, start, grid), expected, atol=1e-5)


def test_a_block_beside_dc_is_refused():
    with pytest.raises(ValueError, match="must hold DC"):
        low_resolution_images(np.ones((2, 8, 16), np.complex64), (30, 0), (48, 16))
