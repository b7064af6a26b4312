"""A series of any size through a network of one compiled tile shape: overlapping windows, blended with linear ramps."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from snraware_jax.models.channels import to_complex

Apply = Callable[[np.ndarray], ArrayLike]
Told = Callable[[int, int], None]


class _Axis(NamedTuple):
    """The windows along one axis of an image.

    Attributes:
      padded: the image's index of every sample of the axis continued at its ends.
      source: `[n, tile]` image indices that the windows read.
      weights: `[n, tile]` of their results.
      overlap: of neighbouring windows, and how far the axis is continued on its left.
      size: of the image.
    """

    padded: np.ndarray
    source: np.ndarray
    weights: np.ndarray
    overlap: int
    size: int

    def kept(self, window: int) -> tuple[slice, slice]:
        """Which part of the image a window writes, and which part of its tile that is (its padding is dropped)."""
        tile = self.source.shape[1]
        start = window * (tile - self.overlap) - self.overlap
        low, high = max(start, 0), min(start + tile, self.size)
        return slice(low, high), slice(low - start, high - start)


def _axis(size: int, tile: int, overlap: int) -> _Axis:
    """Lay windows of step `tile - overlap` over an axis padded symmetrically by `overlap` and to whole steps.

    The padding to whole steps is on the right. Every window weighs (k + 1) / overlap in its first and last `overlap` samples
    and 1 between. The weights are divided by their sum over the windows here, once per axis: the sum of products over a grid of
    windows is the product of the sums over the axes.
    """
    step = tile - overlap
    right = -size % step
    padded = np.pad(np.arange(size), (overlap, right), mode="symmetric")
    starts = np.arange(0, size + right, step)
    positions = starts[:, None] + np.arange(tile)  # [n, tile], in the padded axis

    distance = np.arange(1, tile + 1)
    ramp = np.minimum(1.0, np.minimum(distance, distance[::-1]) / max(overlap, 1))
    # np.add.at would do, but in NumPy 2.4 it reads past the end of an operand that it has to broadcast
    total = np.bincount(positions.ravel(), np.broadcast_to(ramp, positions.shape).ravel())
    return _Axis(padded, padded[positions], (ramp / total[positions]).astype(np.float32), overlap, size)


def _check(shape: tuple[int, ...], tile: Sequence[int], overlap: Sequence[int], batch: int) -> None:
    if len(shape) != 3 or 0 in shape:
        raise ValueError(f"image is {shape}: give one series [T, H, W] with at least one pixel")
    if len(tile) != 3 or len(overlap) != 3:
        raise ValueError(f"tile {tuple(tile)} and overlap {tuple(overlap)} need three numbers each: T, H, W")
    for name, size, shared in zip("THW", tile, overlap, strict=True):
        if not 0 <= shared < size:
            raise ValueError(f"overlap {shared} along {name} does not fit a tile of {size}: choose 0 to {size - 1}")
    if batch < 1:
        raise ValueError(f"batch is {batch}: at least one tile has to go through at a time")


def denoise_tiled(
    apply: Apply,
    image: np.ndarray,
    g_map: np.ndarray,
    *,
    tile: tuple[int, int, int],
    overlap: tuple[int, int, int],
    batch: int = 4,
    told: Told | None = None,
) -> np.ndarray:
    """Denoise a whole series tile by tile: out(r) = sum_k w_k(r) f(tile_k)(r) / sum_k w_k(r).

    The image is continued symmetrically at its borders (repeatedly where it is smaller than a tile), tiles overlap by
    `overlap`, and each tile's weight is the product of linear ramps along T, H, W. Beside the result only one batch of tiles is
    held.

    Args:
      apply: the jitted network, `x [batch, t, h, w, 3]` float32 (real, imaginary, g) -> `[batch, t, h, w, 2]`. It always sees
        this one shape: the last batch is filled up with its last tile, so it compiles once.
      image: `[T, H, W]` complex64, SNR units.
      g_map: `[H, W]` or `[T, H, W]` float32, dimensionless.
      tile: extent (T, H, W) of a tile. (1, H, W) denoises frame by frame.
      overlap: samples shared with the neighbour along (T, H, W), each less than the tile.
      batch: tiles per call of `apply`.
      told: is given how many tiles are done, and of how many, after every batch.

    Returns:
      `[T, H, W]` complex64, SNR units.

    Raises:
      ValueError: if shapes disagree, an overlap is not less than its tile, or `apply` returns another shape.

    Source: the authors' sliding window, as the authors' code does it.
    """
    image, g_map = np.asarray(image), np.asarray(g_map)
    _check(image.shape, tile, overlap, batch)
    if g_map.shape not in (image.shape, image.shape[1:]):
        raise ValueError(f"g-map is {g_map.shape} but the image is {image.shape}: give [H, W] or [T, H, W] of the same size")
    g_map = np.broadcast_to(g_map, image.shape)
    axes = [_axis(*sizes) for sizes in zip(image.shape, tile, overlap, strict=True)]
    blended = np.zeros((*image.shape, 2), np.float32)

    windows = list(product(*(range(len(axis.source)) for axis in axes)))
    running: tuple[list[tuple[int, ...]], ArrayLike] | None = None
    for first in range(0, len(windows), batch):
        some = windows[first : first + batch]
        submitted = some, apply(_gather(image, g_map, axes, some, batch))
        if running is not None:  # blended while the device works on the batch just submitted
            _blend(blended, axes, *running)
            if told is not None:
                told(first, len(windows))
        running = submitted
    assert running is not None
    _blend(blended, axes, *running)
    if told is not None:
        told(len(windows), len(windows))
    return blended.view(np.complex64)[..., 0]


def _gather(image: np.ndarray, g_map: np.ndarray, axes: list[_Axis], windows: list[tuple[int, ...]], batch: int) -> np.ndarray:
    tile = [axis.source.shape[1] for axis in axes]
    x = np.empty((batch, *tile, 3), np.float32)
    filled = windows + windows[-1:] * (batch - len(windows))
    for row, window in zip(x, filled, strict=True):
        index = np.ix_(*(axis.source[k] for axis, k in zip(axes, window, strict=True)))
        row[..., 0], row[..., 1], row[..., 2] = np.real(image[index]), np.imag(image[index]), g_map[index]
    return x


def _blend(blended: np.ndarray, axes: list[_Axis], windows: list[tuple[int, ...]], output: ArrayLike) -> None:
    tiles = np.asarray(output, np.float32)
    expected = tuple(axis.source.shape[1] for axis in axes) + (2,)
    if tiles.shape[1:] != expected or len(tiles) < len(windows):
        raise ValueError(
            f"the network returned {tiles.shape} for a batch of tiles: expected [batch, {', '.join(map(str, expected))}]"
        )
    for result, window in zip(tiles, windows, strict=False):
        image_part, tile_part = zip(*(axis.kept(k) for axis, k in zip(axes, window, strict=True)), strict=True)
        t, h, w = (axis.weights[k][part] for axis, k, part in zip(axes, window, tile_part, strict=True))
        blended[image_part] += result[tile_part] * (t[:, None, None] * h[:, None] * w)[..., None]


def tiled(
    network: Callable[[Array], Array],
    shape: tuple[int, int, int],
    *,
    tile: tuple[int, int, int],
    overlap: tuple[int, int, int],
    batch: int = 4,
) -> Callable[[Array, Array], Array]:
    """`denoise_tiled` for images of one shape as a function of JAX, to be compiled, differentiated or mapped as a whole.

    Args:
      network: `[batch, t, h, w, 3]` float32 -> `[batch, t, h, w, 2]`.
      shape: T, H, W of the images.
      tile, overlap, batch: as of `denoise_tiled`; memory is that of a batch and of the result.

    Returns:
      (image `[T, H, W]` complex64, g-map `[H, W]` or `[T, H, W]`) -> `[T, H, W]` complex64.

    Raises:
      ValueError: if an overlap is not less than its tile.
    """
    _check(shape, tile, overlap, batch)
    axes = [_axis(*sizes) for sizes in zip(shape, tile, overlap, strict=True)]
    windows = np.array(list(product(*(range(len(axis.source)) for axis in axes))), np.int32)  # [n, 3]
    missing = -len(windows) % batch
    windows = np.concatenate([windows, np.repeat(windows[-1:], missing, axis=0)]).reshape(-1, batch, 3)
    counted = (np.arange(windows.size // 3) < windows.size // 3 - missing).astype(np.float32).reshape(-1, batch)
    step = np.subtract(tile, overlap)

    def weight(window: Array) -> Array:
        t, h, w = (jnp.asarray(axis.weights)[window[i]] for i, axis in enumerate(axes))
        return (t[:, None, None] * h[:, None] * w)[..., None]

    def denoise(image: Array, g_map: Array) -> Array:
        x = jnp.stack([image.real, image.imag, jnp.broadcast_to(g_map, shape)], axis=-1)  # [T, H, W, 3]
        for number, axis in enumerate(axes):
            x = jnp.take(x, axis.padded, axis=number)

        def read(window: Array) -> Array:
            return jax.lax.dynamic_slice(x, (*(window * step), 0), (*tile, 3))

        def add(canvas: Array, part: tuple[Array, Array, Array]) -> tuple[Array, None]:
            window, counts, result = part
            start = (*(window * step), 0)
            there = jax.lax.dynamic_slice(canvas, start, (*tile, 2))
            return jax.lax.dynamic_update_slice(canvas, there + counts * weight(window) * result, start), None

        def add_batch(canvas: Array, part: tuple[Array, Array]) -> tuple[Array, None]:
            some, counts = part
            return jax.lax.scan(add, canvas, (some, counts, network(jax.vmap(read)(some))))

        canvas, _ = jax.lax.scan(add_batch, jnp.zeros((*x.shape[:3], 2)), (jnp.asarray(windows), jnp.asarray(counted)))
        inside = tuple(slice(axis.overlap, axis.overlap + axis.size) for axis in axes)
        return to_complex(canvas[inside])

    return denoise
