"""Where the images of a DICOM series lie: in which file, at which place in the patient, at which time.

Source: DICOM PS3.3, C.7.6.2 (image plane), C.7.6.16 (functional groups of multi-frame images), C.11.1 (rescaling).
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.images import Wanted, pick
from snraware_jax.formats.scaled import Scale
from snraware_jax.formats.stack import SAME_DIRECTION, SAME_PLACE_MM, require_complete

if TYPE_CHECKING:
    from pydicom import Dataset

# copies of the rescaling that Philips keeps where exporters lose the standard attributes
PHILIPS_INTERCEPT, PHILIPS_SLOPE = (0x2005, 0x1409), (0x2005, 0x140A)
PHASE = {"P", "PHASE", "PHASE MAP"}  # of the image type: Siemens and Philips, enhanced, Philips
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class Plane(NamedTuple):
    """One image of a series.

    Attributes:
      file, frame: number of the file, and of the frame in it (None: the file is one image).
      size: (rows, columns).
      series: (number, description, UID).
      kind, echo: image type beyond its second value, and echo time in ms.
      is_phase: whether the header says that it is a phase image.
      position: of the first pixel, millimetres to left, back, up (LPS); None: unknown.
      orientation: directions of growing column and growing row.
      spacing: millimetres between (rows, columns).
      thickness: of the slice in millimetres.
      scale, scale_from: rescaling, and where it was found if not in the standard attributes.
      times: what may order the frames.
    """

    file: int
    frame: int | None
    size: tuple[int, int]
    series: tuple[str, str, str]
    kind: str
    is_phase: bool
    echo: float | None
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, float] | None
    thickness: float | None
    scale: Scale
    scale_from: str | None
    times: dict[str, float]


class Layout(NamedTuple):
    """The images of a series in order.

    Attributes:
      planes: `planes[frame][slice]`.
      affine: from (column, row, slice, 1) to RAS millimetres; None: unknown.
      spacing: millimetres between (slices, rows, columns); None: unknown.
      frame_order: the attribute that orders the frames.
      notes: what is unusual about it.
    """

    planes: list[list[Plane]]
    affine: np.ndarray | None
    spacing: tuple[float, float, float] | None
    frame_order: str
    notes: dict


def planes_of(path: Path, dataset: "Dataset", number: int) -> list[Plane]:
    """The images of one file.

    Raises:
      InputError: several frames without functional groups, which say where they lie.
    """
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    if groups is None:
        if (frames := int(dataset.get("NumberOfFrames") or 1)) > 1:
            raise InputError(
                f"{path} has {frames} frames that do not say where they lie: export enhanced MR, or single images."
            )
        return [_plane(path, dataset, number, None)]
    if len(groups) != int(dataset.NumberOfFrames):
        raise InputError(f"{path} says {dataset.NumberOfFrames} frames and describes {len(groups)}: export it again.")
    return [_plane(path, dataset, number, frame) for frame in range(len(groups))]


def _plane(path: Path, dataset: "Dataset", number: int, frame: int | None) -> Plane:
    def find(group: str, keyword: str) -> Any:
        return lookup(dataset, frame, group, keyword)

    scale, source = _scale(path, dataset, find)
    types = (
        find("MRImageFrameTypeSequence", "FrameType" if frame is not None else "ImageType") or dataset.get("ImageType") or ()
    )
    echo = find("MREchoSequence", "EffectiveEchoTime" if frame is not None else "EchoTime")
    spacing, thickness = (find("PixelMeasuresSequence", name) for name in ("PixelSpacing", "SliceThickness"))
    kind = "\\".join(types[2:] if not isinstance(types, str) else ())
    component = str(find("MRImageFrameTypeSequence", "ComplexImageComponent") or "")
    return Plane(
        file=number,
        frame=frame,
        size=(int(dataset.Rows), int(dataset.Columns)),
        series=tuple(str(dataset.get(k) or "") for k in ("SeriesNumber", "SeriesDescription", "SeriesInstanceUID")),  # type: ignore[arg-type]
        kind=kind,
        is_phase=component == "PHASE" or not PHASE.isdisjoint(kind.split("\\")),
        echo=None if echo is None else float(echo),
        position=_numbers(find("PlanePositionSequence", "ImagePositionPatient"), 3),
        orientation=_numbers(find("PlaneOrientationSequence", "ImageOrientationPatient"), 6),
        spacing=_numbers(spacing, 2),  # type: ignore[arg-type]
        thickness=None if thickness is None else float(thickness),
        scale=scale,
        scale_from=source,
        times=_times(dataset, frame, find),
    )


def lookup(dataset: "Dataset", frame: int | None, group: str, keyword: str) -> Any:
    """An attribute of an image: of the file, or of a frame's functional group, its own before the shared one."""
    if frame is None:
        return dataset.get(keyword)
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    for holder in (dataset.PerFrameFunctionalGroupsSequence[frame], *shared[:1]):
        items = holder.get(group)
        if items and items[0].get(keyword) is not None:
            return items[0].get(keyword)
    return None


def _numbers(values: Any, count: int) -> tuple[float, ...] | None:
    if values is None or not len(values):
        return None
    found = tuple(float(value) for value in values)
    if len(found) != count or not np.isfinite(found).all():
        raise ValueError(f"{count} numbers were expected instead of {found}")
    return found


def _scale(path: Path, dataset: "Dataset", find: Any) -> tuple[Scale, str | None]:
    group = "PixelValueTransformationSequence"
    slope, intercept, source = find(group, "RescaleSlope"), find(group, "RescaleIntercept"), None
    if slope is None and PHILIPS_SLOPE in dataset and PHILIPS_INTERCEPT in dataset:
        slope, intercept = dataset[PHILIPS_SLOPE].value, dataset[PHILIPS_INTERCEPT].value
        source = "private Philips attributes (2005,1409) and (2005,140A), for there is no RescaleSlope"
    scale = Scale(1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept))
    if not (np.isfinite(scale).all() and scale.slope):
        raise InputError(f"{path} has rescale slope {scale.slope}, intercept {scale.intercept}: export it again.")
    return scale, source


def _times(dataset: "Dataset", frame: int | None, find: Any) -> dict[str, float]:
    if frame is None:
        names = ("TemporalPositionIdentifier", "TriggerTime", "InstanceNumber", "AcquisitionNumber")
        found = {name: dataset.get(name) for name in names}
    else:
        found = {
            "TemporalPositionIndex": find("FrameContentSequence", "TemporalPositionIndex"),
            "TriggerTime": find("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
            "InstanceNumber": 1e6 * int(dataset.get("InstanceNumber") or 0) + frame,
        }
    return {name: float(value) for name, value in found.items() if value is not None and str(value)}


def choose(path: Path, planes: list[Plane], series: str | None, wanted: Wanted = "images") -> tuple[list[Plane], str]:
    """The images of the one series, or the one that `series` names, or the only one of phase where that is wanted; and its name.

    Images of one series that differ in image type (magnitude, phase) or echo time are as many series.

    Raises:
      InputError: several to choose from, or none of that name.
    """
    several = lambda values: len(set(values)) > 1
    of_series = defaultdict(list)
    for plane in planes:
        of_series[plane.series].append(plane)
    found: dict[str, list[Plane]] = {}
    for (number, description, uid), members in of_series.items():
        same_number = several(s for s in of_series if s[0] == number)
        base = (uid if same_number else number) or description or uid
        for plane in members:
            name = base
            if several(plane.kind for plane in members):
                name += f" {plane.kind}"
            if several(plane.echo for plane in members):
                name += f" TE {plane.echo:g}" if plane.echo is not None else " no TE"
            found.setdefault(name, []).append(plane)
    if series is None:
        picked = list(found)
        if len(found) > 1:
            picked = [name for name, members in found.items() if wanted == "phase" and members[0].is_phase]
    else:
        picked = [name for name, members in found.items() if series in (name, *members[0].series)]
    if len(picked) == 1:
        return found[picked[0]], picked[0]
    names = ", ".join(f"'{name}' ({members[0].series[1]}, {len(members)} images)" for name, members in found.items())
    what = f"holds {len(found)} series" if series is None else f"has no single series '{series}'"
    raise InputError(f"{path} {what}: {names}; {pick(path, wanted, [*picked, *found][0])}")


def lay_out(path: Path, planes: Sequence[Plane]) -> Layout:
    """Order images by place along the normal of the slices, then by time.

    Frames are ordered by the temporal position; by the trigger time where it goes in even steps (a gated cine; elsewhere it
    jitters); else by the instance number; the first of these that tells all images of a place apart.

    Raises:
      InputError: several sizes, orientations or stacks of slices, images without a place, missing or double, slices missing.
    """
    _require_alike(path, planes)
    if len(planes) == 1:
        return Layout([list(planes)], *_geometry(planes[:1]), "one image", {})
    stacks = _stacks(path, planes)
    counts = sorted({len(stack) for stack in stacks})
    if len(counts) > 1:
        short = min(stacks, key=len)
        raise InputError(
            f"{path}: {len(planes)} images are no full grid of {len(stacks)} slices: the slice at {_text(short[0].position)} mm has "
            f"{len(short)}, others up to {counts[-1]}; add the missing files, or take others out."
        )
    order, stacks = _in_time(path, stacks)
    first = [stack[0] for stack in stacks]
    across, down = np.reshape(first[0].orientation or (), (2, 3))
    notes = require_complete(path, np.array([plane.position for plane in first]), np.cross(across, down))
    affine, spacing = _geometry(first)
    return Layout([list(frame) for frame in zip(*stacks, strict=True)], affine, spacing, order, notes)


def _require_alike(path: Path, planes: Sequence[Plane]) -> None:
    sizes = sorted({plane.size for plane in planes})
    if len(sizes) > 1:
        text = ", ".join(f"{rows}x{columns}" for rows, columns in sizes)
        raise InputError(f"{path} holds images of several sizes ({text}): put each into a folder of its own.")
    first = planes[0].orientation
    if any((plane.orientation is None) != (first is None) for plane in planes):
        raise InputError(f"{path}: some images have no ImageOrientationPatient: take them out.")
    if first is None:
        return
    apart = max(float(np.abs(np.subtract(plane.orientation, first)).max()) for plane in planes if plane.orientation)
    if apart > SAME_DIRECTION:
        kinds = len({tuple(np.round(plane.orientation or (), 3)) for plane in planes})
        raise InputError(f"{path} holds slices of {kinds} orientations (a localiser?): put each into a folder of its own.")
    if not np.allclose(np.reshape(first, (2, 3)) @ np.reshape(first, (2, 3)).T, np.eye(2), atol=1e-2):
        raise InputError(
            f"{path}: ImageOrientationPatient {_text(first)} is no pair of perpendicular directions: export it again."
        )


def _stacks(path: Path, planes: Sequence[Plane]) -> list[list[Plane]]:
    """Images by place, along the normal."""
    first = planes[0]
    if first.orientation is None or any(plane.position is None for plane in planes):
        raise InputError(
            f"{path}: {len(planes)} images, but some have no ImagePositionPatient or ImageOrientationPatient, so they cannot be "
            "sorted: give one file at a time."
        )
    across, down = np.reshape(first.orientation, (2, 3))
    normal = np.cross(across, down)
    ordered = sorted(planes, key=lambda plane: float(np.dot(normal, plane.position or ())))
    stacks = [[ordered[0]]]
    for plane in ordered[1:]:
        gap = np.subtract(plane.position or (), stacks[-1][0].position or ())
        if abs(np.dot(normal, gap)) > SAME_PLACE_MM:
            stacks.append([plane])
        elif np.linalg.norm(gap) > SAME_PLACE_MM:
            raise InputError(f"{path} holds several stacks of slices in the same planes: put each into a folder of its own.")
        else:
            stacks[-1].append(plane)
    return stacks


def _in_time(path: Path, stacks: list[list[Plane]]) -> tuple[str, list[list[Plane]]]:
    if len(stacks[0]) == 1:
        return "one frame", stacks
    names = ("TemporalPositionIdentifier", "TemporalPositionIndex", "TriggerTime", "InstanceNumber", "AcquisitionNumber")
    for name in names:
        times = [sorted(plane.times.get(name, np.nan) for plane in stack) for stack in stacks]
        steps = np.diff(times, axis=1)
        if np.isnan(times).any() or not (steps > 0).all():
            continue
        if name == "TriggerTime" and (steps.max(axis=1) > 1.5 * steps.min(axis=1)).any():
            continue
        return name, [sorted(stack, key=lambda plane: plane.times[name]) for stack in stacks]
    raise InputError(
        f"{path}: {len(stacks[0])} images lie at the same place and no temporal position, trigger time or instance number tells "
        "them apart: take doubles out."
    )


def _geometry(slices: Sequence[Plane]) -> tuple[np.ndarray | None, tuple[float, float, float] | None]:
    first = slices[0]
    if first.position is None or first.orientation is None or first.spacing is None:
        return None, None
    across, down = np.reshape(first.orientation, (2, 3))
    normal, places = np.cross(across, down), np.array([plane.position for plane in slices])
    step = (places[-1] - places[0]) / (len(places) - 1) if len(places) > 1 else normal * (first.thickness or 1.0)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = across * first.spacing[1], down * first.spacing[0]
    affine[:3, 2], affine[:3, 3] = step, places[0]
    return TO_RAS @ affine, (float(np.linalg.norm(step)), *first.spacing)


def _text(values: Sequence[float] | None) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in values or ()) + ")"
