"""GRAPPA of a slice: parity with the double-precision goldens, and the identities that an unmixing obeys (T3 to T12, T16 to T18)."""

from collections.abc import Sequence
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snraware_jax.recon import grappa
from snraware_jax.recon.coils import inati, low_resolution_images
from snraware_jax.recon.fourier import fft2c, remove_oversampling
from snraware_jax.recon.prewhiten import noise_covariance, whitening_matrix
from tests.recon.phantom import (
    aliased,
    complex_normal,
    make_scan,
    noise_only,
    object_and_coils,
    replica_sd,
    to_image,
    to_kspace,
)

pytestmark = pytest.mark.xdist_group("grappa")  # compiled functions and fixtures are shared

ACCELERATIONS = (1, 2, 3, 4, 5, 6, 8)


@partial(jax.jit, static_argnames="accelerations")
def _unmixings(calibration, coil_maps, regularization, accelerations):
    kernels = grappa.fit_kernels(calibration, accelerations, regularization=regularization)
    return jnp.stack([grappa.image_domain(w, coil_maps, r) for r, w in zip(accelerations, kernels, strict=True)])


def unmixings(
    calibration: np.ndarray,
    coil_maps: np.ndarray,
    regularization: float = grappa.REGULARIZATION,
    accelerations: Sequence[int] = ACCELERATIONS,
) -> dict[int, np.ndarray]:
    """Unmixing of every acceleration in double precision, all from one compiled program whatever the regularisation."""
    with jax.enable_x64(True):
        found = _unmixings(calibration.astype(complex), coil_maps.astype(complex), regularization, tuple(accelerations))
        return dict(zip(accelerations, np.asarray(found), strict=True))


def g_factor(unmixing: np.ndarray) -> np.ndarray:
    return np.linalg.norm(unmixing, axis=0)


def sampled(lines: int, acceleration: int, phase: int = 0) -> np.ndarray:
    return (np.arange(lines) - phase) % acceleration == 0


def nrmse(found: np.ndarray, truth: np.ndarray, inside: np.ndarray) -> float:
    return np.linalg.norm((found - truth)[inside]) / np.linalg.norm(truth[inside])


# a small phantom: 8 coils, 48 x 40, 26 calibration lines


@cache
def calibration_and_maps(noise=1.0):
    """Calibration lines of a phantom of SNR 60 and its true coil maps: `[8, 26, 40]`, `[8, 48, 40]`, double precision."""
    image, maps = object_and_coils()
    kspace = to_kspace(60 * image * maps) + noise * complex_normal(np.random.default_rng(3), *maps.shape)
    return kspace[:, 11:37], maps


@cache
def small():
    return unmixings(*calibration_and_maps())


def inside():
    return np.abs(object_and_coils()[0]) > 0.5


# the golden scan: 8 coils, 144 x 192, 48 calibration lines


@pytest.fixture(scope="module")
def oracle(shared):
    return dict(np.load(shared / "goldens" / "recon" / "oracle_c8_192x144_acs48.npz"))


@pytest.fixture(scope="module")
def tools(shared):
    return dict(np.load(shared / "goldens" / "recon" / "tools_c8_192x144_acs48.npz"))


@pytest.fixture(scope="module")
def golden(oracle):
    return unmixings(oracle["acs"], oracle["csm_unit"])


@pytest.fixture(scope="module")
def truth(tools):
    """Noise-free coil images of the whitened golden scan, their coil maps of unit norm: `[8, 144, 192]` each."""
    seen = np.einsum("dc,cyx->dyx", tools["prewhiten"], tools["csm_true"])
    return seen * tools["img_true"], seen / np.linalg.norm(seen, axis=0)


@pytest.mark.parametrize("acceleration", ACCELERATIONS)
def test_g_maps_of_the_golden(oracle, golden, acceleration):
    """T17: to 1e-5, at every pixel."""
    np.testing.assert_allclose(g_factor(golden[acceleration]), oracle[f"g_R{acceleration}_fit0"], rtol=1e-5)


def test_the_public_functions_reproduce_the_golden(oracle):
    """T17: the unmixing, complex, and g of R = 4 to 1e-5."""
    with jax.enable_x64(True):
        calibration, maps = oracle["acs"].astype(complex), oracle["csm_unit"].astype(complex)
        unmixing, g_map = grappa.unmixing(calibration, maps, 4), grappa.g_maps(calibration, maps, (4,))
    np.testing.assert_allclose(unmixing, oracle["u_R4_fit0"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(g_map[0], oracle["g_R4_fit0"], rtol=1e-5)


def test_g_maps_calibrated_on_all_lines(oracle, tools):
    """T17: from all 144 lines, to 1e-5."""
    accelerations = (2, 3, 4, 5, 6, 8)
    with jax.enable_x64(True):
        g_maps = grappa.g_maps(tools["kspace_white_full"].astype(complex), oracle["csm_unit"].astype(complex), accelerations)
    np.testing.assert_allclose(g_maps, np.stack([oracle[f"g_R{r}_fullk"] for r in accelerations]), rtol=1e-5)


def test_single_precision_is_within_a_thousandth_inside_the_object(oracle, golden):
    """T18: |g_fp32/g_fp64 - 1| < 1e-3."""
    g_maps = np.asarray(grappa.g_maps(oracle["acs"], oracle["csm_unit"], ACCELERATIONS))
    assert g_maps.dtype == np.float32
    assert oracle["mask"].sum() > 10000
    for r, g_map in zip(ACCELERATIONS, g_maps, strict=True):
        assert np.abs(g_map / g_factor(golden[r]) - 1)[oracle["mask"]].max() < 1e-3, f"R = {r}"


def test_no_acceleration_is_the_coil_combination():
    """T3: u = conj(map) and g = 1, exactly; no fit that would put g below 1."""
    calibration, maps = (part.astype(np.complex64) for part in calibration_and_maps())
    np.testing.assert_array_equal(grappa.unmixing(calibration, maps, 1), maps.conj())
    np.testing.assert_array_equal(grappa.g_maps(calibration, maps, (1,)), np.ones((1, 48, 40)))
    np.testing.assert_allclose(grappa.g_factor(grappa.unmixing(calibration, maps, 1)), 1, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(small()[1], calibration_and_maps()[1].conj())


@pytest.mark.parametrize("acceleration", [2, 4])
def test_noise_from_the_receiver_to_the_image_in_snr_units(acceleration):
    """T4: SD/g is 1 +- 0.005 on the average, and scatters over the pixels by 1/sqrt(4 replicas) +- 10 %."""
    replicas = 200
    scan = make_scan(acceleration=acceleration)
    grid = (48, scan.readout)
    whitening = whitening_matrix(noise_covariance(scan.noise), scan.dwell_us / scan.noise_dwell_us, scan.bandwidth)
    whiten = lambda kspace: jnp.einsum("dc,...cyx->...dyx", whitening, remove_oversampling(kspace, scan.readout))
    calibration = fft2c(whiten(scan.calibration), axes=(-1,))
    maps = inati(low_resolution_images(calibration, (*scan.calibration_start, 0), grid))
    unmixing = grappa.unmixing(calibration, maps, acceleration)

    hybrid = whiten(noise_only(scan, seed=1, frames=replicas))  # the readout is an image already
    boost = np.sqrt(48 / scan.acquired[0].sum())
    image = np.asarray(grappa.unmix(boost * to_image(hybrid, axes=(-2,)), unmixing) / grappa.g_factor(unmixing))

    sd = np.sqrt(np.mean(np.abs(image) ** 2, axis=0) / 2)
    assert sd.mean() == pytest.approx(1, abs=0.005)
    assert sd.std() == pytest.approx(1 / np.sqrt(4 * replicas), rel=0.1)
    assert np.std(image.real) == pytest.approx(np.std(image.imag), rel=0.01)


@pytest.mark.parametrize("acceleration", [2, 3, 4, 5, 6, 8], ids=lambda r: f"R={r}")
def test_noise_of_the_image_is_g(acceleration):
    """T5: pseudo-replicas give the analytic g within 4 SE at 99.9 % of the pixels, also where R does not divide 48 lines (R = 5)."""
    replicas = 400
    unmixing = small()[acceleration].astype(np.complex64)
    ratio = replica_sd(unmixing, sampled(48, acceleration), replicas) / g_factor(unmixing)
    standard_error = 1 / np.sqrt(4 * replicas)
    assert np.mean(np.abs(ratio - 1) < 4 * standard_error) >= 0.999
    assert ratio.mean() == pytest.approx(1, abs=0.005)


@pytest.fixture(scope="module")
def noise_free(truth):
    images, maps = truth
    return unmixings(to_kspace(images)[:, 48:96], maps, regularization=1e-8)


@pytest.mark.parametrize(("acceleration", "tolerance"), [(2, 1e-4), (3, 5e-4), (4, 5e-3)])
def test_noise_free_data_are_unaliased(oracle, truth, noise_free, acceleration, tolerance):
    """T6, and T11: for every phase of the sampling with one unmixing; the signal is that of the full data over sqrt(R), complex."""
    images, maps = truth
    expected = np.sum(maps.conj() * images, axis=0) / np.sqrt(acceleration)
    for phase in range(acceleration):
        acquired = sampled(144, acceleration, phase)
        found = np.asarray(grappa.unmix(aliased(to_kspace(images), acquired), noise_free[acceleration]))
        assert nrmse(found, expected, oracle["mask"]) <= tolerance, f"phase {phase}"


def test_noisy_calibration_unaliases_to_one_per_cent(oracle, truth, golden):
    """T6: calibration lines of an SNR near 90 (that of the complex noise: 117/sqrt(2)), the default regularisation, R = 2."""
    images, _ = truth
    found = np.sum(aliased(to_kspace(images), sampled(144, 2)) * golden[2], axis=0)
    expected = np.sum(oracle["csm_unit"].conj() * images, axis=0) / np.sqrt(2)
    assert nrmse(found, expected, oracle["mask"]) <= 0.01


@pytest.mark.parametrize("factor", [1e-4, 3j, -2e3 + 1e3j])
def test_the_scale_of_the_calibration_does_not_matter(factor):
    """T7: w, u and g of all accelerations."""
    calibration, maps = calibration_and_maps()
    for r, scaled in unmixings(factor * calibration, maps).items():
        np.testing.assert_allclose(scaled, small()[r], rtol=0, atol=1e-9 * np.abs(small()[r]).max())
        np.testing.assert_allclose(g_factor(scaled), g_factor(small()[r]), rtol=1e-9)
    with jax.enable_x64(True):
        scaled, plain = (grappa.fit_kernels(jnp.asarray(data), (4,))[0] for data in (factor * calibration, calibration))
    np.testing.assert_allclose(scaled, plain, rtol=0, atol=1e-9 * np.abs(plain).max())


def coil_mixes():
    rng = np.random.default_rng(5)
    unitary = np.linalg.qr(rng.normal(size=(8, 8)) + 1j * rng.normal(size=(8, 8)))[0]
    return {"permutation": np.eye(8)[rng.permutation(8)], "unitary mix": unitary}


@pytest.mark.parametrize("kind", ["permutation", "unitary mix"])
def test_another_basis_of_the_coils_leaves_g_alone(kind):
    """T8: of all accelerations; the image too, as u turns with the coils."""
    mix = coil_mixes()[kind]
    turned = lambda coils: np.einsum("dc,cyx->dyx", mix, coils)
    calibration, maps = calibration_and_maps()
    for r, mixed in unmixings(turned(calibration), turned(maps)).items():
        np.testing.assert_allclose(g_factor(mixed), g_factor(small()[r]), rtol=1e-9)
        np.testing.assert_allclose(np.einsum("dc,dyx->cyx", mix, mixed), small()[r], rtol=0, atol=1e-9 * np.abs(mixed).max())


def test_g_rises_at_first_with_acceleration(oracle, golden):
    """T9: the mean inside the object, for R = 1, 2, 3, 4; no order is promised beyond what the coils can encode."""
    for maps, mask in ((golden, oracle["mask"]), (small(), inside())):
        means = [g_factor(maps[r])[mask].mean() for r in (1, 2, 3, 4)]
        assert means == sorted(means)
        assert means[0] == pytest.approx(1)


def test_g_falls_with_regularisation():
    """T9: the mean inside the object, for every R."""
    weights = (1e-5, 1e-4, grappa.REGULARIZATION, 5e-3, 5e-2)
    found = [unmixings(*calibration_and_maps(), regularization=weight) for weight in weights]
    for r in ACCELERATIONS[1:]:
        means = [g_factor(one[r])[inside()].mean() for one in found]
        assert means == sorted(means, reverse=True), f"R = {r}: {means}"


@pytest.mark.parametrize("acceleration", ACCELERATIONS)
def test_g_is_not_below_1_inside_the_object(oracle, golden, acceleration):
    """T10: >= 0.99 where there is signal; nothing is promised of the background."""
    assert g_factor(golden[acceleration])[oracle["mask"]].min() >= 0.99
    if acceleration <= 6:  # beyond, 26 lines give fewer than 1.5 equations an unknown
        assert g_factor(small()[acceleration])[inside()].min() >= 0.99


def test_unmixing_is_linear():
    """T11: unmix(a A + b B) = a unmix(A) + b unmix(B), frames in a leading axis."""
    rng = np.random.default_rng(6)
    first, second = complex_normal(rng, 3, 8, 48, 40), complex_normal(rng, 3, 8, 48, 40)
    unmixing = small()[4].astype(np.complex64)
    one, other, both = (np.asarray(grappa.unmix(data, unmixing)) for data in (first, second, (2 - 1j) * first + 0.5j * second))
    np.testing.assert_allclose(both, (2 - 1j) * one + 0.5j * other, atol=1e-4)
    np.testing.assert_allclose(one, np.einsum("tcyx,cyx->tyx", first, unmixing), atol=1e-4)


@pytest.mark.parametrize("acceleration", [3, 5])
def test_the_noise_is_the_same_for_every_phase_of_the_sampling(acceleration):
    """T11: one unmixing, SD maps within 4 SE of each other at 99.9 % of the pixels; R = 5 acquires 10 or 9 of 48 lines."""
    replicas = 200
    unmixing = small()[acceleration].astype(np.complex64)
    maps = [replica_sd(unmixing, sampled(48, acceleration, s), replicas, seed=s) for s in range(acceleration)]
    for other in maps[1:]:
        assert np.mean(np.abs(other / maps[0] - 1) < 4 * np.sqrt(2 / (4 * replicas))) >= 0.999
        assert np.mean(other / maps[0]) == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize(("acceleration", "right", "wrong", "g_ratio"), [(2, 0.013, 0.68, 0.5), (4, 0.097, 1.17, 0.4)])
def test_a_kernel_that_is_not_flipped_does_not_unalias(oracle, tools, truth, golden, acceleration, right, wrong, g_ratio):
    """T12, negative control, on the noisy golden against its own fully sampled image: NRMSE and mean g, right and unflipped."""
    _, maps = truth
    kspace, mask = tools["kspace_white_full"], oracle["mask"]
    with jax.enable_x64(True):
        weights = grappa.fit_kernels(jnp.asarray(oracle["acs"].astype(complex)), (acceleration,))[0]
        flipped = np.asarray(grappa.image_domain(weights, jnp.asarray(maps), acceleration))
        # conjugated weights and maps, the result conjugated back: exp(+2 pi i d r/N) has become exp(-2 pi i d r/N), taps at -d
        unflipped = np.asarray(grappa.image_domain(weights.conj(), jnp.asarray(maps.conj()), acceleration)).conj()
    coil_images = aliased(kspace, sampled(144, acceleration))
    expected = np.sum(maps.conj() * to_image(kspace), axis=0) / np.sqrt(acceleration)
    error = lambda unmixing: nrmse(np.sum(coil_images * unmixing, axis=0), expected, mask)
    assert error(flipped) == pytest.approx(right, abs=5e-4)
    assert error(unflipped) == pytest.approx(wrong, abs=0.01)
    assert g_factor(unflipped)[mask].mean() / g_factor(flipped)[mask].mean() == pytest.approx(g_ratio, abs=0.02)


def test_all_accelerations_at_once_equal_one_by_one():
    """T16: to 1e-5, in double and in single precision."""
    calibration, maps = calibration_and_maps()
    accelerations = (3, 8)
    for dtype in (np.complex128, np.complex64):
        with jax.enable_x64(dtype == np.complex128):
            data = calibration.astype(dtype), maps.astype(dtype)
            together = np.asarray(grappa.g_maps(*data, accelerations))
            apart = np.stack([grappa.g_factor(grappa.unmixing(*data, r)) for r in accelerations])
        assert together.dtype == apart.dtype == dtype(0).real.dtype
        np.testing.assert_allclose(together, apart, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.complex128, np.complex64])
def test_series_in_a_batch_equal_series_one_by_one(dtype):
    """T16: vmap over series, to 1e-5."""
    with jax.enable_x64(dtype == np.complex128):
        maps, calibrations = calibration_and_maps()[1].astype(dtype), three_series().astype(dtype)
        together = jax.vmap(lambda one: grappa.unmixing(one, maps, 3))(calibrations)
        apart = np.stack([grappa.unmixing(one, maps, 3) for one in calibrations])
    np.testing.assert_allclose(together, apart, rtol=0, atol=1e-5)


def three_series():
    calibration, _ = calibration_and_maps()
    return np.stack([calibration, 2j * calibration[:, :, ::-1], calibration.conj()])


def test_an_odd_kernel_unaliases_too():
    image, _ = object_and_coils()
    calibration, maps = calibration_and_maps(noise=0.0)
    unmixing = np.asarray(grappa.unmixing(calibration.astype(np.complex64), maps.astype(np.complex64), 2, kernel=(5, 3)))
    found = np.asarray(grappa.unmix(aliased(to_kspace(image * maps), sampled(48, 2)), unmixing))
    assert nrmse(found, image / np.sqrt(2), inside()) < 0.01


def test_too_few_lines_are_refused_with_the_number_needed():
    calibration, maps = calibration_and_maps()
    assert grappa.lines_needed(8) == 25
    grappa.g_maps(calibration[:, :25], maps, (8,))
    with pytest.raises(ValueError, match="R = 8 needs 25 calibration lines along ky, there are 24"):
        grappa.g_maps(calibration[:, :24], maps, (8,))
    with pytest.raises(ValueError, match="readouts of 9 samples; a kernel of 5 needs 10"):
        grappa.g_maps(calibration[:, :, :9], maps, (2,))
