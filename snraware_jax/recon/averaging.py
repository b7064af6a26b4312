"""Calibration data of an interleaved scan: the frames averaged line by line, and their largest block without gaps."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike


@jax.jit
def temporal_average(kspace: ArrayLike, acquired: ArrayLike) -> tuple[Array, Array]:
    """Mean over the frames that sampled a line, s(q) = sum_t m_t(q) s_t(q) / n(q) with n(q) = sum_t m_t(q).

    The counts may differ from line to line; the noise SD of a line falls by sqrt(n(q)). What `kspace` holds on lines that were
    not acquired does not count.

    Args:
      kspace: `[T, C, (kz,) ky, kx]`.
      acquired: `[T, (kz,) ky]` bool, m_t.

    Returns:
      the average `[C, (kz,) ky, kx]`, 0 on lines that no frame sampled; the counts `[(kz,) ky]` int32.

    Source: Breuer et al., MRM 2005 (TGRAPPA); docs/physics.md.
    """
    acquired = jnp.asarray(acquired, bool)
    count = jnp.sum(acquired, axis=0, dtype=jnp.int32)
    total = jnp.sum(jnp.where(acquired[:, None, ..., None], jnp.asarray(kspace), 0), axis=0)
    return total / jnp.maximum(count, 1)[..., None], count


def central_block(average: ArrayLike, count: ArrayLike) -> tuple[np.ndarray, tuple[int, ...]]:
    """The largest block about DC in which every line was sampled: the calibration lines of `temporal_average`. On the host.

    Args:
      average: `[C, (kz,) ky, kx]`.
      count: `[(kz,) ky]`, 0 where no frame sampled the line.

    Returns:
      the block `[C, (A_z,) A, kx]`, and the place of its first line on the grid, `(ky,)` or `(kz, ky)`.

    Raises:
      ValueError: if the line at DC was not sampled.
    """
    sampled = np.asarray(count) > 0
    centre = tuple(size // 2 for size in sampled.shape)
    if not sampled[centre]:
        raise ValueError(
            f"no frame sampled the line at DC, {centre} of {sampled.shape}: there is no calibration block about it"
        )
    rows = np.atleast_2d(sampled)
    (top, bottom), (first, last) = _largest_rectangle(rows, len(rows) // 2, centre[-1])
    bounds = ((top, bottom), (first, last))[-sampled.ndim :]
    block = np.asarray(average)[(slice(None), *(slice(start, stop) for start, stop in bounds))]
    return block, tuple(start for start, _ in bounds)


def _largest_rectangle(sampled: np.ndarray, row: int, column: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Bounds (start, stop) of rows and columns of the largest rectangle of True about (row, column) of a `[rows, columns]` array."""
    rows, columns = sampled.shape
    index = np.arange(columns)
    # each row's run of True about the column: a row without that column has an empty one
    first = np.max(np.where(~sampled & (index <= column), index + 1, 0), axis=1)
    last = np.min(np.where(~sampled & (index >= column), index, columns), axis=1)
    # narrowest run of the rows between the row of DC and each other row, above it and below it
    above = np.maximum.accumulate(first[row::-1]), np.minimum.accumulate(last[row::-1])
    below = np.maximum.accumulate(first[row:]), np.minimum.accumulate(last[row:])
    start, stop = np.maximum.outer(above[0], below[0]), np.minimum.outer(above[1], below[1])
    height = np.add.outer(np.arange(row + 1), np.arange(rows - row)) + 1
    up, down = np.unravel_index(np.argmax(height * (stop - start)), height.shape)
    return (int(row - up), int(row + down + 1)), (int(start[up, down]), int(stop[up, down]))
