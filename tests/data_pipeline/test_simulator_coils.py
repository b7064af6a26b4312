"""The simulated receive arrays: fields that obey Maxwell's equations, coils of their own for every subject, noise as designed."""

import numpy as np
import pytest

from data_pipeline.simulator import coils, receiver
from data_pipeline.simulator.subject import ARRAYS, Settings

HALF = (215.0, 150.0)


def grid(shape: tuple[int, int] = (9, 11), z: float = 0.0) -> np.ndarray:
    """Points `[3, h, w]` of an axial plane through the body."""
    y, x = np.meshgrid(np.linspace(-100, 100, shape[0]), np.linspace(-150, 150, shape[1]), indexing="ij")
    return np.stack([x, y, np.full(shape, z)]).astype(np.float32)


def maps(seed: int, array: str = "body", number: int = 12, points: np.ndarray | None = None, **options) -> np.ndarray:
    return coils.sensitivities(
        np.random.default_rng(seed), number, grid() if points is None else points, HALF, array, **options
    )


@pytest.mark.parametrize("number", [4, 7, 16, 32])
@pytest.mark.parametrize("array", ARRAYS)
def test_every_array_has_as_many_different_coils_as_asked(array, number):
    found = maps(0, array, number)
    assert found.shape == (number, 9, 11)
    assert found.dtype == np.complex64
    assert np.isfinite(found).all()
    correlation = np.abs(np.corrcoef(found.reshape(number, -1))) - np.eye(number)
    assert correlation.max() < 0.998
    singular = np.linalg.svd(found.reshape(number, -1), compute_uv=False)
    assert np.sum(singular > 1e-3 * singular[0]) >= min(number, 7)


def test_two_hundred_subjects_have_two_hundred_coil_sets():
    points = grid((5, 6))
    sets = np.stack([np.log(np.abs(maps(seed, "mixed", 8, points))).ravel() for seed in range(200)])
    correlation = np.corrcoef(sets) - np.eye(len(sets))
    assert correlation.max() < 0.95


def test_a_mixed_population_has_one_birdcage_in_eight():
    points = grid((2, 2))
    same = [np.array_equal(maps_after_draw(seed, "birdcage", points), maps(seed, "mixed", 8, points)) for seed in range(200)]
    assert 12 <= sum(same) <= 40


def maps_after_draw(seed: int, array: str, points: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rng.random()
    return coils.sensitivities(rng, 8, points, HALF, array)


@pytest.mark.parametrize("array", ARRAYS)
def test_slices_of_a_study_share_their_coils(array):
    both = np.stack([grid(z=0), grid(z=20)], axis=1)
    np.testing.assert_allclose(maps(3, array, points=both)[:, 1], maps(3, array, points=grid(z=20)), rtol=1e-5)


def test_a_loop_has_the_field_on_its_axis_of_the_text_book():
    """B(z) = 2 pi R^2 / (R^2 + z^2)^(3/2) along the axis; R grows by the wire."""
    z = np.array([0.0, 30.0, 90.0], np.float32)
    points = np.stack([z, 0 * z, 0 * z])
    field = coils.biot_savart(points, np.zeros(3), np.array([1.0, 0, 0]), 50.0, segments=64)
    expected = 2 * np.pi * 50**2 / (50**2 + z**2 + coils.WIRE_MM2) ** 1.5
    np.testing.assert_allclose(np.abs(field), expected, rtol=1e-4)
    np.testing.assert_allclose(field.imag, 0, atol=1e-6)


@pytest.mark.parametrize("array", ["body", "birdcage", "helmet", "spine"])
def test_fields_are_free_of_curl_and_divergence_within_the_body(array):
    """Of a static field Bx and By are harmonic, so is Bx - i By: its Laplacian is 0 away from the wires."""
    step = 4.0
    middle = np.array([20.0, 10.0, 5.0])
    offsets = np.array([[0, 0, 0], *np.eye(3), *-np.eye(3)]) * step
    found = maps(1, array, points=(middle + offsets).T.astype(np.float32))
    laplacian = found[:, 1:].sum(axis=1) - 6 * found[:, 0]
    second = np.abs(found[:, 1:4] + found[:, 4:] - 2 * found[:, :1]).max()
    assert np.abs(laplacian).max() < 0.05 * second


def test_elements_lie_where_their_name_says():
    near = {"spine": (0, 140, 0), "helmet": (0, 0, 150)}
    far = {"spine": (0, -140, 0), "helmet": (0, 0, -150)}
    for array in near:
        points = np.array([near[array], far[array]], np.float32).T
        power = np.sum(np.abs(maps(2, array, points=points)) ** 2, axis=0)
        assert power[0] > 10 * power[1], array


def test_a_broken_coil_receives_nothing_but_keeps_its_noise():
    whole, broken = maps(4), maps(4, broken_coil=1.0)
    power = np.sum(np.abs(broken) ** 2, axis=(1, 2)) / np.sum(np.abs(whole) ** 2, axis=(1, 2))
    assert np.sum(power < 1e-5) == 1
    np.testing.assert_allclose(np.sort(power)[1:], 1, rtol=1e-4)
    covariance = receiver.noise_covariance(np.random.default_rng(0), broken, np.ones((9, 11)), 0.3)
    assert np.diag(covariance).real.min() > 0.3


def test_noise_covariances_lie_within_the_design():
    for seed in range(20):
        covariance = receiver.draw_covariance(np.random.default_rng(seed), maps(seed), np.ones((9, 11)), Settings(coils=12))
        np.testing.assert_allclose(covariance, covariance.conj().T)
        assert np.linalg.eigvalsh(covariance)[0] > 0.05
        sd = np.sqrt(np.diag(covariance).real)
        assert 0.6 <= sd.min() <= sd.max() <= 2
        correlation = np.abs(covariance / np.outer(sd, sd)) - np.eye(12)
        assert 0.14 < correlation.max() < 0.41


@pytest.mark.parametrize("shape", [(24, 31), (23, 30)])
def test_maps_on_another_grid_keep_their_centre_and_shape(shape):
    """A cubic field of view keeps a cubic polynomial about N//2."""
    of = lambda y, x: 1 + 0.3 * y - 0.2j * x + 0.05 * x * y**2 - 0.1j * x**3
    axes = lambda sizes: np.meshgrid(*((np.arange(n) - n // 2) / n for n in sizes), indexing="ij")
    coarse = of(*axes((10, 13)))[None].astype(np.complex64)
    found = coils.resample(coarse, shape)[0]
    inside = (slice(3, -3), slice(3, -3))  # beyond the coarse grid's ends the values stay
    np.testing.assert_allclose(found[inside], of(*axes(shape))[inside], atol=1e-5)
