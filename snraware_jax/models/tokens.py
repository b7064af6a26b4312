"""How a series is cut into the tokens of attention, and joined again: frames, patches, windows.

Tokens are `[B, G, heads, N, D]`: in each of G groups N tokens attend to each other; head by head a token is a vector of D numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import jax.numpy as jnp
import numpy as np
from jax import Array

Shape = tuple[int, ...]
Triple = tuple[int, int, int]
Axis = tuple[int | None, int | None, int | None]


class Tokens(Protocol):
    """A way to cut a series into tokens. Objects are hashable: they are part of what a compiled program depends on."""

    def cut(self, x: Array) -> Array:
        """`[B, T, H, W, C]` -> `[B, G, heads, N, D]`.

        Raises:
          ValueError: if the size or the heads do not fit.
        """
        ...

    def join(self, tokens: Array, shape: Shape) -> Array:
        """The inverse of `cut`, to `shape` (B, T, H, W, C)."""
        ...

    def regions(self, shape: Shape) -> np.ndarray | None:
        """`[G, N]`: tokens of a group see those with the same number; None where they see all of their group."""
        ...


@dataclass(frozen=True)
class Frames:
    """A token is one head's channels over a whole frame; every frame sees every frame."""

    heads: int

    def cut(self, x: Array) -> Array:
        """`[B, T, H, W, C]` -> `[B, 1, heads, T, H W C / heads]`."""
        b, t, h, w, c = x.shape
        by_head = x.reshape(b, t, h * w, self.heads, _share(c, self.heads, "channels"))
        return jnp.einsum("btphc->bhtpc", by_head).reshape(b, 1, self.heads, t, -1)

    def join(self, tokens: Array, shape: Shape) -> Array:
        """The inverse of `cut`."""
        b, t, h, w, c = shape
        by_head = tokens.reshape(b, self.heads, t, h * w, c // self.heads)
        return jnp.einsum("bhtpc->btphc", by_head).reshape(shape)

    def regions(self, shape: Shape) -> None:
        """None."""


@dataclass(frozen=True)
class Patches:
    """Windows of patches of pixels: T, H and W are each windows x patches x pixels long.

    A token is a patch, whose pixels and channels, in the order (T, H, W, C), are dealt to the heads in equal pieces.

    Attributes:
      heads: into which a patch's numbers are divided.
      axes: of T, H, W the numbers (windows, patches in a window, pixels in a patch); one of the three is None and follows from
        the size of the series.
      across: patches see those at the same place in all windows, instead of those of the same window.
    """

    heads: int
    axes: tuple[Axis, Axis, Axis]
    across: bool = False

    def cut(self, x: Array) -> Array:
        """`[B, T, H, W, C]` -> `[B, G, heads, N, D]`."""
        windows, patches, pixels = self._counts(x.shape)
        sizes = [n for axis in zip(windows, patches, pixels, strict=True) for n in axis]
        blocks = x.reshape(x.shape[0], *sizes, x.shape[-1])
        tokens = jnp.einsum(f"bTtiHhjWwkc->b{self._order}ijkc", blocks)
        groups, seen = (patches, windows) if self.across else (windows, patches)
        share = _share(math.prod(pixels) * x.shape[-1], self.heads, "numbers of a token")
        return jnp.swapaxes(tokens.reshape(x.shape[0], math.prod(groups), math.prod(seen), self.heads, share), 2, 3)

    def join(self, tokens: Array, shape: Shape) -> Array:
        """The inverse of `cut`."""
        windows, patches, pixels = self._counts(shape)
        groups, seen = (patches, windows) if self.across else (windows, patches)
        blocks = jnp.swapaxes(tokens, 2, 3).reshape(shape[0], *groups, *seen, *pixels, shape[-1])
        return jnp.einsum(f"b{self._order}ijkc->bTtiHhjWwkc", blocks).reshape(shape)

    def regions(self, shape: Shape) -> None:
        """None."""

    @property
    def _order(self) -> str:
        return "thwTHW" if self.across else "THWthw"

    def _counts(self, shape: Shape) -> tuple[Triple, Triple, Triple]:
        """Windows, patches and pixels of T, H, W, each without its None."""
        found = []
        for size, axis, name in zip(shape[1:4], self.axes, "THW", strict=True):
            fixed = math.prod(n for n in axis if n is not None)
            if size % fixed:
                raise ValueError(f"{name} is {size}, which windows and patches do not fill: give a multiple of {fixed}")
            found.append(tuple(size // fixed if n is None else n for n in axis))
        windows, patches, pixels = zip(*found, strict=True)
        return windows, patches, pixels


@dataclass(frozen=True)
class ShiftedWindows:
    """A token is a voxel, which sees those of its window; a head has its part of the channels.

    Shifted, windows begin half a window later, and the voxels that the last window then borrows from the other end do not see
    each other. Series are padded with zeros to whole windows. An axis no longer than the window is one window, never shifted.

    Attributes:
      heads: a divisor of the channels.
      window: T, H, W.
      shifted: whether windows are shifted.

    Source: Liu et al., CVPR 2022 (video Swin transformer).
    """

    heads: int
    window: Triple
    shifted: bool = False

    def cut(self, x: Array) -> Array:
        """`[B, T, H, W, C]` -> `[B, windows, heads, voxels of a window, C / heads]`."""
        padded, window, shift = self._layout(x.shape)
        ends = [(0, whole - size) for whole, size in zip(padded, x.shape[1:4], strict=True)]
        return self._windows(window).cut(_roll(jnp.pad(x, [(0, 0), *ends, (0, 0)]), [-s for s in shift]))

    def join(self, tokens: Array, shape: Shape) -> Array:
        """The inverse of `cut`."""
        padded, window, shift = self._layout(shape)
        x = self._windows(window).join(tokens, (shape[0], *padded, shape[-1]))
        return _roll(x, shift)[:, : shape[1], : shape[2], : shape[3]]

    def regions(self, shape: Shape) -> np.ndarray | None:
        """Which end of the series a voxel of a shifted window came from."""
        padded, window, shift = self._layout(shape)
        return _sides_of_the_seam(padded, window, shift) if any(shift) else None

    def _windows(self, window: Triple) -> Patches:
        t, h, w = window
        return Patches(self.heads, ((None, t, 1), (None, h, 1), (None, w, 1)))

    def _layout(self, shape: Shape) -> tuple[Triple, Triple, Triple]:
        """Padded size, window and shift of T, H, W."""
        axes = []
        for size, window in zip(shape[1:4], self.window, strict=True):
            small = size <= window
            here = size if small else window
            axes.append((-(-size // here) * here, here, max(here // 2, 1) if self.shifted and not small else 0))
        padded, window, shift = zip(*axes, strict=True)
        return padded, window, shift


def _share(count: int, heads: int, what: str) -> int:
    if heads < 1 or count % heads:
        raise ValueError(f"{heads} heads do not divide the {count} {what}: choose a divisor")
    return count // heads


def _roll(x: Array, shift: Sequence[int]) -> Array:
    """`jnp.roll` of T, H, W by what is not 0."""
    axes = [(n, axis) for axis, n in enumerate(shift, start=1) if n]
    return jnp.roll(x, [n for n, _ in axes], [axis for _, axis in axes]) if axes else x


def _sides_of_the_seam(size: Triple, window: Triple, shift: Triple) -> np.ndarray:
    """`[windows, voxels]` int8 for a rolled series: along each axis what lies before, in and behind the last window differs."""
    region = np.zeros(size, np.int8)
    for axis, (n, w, s) in enumerate(zip(size, window, shift, strict=True)):
        if s:
            along = np.arange(n)
            number = (along >= n - w).astype(np.int8) + (along >= n - s)
            region = 3 * region + np.expand_dims(number, tuple(other for other in range(3) if other != axis))
    t, h, w = (n // m for n, m in zip(size, window, strict=True))
    blocks = region.reshape(t, window[0], h, window[1], w, window[2])
    return np.einsum("TtHhWw->THWthw", blocks).reshape(t * h * w, -1)


@cache
def position_index(counts: Shape) -> np.ndarray:
    """`[N, N]` int32: which entry of a table is the relative position bias of tokens i, j; tokens lie (H, W) or (T, H, W), C order.

    Of entries prod(2 n - 1): (dh + nh - 1) (2 nw - 1) + dw + nw - 1, and in 3-D that times (2 nt - 1), plus dt + nt - 1.
    """
    *frames, height, width = counts
    places = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), axis=-1).reshape(-1, len(counts))
    steps = places[:, None] - places[None] + np.array(counts) - 1  # [N, N, axis]
    *t, h, w = np.moveaxis(steps, -1, 0)
    index = h * (2 * width - 1) + w
    for step, count in zip(t, frames, strict=True):
        index = index * (2 * count - 1) + step
    return index.astype(np.int32)
