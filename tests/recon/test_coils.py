"""Coil maps: unit norm, the true sensitivities up to a phase, safe where there is nothing."""

import numpy as np
import pytest

from snraware_jax.recon.coils import inati, low_resolution_images
from tests.recon.phantom import complex_normal, object_and_coils, to_kspace


def test_maps_are_the_true_sensitivities_up_to_a_phase():
    image, truth = object_and_coils()
    maps = np.asarray(inati((image * truth).astype(np.complex64)))
    inside = np.abs(image) > 0.5
    np.testing.assert_allclose(np.linalg.norm(maps, axis=0)[inside], 1, atol=1e-5)
    assert np.abs(np.sum(maps.conj() * truth, axis=0))[inside].min() > 0.99


def test_the_combined_image_is_real_and_positive():
    image, truth = object_and_coils()
    images = (image * truth).astype(np.complex64)
    combined = np.sum(np.asarray(inati(images)).conj() * images, axis=0)
    inside = np.abs(image) > 0.5
    assert np.abs(np.angle(combined[inside])).max() < 0.2


def test_one_pixel_against_the_singular_value_decomposition():
    images = complex_normal(np.random.default_rng(0), 3, 9, 11)
    maps = np.asarray(inati(images, patch=3, iterations=200))
    patch = np.roll(images, (2, 3), (1, 2))[:, :3, :3].reshape(3, -1)  # wraps: centre at (-1, -2)
    right = np.linalg.svd(patch.T)[2][0]  # v^H: conj(v), the map up to its phase
    assert abs(np.vdot(right, maps[:, -1, -2])) == pytest.approx(1, abs=1e-4)


def test_no_signal_gives_zero_not_nan():
    np.testing.assert_array_equal(inati(np.zeros((4, 12, 12), np.complex64)), 0)


def test_the_low_resolution_image_is_centred_for_odd_and_even_blocks():
    image, truth = object_and_coils(lines=48)
    kspace = to_kspace(image * truth).astype(np.complex64)
    for start, stop in ((11, 37), (12, 37)):
        low = np.asarray(low_resolution_images(kspace[:, start:stop], start, 48))
        alike = np.abs(np.vdot(low, image * truth)) / np.linalg.norm(low) / np.linalg.norm(image * truth)
        assert alike > 0.97
        assert np.angle(np.vdot(low, image * truth)) == pytest.approx(0, abs=0.02)


def test_a_block_beside_dc_is_refused():
    with pytest.raises(ValueError, match="must hold DC"):
        low_resolution_images(np.ones((2, 8, 16), np.complex64), 30, 48)
