"""Noise drawn anew is that of the chain: its SD is g, and pixels that alias onto each other are as alike."""

import jax
import numpy as np
import pytest

from snraware_jax.recon import chain
from snraware_jax.recon.replicas import noise
from tests.recon.phantom import noise_only

pytestmark = pytest.mark.xdist_group("chain")
REPLICAS = 400


@pytest.fixture(scope="module")
def drawn(scan, plan):
    acquired = np.repeat(scan.acquired[:1], REPLICAS, 0)
    return np.asarray(jax.jit(noise)(jax.random.key(0), plan.unmixing, acquired))


def likeness(image: np.ndarray) -> np.ndarray:
    """Correlation of every pixel with the one half an image away along ky, and with its neighbour: `[2, ky, kx]` complex."""
    unit = image / np.sqrt(np.mean(np.abs(image) ** 2, axis=0))
    return np.stack([np.mean(np.conj(unit) * np.roll(unit, by, axis=1), axis=0) for by in (image.shape[1] // 2, 1)])


def test_its_sd_is_g(drawn, plan):
    ratio = np.sqrt(np.mean(np.abs(drawn) ** 2, axis=0) / 2) / np.asarray(plan.g_map)
    assert ratio.mean() == pytest.approx(1, abs=0.005)
    assert ratio.std() == pytest.approx(1 / np.sqrt(4 * REPLICAS), rel=0.15)


def test_its_correlations_are_those_of_the_chain(drawn, plan, scan):
    image = chain.apply(plan, noise_only(scan, 1, REPLICAS), np.repeat(scan.acquired[:1], REPLICAS, 0))
    found, expected = likeness(drawn), likeness(np.asarray(image))
    error = 1 / np.sqrt(REPLICAS)
    assert np.sqrt(np.mean(np.abs(found - expected) ** 2)) < 2 * error
    assert np.sqrt(np.mean(np.abs(expected) ** 2)) > 3 * error  # there is something to be equal to


def test_frames_and_keys_differ(drawn, plan, scan):
    assert not np.allclose(drawn[0], drawn[1])
    other = noise(jax.random.key(1), plan.unmixing, scan.acquired[:1])
    assert not np.allclose(other[0], drawn[0])


def test_lines_of_another_grid_are_refused(plan, scan):
    with pytest.raises(ValueError, match="not zero-filled"):
        noise(jax.random.key(0), plan.unmixing, scan.acquired[:, :-1])
