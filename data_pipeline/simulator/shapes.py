"""Implicit shapes: signed distances in mm (negative inside), their coverage of a pixel, and layers of tissue."""

import operator
from collections.abc import Iterable
from functools import reduce
from typing import NamedTuple

import numpy as np

Window = tuple[slice, slice]
WHOLE: Window = (slice(None), slice(None))


class Layer(NamedTuple):
    """One tissue painted over what lies below it.

    Attributes:
      tissue: a name in `contrast.TISSUES`.
      coverage: `[H, W]` in 0..1, part of each fine pixel that the tissue covers.
      window: rows and columns that `coverage` is for; all if not given.
    """

    tissue: str
    coverage: np.ndarray
    window: Window = WHOLE


def cover(distance: np.ndarray, width: float) -> np.ndarray:
    """Part of a pixel inside a shape: 1 deep inside, 0 outside, linear over `width` mm of signed distance."""
    return np.clip(np.float32(0.5) - distance * np.float32(1 / width), 0, 1)


def ellipsoid(points: tuple, half_axes: tuple) -> np.ndarray:
    """Signed distance to an ellipsoid or ellipse at the origin, k0 (k0 - 1) / k1 with k0 = |p/a|, k1 = |p/a^2| (first order)."""
    scaled = [p / a for p, a in zip(points, half_axes, strict=True)]
    k0 = np.sqrt(total(s * s for s in scaled)) + np.float32(1e-6)
    k1 = np.sqrt(total((s / a) ** 2 for s, a in zip(scaled, half_axes, strict=True))) + np.float32(1e-6)
    return k0 * (k0 - 1) / k1


def capsule(points: tuple, start: tuple, end: tuple, radius: float | np.ndarray) -> np.ndarray:
    """Signed distance to a segment thickened by `radius`, in any number of dimensions."""
    direction = [e - s for s, e in zip(start, end, strict=True)]
    offset = [p - s for p, s in zip(points, start, strict=True)]
    length2 = sum(d * d for d in direction)
    along = np.clip(total(o * (d / length2) for o, d in zip(offset, direction, strict=True)), 0, 1)
    return np.sqrt(total((o - along * d) ** 2 for o, d in zip(offset, direction, strict=True))) - radius


def hypotenuse(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """sqrt(x^2 + y^2) without the care of `hypot` for extreme numbers, which makes that ten times as slow."""
    return np.sqrt(x * x + y * y)


def total(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Sum of arrays; without the 0 that `sum` starts from, which costs a pass over the first one."""
    return reduce(operator.add, parts)


def lumps(angle: np.ndarray, rng: np.random.Generator, orders: tuple[int, ...] = (1, 2, 3, 5)) -> np.ndarray:
    """Smooth random function of an angle, about -0.6..0.6."""
    return sum((rng.normal(0, 0.3) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in orders), np.zeros_like(angle))
