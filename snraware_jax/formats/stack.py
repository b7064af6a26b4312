"""Whether parallel slices form a stack, of which one affine is true: evenly spaced, none missing."""

from pathlib import Path

import numpy as np

from snraware_jax.errors import InputError

SAME_PLACE_MM = 1e-2
SAME_DIRECTION = 1e-4
EVEN = 0.01  # of a step: by more, steps differ
WHOLE = 0.1  # of a step: by less, a gap is a whole number of steps, so that slices are missing


def require_complete(path: Path, places: np.ndarray, normal: np.ndarray) -> dict[str, list[float]]:
    """Refuse a stack with gaps; where its steps are uneven in another way, say so.

    Args:
      path: its file or folder, for messages.
      places: `[S, 3]` positions in millimetres, in order.
      normal: `[3]` of the slices, unit length.

    Returns:
      nothing of an even stack, else `uneven_slices_mm`: the least and the largest step, and how far from its place the affine,
      of even steps between the outer slices, puts one.

    Raises:
      InputError: where a gap is twice, three times, ... the usual step: slices are missing.
    """
    steps = np.abs(np.diff(places @ normal))
    if len(steps) < 2:
        return {}
    usual = float(np.sort(steps)[(len(steps) - 1) // 2])  # one of them: the mean of two is no step where half are gaps
    for start, end, step in zip(places[:-1], places[1:], steps, strict=True):
        count = round(step / usual)
        if count > 1 and abs(step / usual - count) < WHOLE:
            what = "a slice is missing at" if count == 2 else f"{count - 1} slices are missing from"
            first = ", ".join(f"{value:.6g}" for value in start + (end - start) / count)
            raise InputError(
                f"{path}: {what} ({first}) mm: slices lie {usual:.4g} mm apart, and there "
                f"{step:.4g} mm. Add what is missing, or export the slices on either side as series of their own."
            )
    if steps.max() - steps.min() <= EVEN * steps.mean():
        return {}
    even = np.linspace(places[0], places[-1], len(places))
    apart = np.linalg.norm(places - even, axis=1).max()
    return {"uneven_slices_mm": [float(steps.min()), float(steps.max()), float(apart)]}
