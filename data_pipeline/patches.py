"""What training sees of a series: a random patch of fixed shape, varied in ways that keep unit noise unit noise.

Drawing comes before reading, so that only the part of a series that is needed is read.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from data_pipeline.records import Region

RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5)  # of the other matrix to the series' own, along both axes (authors' code)

Patch = tuple[int, int, int]  # T, H, W


@dataclass(frozen=True)
class Augmentation:
    """Probabilities of the ways to vary a patch; the paper has none of them.

    Attributes:
      flips: of mirroring it along H, and of doing so along W.
      matrix_size: of another matrix for the same field of view (`RATIOS`): finer by zero-filling, coarser by cropping k-space.
        The noise SD stays what it was; larger voxels have more signal.
      single_frame: of T places of one frame in the place of T frames of one place, so that neighbours in time say nothing. All
        of them get the g-map of the first place: it need not be theirs, since the noise that training adds follows it.
    """

    flips: float = 0.0
    matrix_size: float = 0.0
    single_frame: float = 0.0


PRESETS = {"paper": Augmentation(), "upstream": Augmentation(flips=0.5, matrix_size=0.5, single_frame=0.1)}


class Choice(NamedTuple):
    """What is cut out of one series.

    Attributes:
      shape: T, H, W of the series.
      matrix: H', W' that it is resized to.
      start: first frame, line and column of the patch, in the resized series.
      places: line and column of every frame `[T, 2]` if the patch is of a single frame, else None.
      flips: along H, along W.
    """

    shape: tuple[int, int, int]
    matrix: tuple[int, int]
    start: tuple[int, int, int]
    places: np.ndarray | None
    flips: tuple[bool, bool]


def draw(rng: np.random.Generator, shape: tuple[int, int, int], patch: Patch, augmentation: Augmentation) -> Choice:
    """Draws a patch of a series of `shape` T, H, W, uniform over all places where it fits."""
    happens = lambda probability: probability > 0 and bool(rng.random() < probability)
    ratio = float(rng.choice(RATIOS)) if happens(augmentation.matrix_size) else 1.0
    matrix = (math.ceil(ratio * shape[1]), math.ceil(ratio * shape[2]))
    room = [max(have - wanted, 0) + 1 for have, wanted in zip((shape[0], *matrix), patch, strict=True)]
    start = (int(rng.integers(room[0])), int(rng.integers(room[1])), int(rng.integers(room[2])))
    flips = (happens(augmentation.flips), happens(augmentation.flips))
    places = None
    if happens(augmentation.single_frame):
        start = (int(rng.integers(shape[0])), *start[1:])
        places = np.concatenate([[start[1:]], rng.integers(room[1:], size=(patch[0] - 1, 2))])
    return Choice(shape, matrix, start, places, flips)


def region(choice: Choice, patch: Patch, margin: int = 0) -> Region:
    """The part of the series that `cut` needs: the patch with `margin` points around it along H and W."""
    t, h, w = (slice(first, first + size) for first, size in zip(choice.start, patch, strict=True))
    if choice.places is not None:
        t = slice(choice.start[0], choice.start[0] + 1)
    if choice.places is not None or choice.matrix != choice.shape[1:]:
        return t, slice(None), slice(None)
    wider = lambda part: slice(max(part.start - margin, 0), part.stop + margin)
    return t, wider(h), wider(w)


def cut(choice: Choice, patch: Patch, image: np.ndarray, gmaps: np.ndarray, margin: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The patch that was chosen, from the `region` of a series; what is shorter than the patch is mirrored to fit.

    Args:
      choice: of `draw`.
      patch: T, H, W.
      image, gmaps: `[t, h, w]` complex64 and `[R, h, w]` float32, the region of the series.
      margin: points around the patch that the g-maps cover too; beyond the series they keep their last value.

    Returns:
      `[T, H, W]` complex64 and `[R, H + 2 margin, W + 2 margin]` float32.
    """
    if choice.places is None:
        image, gmaps = _at(choice, choice.start[1:], patch, image, gmaps, margin)
    else:
        parts = [_at(choice, (int(h), int(w)), patch, image, gmaps, margin) for h, w in choice.places]
        image, gmaps = np.concatenate([part for part, _ in parts]), parts[0][1]
    turn = tuple(axis for axis, flipped in zip((-2, -1), choice.flips, strict=True) if flipped)
    return np.flip(mirror(image, patch), turn), np.flip(gmaps, turn)


def _at(
    choice: Choice, place: tuple[int, int], patch: Patch, image: np.ndarray, gmaps: np.ndarray, margin: int
) -> tuple[np.ndarray, np.ndarray]:
    """Image (smaller than the patch where the series is) and g-maps at one place of the resized series."""
    h, w = (slice(first, first + size) for first, size in zip(place, patch[1:], strict=True))
    lines, columns = (
        with_margin(first, size, n, margin) for first, size, n in zip(place, patch[1:], choice.matrix, strict=True)
    )
    if choice.matrix != choice.shape[1:]:
        along_h, along_w = (resizing(n, size) for n, size in zip(choice.shape[1:], choice.matrix, strict=True))
        to_lines, to_columns = (interpolation(n, size) for n, size in zip(choice.shape[1:], choice.matrix, strict=True))
        return along_h[h] @ image @ along_w[w].T, to_lines[lines] @ gmaps @ to_columns[columns].T
    if choice.places is None:  # `region` has cut it
        top, left = (max(first - margin, 0) for first in place)
        h, w = slice(h.start - top, h.stop - top), slice(w.start - left, w.stop - left)
        lines, columns = lines - top, columns - left
    return image[:, h, w], gmaps[:, lines[:, None], columns]


@lru_cache(maxsize=1024)
def with_margin(first: int, size: int, n: int, margin: int) -> np.ndarray:
    """Indices `[size + 2 margin]` into an axis of n for a patch and a margin around it.

    A patch that is longer than the axis is mirrored as by `mirror`; a margin beyond the axis stays at its last index.
    """
    inside = np.arange(first, first + size)
    turned = inside % (2 * n)
    inside = np.minimum(turned, 2 * n - 1 - turned)
    before = np.maximum(np.arange(first - margin, first), 0)
    after = np.arange(first + size, first + size + margin)
    after = np.minimum(after, n - 1) if first + size <= n else np.full_like(after, inside[-1])
    return np.concatenate([before, inside, after])


def mirror(array: np.ndarray, shape: Patch) -> np.ndarray:
    """Lengthens an array `[.., .., ..]` to `shape` by mirroring it at its end, edge included, as often as it takes."""
    padding = [(0, wanted - have) for wanted, have in zip(shape, array.shape, strict=True)]
    return np.pad(array, padding, mode="symmetric") if any(after for _, after in padding) else array


@lru_cache(maxsize=256)
def resizing(n: int, size: int) -> np.ndarray:
    """Matrix `[size, n]` complex64 of `recon.resize` along one axis: `zero_fill` to a larger size, `crop_resolution` to a smaller."""
    kept = min(n, size)
    k = np.arange(kept) - kept // 2
    to_kspace = np.exp(-2j * np.pi / n * np.outer(k, np.arange(n) - n // 2))
    to_image = np.exp(2j * np.pi / size * np.outer(np.arange(size) - size // 2, k))
    return (to_image @ to_kspace / math.sqrt(n * min(n, size))).astype(np.complex64)


@lru_cache(maxsize=256)
def interpolation(n: int, size: int) -> np.ndarray:
    """Matrix `[size, n]` float32 of linear interpolation at the points of `resizing`; constant beyond the first and the last."""
    points = np.clip((np.arange(size) - size // 2) * (n / size) + n // 2, 0, n - 1)
    return np.maximum(1 - np.abs(points[:, None] - np.arange(n)), 0).astype(np.float32)
