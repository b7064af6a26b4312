"""Signal of every tissue at every point: balanced SSFP with off-resonance, or the readout of a first pass."""

import math
from typing import NamedTuple

import numpy as np

from data_pipeline.simulator.subject import Settings
from data_pipeline.simulator.view import View

WATER_HZ_PER_T = 42.577e6
FAT_SHIFT_PPM = -3.45
INFLOW = 2.0  # fresh spins that enter the slice carry more than the steady state


class Tissue(NamedTuple):
    """T1 and T2 in ms at 1.5 T and 3 T, proton density: starting values from reviews of the field."""

    t1: tuple[float, float]
    t2: tuple[float, float]
    density: float


TISSUES = {
    "blood": Tissue((1550, 1850), (230, 150), 0.95),
    "venous": Tissue((1550, 1850), (160, 105), 0.95),
    "myocardium": Tissue((1000, 1180), (52, 46), 0.80),
    "fat": Tissue((290, 370), (85, 70), 0.52),
    "muscle": Tissue((1000, 1400), (38, 32), 0.80),
    "liver": Tissue((580, 810), (46, 34), 0.75),
    "spleen": Tissue((1050, 1320), (75, 60), 0.80),
    "lung": Tissue((1200, 1300), (1.5, 1.0), 0.2),
    "marrow": Tissue((550, 600), (50, 45), 0.5),
    "disc": Tissue((1000, 1150), (75, 60), 0.7),
    "csf": Tissue((3500, 4200), (1500, 1500), 1.0),
    "cord": Tissue((1120, 1300), (90, 80), 0.75),
    "cortical": Tissue((1000, 1000), (1.0, 1.0), 0.15),
}


class Precession(NamedTuple):
    """Turn of the transverse magnetisation: cos(2 pi df TR), and half of the turn as exp(i pi df TR)."""

    cosine: np.ndarray
    half: np.ndarray


def precession(off_resonance: np.ndarray | float, tr: float) -> Precession:
    """Precession over a repetition time `tr` (ms) at `off_resonance` df (Hz)."""
    turn = (2e-3 * math.pi * tr) * np.asarray(off_resonance)
    half = np.cos(0.5 * turn) + np.complex64(1j) * np.sin(0.5 * turn)
    return Precession(np.cos(turn), half)


def steady_state(
    t1: float, t2: float, density: float, flip: np.ndarray | float, tr: float, off_resonance: np.ndarray | float
) -> np.ndarray:
    """Transverse bSSFP magnetisation at TE = TR/2, RF phase alternating by 180 degrees.

        M = M0 (1 - E1) sin(a) (1 - E2 exp(-i b)) / (C cos(b) + D) exp(-TE/T2) exp(i p)
        C = E2 (E1 - 1) (1 + cos(a)),  D = 1 - E1 cos(a) - (E1 - cos(a)) E2^2,  p = 2 pi df TE,  b = 2 pi df TR + pi

    Args:
      t1, t2, tr: ms.
      density: M0.
      flip: radians.
      off_resonance: df in Hz; any shape that broadcasts with `flip`.

    Source: Freeman & Hill, J Magn Reson 1971; Hargreaves, JMRI 2012.
    """
    return balanced(t1, t2, density, np.cos(flip), np.sin(flip), tr, precession(off_resonance, tr))


def balanced(
    t1: float, t2: float, density: float, cosine: np.ndarray, sine: np.ndarray, tr: float, turn: Precession
) -> np.ndarray:
    """`steady_state` from the cosine and sine of the flip angle and the precession, which the tissues of a scan share."""
    e1, e2 = math.exp(-tr / t1), math.exp(-tr / t2)
    c = e2 * (e1 - 1) * (1 + cosine)
    d = 1 - e1 * cosine - (e1 - cosine) * e2**2
    # b carries an extra half turn from the alternating RF: cos(b) = -cos(precession), exp(-i b) = -exp(-i precession)
    size = density * (1 - e1) * math.exp(-0.5 * tr / t2) * sine / (d - c * turn.cosine)
    return size * (turn.half + e2 * turn.half.conj())


def tissue_signals(rng: np.random.Generator, settings: Settings, view: View, card: dict) -> dict[str, np.ndarray]:
    """Signal of every tissue at every point, relaxation times drawn for this subject; `{tissue: [H, W] complex64}`.

    Of a first pass it is the signal of full magnetisation, which `kinetics` saturates and lets recover with the table's times.
    """
    column = 0 if settings.field_strength == 1.5 else 1
    chemical_shift = FAT_SHIFT_PPM * 1e-6 * WATER_HZ_PER_T * settings.field_strength
    water = off_resonance_map(rng, view, settings.field_strength, card["band"])
    fat = water + np.float32(chemical_shift)
    flip = math.radians(settings.flip_deg) * transmit_map(rng, view)
    turns = {shift: precession(water if shift == "water" else fat, settings.tr_ms) for shift in ("water", "fat")}
    cosine, sine = np.cos(flip), np.sin(flip)
    signals = {}
    for name, tissue in TISSUES.items():
        sd = 0.025 if name in ("blood", "myocardium") else 0.05
        spread = [math.exp(v) for v in rng.normal(0, sd, 3)]
        turn, density = turns["fat" if name == "fat" else "water"], tissue.density * spread[2]
        if settings.kind == "perfusion":
            signals[name] = np.float32(density) * sine * turn.half
            continue
        t1, t2 = tissue.t1[column] * spread[0], tissue.t2[column] * spread[1]
        inflow = INFLOW if name in ("blood", "venous") else 1.0
        signals[name] = balanced(t1, t2, inflow * density, cosine, sine, settings.tr_ms, turn)
    return signals


def off_resonance_map(rng: np.random.Generator, view: View, field: float, band: bool) -> np.ndarray:
    """Off-resonance of water in Hz after shimming, `[H, W]` float32: a cubic polynomial and dipoles of lung, heart and stomach.

    Args:
      view: the points; the shim is good near the heart.
      field: tesla; the map scales with it.
      band: moves the centre frequency so far that dark bands come near the heart.
    """
    x, y, z = (np.float32(1 / 160) * (p - np.float32(a)) for p, a in zip(view.body, view.apex, strict=True))
    powers = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (2, 0, 0), (1, 1, 0), (0, 2, 0), (0, 0, 2), (1, 0, 1), (3, 0, 0), (0, 3, 0))
    low = sum((np.float32(rng.normal(0, 20)) * x**i * y**j * z**k for i, j, k in powers), np.zeros_like(x))
    total = low + np.float32(rng.normal(0, 12) + band * rng.choice([-1, 1]) * rng.uniform(60, 110))
    for _ in range(3):
        at = rng.uniform((-0.2, 0.0, -0.5), (0.5, 0.6, 0.3)).astype(np.float32)
        dx, dy, dz = x - at[0], y - at[1], z - at[2]
        distance2 = dx * dx + dy * dy + dz * dz + np.float32(0.05)
        total = total + np.float32(rng.normal(0, 4.0)) * (3 * dz * dz - distance2) / distance2**2
    limited = np.asarray(np.clip(total, -250, 250))
    return limited * np.float32(field / 3)


def transmit_map(rng: np.random.Generator, view: View) -> np.ndarray:
    """Actual over nominal flip angle, `[H, W]` float32: 0.75 to 1.1, smooth."""
    x, y, z = (p / np.float32(250) for p in view.body)
    slopes = rng.normal(0, 1, 4).astype(np.float32)
    return np.clip(
        0.94 + 0.06 * slopes[0] * x + 0.06 * slopes[1] * y + 0.1 * slopes[2] * x * y + 0.05 * slopes[3] * z, 0.75, 1.1
    )
