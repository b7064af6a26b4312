"""Grey and white matter of a head, drawn by itself: folds from the level sets of a random field.

Points are in mm from the middle of the brain, x left, y posterior, z superior.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data_pipeline.simulator.fields import rough, waves
from data_pipeline.simulator.shapes import capsule, cover, ellipsoid

# of one side: (|x|, y, z) of the axis, radius; horns, body and atrium of the lateral ventricle
VENTRICLE_MM = (
    ((5, -34, 6), (7, -18, 17), 3.6),
    ((7, -18, 17), (10, 8, 20), 3.4),
    ((10, 8, 20), (22, 34, 8), 4.4),
    ((22, 34, 8), (21, 54, 3), 2.6),
    ((22, 34, 6), (33, 4, -16), 2.2),
)
# centre, half axes, share of white matter
NUCLEI_MM = {
    "thalamus": ((11, 8, 5), (9, 15, 9), 0.35),
    "caudate": ((14, -24, 9), (5, 12, 9), 0.08),
    "tail": ((17, 2, 18), (3, 20, 3.5), 0.1),
    "putamen": ((26, -8, 2), (5.5, 17, 10), 0.1),
    "pallidum": ((19, -4, 0), (4, 10, 7), 0.55),
    "hippocampus": ((27, 17, -17), (6, 19, 5), 0.05),
}


class Brain(NamedTuple):
    """A brain on a grid `[D, H, W]`, float32.

    Attributes:
      envelope: signed distance in mm to its smooth hull, negative inside.
      grey, white: parts of a point that are grey and white matter; the rest within the hull is fluid.
    """

    envelope: np.ndarray
    grey: np.ndarray
    white: np.ndarray


def draw_brain(points: np.ndarray, spacing_mm: Sequence[float], card: dict, rng: np.random.Generator) -> Brain:
    """Draws cerebrum, cerebellum and brain stem at points `[3, D, H, W]` of a grid of `spacing_mm`."""
    x, y, z = points
    shape, width = x.shape, float(min(spacing_mm[1:]))
    half = card["brain_half_mm"]
    beside = np.abs(x)
    low = np.maximum(-z / half[2] - 0.15, 0)
    hull = ellipsoid((x, y, z), tuple(half)) + low * (
        5 + 45 * np.maximum(-y / half[1] - 0.2, 0)
    )  # flat below, the orbits in front
    folia_rng, fold_rng, depth_rng = rng.spawn(3)

    cerebellum = ellipsoid((x, y - 50, z + 40), (50, 31, 25))
    stem = capsule((x, y, z), (0, 18, -14), (0, 26, -90), 11.5)
    cerebrum = np.maximum(hull, 1.5 - cerebellum)
    # a sheet of fluid wherever a field of one wavelength crosses 0, some 20 mm deep
    folds = waves(fold_rng, shape, spacing_mm, card["fold_mm"]) + 0.12 * waves(
        fold_rng, shape, spacing_mm, 0.4 * card["fold_mm"]
    )
    depth = 20 + 8 * waves(depth_rng, shape, spacing_mm, 35.0)
    sulcus = np.maximum(_sheet(folds, spacing_mm) - card["sulcus_mm"], -cerebrum - depth)
    meander = 3 * waves(depth_rng, shape, spacing_mm, 30.0)
    corpus = 1.5 - ellipsoid((0 * x, y - 2, z + 3), (1.0, 37, 27))
    middle = np.maximum(np.abs(x + 0.4 * meander) - 0.7 - 0.3 * card["sulcus_mm"], corpus)
    lateral = np.abs(z - 4 + 0.35 * y + meander) - card["sulcus_mm"]
    lateral = np.maximum(lateral, np.maximum(37 + meander - beside, np.abs(y + 4) - 30))
    to_fluid = np.minimum(np.minimum(-cerebrum, sulcus), np.minimum(middle, lateral))
    to_fluid += 0.25 * waves(depth_rng, shape, spacing_mm, 6.0)

    tissue = cover(-to_fluid, width)
    white = cover(card["cortex_mm"] - to_fluid, 1.3 * width)
    for centre, size, share in NUCLEI_MM.values():
        inside = cover(ellipsoid((beside - centre[0], y - centre[1], z - centre[2]), size), 1.5 * width)
        tissue = np.maximum(tissue, inside)
        white += inside * (share - white)
    claustrum = cover(np.abs(ellipsoid((beside - 26, y + 8, z - 2), (5.5, 17, 10)) - 3.2) - 0.6, width) * (beside > 27)
    white -= 0.9 * claustrum * white
    ventricles = np.minimum.reduce([
        capsule((beside, y, z), start, end, radius * card["ventricle"]) for start, end, radius in VENTRICLE_MM
    ])  # fmt: skip
    third = ellipsoid((x, y - 6, z - 1), (1.0 + 1.6 * card["ventricle"], 13, 9))
    septum = np.maximum(beside - 0.7, 10 - z)
    fluid = cover(np.maximum(np.minimum(ventricles, third), -septum), width)

    # leaves lie about the stem, one over and one behind the other
    around = 34 * np.arctan2(z + 42, y - 22) + 0.8 * np.hypot(0.7 * x, y - 22)
    leaf = around / np.float32(card["folia_mm"]) + 0.35 * rough(folia_rng, shape, spacing_mm, 2.0, 30.0)
    leaves = np.abs(np.sin(np.pi * leaf)) * np.float32(card["folia_mm"] / np.pi) - 0.35
    fissures = np.abs(np.sin(np.pi * leaf / 5)) * np.float32(5 * card["folia_mm"] / np.pi) - 0.7
    to_fluid = np.minimum.reduce([-cerebellum, np.maximum(leaves, -cerebellum - 8), np.maximum(fissures, -cerebellum - 24)])
    small = cover(-to_fluid, width)
    core = cover(1.3 - to_fluid, 1.5 * width)
    own = cover(stem, width)
    fourth = cover(ellipsoid((x, y - 32, z + 34), (8, 4, 11)), width)

    grey = (tissue * (1 - white)) * (1 - fluid)
    white = tissue * white * (1 - fluid)
    grey, white = np.maximum(grey, small * (1 - core)), np.maximum(white, small * core)
    grey, white = grey * (1 - own) + 0.25 * own, white * (1 - own) + 0.75 * own
    keep = (1 - fourth) * cover(np.minimum(hull, stem), width)
    return Brain(np.minimum(hull, stem - 4), grey * keep, white * keep)


def _sheet(field: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Distance in mm to the zero level of a field, |f| / |grad f| (first order)."""
    steep2 = np.full(field.shape, 1e-3, np.float32)
    for axis, step in enumerate(spacing_mm):
        if field.shape[axis] > 1:
            steep2 += np.gradient(field, np.float32(step), axis=axis) ** 2
    return np.abs(field) / np.sqrt(steep2)
