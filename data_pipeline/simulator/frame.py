"""Where a grid lies in the body: frames of slices and slabs, their points, and labels on the acquired matrix."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from data_pipeline.simulator.fourier import fast_length
from data_pipeline.simulator.subject import Settings


def frame(centre_mm: ArrayLike, axes: ArrayLike, size_mm: ArrayLike) -> dict:
    """Frame of a grid, JSON values for a card.

    Args:
      centre_mm: `[3]` point of the body (x left, y posterior, z superior) at the grid's index N//2.
      axes: `[3][3]` unit vectors in the body of the grid's axes (partitions, H, W).
      size_mm: `[3]` field of view along them.
    """
    values = {"centre_mm": centre_mm, "axes": axes, "size_mm": size_mm}
    return {name: np.asarray(value, float).tolist() for name, value in values.items()}


def points(frame: dict, shape: Sequence[int]) -> np.ndarray:
    """Positions `[3, D, H, W]` float32 in mm in the body of a grid of `shape` (D, H, W) over the field of view of a frame."""
    steps = [((np.arange(n) - n // 2) * (size / n)).astype(np.float32) for n, size in zip(shape, frame["size_mm"], strict=True)]
    (through, down, across), centre = np.array(frame["axes"], np.float32), np.array(frame["centre_mm"], np.float32)
    place = lambda axis: steps[0][:, None, None] * through[axis] + steps[1][:, None] * down[axis] + steps[2] * across[axis]
    return np.stack([place(axis) + centre[axis] for axis in range(3)])


def fine_volume(settings: Settings) -> tuple[int, int, int]:
    """A grid at least `settings.fine` times (partitions, ky, kx) of sizes that transform quickly."""
    depth, rows, columns = (fast_length(settings.fine * n) for n in (settings.partitions, *settings.matrix))
    return depth, rows, columns


def on_matrix(labels: np.ndarray, matrix: Sequence[int]) -> np.ndarray:
    """Labels of a fine grid at the nearest points of a matrix over the same field of view, both with their centre at N//2."""
    for axis, (fine, n) in enumerate(zip(labels.shape, matrix, strict=True)):
        nearest = np.rint((np.arange(n) - n // 2) * (fine / n)).astype(int) + fine // 2
        labels = labels.take(np.clip(nearest, 0, fine - 1), axis)
    return labels


def turned(axes: np.ndarray, angles_deg: ArrayLike) -> np.ndarray:
    """Unit vectors `[3, 3]` (rows) turned about x, then y, then z of the body."""
    for axis, angle in enumerate(np.deg2rad(np.asarray(angles_deg, float))):
        rotation = np.eye(3)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        rotation[[i, i, j, j], [i, j, i, j]] = np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)
        axes = axes @ rotation
    return axes
