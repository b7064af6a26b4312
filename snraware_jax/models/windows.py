"""How attention divides images: sizes of windows and of the patches inside them at every level, by the rules of the authors' code.

A window holds whole patches, an image whole windows. Areas are (H, W) in pixels of their level.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

Area = tuple[int, int]


class Grid(NamedTuple):
    """Sizes of windows and patches, which `divide` makes numbers of."""

    window: Area
    patch: Area


def of_levels(size: Area, window: Area, patch: Area, levels: int) -> list[Grid]:
    """The grid of every level of an image of `size` at level 0: even levels keep the number of windows, odd ones their size.

    Levels 0, 2, 4 have as many windows as `window` gives at level 0, half and a quarter of them, and as many patches in each as
    `patch` gives; levels 1 and 3 take the sizes of the level before.
    """
    windows = _each(lambda s, w: s // w, size, window)
    patches = _each(lambda w, p: w // p, window, patch)
    grids: list[Grid] = []
    for level in range(levels):
        here = _each(lambda s, level=level: s >> level, size)
        if level % 2:
            grids.append(keep_size(here, grids[-1]))
        else:
            grids.append(keep_number(here, _each(lambda n, level=level: n >> level // 2, windows), patches))
    return grids


def keep_number(size: Area, windows: Area, patches: Area) -> Grid:
    """So many windows, at least two, of so many patches, at least two, on each axis."""
    window = _each(lambda s, n: max(s // max(n, 2), 1), size, windows)
    return Grid(window, _each(lambda w, n: max(w // max(n, 2), 1), window, patches))


def keep_size(size: Area, grid: Grid) -> Grid:
    """The sizes of `grid`, halved where fewer than two would fit."""
    window = _each(lambda s, w: w if s // w >= 2 else max(s // 2, 1), size, grid.window)
    return Grid(window, _each(lambda w, p: p if w // p >= 2 else max(w // 2, 1), window, grid.patch))


def divide(size: Area, grid: Grid, *, finer: bool = False) -> tuple[Area, Area, Area]:
    """Numbers of windows, of patches in a window and of pixels in a patch on each axis; their product is the size.

    Args:
      size: of the image.
      grid: the sizes that are aimed at; there is at least one of each.
      finer: twice as many windows of half as many patches, as attention across windows has it.

    Raises:
      ValueError: if they do not fill the image, or half a window has no patch.
    """
    windows = _each(lambda s, w: max(s // w, 1), size, grid.window)
    patches = _each(lambda w, p: max(w // p, 1), grid.window, grid.patch)
    if finer:
        windows, patches = _each(lambda n: 2 * n, windows), _each(lambda n: n // 2, patches)
    if 0 in patches:
        raise ValueError(f"{_text(grid)} are single patches, which cannot be halved: choose a smaller model.window_patch")
    window = _each(lambda s, n: max(s // n, 1), size, windows)
    pixels = _each(lambda w, n: max(w // n, 1), window, patches)
    windows, patches = _each(lambda s, w: s // w, size, window), _each(lambda w, p: w // p, window, pixels)
    if _each(lambda *factors: math.prod(factors), windows, patches, pixels) != tuple(size):
        raise ValueError(
            f"{_text(grid)} do not fill {size[0]} x {size[1]} pixels: "
            "choose model.window, model.window_patch and data.patch that divide each other"
        )
    return windows, patches, pixels


def _text(grid: Grid) -> str:
    (height, width), (rows, columns) = grid
    return f"windows of {height} x {width} with patches of {rows} x {columns}"


def _each(rule: Callable[..., int], *sizes: Area) -> Area:
    height, width = (rule(*parts) for parts in zip(*sizes, strict=True))
    return height, width
