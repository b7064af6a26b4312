"""Patches: cut where they say, resized as the reconstruction resizes, and drawn as often as asked."""

import dataclasses

import numpy as np
import pytest

from data_pipeline import patches
from data_pipeline.patches import PRESETS, Augmentation
from snraware_jax.recon import resize

PATCH = (4, 8, 8)
EVERYTHING = Augmentation(flips=0.5, matrix_size=0.6, single_frame=0.4)


def series(shape: tuple[int, int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    image = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    return image, rng.uniform(1, 3, (7, *shape[1:])).astype(np.float32)


def made(choice: patches.Choice, image: np.ndarray, gmaps: np.ndarray, margin: int = 0) -> tuple[np.ndarray, np.ndarray]:
    t, h, w = patches.region(choice, PATCH, margin)
    return patches.cut(choice, PATCH, image[t, h, w], gmaps[:, h, w], margin)


def from_the_whole(choice: patches.Choice, image: np.ndarray, gmaps: np.ndarray, margin: int) -> tuple[np.ndarray, np.ndarray]:
    """The same patch by way of the whole series: resized, mirrored, continued at its ends, cut, flipped."""
    (h, new_h), (w, new_w) = zip(choice.shape[1:], choice.matrix, strict=True)
    image = patches.resizing(h, new_h) @ image @ patches.resizing(w, new_w).T if choice.matrix != choice.shape[1:] else image
    gmaps = patches.interpolation(h, new_h) @ gmaps @ patches.interpolation(w, new_w).T
    long_enough = tuple(max(have, wanted) for have, wanted in zip(image.shape, PATCH, strict=True))
    image, gmaps = patches.mirror(image, long_enough), patches.mirror(gmaps, (7, *long_enough[1:]))
    gmaps = np.pad(gmaps, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
    at = lambda t, h, w: image[t : t + 1, h : h + PATCH[1], w : w + PATCH[2]]
    first, h, w = choice.start
    places = [(first + i, h, w) for i in range(PATCH[0])] if choice.places is None else [(first, *p) for p in choice.places]
    turn = [axis for axis, flipped in zip((-2, -1), choice.flips, strict=True) if flipped]
    frames = np.concatenate([at(*place) for place in places])
    return np.flip(frames, turn), np.flip(gmaps[:, h : h + PATCH[1] + 2 * margin, w : w + PATCH[2] + 2 * margin], turn)


@pytest.mark.parametrize("margin", [0, 3, 9])
@pytest.mark.parametrize("shape", [(9, 17, 22), (4, 8, 8), (2, 5, 11), (1, 13, 3)])
def test_a_patch_from_its_region_is_that_of_the_whole_series(shape, margin):
    image, gmaps = series(shape)
    kinds = set()
    for seed in range(60):
        choice = patches.draw(np.random.default_rng(seed), shape, PATCH, EVERYTHING)
        kinds.add((choice.matrix != shape[1:], choice.places is not None))
        found, expected = made(choice, image, gmaps, margin), from_the_whole(choice, image, gmaps, margin)
        assert found[0].shape == PATCH
        assert found[1].shape == (7, PATCH[1] + 2 * margin, PATCH[2] + 2 * margin)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)
    assert len(kinds) == 4


@pytest.mark.parametrize(("n", "size"), [(16, 24), (17, 22), (16, 8), (17, 13)])
def test_resizing_is_that_of_the_reconstruction(n, size):
    image, _ = series((3, n, 5))
    way = resize.zero_fill if size >= n else resize.crop_resolution
    np.testing.assert_allclose(patches.resizing(n, size) @ image, way(image, (size,), (-2,)), atol=2e-5)
    # unit noise stays unit noise: every row of the matrix has norm 1
    np.testing.assert_allclose(np.linalg.norm(patches.resizing(n, size), axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(("n", "size"), [(16, 24), (17, 22), (16, 8), (17, 13)])
def test_g_maps_lie_where_the_resized_image_does(n, size):
    # a period of a cosine survives both ways of resizing; linear interpolation of its samples comes close to it
    smooth = np.cos(2 * np.pi * (np.arange(n) - n // 2) / n)
    larger_voxels = np.sqrt(min(n, size) / n)  # have more signal, not more g
    resized = (patches.resizing(n, size) @ smooth).real * larger_voxels
    np.testing.assert_allclose((patches.interpolation(n, size) @ smooth)[2:-2], resized[2:-2], atol=0.03)


def test_flips_mirror_image_and_g_maps_alike():
    h, w = np.indices((12, 10))
    image, gmaps = np.stack([h + 1j * w] * 6).astype(np.complex64), (h + 100.0 * w)[None].astype(np.float32)
    flipped = set()
    for seed in range(20):
        choice = patches.draw(np.random.default_rng(seed), image.shape, PATCH, Augmentation(flips=0.5))
        found, maps = made(choice, image, gmaps)
        np.testing.assert_array_equal(maps[0], found[0].real + 100 * found[0].imag)
        flipped.add((bool(found[0, 0, 0].real > found[0, 1, 0].real), bool(found[0, 0, 0].imag > found[0, 0, 1].imag)))
    assert len(flipped) == 4


def test_a_single_frame_is_seen_at_many_places_with_one_g_map():
    t, h, w = np.indices((9, 30, 40))
    image, gmaps = (t + 1j * (100 * h + w)).astype(np.complex64), (100 * h[0] + w[0])[None].astype(np.float32)
    choice = patches.draw(np.random.default_rng(0), image.shape, PATCH, Augmentation(single_frame=1.0))
    found, maps = made(choice, image, gmaps)
    assert len(np.unique(found.real)) == 1
    assert len(np.unique(found[:, 0, 0].imag)) == PATCH[0]
    np.testing.assert_array_equal(found[0].imag, maps[0])
    assert patches.region(choice, PATCH)[0] == slice(choice.start[0], choice.start[0] + 1)


def test_draws_come_as_often_as_asked():
    draws = [patches.draw(np.random.default_rng(i), (20, 40, 30), PATCH, PRESETS["upstream"]) for i in range(1000)]
    share = lambda test: np.mean([test(draw) for draw in draws])
    assert share(lambda draw: draw.flips[0]) == pytest.approx(0.5, abs=0.06)
    assert share(lambda draw: draw.flips[1]) == pytest.approx(0.5, abs=0.06)
    assert share(lambda draw: draw.places is not None) == pytest.approx(0.1, abs=0.04)
    for ratio in (0.5, 0.75, 1.25, 1.5):
        matrix = (np.ceil(40 * ratio), np.ceil(30 * ratio))
        assert share(lambda draw, matrix=matrix: draw.matrix == matrix) == pytest.approx(0.1, abs=0.04)


def test_the_paper_varies_nothing_but_the_place():
    assert PRESETS["paper"] == Augmentation()
    assert all(value == 0 for value in dataclasses.asdict(PRESETS["paper"]).values())
    starts = [patches.draw(np.random.default_rng(i), (5, 9, 10), PATCH, PRESETS["paper"]).start for i in range(200)]
    assert sorted(set(starts)) == [(t, h, w) for t in range(2) for h in range(2) for w in range(3)]


def test_a_short_series_is_mirrored():
    image, gmaps = series((1, 5, 8))
    found, maps = made(patches.draw(np.random.default_rng(0), image.shape, PATCH, Augmentation()), image, gmaps)
    np.testing.assert_array_equal(found[0], found[3])
    np.testing.assert_array_equal(found[:, 5:], found[:, 4:1:-1])
    np.testing.assert_array_equal(maps[:, 5:], maps[:, 4:1:-1])
