"""Whitening gives unit noise, with dwell times and bandwidth accounted for (T1)."""

import jax.numpy as jnp
import numpy as np
import pytest

from snraware_jax.recon import hermitian
from snraware_jax.recon.prewhiten import noise_covariance, whitening_matrix


def coloured_noise(coils=8, samples=16384):
    rng = np.random.default_rng(1)
    normal = lambda *shape: rng.normal(size=shape) + 1j * rng.normal(size=shape)
    mixing = np.eye(coils) + 0.3 * normal(coils, coils)
    return mixing, (mixing @ normal(coils, samples)).astype(np.complex64)


@pytest.mark.parametrize(("dwell_ratio", "bandwidth"), [(1.0, 1.0), (1.25, 0.79), (0.12, 0.793)])
def test_complex_variance_of_whitened_noise_is_2(dwell_ratio, bandwidth):
    mixing, noise = coloured_noise()
    whitening = np.asarray(whitening_matrix(noise_covariance(noise), dwell_ratio, bandwidth))
    sample = noise @ noise.conj().T / (noise.shape[1] - 1)
    of_the_imaging_samples = whitening @ sample @ whitening.conj().T / (dwell_ratio * bandwidth)
    np.testing.assert_allclose(of_the_imaging_samples, 2 * np.eye(8), atol=1e-4)
    truth = whitening @ (2 * mixing @ mixing.conj().T) @ whitening.conj().T / (dwell_ratio * bandwidth)
    assert np.abs(truth - 2 * np.eye(8)).max() < 0.1


def test_the_covariance_conjugates_the_second_factor():
    noise = np.array([[1j, -1j, 1j, -1j], [1, -1, 1, -1]], np.complex64)
    np.testing.assert_allclose(noise_covariance(noise)[0, 1], 1j * 4 / 3, rtol=1e-6)


def test_the_real_form_for_tpus_equals_the_complex_algebra():
    rng = np.random.default_rng(2)
    normal = lambda *shape: (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    root, right = normal(6, 20), jnp.asarray(normal(6, 3))
    matrix = jnp.asarray(root @ root.conj().T)
    np.testing.assert_allclose(hermitian._solve_real(matrix, right), hermitian.solve(matrix, right), rtol=1e-3, atol=1e-5)
    real, complex_ = hermitian._inverse_cholesky_real(matrix), hermitian.inverse_cholesky(matrix)
    np.testing.assert_allclose(real, complex_, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(matrix @ hermitian.solve(matrix, right), right, atol=1e-4)
