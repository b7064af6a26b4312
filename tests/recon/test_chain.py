"""The whole chain: unit noise, the right signal, linear once calibrated; and the measured phantom."""

import numpy as np
import pytest

from snraware_jax.errors import InputError
from snraware_jax.formats.mrd import read_scan
from snraware_jax.recon import chain
from snraware_jax.recon.checks import background, noise_beside_object
from tests.recon.phantom import complex_normal, make_scan, noise_only, object_and_coils, replace


@pytest.fixture(scope="module")
def scan():
    return make_scan(acceleration=2)


@pytest.fixture(scope="module")
def plan(scan):
    return chain.calibrate(scan, (2, 3, 4))


def test_noise_alone_comes_out_as_unit_noise(scan, plan):
    replicas = 200
    noise = noise_only(scan, 1, replicas)
    image = np.asarray(chain.apply(plan, noise, np.repeat(scan.acquired[:1], replicas, 0)))
    sd = np.sqrt(np.mean(np.abs(image) ** 2, axis=0) / 2)
    assert sd.mean() == pytest.approx(1, abs=0.01)  # 4096 noise samples of 8 coils: the covariance is good to some 0.2 %
    assert sd.std() == pytest.approx(1 / np.sqrt(4 * replicas), rel=0.15)
    assert image.real.std() == pytest.approx(image.imag.std(), rel=0.01)


def test_the_signal_is_that_of_the_full_data_over_root_r_and_g(scan, plan):
    series = chain.reconstruct(scan, (2, 3, 4))
    image, _ = object_and_coils()
    inside = np.abs(image) > 0.5
    # whitening of coupled coils changes the sensitivities: compare up to one smooth factor, through the noise-free scan
    clean = replace(scan, kspace=scan.kspace - _noise_of(scan))
    truth = np.asarray(chain.apply(plan, clean.kspace, clean.acquired))
    difference = (series.image - truth)[:, inside]
    assert np.sqrt(np.mean(np.abs(difference) ** 2) / 2) == pytest.approx(1, abs=0.05)
    # twice the object, twice the signal: the level is that of the input, not one that the chain chose
    doubled = np.asarray(chain.apply(plan, 2 * clean.kspace, clean.acquired))
    np.testing.assert_allclose(doubled[:, inside], 2 * truth[:, inside], rtol=1e-4)
    correlation = np.abs(truth[0] * series.g_map)[inside]
    assert np.corrcoef(correlation, np.abs(image)[inside])[0, 1] > 0.9


def _noise_of(scan):
    clean = make_scan(acceleration=scan.acceleration, snr=120.0).kspace - make_scan(acceleration=scan.acceleration).kspace
    return scan.kspace - clean  # the same seed: twice the signal minus once the signal


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
