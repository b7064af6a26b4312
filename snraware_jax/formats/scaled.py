"""Values as integers with one slope and intercept: v = slope * stored + intercept."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Scale(NamedTuple):
    """From stored integers to values: v = slope * stored + intercept."""

    slope: float
    intercept: float


class Limits(NamedTuple):
    """The least and the largest integer that can be stored."""

    low: int
    high: int


def limits_of(bits: int, signed: bool) -> Limits:
    """Of integers of `bits` bits; of more than 32, those of 32, which float32 values do not exhaust."""
    bits = min(bits, 32)
    return Limits(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else Limits(0, 2**bits - 1)


def fits(values: np.ndarray, scale: Scale, limits: Limits) -> bool:
    """Whether the rounded integers of all values lie within the limits."""
    ends = (np.array([values.min(), values.max()], np.float64) - scale.intercept) / scale.slope
    return bool(limits.low <= np.rint(ends.min()) and np.rint(ends.max()) <= limits.high)


def new_scale(values: np.ndarray, limits: Limits, as_stored: Callable[[float], float]) -> Scale:
    """The finest slope with which all values fit; intercept 0 for values and integers that start at 0.

    Args:
      values: finite.
      limits: of the stored integers.
      as_stored: rounds a number as the file will (float32, 16 characters), so that the integers belong to what is stored.
    """
    low, high = min(0.0, float(values.min())), float(values.max())
    if low == high:
        return Scale(1.0, 0.0)
    # one integer is left free at each end for what rounding the slope and the intercept moves
    slope = as_stored((high - low) / (limits.high - limits.low - 2 if limits.low or low else limits.high - 1))
    return Scale(slope, as_stored(low - (limits.low + 1) * slope) if limits.low or low else 0.0)


def to_integers(values: np.ndarray, scale: Scale, limits: Limits) -> np.ndarray:
    """The nearest integers, `[...]` int64: values come back to within half a slope."""
    stored = np.rint((values.astype(np.float64) - scale.intercept) / scale.slope)
    return np.clip(stored, *limits).astype(np.int64)
