"""Receive arrays: loops of wire about the body, below the spine or over the head, and birdcage rungs; all by Biot-Savart."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.interpolate import make_interp_spline

WIRE_MM2 = 64.0  # square of the wire's thickness: keeps the field finite on the conductor
BROKEN_GAIN = 1e-3


def sensitivities(
    rng: np.random.Generator,
    coils: int,
    points: np.ndarray,
    half_axes_mm: Sequence[float],
    array: str = "body",
    broken_coil: float = 0.0,
    coupling: float = 0.08,
) -> np.ndarray:
    """Complex maps of an array at points of the body, with gains, random phases and inductive coupling between channels.

    What is drawn does not depend on the points: a generator in the same state gives the same coils for every slice of a study.

    Args:
      points: `[3, ...]` (x to the left, y posterior, z superior) in mm; a coarse grid is enough, as the maps are smooth.
      half_axes_mm: (x, y) of the elliptical cylinder about the z axis that carries the elements; (x, y, z) of a helmet's ellipsoid,
        whose z is the mean of the others if not given.
      array: "body", "birdcage", "helmet", "spine", or "mixed": a birdcage once in eight times, else a body array.
      broken_coil: chance that the gain of one coil is near 0.
      coupling: size of the random Hermitian mixing between the channels.

    Returns:
      `[C, ...]` complex64, arbitrary unit, the same for all points.
    """
    if array == "mixed":
        array = "birdcage" if rng.random() < 1 / 8 else "body"
    if array == "birdcage":
        maps = birdcage(rng, coils, points, half_axes_mm)
    else:
        place = {"body": body_array, "spine": spine_array, "helmet": helmet}[array]
        centres, normals, radii = place(rng, coils, half_axes_mm)
        # of unit noise: the body's noise in a loop grows as the radius to the power 3/2
        loops = zip(centres, normals, radii, (50 / radii) ** 1.5, strict=True)
        maps = np.stack([np.float32(g) * biot_savart(points, c, n, r) for c, n, r, g in loops])
    gain = np.clip(np.exp(rng.normal(0, 0.2, coils)), 0.5, 2) * np.exp(2j * np.pi * rng.uniform(size=coils))
    mixing = coupling * (rng.normal(size=(coils, coils)) + 1j * rng.normal(size=(coils, coils)))
    mixing = np.eye(coils) + (mixing + mixing.conj().T) / 2 / math.sqrt(coils / 8)
    broken = rng.integers(coils)
    if rng.random() < broken_coil:
        mixing[broken] *= BROKEN_GAIN
    return np.tensordot((mixing * gain).astype(np.complex64), maps, 1)


Loops = tuple[np.ndarray, np.ndarray, np.ndarray]  # centres [C, 3] mm, inward unit normals [C, 3], radii [C] mm


def body_array(rng: np.random.Generator, coils: int, half_axes_mm: Sequence[float]) -> Loops:
    """An anterior array bent about the chest and a flat posterior one in the table, in rows along z."""
    anterior = round(coils * rng.uniform(0.45, 0.6))
    a, b = half_axes_mm[:2]
    row, column, spacing = _rows(rng, anterior)
    reach = rng.uniform(0.75, 1.15)  # of the array around the side, radians
    angle = reach * column + rng.normal(0, 0.04) - np.pi / 2
    around = np.stack([a * np.cos(angle), b * np.sin(angle), row * spacing], 1)
    inward = -np.stack([np.cos(angle) / a, np.sin(angle) / b, 0 * angle], 1)
    width = 2 * reach * a / max(len(np.unique(column)), 1)

    row, column, spacing_below = _rows(rng, coils - anterior)
    half_width = rng.uniform(0.55, 0.8) * a
    below = np.stack([half_width * column, np.full(len(row), b), row * spacing_below], 1)
    width_below = 2 * half_width / max(len(np.unique(column)), 1)
    radii = np.r_[np.full(anterior, (width + spacing) / 4), np.full(coils - anterior, (width_below + spacing_below) / 4)]
    return _jittered(rng, np.r_[around, below], np.r_[inward, np.tile([0.0, -1, 0], (coils - anterior, 1))], radii)


def spine_array(rng: np.random.Generator, coils: int, half_axes_mm: Sequence[float]) -> Loops:
    """Rows of two or three elements below the back, one after the other along z."""
    across = 2 if coils < 12 else 3
    row, column = np.arange(coils) // across, np.arange(coils) % across
    spacing = rng.uniform(52, 68)
    x = (column - (across - 1) / 2) * rng.uniform(60, 80)
    z = (row - (row.max()) / 2) * spacing
    centres = np.stack([x, np.full(coils, half_axes_mm[1]), z], 1)
    return _jittered(rng, centres, np.tile([0.0, -1, 0], (coils, 1)), np.full(coils, 0.58 * spacing))


def helmet(rng: np.random.Generator, coils: int, half_axes_mm: Sequence[float]) -> Loops:
    """Elements at equal distances on a spiral over the upper part of an ellipsoid, down to the neck."""
    a, b = half_axes_mm[:2]
    axes = np.array([a, b, half_axes_mm[2] if len(half_axes_mm) > 2 else (a + b) / 2])
    lowest = rng.uniform(-0.55, -0.35)
    height = 1 - (np.arange(coils) + 0.5) / coils * (1 - lowest)
    angle = np.pi * (3 - math.sqrt(5)) * np.arange(coils) + rng.uniform(0, 2 * np.pi)
    unit = np.stack([np.sqrt(1 - height**2) * np.cos(angle), np.sqrt(1 - height**2) * np.sin(angle), height], 1)
    inward = -unit / axes
    area = 2 * np.pi * (1 - lowest) * np.mean(axes) ** 2
    return _jittered(rng, unit * axes, inward, np.full(coils, 0.62 * math.sqrt(area / coils)))


def birdcage(rng: np.random.Generator, coils: int, points: np.ndarray, half_axes_mm: Sequence[float]) -> np.ndarray:
    """Sensitivity Bx - i By of straight rungs along z, s = -i (sin t2 - sin t1) / (2 d), d = dx + i dy; two rings above 11 coils.

    t1 and t2 are the elevations of the rung's ends as seen from the point. Returns `[C, ...]` complex64.
    """
    rings = 2 if coils > 11 else 1
    ring = np.arange(coils) % rings
    angle = 2 * np.pi * (np.arange(coils) // rings + 0.5 * ring) / math.ceil(coils / rings)
    angle = angle + rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.06, coils)
    wide, half_length = rng.uniform(1.0, 1.25), rng.uniform(90, 160)
    a, b = (wide * half for half in half_axes_mm[:2])
    middle = (ring - (rings - 1) / 2) * half_length + rng.normal(0, 8, coils)
    maps = []
    for t, z0 in zip(angle, middle, strict=True):
        x, y, z = (p - np.float32(q) for p, q in zip(points, (a * np.cos(t), b * np.sin(t), z0), strict=True))
        distance2 = x * x + y * y + np.float32(4 * WIRE_MM2)
        ends = [(h - z) / np.sqrt(distance2 + (h - z) ** 2) for h in (np.float32(half_length), np.float32(-half_length))]
        maps.append((-50j * (x - 1j * y) / distance2 * (ends[0] - ends[1])).astype(np.complex64))
    return np.stack(maps)


def biot_savart(points: np.ndarray, centre: np.ndarray, normal: np.ndarray, radius: float, segments: int = 20) -> np.ndarray:
    """Receive sensitivity Bx - i By of a circular loop, B(r) = sum_s dl_s x (r - r_s) / |r - r_s|^3.

    Args:
      points: `[3, ...]` positions, mm.
      centre, normal: of the loop, `[3]`.
      radius: of the loop, mm.

    Returns:
      complex64 sensitivity of the points' shape, arbitrary unit. A wire of 8 mm keeps it finite on the conductor.
    """
    seed = np.eye(3)[np.argmin(np.abs(normal))]
    u = np.cross(normal, seed)
    u = u / np.linalg.norm(u)
    v = np.cross(normal, u)
    angle = 2 * np.pi * np.arange(segments) / segments
    wire = centre + radius * (np.cos(angle)[:, None] * u + np.sin(angle)[:, None] * v)
    element = (-np.sin(angle)[:, None] * u + np.cos(angle)[:, None] * v) * (2 * np.pi * radius / segments)
    bx = np.zeros(points.shape[1:], np.float32)
    by = np.zeros(points.shape[1:], np.float32)
    for (wx, wy, wz), (lx, ly, lz) in zip(wire.astype(np.float32), element.astype(np.float32), strict=True):
        x, y, z = points[0] - wx, points[1] - wy, points[2] - wz
        distance2 = x * x + y * y + z * z + np.float32(WIRE_MM2)
        inverse_cube = 1 / (distance2 * np.sqrt(distance2))
        bx += (ly * z - lz * y) * inverse_cube
        by += (lz * x - lx * z) * inverse_cube
    return (bx - 1j * by).astype(np.complex64)


def resample(coil_maps: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Smooth maps `[C, (d,) h, w]` on another grid of the same field of view, both with their centre at N//2; cubic splines."""
    for axis, new in enumerate(shape, 1):
        old = coil_maps.shape[axis]
        if old != new:
            place = np.clip((np.arange(new) - new // 2) * (old / new) + old // 2, 0, old - 1)
            weights = make_interp_spline(np.arange(old), np.eye(old), k=min(3, old - 1))(place).astype(coil_maps.dtype)
            coil_maps = np.moveaxis(np.tensordot(weights, coil_maps, (1, axis)), 0, axis)
    return np.ascontiguousarray(coil_maps)


def _rows(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Rows along z (index about 0), columns across (-1 to 1) of `count` elements, and the distance of the rows in mm."""
    rows = 1 if count < 4 else 2 if count < 10 else 3
    row, column = np.arange(count) % rows, np.arange(count) // rows
    columns = math.ceil(count / rows)
    across = (column + 0.5 * (row % 2) + 0.25) / columns * 2 - 1
    return row - (rows - 1) / 2, across, float(rng.uniform(75, 110))


def _jittered(rng: np.random.Generator, centres: np.ndarray, normals: np.ndarray, radii: np.ndarray) -> Loops:
    """Loops put on by hand: 6 mm and 5 degrees off, the whole array up to 30 mm along z."""
    count = len(radii)
    centres = centres + rng.normal(0, 6, (count, 3)) + [0, 0, rng.uniform(-30, 30)]
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True) + rng.normal(0, 0.08, (count, 3))
    return (
        centres,
        normals / np.linalg.norm(normals, axis=1, keepdims=True),
        np.clip(radii * rng.normal(1, 0.05, count), 30, 75),
    )
