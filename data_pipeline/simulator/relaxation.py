"""Signal equations of the scans that are not balanced: spoiled gradient echo, MPRAGE, turbo spin echo."""

import math

import numpy as np

from data_pipeline.simulator.contrast import FAT_SHIFT_PPM, WATER_HZ_PER_T
from data_pipeline.simulator.subject import Settings
from snraware_jax.errors import InputError


def spoiled(t1: float, density: float, flip: np.ndarray | float, tr: float) -> np.ndarray:
    """Transverse steady state of a spoiled gradient echo (FLASH), M = M0 sin(a) (1 - E1) / (1 - E1 cos(a)).

    Args:
      t1, tr: ms, E1 = exp(-TR/T1).
      density: M0.
      flip: radians; the signal is largest at the Ernst angle arccos(E1).

    Source: Ernst & Anderson, Rev Sci Instrum 1966.
    """
    e1 = math.exp(-tr / t1)
    return density * np.sin(flip) * (1 - e1) / (1 - e1 * np.cos(flip))


def mprage(
    t1: float,
    density: float,
    flip: float,
    spacing: float,
    readouts: int,
    inversion: float,
    cycle: float,
    efficiency: float = 0.96,
) -> float:
    """Signed signal of the middle readout of an inversion-prepared train of small flips in its periodic steady state.

        readout n:  M_n = M* + (M_1 - M*) q^n,  q = E1 cos(a),  M* = M0 (1 - E1) / (1 - q)
        elsewhere:  M -> M0 + (M - M0) exp(-t/T1),  and M -> -efficiency M at the inversion

    Args:
      t1: ms.
      density: M0.
      flip: radians.
      spacing: of the readouts, ms; E1 = exp(-spacing/T1).
      readouts: in the train; linear order, the middle one is the centre of k-space.
      inversion: from the inversion pulse to the middle readout, ms.
      cycle: between inversions, ms.
      efficiency: of the inversion pulse.

    Raises:
      InputError: if the train does not fit between the inversion and the next one.

    Source: Mugler & Brookeman, MRM 1990; Deichmann et al., NeuroImage 2000.
    """
    middle = readouts // 2
    before, after = inversion - middle * spacing, cycle - inversion - (readouts - middle) * spacing
    if before < 0 or after < 0:
        raise InputError(
            f"a train of {readouts} readouts every {spacing:g} ms does not fit about the inversion time of {inversion:g} ms "
            f"in {cycle:g} ms: choose fewer partitions, a larger acceleration along them, or a smaller tr_ms"
        )
    e1 = math.exp(-spacing / t1)
    driven = density * (1 - e1) / (1 - e1 * math.cos(flip))
    steps = [
        (-efficiency, 0.0),
        _towards(density, math.exp(-before / t1)),
        _towards(driven, (e1 * math.cos(flip)) ** middle),
        _towards(driven, (e1 * math.cos(flip)) ** (readouts - middle)),
        _towards(density, math.exp(-after / t1)),
    ]
    gain, offset = _chain(steps)
    start = offset / (1 - gain)  # what the cycle reproduces
    gain, offset = _chain(steps[:3])
    return math.sin(flip) * (gain * start + offset)


def turbo_spin_echo(t1: float, t2: float, density: float, tr: float, te: float) -> float:
    """Signal of a train of perfect refocusing pulses at the effective echo time, M0 (1 - exp(-TR/T1)) exp(-TE/T2); all in ms."""
    return density * (1 - math.exp(-tr / t1)) * math.exp(-te / t2)


def echo_train(lines: int, spacing: float, te: float, length: int, t2: float) -> np.ndarray:
    """Decay over an echo train along ky relative to k-space centre, exp(-(t(ky) - TE)/T2), `[lines]`, 1 at index lines//2.

    Linear order in `length` segments of neighbouring lines; the train is turned so that the effective echo crosses the centre, and
    lines before its first echo are taken with that one.

    Args:
      lines: phase encodes.
      spacing, te, t2: ms; te is the effective echo time.
      length: echoes of the train.
    """
    segment = (np.arange(lines) - lines // 2) * (length / lines)
    first = max(1 - te / spacing, -0.5 * length)  # echoes before the effective one that exist
    return np.exp(-np.clip(segment, first, None) * (spacing / t2))


def fat_offset_hz(field_strength: float) -> float:
    """Frequency of fat relative to water in Hz."""
    return FAT_SHIFT_PPM * 1e-6 * WATER_HZ_PER_T * field_strength


def fat_displacement(settings: Settings) -> float:
    """Displacement of fat along the readout as a part of the field of view: its frequency over the bandwidth of the readout."""
    return fat_offset_hz(settings.field_strength) * 1e-6 * settings.dwell_us * settings.oversampling


def displaced(images: np.ndarray, part: float) -> np.ndarray:
    """Images `[..., W]` moved along W by a part of the field of view, periodic, linear between grid points (never negative)."""
    step = part * images.shape[-1]
    whole = math.floor(step)
    rest = np.float32(step - whole)
    return (1 - rest) * np.roll(images, whole, -1) + rest * np.roll(images, whole + 1, -1)


def _towards(limit: float, decay: float) -> tuple[float, float]:
    """M -> limit + (M - limit) decay as (gain, offset)."""
    return decay, limit * (1 - decay)


def _chain(steps: list[tuple[float, float]]) -> tuple[float, float]:
    """One (gain, offset) for several in a row."""
    total, shift = 1.0, 0.0
    for gain, offset in steps:
        total, shift = gain * total, gain * shift + offset
    return total, shift
