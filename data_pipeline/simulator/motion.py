"""What moves and when: the volume curve, the heart's state, the beats and the breath behind every frame."""

import math
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator

from data_pipeline.simulator.subject import Settings


class State(NamedTuple):
    """State of the body in one frame.

    Attributes:
      volume: of the left ventricle, over that at end diastole.
      emptied: part of the stroke volume that is ejected.
      stretch: length of the long axis over that at end diastole.
      contraction: relative shortening of the cavity's radius.
      breath: how far the diaphragm has moved down from end expiration, mm.
    """

    volume: float
    emptied: float
    stretch: float
    contraction: float
    breath: float


class Timing(NamedTuple):
    """When the frames are: place in the heart's cycle `[T]` (any real number, period 1), seconds `[T]`, breath `[T]` in mm, and the
    share of each neighbouring frame that a frame holds `[T]`."""

    cycle: np.ndarray
    seconds: np.ndarray
    breath: np.ndarray
    footprint: np.ndarray


def volume_curve(ejection_fraction: float, systole: float, phase: np.ndarray) -> np.ndarray:
    """Volume of the left ventricle over that at end diastole; periodic, 1 at phase 0, 1 - EF at phase `systole`.

    Ejection, early filling, diastasis and atrial kick as a monotone piecewise cubic.

    Args:
      ejection_fraction: EF.
      systole: phase of end systole, fraction of the RR interval.
      phase: any real number, period 1.
    """
    knots = np.array([0.0, 0.05, systole * 0.5, systole, systole + 0.05, systole + 0.2, 0.82, 0.94])
    emptied = np.array([0.0, 0.02, 0.6, 1.0, 0.99, 0.35, 0.24, 0.02])
    around = np.concatenate([knots - 1, knots, knots + 1])
    return 1 - ejection_fraction * PchipInterpolator(around, np.tile(emptied, 3))(np.mod(phase, 1.0))


def timing(card: dict, settings: Settings, rng: np.random.Generator) -> Timing:
    """The frames of a protocol: phases of one retro-gated beat in a breath-hold, or beats and breaths as they come.

    A retro-gated phase holds parts of its neighbours (segmented readout), more of them late in the cycle, where beats of
    different lengths disagree.
    """
    frames = np.arange(settings.frames)
    interval = 60 / card["heart_rate"]
    if settings.kind == "retro_cine":
        cycle = frames / settings.frames
        footprint = np.minimum(card["footprint"] + np.minimum(card["rr_jitter"] * settings.frames * cycle**2, 0.15), 1 / 3)
        return Timing(cycle, cycle * interval, np.zeros(settings.frames), footprint)
    if settings.kind == "realtime_cine":
        seconds = frames * settings.frame_ms * 1e-3
        beats = math.ceil(seconds[-1] / (interval * 0.5)) + 4
        starts = np.cumsum(np.concatenate([[0], interval * np.exp(rng.normal(0, card["rr_jitter"], beats))]))
        cycle = np.interp(seconds + rng.uniform() * interval, starts, np.arange(beats + 1))
    else:  # one image a beat, always at the same delay after the R wave
        seconds = np.cumsum(interval * np.exp(rng.normal(0, card["rr_jitter"], settings.frames)))
        cycle = frames + card["trigger"] + rng.normal(0, 0.01, settings.frames)
    return Timing(cycle, seconds, breath(card, seconds, rng), np.zeros(settings.frames))


def breath(card: dict, seconds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """How far the diaphragm is below end expiration `[T]` in mm: A (1 - cos^2n(pi t / T)), rests longer in expiration."""
    phase = math.pi * (seconds * card["breaths_per_second"] + rng.uniform())
    depth = card["breath_mm"] * (1 + 0.15 * np.sin(0.23 * seconds + rng.uniform(0, 6)))
    return depth * (1 - np.cos(phase) ** (2 * card["breath_rest"]))


def states(card: dict, when: Timing) -> list[State]:
    """The state in every frame, from volume = radius^2 * stretch in units of end diastole."""
    volume = volume_curve(card["ejection_fraction"], card["systole"], when.cycle)
    emptied = (1 - volume) / card["ejection_fraction"]
    stretch = 1 - card["shortening"] * emptied
    contraction = 1 - np.sqrt(volume / stretch)
    return [State(*map(float, values)) for values in zip(volume, emptied, stretch, contraction, when.breath, strict=True)]
