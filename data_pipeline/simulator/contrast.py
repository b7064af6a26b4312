"""bSSFP signal of every tissue, and the picture that their layers make."""

import math
from typing import NamedTuple

import numpy as np

from data_pipeline.simulator.subject import Settings

WATER_HZ_PER_T = 42.577e6
FAT_SHIFT_PPM = -3.45
INFLOW = 1.75  # fresh spins that enter the slice carry more than the steady state


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
    "lung": Tissue((1200, 1300), (1.5, 1.0), 0.2),
    "marrow": Tissue((550, 600), (50, 45), 0.5),
    "disc": Tissue((1000, 1150), (75, 60), 0.7),
    "csf": Tissue((3500, 4200), (1500, 1500), 1.0),
    "cord": Tissue((1120, 1300), (90, 80), 0.75),
    "cortical": Tissue((1000, 1000), (1.0, 1.0), 0.15),
}


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
    e1, e2 = math.exp(-tr / t1), math.exp(-tr / t2)
    cosine, sine = np.cos(flip), np.sin(flip)
    precession = (2e-3 * math.pi * tr) * np.asarray(off_resonance)
    c = e2 * (e1 - 1) * (1 + cosine)
    d = 1 - e1 * cosine - (e1 - cosine) * e2**2
    # b carries an extra half turn from the alternating RF: cos(b) = -cos(precession), exp(-i b) = -exp(-i precession)
    half = np.exp(0.5j * precession)
    size = density * (1 - e1) * math.exp(-0.5 * tr / t2) * sine / (d - c * np.cos(precession))
    return size * (half + e2 * half.conj())


def tissue_signals(
    rng: np.random.Generator, settings: Settings, off_resonance: np.ndarray, b1: np.ndarray
) -> dict[str, np.ndarray]:
    """Signal of every tissue at every point, relaxation times drawn for this subject; `{tissue: [h, w] complex64}`.

    Args:
      off_resonance: `[h, w]` Hz, of water.
      b1: `[h, w]` actual over nominal flip angle.
    """
    column = 0 if settings.field_strength == 1.5 else 1
    chemical_shift = FAT_SHIFT_PPM * 1e-6 * WATER_HZ_PER_T * settings.field_strength
    flip = math.radians(settings.flip_deg) * b1
    signals = {}
    for name, tissue in TISSUES.items():
        sd = 0.025 if name in ("blood", "myocardium") else 0.05
        spread = [math.exp(v) for v in rng.normal(0, sd, 3)]
        shift = chemical_shift if name == "fat" else 0.0
        t1, t2 = tissue.t1[column] * spread[0], tissue.t2[column] * spread[1]
        magnetisation = steady_state(t1, t2, tissue.density * spread[2], flip, settings.tr_ms, off_resonance + shift)
        inflow = INFLOW if name in ("blood", "venous") else 1.0
        signals[name] = (inflow * magnetisation).astype(np.complex64)
    return signals


def off_resonance_map(
    rng: np.random.Generator, torso: np.ndarray, heart_centre: tuple[float, float], field: float, band: bool
) -> np.ndarray:
    """Off-resonance of water in Hz after shimming, `[H, W]` float32: a cubic polynomial and dipoles of the lung and the heart.

    Args:
      torso: `[2, H, W]` positions in mm.
      heart_centre: where the shim is good, mm.
      field: tesla; the map scales with it.
      band: moves the centre frequency so far that dark bands come near the heart.
    """
    x, y = (torso[0] - heart_centre[0]) / 160, (torso[1] - heart_centre[1]) / 160
    low = sum(rng.normal(0, 22) * x**i * y**j for i, j in ((1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (0, 3)))
    total = low + rng.normal(0, 12) + band * rng.choice([-1, 1]) * rng.uniform(60, 110)
    for _ in range(2):
        at_x, at_y = rng.uniform(-0.1, 0.6), rng.uniform(0.1, 0.6)
        dx, dy = x - at_x, y - at_y
        distance2 = dx * dx + dy * dy + 0.05
        total = total + rng.normal(0, 4.0) * (dx * dx - dy * dy) / distance2**2
    return (np.clip(total, -250, 250) * (field / 3)).astype(np.float32)


def transmit_map(rng: np.random.Generator, torso: np.ndarray) -> np.ndarray:
    """Actual over nominal flip angle, `[H, W]` float32: 0.75 to 1.1, smooth."""
    x, y = torso / np.float32(250)
    return np.clip(0.94 + rng.normal(0, 0.06) * x + rng.normal(0, 0.06) * y + rng.normal(0, 0.1) * x * y, 0.75, 1.1).astype(
        np.float32
    )
