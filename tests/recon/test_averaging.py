"""Averages of interleaved frames: per-line counts, their noise, the block about DC."""

import itertools

import jax
import numpy as np
import pytest

from snraware_jax.noise.normal import complex_normal
from snraware_jax.recon.averaging import central_block, temporal_average


def interleaved(frames: int, lines: int, acceleration: int) -> np.ndarray:
    """The lines that each frame of a TPAT scan samples, `[T, ky]`."""
    return (np.arange(lines) - np.arange(frames)[:, None]) % acceleration == 0


@pytest.mark.parametrize("lines", [24, 25])
@pytest.mark.parametrize(("acceleration", "frames"), [(2, 30), (5, 30), (5, 7), (2, 3)])
def test_interleaved_frames_average_to_the_object(acceleration, frames, lines):
    """T that R does not divide leaves lines with different counts."""
    acquired = interleaved(frames, lines, acceleration)
    truth = np.asarray(complex_normal(jax.random.key(0), (4, lines, 9)))
    average, count = temporal_average(np.where(acquired[:, None, :, None], truth, 0), acquired)
    np.testing.assert_allclose(average, truth, atol=1e-5)
    np.testing.assert_array_equal(count, acquired.sum(axis=0))
    assert count.min() == frames // acceleration
    block, start = central_block(average, count)
    np.testing.assert_array_equal(block, average)
    assert start == (0,)


@pytest.mark.parametrize("shape", [(21,), (5, 21), (6, 20)])
def test_noise_falls_with_the_root_of_the_count(shape):
    acquired = np.random.default_rng(1).uniform(size=(12, *shape)) < 0.4
    noise = np.asarray(complex_normal(jax.random.key(1), (12, 32, *shape, 128)))
    average, count = temporal_average(noise, acquired)
    sd = np.std(np.asarray(average).real, axis=(0, -1))
    sampled = np.asarray(count) > 0
    np.testing.assert_allclose((sd * np.sqrt(count))[sampled], 1, atol=5 / np.sqrt(2 * 32 * 128))
    np.testing.assert_array_equal(sd[~sampled], 0)


def test_lines_that_were_not_acquired_do_not_count():
    acquired = interleaved(4, 10, 2)
    kspace = np.where(acquired[:, None, :, None], 2.0, np.nan).astype(np.complex64) * np.ones((4, 3, 10, 6))
    average, _ = temporal_average(kspace, acquired)
    np.testing.assert_allclose(average, 2)


def test_under_jit_and_vmap():
    acquired = np.random.default_rng(2).uniform(size=(3, 5, 11)) < 0.5
    kspace = complex_normal(jax.random.key(2), (3, 5, 2, 11, 7))
    average, count = jax.jit(jax.vmap(temporal_average))(kspace, acquired)
    one, of_one = temporal_average(kspace[1], acquired[1])
    np.testing.assert_allclose(average[1], one, atol=1e-6)
    np.testing.assert_array_equal(count[1], of_one)


@pytest.mark.parametrize(
    ("lines", "gaps", "start", "stop"),
    [(16, [], 0, 16), (16, [3, 12], 4, 12), (15, [0, 14], 1, 14), (15, [6, 8], 7, 8), (16, [7], 8, 16), (17, [2, 9], 3, 9)],
)
def test_the_block_reaches_from_dc_to_the_first_gap_on_either_side(lines, gaps, start, stop):
    average = np.arange(lines, dtype=np.complex64)[None, :, None] * np.ones((2, 1, 3), np.complex64)
    count = np.ones(lines, int)
    count[gaps] = 0
    block, place = central_block(average, count)
    assert place == (start,)
    np.testing.assert_array_equal(block, average[:, start:stop])


@pytest.mark.parametrize("shape", [(6, 9), (7, 8), (1, 9), (8, 1)])
def test_the_block_of_a_volume_is_the_largest_of_all(shape):
    rng = np.random.default_rng(3)
    centre = tuple(size // 2 for size in shape)
    for _ in range(20):
        count = (rng.uniform(size=shape) < 0.8).astype(int)
        count[centre] = 4
        average = np.arange(np.prod(shape)).reshape(1, *shape, 1) * np.ones((2, 1, 1, 3))
        block, start = central_block(average, count)
        _, height, width, _ = block.shape
        inside = tuple(slice(first, first + size) for first, size in zip(start, (height, width), strict=True))
        assert (count[inside] > 0).all()
        np.testing.assert_array_equal(block, average[:, *inside])
        assert all(first <= middle < first + size for first, middle, size in zip(start, centre, (height, width), strict=True))
        assert height * width == largest_area(count > 0, centre)


def largest_area(sampled: np.ndarray, centre: tuple[int, int]) -> int:
    """By trying every rectangle about the centre."""
    (row, column), (rows, columns) = centre, sampled.shape
    ranges = [range(row + 1), range(row + 1, rows + 1), range(column + 1), range(column + 1, columns + 1)]
    rectangles = itertools.product(*ranges)
    return max((b - a) * (d - c) for a, b, c, d in rectangles if sampled[a:b, c:d].all())


@pytest.mark.parametrize("shape", [(8,), (5, 9)])
def test_no_line_at_dc_is_refused(shape):
    count = np.ones(shape, int)
    count[tuple(size // 2 for size in shape)] = 0
    with pytest.raises(ValueError, match="no frame sampled the line at DC"):
        central_block(np.ones((2, *shape, 4)), count)
