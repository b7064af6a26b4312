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


def region(choice: Choice, patch: Patch) -> Region:
    """The part of the series that `cut` needs."""
    t, h, w = (slice(first, first + size) for first, size in zip(choice.start, patch, strict=True))
    if choice.places is not None:
        t = slice(choice.start[0], choice.start[0] + 1)
    whole = choice.places is not None or choice.matrix != choice.shape[1:]
    return (t, slice(None), slice(None)) if whole else (t, h, w)


def cut(choice: Choice, patch: Patch, image: np.ndarray, gmaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The patch that was chosen, from the `region` of a series; what is shorter than the patch is mirrored to fit.

    Args:
      choice: of `draw`.
      patch: T, H, W.
      image, gmaps: `[t, h, w]` complex64 and `[R, h, w]` float32, the region of the series.

    Returns:
      `[T, H, W]` complex64 and `[R, H, W]` float32.
    """
    if choice.places is None:
        image, gmaps = _at(choice, choice.start[1:], patch, image, gmaps)
    else:
        parts = [_at(choice, (int(h), int(w)), patch, image, gmaps) for h, w in choice.places]
        image, gmaps = np.concatenate([part for part, _ in parts]), parts[0][1]
    image = mirror(image, patch)
    turn = tuple(axis for axis, flipped in zip((-2, -1), choice.flips, strict=True) if flipped)
    return np.flip(image, turn), np.flip(mirror(gmaps, (len(gmaps), *patch[1:])), turn)


def _at(choice: Choice, place: tuple[int, int], patch: Patch, image: np.ndarray, gmaps: np.ndarray) -> tuple[np.ndarray, ...]:
    """Image and g-maps at one place of the resized series, smaller than the patch where the series is."""
    h, w = (slice(first, first + size) for first, size in zip(place, patch[1:], strict=True))
    if choice.matrix != choice.shape[1:]:
        along_h, along_w = (resizing(n, size) for n, size in zip(choice.shape[1:], choice.matrix, strict=True))
        lines, columns = (interpolation(n, size) for n, size in zip(choice.shape[1:], choice.matrix, strict=True))
        return along_h[h] @ image @ along_w[w].T, lines[h] @ gmaps @ columns[w].T
    if choice.places is not None:
        return image[:, h, w], gmaps[:, h, w]
    return image, gmaps  # `region` has cut it


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
