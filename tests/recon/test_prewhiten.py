"""Whitening gives unit noise, with dwell times and bandwidth accounted for (T1)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snraware_jax.recon import hermitian
from snraware_jax.recon.prewhiten import noise_covariance, whitening_matrix
from tests.recon.phantom import complex_normal

RATIOS = [(1.0, 1.0), (1.25, 0.79), (0.12, 0.793)]  # t_d/t_n, bandwidth


def coloured_noise(coils=8, samples=16384, seed=1):
    """Mixing of the coils `[C, C]`, its true covariance, and noise of it `[C, M]`, double precision."""
    rng = np.random.default_rng(seed)
    normal = lambda *shape: rng.normal(size=shape) + 1j * rng.normal(size=shape)
    mixing = np.eye(coils) + 0.3 * normal(coils, coils)
    return 2 * mixing @ mixing.conj().T, mixing @ normal(coils, samples)


def whitened(covariance, noise, dwell_ratio=1.0, bandwidth=1.0):
    """W covariance W^H t_n/(t_d b), W from the sample covariance of `noise`: 2 I if the covariance is that of the noise."""
    with jax.enable_x64(True):
        whitening = np.asarray(whitening_matrix(noise_covariance(noise), dwell_ratio, bandwidth))
    return whitening @ covariance @ whitening.conj().T / (dwell_ratio * bandwidth)


@pytest.mark.parametrize(("dwell_ratio", "bandwidth"), RATIOS)
def test_the_noise_scan_itself_gets_a_complex_variance_of_2(dwell_ratio, bandwidth):
    """T1: W Psi W^H t_n/(t_d b) = 2 I to 1e-10 in double precision."""
    _, noise = coloured_noise()
    sample = noise @ noise.conj().T / (noise.shape[1] - 1)
    np.testing.assert_allclose(whitened(sample, noise, dwell_ratio, bandwidth), 2 * np.eye(8), rtol=0, atol=1e-10)
    single = np.asarray(whitening_matrix(noise_covariance(noise.astype(np.complex64)), dwell_ratio, bandwidth))
    assert single.dtype == np.complex64
    np.testing.assert_allclose(single @ sample @ single.conj().T / (dwell_ratio * bandwidth), 2 * np.eye(8), atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_new_noise_of_the_same_coils_is_nearly_unit_noise(seed):
    """T1: against the true covariance, 8 coils and 16384 samples, the largest deviation from 2 I is below 0.05."""
    truth, noise = coloured_noise(seed=seed)
    assert np.abs(whitened(truth, noise) - 2 * np.eye(8)).max() < 0.05


@pytest.mark.parametrize(("coils", "samples"), [(4, 1024), (8, 1024), (8, 4096), (8, 16384), (16, 4096), (32, 16384)])
def test_the_sampling_error_grows_as_the_root_of_coils_over_samples(coils, samples):
    """T1: the eigenvalues of W Psi W^H / 2 deviate from 1 by sqrt(C/M) rms, whatever the coupling of the coils is."""
    squares = []
    for seed in range(8):
        truth, noise = coloured_noise(coils, samples, seed)
        squares.append(np.mean((np.linalg.eigvalsh(whitened(truth, noise)) / 2 - 1) ** 2))
    assert np.sqrt(np.mean(squares)) == pytest.approx(np.sqrt(coils / samples), rel=0.1)


def test_the_golden_scan(shared):
    """T1: another implementation's whitening matrix of a scan with dwell times 2.5 and 2 us and a bandwidth ratio of 0.79."""
    golden = np.load(shared / "goldens" / "recon" / "tools_c8_192x144_acs48.npz")
    with jax.enable_x64(True):
        whitening = np.asarray(whitening_matrix(noise_covariance(golden["noise_scan"].astype(complex)), 2.5 / 2.0, 0.79))
    np.testing.assert_allclose(whitening, golden["prewhiten"], rtol=0, atol=1e-10 * np.abs(golden["prewhiten"]).max())
    of_the_imaging_samples = whitening @ golden["noise_cov_true"] @ whitening.conj().T
    assert np.abs(of_the_imaging_samples - 2 * np.eye(8)).max() < 0.05


def test_what_is_often_forgotten_shows():
    """T1, negative controls: no sqrt(2), the dwell ratio left out or inverted, the covariance conjugated."""
    truth, noise = coloured_noise()
    dwell_ratio, bandwidth = 0.5, 0.793
    deviation = lambda result: np.abs(result - 2 * np.eye(8)).max()
    right = whitened(truth, noise, dwell_ratio, bandwidth)
    assert deviation(right) < 0.05
    assert deviation(right / 2) > 0.9
    assert deviation(whitened(truth, noise, 1.0, bandwidth) / dwell_ratio) > 1.9
    assert deviation(whitened(truth, noise, 1 / dwell_ratio, bandwidth) / dwell_ratio**2) > 5
    assert deviation(whitened(truth, noise.conj(), dwell_ratio, bandwidth)) > 0.5


def test_the_covariance_conjugates_the_second_factor():
    """T1: Psi_ij = <n_i n_j*>, over M - 1, the mean not removed."""
    noise = np.array([[1j, -1j, 1j, -1j], [1, -1, 1, -1]], np.complex64)
    np.testing.assert_allclose(noise_covariance(noise)[0, 1], 1j * 4 / 3, rtol=1e-6)
    np.testing.assert_allclose(noise_covariance(np.ones((2, 5), np.complex64)), 5 / 4, rtol=1e-6)


def test_the_real_form_for_tpus_equals_the_complex_algebra():
    rng = np.random.default_rng(2)
    root, right = complex_normal(rng, 6, 20), jnp.asarray(complex_normal(rng, 6, 3))
    matrix = jnp.asarray(root @ root.conj().T)
    np.testing.assert_allclose(hermitian._solve_real(matrix, right), hermitian.solve(matrix, right), rtol=1e-3, atol=1e-5)
    real, complex_ = hermitian._inverse_cholesky_real(matrix), hermitian.inverse_cholesky(matrix)
    np.testing.assert_allclose(real, complex_, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(matrix @ hermitian.solve(matrix, right), right, atol=1e-4)
