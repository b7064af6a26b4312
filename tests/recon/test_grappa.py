"""GRAPPA: parity with the double-precision goldens, and the identities that an unmixing obeys."""

from functools import cache

import jax
import numpy as np
import pytest

from snraware_jax.recon import grappa
from tests.recon.phantom import complex_normal, object_and_coils, to_kspace


@cache
def calibration_and_maps(noise=0.0):
    """Calibration lines of a bright phantom and its true coil maps: `[8, 26, 40]`, `[8, 48, 40]`."""
    image, maps = object_and_coils()
    kspace = to_kspace(60 * image * maps) + noise * complex_normal(np.random.default_rng(3), *maps.shape)
    return kspace[:, 11:37].astype(np.complex64), maps.astype(np.complex64)


def inside():
    return np.abs(object_and_coils()[0]) > 0.5


def aliased(image, maps, acceleration, phase=0):
    acquired = (np.arange(maps.shape[1]) - phase) % acceleration == 0
    kspace = np.where(acquired[:, None], to_kspace(image * maps), 0)
    axes = (-2, -1)
    images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace, axes), norm="ortho"), axes)
    return np.sqrt(maps.shape[1] / acquired.sum()) * images


@pytest.fixture(scope="module")
def oracle(shared):
    return np.load(shared / "goldens" / "recon" / "oracle_c8_192x144_acs48.npz")


def test_double_precision_reproduces_the_goldens(oracle):
    with jax.enable_x64(True):
        calibration, maps = oracle["acs"].astype(complex), oracle["csm_unit"].astype(complex)
        unmixing = np.asarray(grappa.unmixing(calibration, maps, 4))
        g_maps = np.asarray(grappa.g_maps(calibration, maps, (1, 2, 3, 4, 5, 6, 8)))
    scale = np.abs(oracle["u_R4_fit0"]).max()
    np.testing.assert_allclose(unmixing / scale, oracle["u_R4_fit0"] / scale, atol=1e-5)
    expected = np.stack([oracle[f"g_R{r}_fit0"] for r in (1, 2, 3, 4, 5, 6, 8)])
    np.testing.assert_allclose(g_maps, expected, rtol=1e-5)


def test_single_precision_is_within_a_thousandth_inside_the_object(oracle):
    accelerations = (2, 3, 4, 5, 6, 8)
    g_maps = np.asarray(grappa.g_maps(oracle["acs"], oracle["csm_unit"], accelerations))
    assert g_maps.dtype == np.float32
    for r, g_map in zip(accelerations, g_maps, strict=True):
        ratio = (g_map / oracle[f"g_R{r}_fit0"])[oracle["mask"]]
        np.testing.assert_allclose(ratio, 1, atol=1e-3)
        assert ratio.size > 1000
        assert g_map[oracle["mask"]].min() > 0.99  # T10


def test_no_acceleration_is_the_coil_combination():
    calibration, maps = calibration_and_maps()
    np.testing.assert_array_equal(grappa.unmixing(calibration, maps, 1), maps.conj())
    np.testing.assert_array_equal(grappa.g_maps(calibration, maps, (1,)), np.ones((1, 48, 40)))


@pytest.mark.parametrize(("acceleration", "tolerance"), [(2, 1e-3), (3, 5e-3)])
def test_noise_free_data_are_unaliased_whatever_lines_were_acquired(acceleration, tolerance):
    image, maps = object_and_coils()
    with jax.enable_x64(True):
        calibration = to_kspace(60 * image * maps)[:, 11:37]
        unmixing = np.asarray(grappa.unmixing(calibration, maps, acceleration, regularization=1e-8))
    truth = image / np.sqrt(acceleration)
    for phase in range(acceleration):
        found = np.asarray(grappa.unmix(aliased(image, maps, acceleration, phase), unmixing))
        error = np.linalg.norm((found - truth)[inside()]) / np.linalg.norm(truth[inside()])
        assert error < tolerance


def test_a_kernel_that_is_not_flipped_does_not_unalias():
    """Negative control of the test above: its tolerance sees the orientation of the kernel."""
    image, maps = object_and_coils()
    calibration, _ = calibration_and_maps()
    mirrored = np.asarray(grappa.unmixing(calibration[:, ::-1, ::-1], maps, 2))
    found = np.asarray(grappa.unmix(aliased(image, maps, 2), mirrored))
    assert np.linalg.norm((found - image / np.sqrt(2))[inside()]) / np.linalg.norm(image[inside()]) > 0.1


@pytest.mark.parametrize("acceleration", [2, 3, 5, 8], ids=lambda r: f"R={r}")
def test_noise_of_the_image_is_g(acceleration):
    """Pseudo-replicas against the analytic g, also where R does not divide the 48 lines (R = 5)."""
    replicas = 600
    calibration, maps = calibration_and_maps(noise=1.0)
    unmixing = np.asarray(grappa.unmixing(calibration, maps, acceleration))
    acquired = np.arange(48) % acceleration == 0
    noise = complex_normal(np.random.default_rng(4), replicas, *maps.shape) * acquired[:, None]
    axes = (-2, -1)
    images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(noise, axes), norm="ortho"), axes)
    found = np.asarray(grappa.unmix(np.sqrt(48 / acquired.sum()) * images, unmixing))
    ratio = np.sqrt(np.mean(np.abs(found) ** 2, axis=0) / 2) / np.asarray(grappa.g_factor(unmixing))
    standard_error = 1 / np.sqrt(4 * replicas)
    assert ratio.mean() == pytest.approx(1, abs=0.005)
    assert np.mean(np.abs(ratio - 1) < 4 * standard_error) > 0.998
    assert ratio.std() == pytest.approx(standard_error, rel=0.15)


@pytest.mark.parametrize("factor", [1e-4, 3j, -2e3 + 1e3j])
def test_the_scale_of_the_calibration_does_not_matter(factor):
    calibration, maps = calibration_and_maps(noise=1.0)
    with jax.enable_x64(True):
        calibration = calibration.astype(complex)
        scaled, plain = grappa.unmixing(factor * calibration, maps, 4), grappa.unmixing(calibration, maps, 4)
    np.testing.assert_allclose(scaled, plain, atol=1e-6)


def test_a_unitary_mix_of_the_coils_leaves_g_alone():
    calibration, maps = calibration_and_maps(noise=1.0)
    mix = np.linalg.qr(complex_normal(np.random.default_rng(5), 8, 8))[0].astype(complex)
    with jax.enable_x64(True):
        plain = grappa.g_maps(calibration.astype(complex), maps, (2, 4))
        mixed = grappa.g_maps(np.einsum("dc,cyx->dyx", mix, calibration), np.einsum("dc,cyx->dyx", mix, maps), (2, 4))
    np.testing.assert_allclose(mixed, plain, rtol=1e-5)


def test_g_falls_with_regularisation_and_rises_at_first_with_acceleration():
    calibration, maps = calibration_and_maps(noise=1.0)
    mean = lambda g_map: np.asarray(g_map)[inside()].mean()
    weak, strong = (mean(grappa.g_maps(calibration, maps, (4,), regularization=weight)[0]) for weight in (1e-4, 1e-2))
    assert weak > strong
    ones, twos, threes = (mean(g_map) for g_map in grappa.g_maps(calibration, maps, (1, 2, 3)))
    assert ones < twos < threes


def test_all_accelerations_at_once_equal_one_by_one():
    calibration, maps = calibration_and_maps(noise=1.0)
    with jax.enable_x64(True):
        calibration = calibration.astype(complex)
        together = np.asarray(grappa.g_maps(calibration, maps, (2, 3, 5, 8)))
        apart = np.stack([grappa.g_factor(grappa.unmixing(calibration, maps, r)) for r in (2, 3, 5, 8)])
    np.testing.assert_allclose(together, apart, rtol=1e-7)


def test_series_in_a_batch_equal_series_one_by_one():
    calibration, maps = calibration_and_maps(noise=1.0)
    with jax.enable_x64(True):
        calibrations = np.stack([calibration, 2j * calibration[:, :, ::-1]]).astype(complex)
        together = jax.vmap(lambda one: grappa.unmixing(one, maps, 3))(calibrations)
        apart = np.stack([grappa.unmixing(one, maps, 3) for one in calibrations])
    np.testing.assert_allclose(together, apart, atol=1e-7)


def test_an_odd_kernel_unaliases_too():
    image, maps = object_and_coils()
    calibration, _ = calibration_and_maps()
    unmixing = np.asarray(grappa.unmixing(calibration, maps, 2, kernel=(5, 3)))
    found = np.asarray(grappa.unmix(aliased(image, maps, 2), unmixing))
    assert np.linalg.norm((found - image / np.sqrt(2))[inside()]) / np.linalg.norm(image[inside()]) < 0.01


def test_too_few_lines_are_refused_with_the_number_needed():
    calibration, maps = calibration_and_maps()
    assert grappa.lines_needed(8) == 25
    grappa.g_maps(calibration[:, :25], maps, (8,))
    with pytest.raises(ValueError, match="R = 8 needs 25 calibration lines along ky, there are 24"):
        grappa.g_maps(calibration[:, :24], maps, (8,))
