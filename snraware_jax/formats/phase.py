"""Phase that comes in a file of its own: which unit it is in, and how it goes back."""

import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.images import Images, require_same_place, size


class Unit(NamedTuple):
    """One way to store a phase: phi = pi (v - zero) / half_turn, v from `low` to `low + 2 half_turn`.

    `fill` is the share of a turn that the values of an image must span to be taken for it: less could be another unit.
    `whole` is of units that scanners store as integers, which end one or two short of a turn.
    """

    name: str
    half_turn: float
    low: float
    zero: float
    fill: float
    whole: bool = False


# background holds every phase, so images fill a turn; masked ones are accepted in radians alone, where no other unit is near
UNITS = (
    Unit("radians", math.pi, -math.pi, 0.0, 0.5),
    Unit("radians from 0", math.pi, 0.0, 0.0, 0.5),
    Unit("degrees", 180.0, -180.0, 0.0, 0.9),
    Unit("degrees from 0", 180.0, 0.0, 0.0, 0.9),
    Unit("milliradians", 1000 * math.pi, -1000 * math.pi, 0.0, 0.9),
    Unit("-4096..4095", 4096.0, -4096.0, 0.0, 0.9, whole=True),
    Unit("0..4095", 2048.0, 0.0, 2048.0, 0.9, whole=True),
)


def unit_of(phase: np.ndarray, path: Path) -> Unit:
    """The unit of a phase image, from its range.

    Raises:
      InputError: if its range is that of no unit, or it was rounded to whole radians.
    """
    low, high = float(phase.min()), float(phase.max())
    for unit in UNITS:
        turn = 2 * unit.half_turn
        inside = unit.low - 1e-3 * turn <= low and high <= unit.low + (1 + 1e-3) * turn
        if inside and high - low >= unit.fill * turn:
            if unit.name.startswith("radians") and not (phase % 1).any():
                break
            return unit
    raise InputError(
        f"{path}: phase goes from {low:.6g} to {high:.6g}, which is neither radians, milliradians, degrees, -4096..4095 nor "
        "0..4095: convert it to radians."
    )


def with_phase(images: Images, phase: Images, path: Path, phase_path: Path) -> Images:
    """Magnitude and phase as one complex image, m exp(i phi); the unit of the phase is in `units["phase_unit"]`.

    Raises:
      InputError: if the images are complex already or negative somewhere, or the phase is of another size, place or unit.
    """
    if np.iscomplexobj(images.data):
        raise InputError(f"{path} is complex already: leave out --phase {phase_path}.")
    if np.iscomplexobj(phase.data):
        raise InputError(f"{phase_path} is complex: give it as the image itself, without --phase.")
    if phase.data.shape != images.data.shape:
        raise InputError(
            f"{phase_path}: phase is {size(phase.data.shape)}, image is {size(images.data.shape)}: "
            "give the phase of the same series."
        )
    require_same_place(images, phase, phase_path, "phase")
    if (negative := int((images.data < 0).sum())) > 0:
        raise InputError(f"{path} holds {negative} negative values, so it is no magnitude: leave out --phase {phase_path}.")
    unit = unit_of(phase.data, phase_path)
    data = np.empty(images.data.shape, np.complex64)
    for frame, magnitude, values in zip(data, images.data, phase.data, strict=True):
        frame[...] = magnitude * np.exp(1j * np.pi / unit.half_turn * (values.astype(np.float64) - unit.zero))
    phase = replace(phase, units=phase.units | {"phase_unit": unit.name})
    return replace(
        images,
        data=data,
        phase=phase,
        units=images.units | {"phase_unit": unit.name},
        metadata=images.metadata | {"phase_from": phase_path.name},
    )


def split_phase(images: Images, phase: Images) -> tuple[Images, Images]:
    """Magnitude and phase of complex images, the phase in the unit of `phase`: what `with_phase` joined.

    Phases come back to 2e-6 of a turn and modulo a turn, those of pixels whose magnitude is 0 as `zero`.
    """
    unit = next(unit for unit in UNITS if unit.name == phase.units["phase_unit"])
    turn = 2 * unit.half_turn
    values = unit.zero + unit.half_turn / np.pi * np.angle(images.data).astype(np.float64)
    # the margin keeps what rounding moved below the lower end from jumping by a turn
    values = unit.low + np.mod(values - unit.low + 1e-6 * turn, turn) - 1e-6 * turn
    if unit.whole:
        values = np.minimum(values, max(float(phase.data.max()), unit.low + turn - 2))
    magnitude = replace(images, data=np.abs(images.data), phase=None)
    return magnitude, replace(phase, data=values.astype(np.float32))
