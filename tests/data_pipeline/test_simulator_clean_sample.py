"""A training sample without a raw scan is what the scanner and the chain make of the same subject."""

import numpy as np
import pytest

from data_pipeline.simulator import Settings, acquire, acquisition, coils, fourier
from data_pipeline.simulator.clean_sample import band_limited, clean_sample
from snraware_jax.recon import chain

pytestmark = pytest.mark.xdist_group("simulator")
SETTINGS = Settings(matrix=(39, 47), frames=4, coils=4, calibration_lines=33, acceleration=1, noise_readouts=512,
                    signal_snr=(2000.0, 2000.0))  # fmt: skip
BOX = (slice(30, 75), slice(50, 111))


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Still part `[H, W]`, content of the box `[T, h, w]`, coil maps."""
    rng = np.random.default_rng(0)
    fine = tuple(3 * n for n in SETTINGS.matrix)
    down, across = acquisition.grid_mm(fine, SETTINGS.fov_mm)
    still = np.exp(1j * across / 90) * (np.hypot(down / SETTINGS.fov_mm[0], across / SETTINGS.fov_mm[1]) < 0.38)
    still = (still * rng.uniform(0.7, 1, fine)).astype(np.complex64)
    moving = still[BOX] * rng.uniform(0.5, 1.2, (SETTINGS.frames, 45, 61)).astype(np.float32)
    down, across = acquisition.grid_mm((32, 32), SETTINGS.fov_mm)
    points = np.stack([across, down, 0 * down])
    return still, moving, coils.sensitivities(rng, SETTINGS.coils, points, (250.0, 200.0))


def whole(still: np.ndarray, moving: np.ndarray) -> np.ndarray:
    pictures = np.repeat(still[None], len(moving), axis=0)
    pictures[:, BOX[0], BOX[1]] = moving
    return pictures


def test_only_the_box_is_transformed_anew(drawn):
    still, moving, _ = drawn
    weight = np.random.default_rng(1).uniform(1, 2, still.shape).astype(np.float32)
    found = band_limited(still, BOX, moving, weight, SETTINGS.matrix)
    np.testing.assert_allclose(found, fourier.resize(whole(still, moving) * weight, SETTINGS.matrix), atol=1e-5)


def test_a_sample_is_the_scan_of_the_same_subject(drawn):
    still, moving, maps = drawn
    scanned = acquire(whole(still, moving), maps, SETTINGS, np.random.default_rng(2), "disc")
    plan = chain.calibrate(scanned.scan, (2, 4, 8))
    expected = np.asarray(chain.apply(plan, scanned.noise_free, scanned.scan.acquired))
    sample = clean_sample(still, BOX, moving, maps, SETTINGS, np.random.default_rng(2))

    body = np.abs(scanned.truth[0]) > 0.2 * np.percentile(np.abs(scanned.truth), 99)
    error = np.linalg.norm((sample.image - expected)[:, body]) / np.linalg.norm(expected[:, body])
    assert error < 0.03
    assert sample.signal_snr == pytest.approx(scanned.signal_snr, rel=0.01)
    assert sample.g_maps.shape == (7, *SETTINGS.matrix)
    ratio = (sample.g_maps[[0, 2, 6]] / np.asarray(plan.g_maps))[:, body]
    np.testing.assert_allclose(np.median(ratio, axis=1), 1, atol=0.01)
    again = clean_sample(still, BOX, moving, maps, SETTINGS, np.random.default_rng(2))
    np.testing.assert_array_equal(again.image, sample.image)
