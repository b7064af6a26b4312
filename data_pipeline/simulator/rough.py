"""A grid seen by every few of its points: where they are, what lies between them, and the window around some of them."""

import numpy as np

from data_pipeline.simulator.shapes import Window


def coarser(points: np.ndarray, step: int) -> np.ndarray:
    """Every `step`-th point along both axes of an affine grid `[3, h, w]`, and on to its end or past it."""
    rows, columns = (np.arange(-(-(n - 1) // step) + 1, dtype=np.float32) * step for n in points.shape[1:])
    corner, down, across = points[:, 0, 0], points[:, 1, 0] - points[:, 0, 0], points[:, 0, 1] - points[:, 0, 0]
    return corner[:, None, None] + down[:, None, None] * rows[:, None] + across[:, None, None] * columns


def finer(field: np.ndarray, step: int, shape: tuple[int, int]) -> np.ndarray:
    """A field of `coarser` points `[a, b]` at all points `[h, w]`, linear between them."""
    for n in shape:  # the rows, then those of the transpose
        between = np.empty((len(field) - 1, step, field.shape[1]), np.float32)
        rise = np.diff(field, axis=0)
        for k in range(step):
            between[:, k] = field[:-1] + rise * np.float32(k / step)
        field = np.concatenate([between.reshape(-1, field.shape[1]), field[-1:]])[:n].T
    return field


def window_of(rough: np.ndarray, step: int, shape: tuple[int, int]) -> Window | None:
    """Rows and columns `[h, w]` around the `coarser` points that are True; None if there is none."""
    if not rough.any():
        return None
    rows, columns = (np.flatnonzero(rough.any(axis=axis)) * step for axis in (1, 0))
    row, column = (
        slice(max(int(k[0]) - step, 0), min(int(k[-1]) + step + 1, n)) for k, n in zip((rows, columns), shape, strict=True)
    )
    return row, column
