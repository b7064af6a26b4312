"""Retro-gating: periodic motion recovered, unit noise kept, what the frames do not show refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snraware_jax.errors import InputError
from snraware_jax.noise.normal import complex_normal
from snraware_jax.recon.gating import frame_correlation, noise_scaling, phase_weights, retro_gate


def motion(u) -> np.ndarray:
    """A complex periodic signal of the harmonics -2, 0, 1, 3 at the places `u` of the cycle; its values are of order 1."""
    wave = lambda harmonic: np.exp(2j * np.pi * harmonic * np.asarray(u))
    return 1 + 0.6 * wave(1) + 0.3j * wave(-2) + 0.15 * wave(3)


def beats(count: int, frames: int = 30, seed: int = 0) -> np.ndarray:
    """Places of `frames` frames in each of several beats of different length, the trigger delay different in each."""
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [(np.arange(frames) / frames * rng.uniform(0.93, 1) + rng.uniform(0, 0.03)) % 1 for _ in range(count)]
    )


pytestmark = pytest.mark.filterwarnings("ignore:.* by interpolation:UserWarning")

CYCLES = {
    "on the phases": (np.arange(30) / 30, 1e-9),
    "between the phases": ((np.arange(30) + 0.5) / 30, 2e-4),
    "fewer frames": (np.arange(25) / 25, 4e-4),
    "jittered": ((np.arange(30) + np.random.default_rng(1).uniform(-0.3, 0.3, 30)) / 30 % 1, 6e-4),
    "one frame missing": (np.arange(30) / 31, 2e-3),
    "three beats": (beats(3), 6e-4),
    "eight beats": (beats(8), 6e-4),
    "at random in time": (np.random.default_rng(2).uniform(size=300), 6e-4),
}


@pytest.mark.parametrize("name", CYCLES)
def test_periodic_motion_is_recovered(name):
    cycle, tolerance = CYCLES[name]
    weights = phase_weights(cycle, 30)
    assert weights.shape == (30, len(cycle))
    np.testing.assert_allclose(weights @ motion(cycle), motion(np.arange(30) / 30), atol=tolerance)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)


def test_frames_on_the_phases_are_left_alone():
    order = np.random.default_rng(3).permutation(24)
    np.testing.assert_allclose(phase_weights(order / 24, 24), np.arange(24)[:, None] == order, atol=1e-12)


def test_equal_beats_are_averaged():
    weights = phase_weights(np.tile(np.arange(20) / 20, 4), 20)
    np.testing.assert_allclose(weights, np.tile(np.eye(20) / 4, 4), atol=1e-12)
    np.testing.assert_allclose(noise_scaling(weights), 0.5, rtol=1e-6)


def test_the_end_of_the_cycle_is_its_beginning():
    np.testing.assert_allclose(phase_weights([0.25, 0.5, 0.75, 1.0], 4), np.eye(4)[[3, 0, 1, 2]], atol=1e-12)


@pytest.mark.parametrize("name", CYCLES)
def test_unit_noise_in_unit_noise_out(name):
    cycle, _ = CYCLES[name]
    weights, replicas = phase_weights(cycle, 30), 4096
    gated = np.asarray(retro_gate(complex_normal(jax.random.key(0), (len(cycle), replicas)), weights))
    standard_error = 1 / np.sqrt(2 * replicas)
    np.testing.assert_allclose(gated.real.std(axis=1), 1, atol=5 * standard_error)
    np.testing.assert_allclose(gated.imag.std(axis=1), 1, atol=5 * standard_error)
    measured = (gated @ gated.conj().T / (2 * replicas)).real
    np.testing.assert_allclose(measured, frame_correlation(weights), atol=5 * standard_error)


def test_the_signal_returns_with_the_noise_scaling():
    cycle = beats(2)
    weights = phase_weights(cycle, 30)
    frames = (motion(cycle)[:, None, None] * np.ones((2, 3))).astype(np.complex64)
    gated = retro_gate(frames, weights)
    assert gated.shape == (30, 2, 3)
    assert gated.dtype == jnp.complex64
    np.testing.assert_allclose(gated * noise_scaling(weights)[:, None, None], np.tensordot(weights, frames, 1), atol=1e-5)


def test_a_common_scale_keeps_the_signal_between_phases_and_a_noise_variance_of_1_on_the_average():
    cycle = CYCLES["one frame missing"][0]
    weights, replicas = phase_weights(cycle, 30), 4096
    scaling = np.asarray(noise_scaling(weights))
    assert scaling.max() > 1.2 * scaling.min()
    gated = np.asarray(retro_gate(motion(cycle).astype(np.complex64), weights, common_scale=True))
    expected = weights @ motion(cycle)
    np.testing.assert_allclose(gated / gated[0], expected / expected[0], atol=1e-5)
    noise = np.asarray(retro_gate(complex_normal(jax.random.key(1), (30, replicas)), weights, common_scale=True))
    factor = np.sqrt(np.mean(scaling**2))
    np.testing.assert_allclose(noise.real.std(axis=1), scaling / factor, rtol=5 / np.sqrt(2 * replicas))
    assert np.mean(noise.real**2) == pytest.approx(1, abs=0.02)


def test_under_jit_and_vmap():
    cycle = beats(2, frames=10)
    weights = phase_weights(cycle, 8)
    frames = complex_normal(jax.random.key(2), (3, 20, 4, 5))
    mapped = jax.jit(jax.vmap(retro_gate, (0, None)))(frames, weights)
    np.testing.assert_allclose(mapped[1], retro_gate(frames[1], weights), atol=1e-5)


@pytest.mark.parametrize("phases", [1, 2, 3])
def test_few_phases(phases):
    weights = phase_weights(np.arange(12) / 12, phases)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    if phases == 1:
        np.testing.assert_allclose(weights, 1 / 12, atol=1e-12)


@pytest.mark.parametrize(
    "cycle", [np.arange(30) / 30 * 0.75, beats(6) * 0.8, np.repeat(np.arange(10) / 10, 3) + [0, 1e-4, 2e-4] * 10]
)
def test_what_the_frames_do_not_show_is_refused_with_the_number_of_phases_that_they_do(cycle):
    with pytest.raises(
        InputError, match=r"scan 7: .* gap of \d+% of the cardiac cycle from 0\.\d\d on, for 30 phases"
    ) as refusal:
        phase_weights(cycle, 30, name="scan 7")
    possible = int(str(refusal.value).split("Ask for ")[1].split()[0])
    assert 1 <= possible < 30
    assert phase_weights(cycle, possible).shape == (possible, len(cycle))


def test_the_gap_is_named():
    cycle = (np.arange(30) / 30 * 0.7 + 0.1) % 1
    with pytest.raises(InputError, match=r"gap of 32% of the cardiac cycle from 0.78 on"):
        phase_weights(cycle, 30)


@pytest.mark.parametrize("cycle", [[0.1, 1.2], [np.nan, 0.5], []])
def test_impossible_places_are_refused(cycle):
    with pytest.raises(InputError, match="must lie in 0..1"):
        phase_weights(cycle, 2)


def test_no_phases_are_refused():
    with pytest.raises(InputError, match="0 phases"):
        phase_weights([0.1, 0.6], 0)


def test_more_phases_than_frames_are_said_to_hold_no_more():
    with pytest.warns(UserWarning, match="raw.h5: 25 different frames give 30 phases by interpolation"):
        phase_weights(np.arange(25) / 25, 30, "raw.h5")
