"""The whole chain: unit noise of simulated scans at every acceleration, linear once calibrated; and the measured phantom."""

import numpy as np
import pytest

from data_pipeline.simulator import Settings, Simulated, simulate
from snraware_jax.errors import InputError
from snraware_jax.formats.mrd import read_scan
from snraware_jax.recon import chain
from snraware_jax.recon.checks import background, noise_beside_object
from tests.recon.phantom import complex_normal, make_scan, noise_only, replace

pytestmark = pytest.mark.xdist_group("chain")


def test_noise_alone_comes_out_as_unit_noise(scan, plan):
    replicas = 200
    noise = noise_only(scan, 1, replicas)
    image = np.asarray(chain.apply(plan, noise, np.repeat(scan.acquired[:1], replicas, 0)))
    sd = np.sqrt(np.mean(np.abs(image) ** 2, axis=0) / 2)
    assert sd.mean() == pytest.approx(1, abs=0.01)  # 4096 noise samples of 8 coils: the covariance is good to some 0.2 %
    assert sd.std() == pytest.approx(1 / np.sqrt(4 * replicas), rel=0.15)
    assert image.real.std() == pytest.approx(image.imag.std(), rel=0.01)


# at R = 5 and g near 10 few modes carry the noise: its mean SD has an error of 0.0014 over 64 frames, and of 0.0012 from the covariance
ENOUGH = {"frames": 64, "noise_readouts": 1024}
PARTIAL_FOURIER = 0.25  # of the lines that are left out on one side


def simulated(acceleration: int, **settings) -> Simulated:
    """A cine of odd sizes; its noise is coloured by coils and receiver, and is known: `scan.kspace - noise_free`."""
    settings = {"matrix": (75, 89), "frames": 16, "calibration_lines": 32, "noise_readouts": 256, **settings}
    return simulate(2, acceleration, Settings(acceleration=acceleration, **settings))


def mean_sd(plan: chain.Plan, kspace: np.ndarray, acquired: np.ndarray) -> float:
    """Noise SD of the image over that which g promises, on the average over pixels and frames."""
    return float(np.sqrt(np.mean(np.abs(np.asarray(chain.apply(plan, kspace, acquired))) ** 2) / 2))


def partial_fourier(acquired: np.ndarray, side: str) -> np.ndarray:
    lines = acquired.shape[1]
    cut = np.arange(lines) < PARTIAL_FOURIER * lines
    return acquired & ~(cut if side == "before" else cut[::-1])


@pytest.mark.parametrize("acceleration", [2, 3, 4, 5, 6])
def test_the_true_noise_of_a_simulated_cine_has_the_sd_that_g_promises(acceleration):
    made = simulated(acceleration, **ENOUGH)
    scan, noise = made.scan, made.scan.kspace - made.noise_free
    plan = chain.calibrate(scan, (acceleration,))
    body = np.abs(made.truth[0]) > 0.1 * np.percentile(np.abs(made.truth), 99)
    assert np.mean(np.asarray(plan.g_map)[body]) > 1.02 + 0.1 * (acceleration > 2)
    assert mean_sd(plan, noise, scan.acquired) == pytest.approx(1, abs=0.005)
    for side in ("before", "after"):
        assert mean_sd(plan, noise, partial_fourier(scan.acquired, side)) == pytest.approx(1, abs=0.005), side


@pytest.mark.parametrize("acceleration", [2, 5])
@pytest.mark.parametrize("matrix", [(96, 120), (76, 89)], ids=str)
def test_the_true_noise_of_a_zero_filled_cine_has_the_sd_that_g_promises(acceleration, matrix):
    made = simulated(acceleration, **ENOUGH)
    plan = chain.calibrate(made.scan, (acceleration,), matrix)
    noise = made.scan.kspace - made.noise_free
    assert mean_sd(plan, noise, made.scan.acquired) == pytest.approx(1, abs=0.005)
    assert mean_sd(plan, noise, partial_fourier(made.scan.acquired, "before")) == pytest.approx(1, abs=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("acceleration", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("matrix", [(143, 191), (144, 192)], ids=str)
def test_noise_at_the_size_of_scans(acceleration, matrix):
    made = simulated(acceleration, matrix=matrix, frames=24, coils=16, calibration_lines=48)
    scan, noise = made.scan, made.scan.kspace - made.noise_free
    echo = 3 * noise.shape[-1] // 4
    asymmetric = replace(
        scan,
        kspace=scan.kspace * (np.arange(noise.shape[-1]) < echo),
        calibration=scan.calibration * (np.arange(noise.shape[-1]) < echo),
        echo_samples=echo,
    )
    short = noise * (np.arange(noise.shape[-1]) < echo)
    for each, kspace, grid in ((scan, noise, None), (scan, noise, (192, 256)), (asymmetric, short, None)):
        plan = chain.calibrate(each, (acceleration,), grid)
        for acquired in (scan.acquired, *(partial_fourier(scan.acquired, side) for side in ("before", "after"))):
            assert mean_sd(plan, kspace, acquired) == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize(("acceleration", "tolerance"), [(2, 0.03), (3, 0.07)])
def test_the_signal_is_the_simulators_truth_over_g(acceleration, tolerance):
    """S g R/sqrt(f) is the full data's combination; up to a phase, which the coil maps take from the image."""
    made = simulated(acceleration, coils=12)  # what 8 coils leave aliased at R = 3 is 2 to 9 % of the signal
    plan = chain.calibrate(made.scan, (acceleration,))
    acquired = made.scan.acquired[:2]
    unscaled = plan.g_map * acceleration * np.sqrt(acquired[0].mean())
    found = unscaled * np.asarray(chain.apply(plan, made.noise_free[:2], acquired))
    truth = np.abs(made.truth[:2])
    body = truth > 0.1 * np.percentile(truth, 99)
    assert np.linalg.norm((np.abs(found) - truth)[body]) < tolerance * np.linalg.norm(truth[body])
    assert np.sum(np.abs(found)[body] * truth[body]) / np.sum(truth[body] ** 2) == pytest.approx(1, abs=0.02)


def test_the_frozen_chain_is_linear(scan, plan):
    a, b = noise_only(scan, 2, 2), noise_only(scan, 3, 2)
    acquired = np.repeat(scan.acquired[:1], 2, 0)
    of = lambda kspace: np.asarray(chain.apply(plan, kspace, acquired))
    np.testing.assert_allclose(of(a - 2j * b), of(a) - 2j * of(b), atol=1e-4)


def test_lines_that_were_not_acquired_do_not_count(scan, plan):
    dirty = np.where(scan.acquired[:, None, :, None], scan.kspace, 1e3).astype(np.complex64)
    np.testing.assert_allclose(
        chain.apply(plan, dirty, scan.acquired), chain.apply(plan, scan.kspace, scan.acquired), rtol=1e-5, atol=1e-4
    )


def test_no_acceleration_has_g_of_exactly_1():
    series = chain.reconstruct(make_scan(acceleration=1, frames=1), (1, 2))
    np.testing.assert_array_equal(series.g_map, 1)
    np.testing.assert_array_equal(series.g_maps[0], 1)
    assert (series.g_maps[1] != 1).any()


def test_the_series_states_what_it_is(scan):
    series = chain.reconstruct(scan, (2, 3, 4))
    assert series.image.shape == (2, 48, 40)
    assert series.image.dtype == np.complex64
    assert series.g_maps.shape == (3, 48, 40)
    assert series.g_maps.dtype == series.g_map.dtype == np.float32
    assert (series.accelerations, series.acceleration) == ((2, 3, 4), 2)
    np.testing.assert_allclose(series.g_maps[0], series.g_map, rtol=1e-2)  # two compilations of one calculation
    assert series.metadata["coils"] == 8


def test_calibration_that_does_not_suffice_says_what_to_type(scan):
    short = replace(scan, calibration=scan.calibration[:, 1:25], calibration_start=(scan.calibration_start[0] + 1,))
    with pytest.raises(InputError, match="24 calibration lines along ky; R = 8 needs 25.*pass --accelerations 2-7"):
        chain.calibrate(short)
    four = replace(scan, calibration=scan.calibration[:, 11:15], calibration_start=(scan.calibration_start[0] + 11,))
    with pytest.raises(InputError, match="scan's own acceleration: 4 calibration lines along ky; R = 2 needs 7"):
        chain.calibrate(four)


def test_too_short_a_noise_scan_is_refused(scan):
    with pytest.raises(InputError, match="79 noise samples for 8 coils.*80"):
        chain.calibrate(replace(scan, noise=scan.noise[:, :79]))


def test_a_disconnected_coil_is_said_and_survived(scan):
    dead = np.ones((8, 1), np.complex64)
    dead[3] = 0
    scan = replace(
        scan, noise=scan.noise * dead, kspace=scan.kspace * dead[..., None], calibration=scan.calibration * dead[..., None]
    )
    with pytest.warns(UserWarning, match="coil 3 of 8 .from 0. disconnected, left out"):
        series = chain.reconstruct(scan, (2,))
    assert np.isfinite(series.image).all()


def test_noise_beside_an_object_is_measured_in_the_presence_of_ringing():
    rng = np.random.default_rng(6)
    y, x = np.meshgrid(np.arange(96), np.arange(80), indexing="ij")
    disc = 200.0 * (np.hypot(y - 48, x - 40) < 20)
    ripple = 0.4 * np.cos(y) * np.exp(1j * x / 9)
    for sd in (0.5, 1.0, 1.4):
        found = noise_beside_object((disc + ripple + sd * complex_normal(rng, 4, 96, 80)).astype(np.complex64))
        assert found.real == pytest.approx(sd, rel=0.05)
        assert found.imaginary == pytest.approx(sd, rel=0.05)
        assert found.count > 4000
    assert not background(disc + complex_normal(rng, 1, 96, 80))[disc > 0].any()


@pytest.fixture(scope="module")
def phantom(shared):
    return chain.reconstruct(read_scan(shared / "data" / "phantom_ssfp_r3_14ch.h5"))


def test_the_measured_phantom_has_unit_noise_beside_the_object(phantom):
    noise = noise_beside_object(phantom.image)
    assert 0.95 < noise.real < 1.05
    assert 0.95 < noise.imaginary < 1.05
    assert noise.count > 5000


def test_the_measured_phantom_has_unit_noise_beside_its_readout(shared):
    """Without any estimator: plain SD in the columns outside the nominal field of view, where there is nothing."""
    scan = read_scan(shared / "data" / "phantom_ssfp_r3_14ch.h5")
    image = chain.reconstruct(replace(scan, readout=384), (3,)).image[0]
    columns = np.r_[70:82, 302:312]  # object: 108 to 281; the anti-alias filter falls below 0.97 at 66 and 318
    assert 0.95 < image[:, columns].real.std() < 1.05
    assert 0.95 < image[:, columns].imag.std() < 1.05


def test_the_measured_phantom_is_unaliased(phantom):
    """Above and below the bottles lies nothing; R = 3 would place copies of them there, 48 lines away."""
    magnitude = np.abs(phantom.image[0])
    bottles = np.median(magnitude[50:80, 30:80])
    assert bottles > 100
    assert np.sqrt(np.mean(magnitude[np.r_[0:8, 124:144]] ** 2)) < 0.02 * bottles
    assert 1.0 < np.median(phantom.g_map[50:80, 30:80]) < 1.4
