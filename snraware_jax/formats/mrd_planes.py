"""Where the images of an MRD series lie: which frame and slice each is, by its counters, and at which place in the patient.

Source: Inati et al., MRM 2017 (ISMRMRD): `position` is the centre of an image, millimetres to left, back, up (LPS).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.stack import SAME_DIRECTION, SAME_PLACE_MM, require_complete

FRAME_AXES = ("contrast", "set", "average", "repetition", "phase")
UNCOUNTED = ["image_index"]  # what orders images that no counter tells apart
DIRECTIONS = ("read_dir", "phase_dir", "slice_dir")
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class Layout(NamedTuple):
    """The images of a series in order.

    Attributes:
      rows: `[frames, slices]`, places of the images in their group.
      frame_axes: the counters that tell frames apart.
      affine: from (column, row, slice, 1) to RAS millimetres; None: unknown.
      spacing: millimetres between (slices, rows, columns); None: unknown.
      notes: what is unusual about it.
    """

    rows: np.ndarray
    frame_axes: list[str]
    affine: np.ndarray | None
    spacing: tuple[float, float, float] | None
    notes: dict


def lay_out(path: Path, name: str, header: np.ndarray, matrix: tuple[int, ...]) -> Layout:
    """Order images by their counters; slices whose counter is not in the order of their places, by place along `slice_dir`.

    Slices of several frames need not form a stack, as long axes of a heart do not: each is a series of its own then, without an affine
    for all. Slices of a single frame are a volume, and have to.

    Args:
      path, name: of the file and the series, for messages.
      header: `[N]` image headers.
      matrix: (z, y, x) of an image.

    Raises:
      InputError: images missing or double; where headers know directions and positions: slices of a single frame that form no
        stack, one of them missing, frames of a slice at several places.
    """
    rows, axes = _by_counters(path, name, header)
    if (normal := _normal(header)) is None:
        return Layout(rows, axes, *_geometry(header[rows[0]], matrix), {})
    _require_frames_together(path, name, header, rows, axes)
    try:
        _require_alike(path, name, header)
        rows = _by_place(path, name, header, rows, normal)
        notes = _require_stack(path, name, header[rows[0]], matrix, normal)
    except InputError as error:
        if len(rows) == 1:
            raise
        return Layout(rows, axes, None, None, {"no_stack": str(error)})
    return Layout(rows, axes, *_geometry(header[rows[0]], matrix), notes)


def _by_counters(path: Path, name: str, header: np.ndarray) -> tuple[np.ndarray, list[str]]:
    frames = np.stack([header[axis] for axis in FRAME_AXES], axis=1)
    labels = np.concatenate([frames, header["slice"][:, None]], axis=1)
    if len(header) > 1 and len(np.unique(labels, axis=0)) == 1:
        return np.argsort(header["image_index"], kind="stable")[:, None], UNCOUNTED
    distinct, frame = np.unique(frames, axis=0, return_inverse=True)
    slices, place = np.unique(header["slice"], return_inverse=True)
    rows = np.full((len(distinct), len(slices)), -1)
    rows[frame.ravel(), place.ravel()] = np.arange(len(header))
    if len(header) != rows.size or (rows < 0).any():
        raise InputError(
            f"{path}: {name} holds {len(header)} images, not one for each of {len(distinct)} frames x {len(slices)} slices: "
            "export it again."
        )
    return rows, [axis for axis, values in zip(FRAME_AXES, distinct.T, strict=True) if len(np.unique(values)) > 1]


def _normal(header: np.ndarray) -> np.ndarray | None:
    """Unit normal of the first image, to the side of its `slice_dir`; None where headers know no directions or positions."""
    if not all(np.isfinite(header[field]).all() for field in (*DIRECTIONS, "position")):
        return None
    read, phase, along = (header[field][0].astype(np.float64) for field in DIRECTIONS)
    normal = np.cross(read, phase)
    length = np.linalg.norm(normal)
    return None if length == 0 else normal / length * (-1 if normal @ along < 0 else 1)


def _require_alike(path: Path, name: str, header: np.ndarray) -> None:
    directions = np.concatenate([header[field] for field in DIRECTIONS], axis=1).astype(np.float64)
    if np.abs(directions - directions[0]).max() > SAME_DIRECTION:
        kinds = len(np.unique(np.round(directions, 3), axis=0))
        raise InputError(
            f"{path}: {name} holds slices of {kinds} orientations (a localiser?), which form no stack: "
            "export each as a series of its own."
        )
    extents = header["field_of_view"].astype(np.float64)
    if np.isfinite(extents).all() and np.abs(extents - extents[0]).max() > 1e-3 * np.abs(extents[0]).max():
        raise InputError(f"{path}: {name} holds images of several fields of view: export each as a series of its own.")


def _require_frames_together(path: Path, name: str, header: np.ndarray, rows: np.ndarray, axes: list[str]) -> None:
    """Frames may follow a slice that moves, by less than its thickness; without counters to say that they are frames, not at all."""
    places = header["position"].astype(np.float64)[rows]  # [frames, slices, 3]
    apart = float(np.linalg.norm(places - places[0], axis=-1).max())
    thickness = float(header["field_of_view"][0, 2])
    may = thickness if axes != UNCOUNTED and np.isfinite(thickness) else 0.0
    if apart > SAME_PLACE_MM and apart >= may:
        raise InputError(
            f"{path}: {name} holds frames of the same slice {apart:.4g} mm apart: "
            f"{'no counter in their headers tells slices apart: set slice' if axes == UNCOUNTED else 'export them again'}, "
            "or export each place as a series of its own."
        )


def _by_place(path: Path, name: str, header: np.ndarray, rows: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Slices along their normal where the counter goes to and fro, as an order of acquisition does; a descending one stays."""
    places = header["position"].astype(np.float64)[rows[0]]
    if not (places != places[0]).any():  # of slices: headers without positions
        return rows
    heights = places @ normal
    order = np.argsort(heights, kind="stable")
    close = np.flatnonzero(np.diff(heights[order]) <= SAME_PLACE_MM)
    if close.size:
        a, b = sorted(header["slice"][rows[0][order[close[0] : close[0] + 2]]].tolist())
        raise InputError(
            f"{path}: {name} holds slices in the same plane ({a} and {b} by their counter), which form no stack: "
            "export each place as a series of its own."
        )
    return rows if (np.diff(heights) < 0).all() else rows[:, order]


def _require_stack(path: Path, name: str, header: np.ndarray, matrix: tuple[int, ...], normal: np.ndarray) -> dict:
    """Refuse slices of a frame, in order, that lie beside each other or miss one; notes what is unusual about others."""
    places = header["position"].astype(np.float64)
    heights = places @ normal
    if len(places) < 2 or not np.ptp(heights):
        return {}
    line = places[0] + ((heights - heights[0]) / (heights[-1] - heights[0]))[:, None] * (places[-1] - places[0])
    beside = float(np.linalg.norm(places - line, axis=1).max())
    pixel = float((header["field_of_view"][0, :2] / matrix[:0:-1]).min())
    if beside > max(SAME_PLACE_MM, 0.1 * pixel if np.isfinite(pixel) else 0.0):
        raise InputError(
            f"{path}: {name} holds slices up to {beside:.4g} mm beside the line through the first and the last, which form no "
            "stack: export each place as a series of its own."
        )
    return require_complete(path, places, normal)


def _geometry(header: np.ndarray, matrix: tuple[int, ...]) -> tuple[np.ndarray | None, tuple[float, float, float] | None]:
    """Affine and spacing of the slices of a frame, in order."""
    counts = np.array(matrix[::-1], np.float64)  # x, y, z
    extent = header["field_of_view"][0].astype(np.float64)
    if not (np.isfinite(extent).all() and (extent > 0).all()):
        return None, None
    steps = extent / counts
    directions = [header[field][0].astype(np.float64) for field in DIRECTIONS]
    columns = [direction * step for direction, step in zip(directions, steps, strict=True)]
    positions = header["position"].astype(np.float64)
    if len(header) > 1:
        columns[2] = (positions[-1] - positions[0]) / (len(header) - 1)
        steps[2] = np.linalg.norm(columns[2]) or steps[2]
    affine = np.eye(4)
    affine[:3, :3] = np.stack(columns, axis=1)
    affine[:3, 3] = positions[0] - affine[:3, :3] @ ((counts - 1) / 2)
    usable = np.isfinite(affine).all() and np.linalg.matrix_rank(affine[:3, :3]) == 3
    return (TO_RAS @ affine if usable else None), (float(steps[2]), float(steps[1]), float(steps[0]))
