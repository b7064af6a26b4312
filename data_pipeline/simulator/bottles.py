"""Two water bottles with a resolution comb, a thin wall, beads and a bubble of air, seen by a spoiled gradient echo."""

import math
from collections.abc import Callable

import numpy as np

from data_pipeline.simulator import view as views
from data_pipeline.simulator.frame import frame, on_matrix, points
from data_pipeline.simulator.relaxation import spoiled
from data_pipeline.simulator.shapes import cover, ellipsoid, lumps
from data_pipeline.simulator.subject import Settings

LABELS = {"first": 1, "second": 2, "structure": 3}
BAR_MM = (4.0, 3.0, 2.2, 1.6, 1.2, 0.9, 0.7)  # groups of the comb
BARS = 3
T2_STAR_MS = 60.0


def image(
    random: Callable[[str], np.random.Generator], settings: Settings, number: int = 0
) -> tuple[np.ndarray, np.ndarray, dict]:
    """One cross section of the bottles.

    Args:
      random: stream of a name ("subject", "texture", "contrast") of this subject.
      settings: matrix, field of view, fine grid, flip angle and TR (TE is half of it).
      number: of the slice; the bottles, comb and wall are the same in all, bubble and beads are not.

    Returns:
      object `[1, H, W]` complex64, labels `[1, ky, kx]` uint8 (0 nothing, 1 and 2 the bottles, 3 structures in them), and the card:
      JSON values, mm, with the `frame` of the slice and `extent_mm`, the half axes (x, y) of what coils have to surround.
    """
    card = draw_card(random("subject"), settings)
    slice_rng = random("texture").spawn(number + 1)[number]
    shape = views.fine_shape(settings, settings.fov_mm)
    offset = (number - (settings.slices - 1) / 2) * settings.slice_mm
    place = frame((0, 0, offset), ((0, 0, 1), (0, 1, 0), (1, 0, 0)), (settings.slice_mm, *settings.fov_mm))
    x, y, _ = points(place, (1, *shape))[:, 0]
    pixel = min(fov / n for fov, n in zip(settings.fov_mm, shape, strict=True))

    flip = math.radians(settings.flip_deg) * transmit(random("contrast"), x, y, card)
    water, labels = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    susceptibility = np.zeros(shape, np.float32)
    for index, bottle in enumerate(card["bottles"]):
        local = inside_frame(x, y, bottle)
        edge = ellipsoid(local, bottle["half_mm"]) + np.float32(0.6) * lumps(
            np.arctan2(local[1], local[0]), np.random.default_rng(bottle["form"]), (2, 3, 4)
        )
        filled = cover(edge, pixel)
        blocked = np.zeros_like(filled)
        for distance in [*comb(local, bottle), thin_wall(local, bottle), *beads(local, bottle, slice_rng)]:
            np.maximum(blocked, cover(distance, pixel), out=blocked)
        air, dipole = bubble(local, bottle, slice_rng)
        signal = spoiled(bottle["t1_ms"], 1.0, flip, settings.tr_ms)
        water += signal * filled * (1 - blocked) * (1 - cover(air, pixel))
        susceptibility += dipole * filled
        labels[filled > 0.5] = 1 + index
        labels[(filled > 0.5) & (blocked > 0.5)] = LABELS["structure"]
    te = 0.5 * settings.tr_ms
    off_resonance = np.float32(settings.field_strength / 3) * (
        susceptibility + np.float32(card["shim_hz"][0]) * x / 100 + np.float32(card["shim_hz"][1]) * (x * x - y * y) / 1e4
    )
    # dephasing within a grid point where the field is steep; that within a pixel follows from the phase of its grid points
    steep = np.hypot(*np.gradient(off_resonance))  # Hz from one grid point to the next
    water *= np.exp(-te / T2_STAR_MS) * np.sinc(np.minimum(1e-3 * te * steep, 1))
    picture = water * np.exp(np.complex64(2e-3j * math.pi * te) * off_resonance)
    card |= {"frame": place, "slice": number}
    return picture[None].astype(np.complex64), on_matrix(labels, settings.matrix)[None], card


def draw_card(rng: np.random.Generator, settings: Settings) -> dict:
    """Draws the bottles so that they fit in the field of view; they stand side by side along the readout."""
    rows, columns = settings.fov_mm
    widest = min(0.235 * columns, 0.42 * rows)
    turn, gap = rng.normal(0, 0.12), rng.uniform(1, 6)
    bottles = []
    for side in (-1, 1):
        half = [float(widest * v) for v in (rng.uniform(0.84, 1), rng.uniform(0.86, 1.04))]
        reach = side * (half[0] + gap)
        bottles.append({
            "centre_mm": [float(reach * math.cos(turn)), float(reach * math.sin(turn) + rng.normal(0, 0.02 * rows))],
            "half_mm": half,
            "turn_deg": float(rng.uniform(0, 360) if abs(half[0] - half[1]) < 0.03 * widest else rng.normal(0, 8)),
            "t1_ms": float(np.exp(rng.uniform(math.log(120), math.log(1200)))),
            "comb": bool(side > 0 or rng.random() < 0.3),
            "comb_deg": float(rng.choice([0, 90]) + rng.normal(0, 4)),
            "wall_mm": float(rng.uniform(0.5, 1.4)),
            "wall_offset": float(rng.uniform(0.35, 0.6) * rng.choice([-1, 1])),
            "wall_deg": float(rng.uniform(0, 180)),
            "beads": int(rng.integers(20, 90)),
            "bubble_mm": float(rng.uniform(2, 9)),
            "form": int(rng.integers(2**31)),
        })  # fmt: skip
    extent = [float(max(abs(b["centre_mm"][0]) + max(b["half_mm"]) for b in bottles)), float(1.15 * widest)]
    return {
        "bottles": bottles,
        "shim_hz": [float(v) for v in rng.normal(0, 25, 2)],
        "transmit": [float(v) for v in rng.normal(0, 1, 5)],
        "extent_mm": extent,
    }


def inside_frame(x: np.ndarray, y: np.ndarray, bottle: dict) -> tuple[np.ndarray, np.ndarray]:
    """Points in the frame of a bottle, mm."""
    return _turned(x - np.float32(bottle["centre_mm"][0]), y - np.float32(bottle["centre_mm"][1]), bottle["turn_deg"])


def comb(local: tuple[np.ndarray, np.ndarray], bottle: dict) -> list[np.ndarray]:
    """Signed distances to groups of plastic bars, each bar as wide as the slit beside it, side by side from coarse to fine."""
    if not bottle["comb"]:
        return []
    u, v = _turned(*local, bottle["comb_deg"] - bottle["turn_deg"])
    size = min(bottle["half_mm"]) / 58
    widths = [size * width for width in BAR_MM]
    start = -sum((2 * BARS + 0.5) * width for width in widths) / 2
    groups = []
    for width in widths:
        middle = start + (BARS - 0.5) * width
        within = u - np.float32(middle)
        bar = np.abs(within - 2 * width * np.clip(np.round(within / (2 * width)), -(BARS // 2), BARS // 2)) - width / 2
        groups.append(np.maximum(bar, np.abs(v) - np.float32(9 * size)))
        start += (2 * BARS + 0.5) * width
    return groups


def thin_wall(local: tuple[np.ndarray, np.ndarray], bottle: dict) -> np.ndarray:
    """Signed distance to a sheet of plastic across the bottle, beside its middle."""
    u, _ = _turned(*local, bottle["wall_deg"])
    return np.abs(u - bottle["wall_offset"] * min(bottle["half_mm"])) - np.float32(bottle["wall_mm"] / 2)


def beads(local: tuple[np.ndarray, np.ndarray], bottle: dict, rng: np.random.Generator) -> list[np.ndarray]:
    """Signed distance to glass beads, 0.4 to 5 mm, many small and few large, scattered in a heap."""
    count = bottle["beads"]
    centre = 0.55 * min(bottle["half_mm"]) * np.array([math.cos(bottle["form"]), math.sin(bottle["form"])])
    places = centre + rng.normal(0, 0.16 * min(bottle["half_mm"]), (count, 2))
    radii = 0.4 * (1 - rng.random(count)) ** (-1 / 1.6)
    union = np.full(local[0].shape, np.inf, np.float32)
    for (u, v), radius in zip(places.astype(np.float32), np.minimum(radii, 2.5).astype(np.float32), strict=True):
        rows, columns = _near(local, u, v, radius + 4)
        part = union[rows, columns]
        np.minimum(part, np.hypot(local[0][rows, columns] - u, local[1][rows, columns] - v) - radius, out=part)
    return [union]


def bubble(local: tuple[np.ndarray, np.ndarray], bottle: dict, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance to air at the rim, and the dipole of its susceptibility in Hz at 3 T, B0 along the bottle's axis.

    A long bubble along B0 has no field outside; one that ends in the slice has, a share of 2 pi gamma B0 dchi r^2 / d^2.
    """
    angle = bottle["form"] + rng.normal(0, 0.1)
    u, v = (np.float32(h * f(angle)) for h, f in zip(bottle["half_mm"], (math.cos, math.sin), strict=True))
    radius = np.float32(bottle["bubble_mm"] * rng.uniform(0.8, 1.2))
    distance = np.hypot(local[0] - u, local[1] - v)
    dipole = 180 * (radius / np.maximum(distance, radius)) ** 2 * np.cos(2 * np.arctan2(local[1] - v, local[0] - u))
    return distance - radius, dipole.astype(np.float32)


def transmit(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, card: dict) -> np.ndarray:
    """Actual over nominal flip angle `[H, W]`: smooth, brighter in the middle (dielectric) or not, within 0.7 to 1.3."""
    a, b = (np.float32(v) for v in card["extent_mm"])
    sizes = np.array(card["transmit"], np.float32)
    u, v = x / a, y / b
    shading = sizes[0] * u + sizes[1] * v + sizes[2] * u * v + sizes[3] * (u * u - 0.3) + sizes[4] * (v * v - 0.3)
    wave = np.sin(2.5 * u + rng.uniform(0, 6)) * np.cos(2.5 * v + rng.uniform(0, 6))
    return np.clip(1 + np.float32(0.08) * (shading + wave.astype(np.float32)), 0.7, 1.3)


def _turned(x: np.ndarray, y: np.ndarray, angle_deg: float) -> tuple[np.ndarray, np.ndarray]:
    cosine, sine = (np.float32(f(math.radians(angle_deg))) for f in (math.cos, math.sin))
    return cosine * x + sine * y, cosine * y - sine * x


def _near(local: tuple[np.ndarray, np.ndarray], u: np.float32, v: np.float32, reach: np.float32) -> tuple[slice, slice]:
    """Rows and columns within `reach` of a point of the bottle, at least one."""
    close = (np.abs(local[0] - u) < reach) & (np.abs(local[1] - v) < reach)
    spans = []
    for axis in (1, 0):
        found = np.flatnonzero(close.any(axis=axis))
        spans.append(slice(found[0], found[-1] + 1) if len(found) else slice(0, 1))
    return spans[0], spans[1]
