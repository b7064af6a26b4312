"""The body around the heart as implicit shapes in three dimensions, at the points of an image plane.

The body's frame (mm): x to the patient's left, y posterior, z superior, as in `view.py`.
"""

import math
from typing import NamedTuple

import numpy as np

from data_pipeline.simulator import vessels
from data_pipeline.simulator.shapes import Layer, cover, ellipsoid, lumps
from data_pipeline.simulator.view import View

SLICE_MM = 6.0
VERTEBRA_MM = 27.0


class Canvas(NamedTuple):
    """The points of the plane and the layers painted on them so far: `x`, `y`, `z` `[H, W]` mm, width of a border in mm."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    width: float
    layers: list[Layer]

    def paint(self, tissue: str, distance: np.ndarray, within: np.ndarray | float = 1.0) -> None:
        """Adds the shape of signed `distance`, seen inside the coverage `within`."""
        self.layers.append(Layer(tissue, cover(distance, self.width) * within))

    def ellipse(self, x: float | np.ndarray, y: float | np.ndarray, angle: float, half_x: float, half_y: float) -> np.ndarray:
        """Signed distance to an elliptic column along z at (x, y) whose first axis is turned by `angle` radians."""
        cosine, sine = math.cos(angle), math.sin(angle)
        dx, dy = self.x - x, self.y - y
        return ellipsoid((cosine * dx + sine * dy, cosine * dy - sine * dx), (half_x, half_y))

    def ball(self, centre: tuple[float, float, float], half: tuple[float, float, float]) -> np.ndarray:
        """Signed distance to an ellipsoid."""
        return ellipsoid((self.x - centre[0], self.y - centre[1], self.z - centre[2]), half)


class Torso(NamedTuple):
    """What a body has beyond the numbers of its card: vessel trees, and the state of the generator that draws the rest.

    Attributes:
      lung_arteries, lung_veins, portal, hepatic: trees.
      seed: of all other random numbers of the body, the same in every slice and frame.
    """

    lung_arteries: vessels.Tree
    lung_veins: vessels.Tree
    portal: vessels.Tree
    hepatic: vessels.Tree
    seed: int


def draw_torso(card: dict, rng: np.random.Generator) -> Torso:
    """Draws the vessel trees of one body."""
    a, b = card["body_half_mm"]
    hila = [(side * 0.27 * a, 0.05 * b, z) for side in (-1, 1) for z in (-8.0, 22.0)]

    def lung(radius: float) -> vessels.Tree:
        trees = []
        for x, y, z in hila:
            for heading in ((x, rng.uniform(-60, 60), rng.uniform(-70, -20)), (x, rng.uniform(-60, 60), rng.uniform(10, 80))):
                root = (x, y + rng.uniform(-12, 12), z + rng.uniform(-8, 8))
                trees.append(vessels.grow(rng, root, heading, radius * rng.uniform(0.8, 1.2), 10))
        return vessels.join(trees)

    dome = card["diaphragm_mm"]
    portal = [
        vessels.grow(rng, (-0.12 * a, 0.1 * b, dome - 42), (-1, rng.uniform(-0.6, 0.4), z), rng.uniform(5, 7), 11)
        for z in (-0.4, 0.3, 0.9)
    ]
    hepatic = [
        vessels.grow(rng, (-0.2 * a, 0.32 * b, dome - 12), (x, y, rng.uniform(-1, 0)), rng.uniform(4.2, 6), 11)
        for x, y in ((-1, -0.2), (-0.5, -1), (0.4, -1))
    ]
    return Torso(lung(4.2), lung(4.2), vessels.join(portal), vessels.join(hepatic), int(rng.integers(2**31)))


def torso(card: dict, body: Torso, view: View, points: np.ndarray) -> list[Layer]:
    """The body's layers in painting order: wall with ribs, abdomen below the diaphragm, lungs with vessels, spine, great vessels.

    Args:
      points: `[3, H, W]` positions; those of the view, or moved by the breath.
    """
    rng = np.random.default_rng(body.seed)
    x, y, z = wobble(points, rng)
    canvas = Canvas(x, y, z, max(view.pixel_mm, card["softness_mm"]), [])
    cavity = wall(canvas, card, rng)
    diaphragm = dome(canvas, card, rng)
    abdomen(canvas, card, body, view, cavity, diaphragm, rng)
    lungs(canvas, card, body, view, cavity, diaphragm, rng)
    spine(canvas, card, rng)
    great_vessels(canvas, card, diaphragm, rng)
    return canvas.layers


def wall(canvas: Canvas, card: dict, rng: np.random.Generator) -> np.ndarray:
    """Skin, fat with septa, muscles with fascia, ribs, sternum; returns the signed distance to the cavity of the chest."""
    x, y, z = canvas.x, canvas.y, canvas.z
    a, b = card["body_half_mm"]
    around = np.arctan2(y / b, x / a)
    exponent = rng.uniform(2.1, 2.7)
    # broader at the shoulders, narrower at the waist
    taper = 1 + np.float32(rng.uniform(0.02, 0.1)) * np.tanh(z / 120)
    k = (np.abs(x / (a * taper)) ** exponent + np.abs(y / b) ** exponent) ** (1 / exponent)
    body = (k - 1) * np.hypot(x, y) / np.maximum(k, 1e-3)
    fat = card["fat_mm"] * (1 + 0.5 * lumps(around, rng)) * (1 - 0.35 * np.sin(around)) * (1 - 0.15 * z / 100)
    muscle = card["muscle_mm"] * (1 + 0.5 * lumps(around + z / 150, rng) + 0.4 * np.abs(np.cos(around)))
    inside = body + np.maximum(fat, 3) + 1.6
    canvas.paint("muscle", body)
    canvas.paint("fat", body + 1.6)
    fascia = np.abs(inside - 0.45 * np.maximum(fat, 3) - 1.5 * lumps(4 * around + z / 40, rng)) - 0.3
    canvas.paint("muscle", fascia, 0.5)
    canvas.paint("muscle", inside)
    for _ in range(4):
        depth = muscle * rng.uniform(0.1, 0.95) + 4 * lumps(around + z / rng.uniform(60, 200), rng)
        gap = np.clip(2.2 * lumps(2 * around + z / rng.uniform(40, 120), rng), 0, 1.6)
        canvas.paint("fat", np.maximum(np.abs(inside + depth) - gap, inside))
    cavity = inside + np.maximum(muscle, 5)
    ribs(canvas, card, cavity, rng)
    sternum = np.maximum(
        canvas.ellipse(0, -b + card["fat_mm"] * 1.2 + 11, 0, rng.uniform(14, 19), rng.uniform(4.5, 6.5)), -50 - z
    )
    canvas.paint("cortical", sternum)
    canvas.paint("marrow", sternum + 1.5)
    for side in (-1, 1):
        canvas.paint("venous", np.hypot(x - side * 19, cavity - 2) - 1.4)
        canvas.paint("blood", np.hypot(x - side * 15, cavity - 2) - 1.0)
    return cavity


def ribs(canvas: Canvas, card: dict, cavity: np.ndarray, rng: np.random.Generator) -> None:
    """Ribs as tilted rings at the cavity's surface, marrow in a dark cortex, cartilage in front; muscle and fat between them."""
    a, b = card["body_half_mm"]
    spacing = card["rib_mm"]
    height = canvas.z + rng.uniform(0.3, 0.6) * (canvas.y - 0.6 * b) + rng.uniform(0, spacing)
    within = height - spacing * np.round(height / spacing)
    depth = cavity - rng.uniform(4.0, 5.5)
    section = ellipsoid((within, depth), (rng.uniform(5.5, 7.5), rng.uniform(3.0, 4.2)))
    front = canvas.y < -0.55 * b
    canvas.paint("fat", np.maximum(np.abs(cavity - 1.0) - 1.2, -np.abs(within) + 5))
    canvas.paint("cortical", section, (~front).astype(np.float32))
    canvas.paint("marrow", section + 1.5, (~front).astype(np.float32))
    canvas.paint("disc", section + 0.5, (front & (np.abs(canvas.x) < 0.6 * a)).astype(np.float32))


def dome(canvas: Canvas, card: dict, rng: np.random.Generator) -> np.ndarray:
    """Signed distance to the abdomen, negative below the diaphragm: two domes, the right one higher, recesses at the rim."""
    a, b = card["body_half_mm"]
    x, y = canvas.x / a, canvas.y / b
    right, left = card["dome_mm"]
    bump = lambda at, width: np.exp(-(((x - at) / width) ** 2) - ((y - 0.05) / 0.75) ** 2)
    rim = np.maximum(x * x + y * y - 0.25, 0) * 60
    level = card["diaphragm_mm"] + right * bump(-0.42, 0.36) + left * bump(0.5, 0.3) - rim
    ripple = 2.5 * lumps(6 * x + 4 * y, rng)
    return (canvas.z - level - ripple) * np.float32(0.85)


def abdomen(
    canvas: Canvas, card: dict, body: Torso, view: View, cavity: np.ndarray, diaphragm: np.ndarray, rng: np.random.Generator
) -> None:
    """Below the diaphragm: fat, liver with its trees, spleen, stomach, bowel.

    Drawn where no point lies there too: what is drawn after it must find the generator in the same state in every slice.
    """
    a, b = card["body_half_mm"]
    x, y, z = canvas.x, canvas.y, canvas.z
    below = np.maximum(diaphragm, cavity + 1)
    canvas.paint("muscle", below)
    canvas.paint("fat", below + 2.2)
    top = card["diaphragm_mm"]
    stomach = np.maximum(
        canvas.ball((0.42 * a, -0.05 * b, top - 26), (0.26 * a, 0.48 * b, 30)) + 4 * lumps(x / 25 + y / 30, rng), below + 4
    )
    content = str(rng.choice(["csf", "lung", "liver", "muscle"], p=(0.3, 0.3, 0.2, 0.2)))
    canvas.paint("muscle", stomach)
    canvas.paint(content, stomach + 3.5)
    gas = np.maximum(stomach + 3.5, y + rng.uniform(-0.1, 0.3) * b)  # rises to the front
    canvas.paint("lung", gas)
    spleen = np.maximum(
        canvas.ball((0.66 * a, 0.36 * b, top - 22), (0.22 * a, 0.34 * b, 38)) + 3 * lumps(y / 20 + z / 30, rng), below + 2.5
    )
    canvas.paint("spleen", spleen)
    edge = x - (0.1 + 0.25 * rng.uniform()) * a - 14 * lumps(y / 35 + z / 45, rng) + 0.35 * np.maximum(-z + top - 50, 0)
    liver = np.maximum(np.maximum(edge, below + 2.4), y - 0.78 * b)
    canvas.paint("liver", liver)
    inside = cover(liver + 2, canvas.width)
    canvas.layers.append(vessels.draw(body.portal, view, "venous", inside, SLICE_MM))
    canvas.layers.append(vessels.draw(body.hepatic, view, "venous", inside, SLICE_MM))
    for _ in range(6):
        centre = (rng.uniform(-0.2, 0.6) * a, rng.uniform(-0.7, 0.1) * b, top - rng.uniform(75, 130))
        loop = np.maximum(canvas.ball(centre, (rng.uniform(14, 26), rng.uniform(12, 20), rng.uniform(12, 20))), below + 4)
        canvas.paint("muscle", loop)
        canvas.paint(str(rng.choice(["csf", "lung", "liver", "fat"])), loop + 2)


def lungs(
    canvas: Canvas, card: dict, body: Torso, view: View, cavity: np.ndarray, diaphragm: np.ndarray, rng: np.random.Generator
) -> None:
    """Fat of the mediastinum, and the lungs that fill the rest of the chest, with arteries and veins."""
    a, b = card["body_half_mm"]
    above = np.maximum(cavity, 0.5 - diaphragm)
    canvas.paint("fat", above)
    x0, y0, _ = card["heart_mm"]
    middle = canvas.ellipse(0.25 * x0, rng.uniform(-8, 6), rng.normal(1.45, 0.12), 0.72 * b, rng.uniform(13, 22))
    pad = canvas.ball((0.9 * x0, y0, card["diaphragm_mm"] + 8), (rng.uniform(38, 50), rng.uniform(34, 44), 26))
    mediastinum = np.minimum(middle + 3 * lumps(canvas.z / 25, rng), pad)
    lung = np.maximum(above + rng.uniform(0.6, 2), 2 - mediastinum)
    lung = np.maximum(lung, 27 - np.hypot(canvas.x, canvas.y - card["spine_mm"] * b))
    canvas.paint("lung", lung)
    fissure = np.abs(canvas.z + rng.uniform(0.5, 1.0) * canvas.y + 6 * lumps(canvas.x / 40, rng) - rng.uniform(-30, 20)) - 0.4
    inside = cover(lung, canvas.width)
    canvas.layers.append(Layer("muscle", 0.25 * cover(fissure, canvas.width) * inside))
    canvas.layers.append(vessels.draw(body.lung_arteries, view, "venous", inside, SLICE_MM))
    canvas.layers.append(vessels.draw(body.lung_veins, view, "blood", inside, SLICE_MM))


def spine(canvas: Canvas, card: dict, rng: np.random.Generator) -> None:
    """Vertebrae and discs in turn, canal with cord, posterior elements, the muscles beside them."""
    x, y, z = canvas.x, canvas.y, canvas.z
    level = card["spine_mm"] * card["body_half_mm"][1] - 6 * np.cos(z / 110)
    within = z + rng.uniform(0, VERTEBRA_MM)
    within = within - VERTEBRA_MM * np.round(within / VERTEBRA_MM)
    for side in (-1, 1):
        canvas.paint("fat", canvas.ellipse(side * 34, level + 24, side * 0.4, 31, 21))
        canvas.paint("muscle", canvas.ellipse(side * 34, level + 24, side * 0.4, 28, 18))
        canvas.paint("fat", np.abs(canvas.ellipse(side * 30, level + 23, side * 0.5, 15, 9)) - 0.6)
        canvas.paint("fat", canvas.ellipse(side * 40, level + 22, side * 0.8, 20, 1.2))
    radius = rng.uniform(17, 21), rng.uniform(13, 16)
    # a waist between the endplates
    column = canvas.ellipse(0, level, 0, *radius) + 1.6 * np.cos(2 * math.pi * within / VERTEBRA_MM)
    body = np.maximum(column, np.abs(within) - 0.5 * VERTEBRA_MM + 3)
    canvas.paint("disc", column - 0.5)
    canvas.paint("cortical", body)
    canvas.paint("marrow", body + 1.3)
    veins = np.maximum(np.hypot(within, 0.3 * x) - 1.6, body + 2)
    canvas.paint("venous", np.maximum(veins, level - y), 0.6)
    canal = level + radius[1] + 9
    arch = np.maximum(canvas.ellipse(0, canal, 0, 15, 12), np.abs(within) - 9)
    canvas.paint("cortical", arch)
    process = np.maximum(canvas.ellipse(0, canal + 24, 0, 3.5, 15), np.abs(within + 0.35 * (y - canal)) - 7)
    canvas.paint("cortical", process)
    canvas.paint("marrow", process + 1.4)
    canvas.paint("fat", canvas.ellipse(0, canal, 0, 11, 8.5))
    canvas.paint("csf", canvas.ellipse(0, canal, 0, 8.5, 6.8))
    canvas.paint("cord", canvas.ellipse(0, canal - 0.6, 0, 4.8, 3.5))


def great_vessels(canvas: Canvas, card: dict, diaphragm: np.ndarray, rng: np.random.Generator) -> None:
    """Descending aorta, azygos vein, oesophagus, lower and upper caval veins, trachea and main bronchi."""
    x, y, z = canvas.x, canvas.y, canvas.z
    a, b = card["body_half_mm"]
    level = card["spine_mm"] * b
    canvas.paint("fat", canvas.ellipse(24, level - 19, 0.3, 17, 15), (z > -200).astype(np.float32))
    aorta = canvas.ellipse(24 - 0.06 * z, level - 18, rng.uniform(0, 3), rng.uniform(10, 13.5), rng.uniform(9.5, 12))
    canvas.paint("myocardium", aorta - 1.2)
    canvas.paint("blood", aorta)
    oesophagus = canvas.ellipse(6, level - 27, 0.3, 8.5, 4.5)
    canvas.paint("muscle", oesophagus)
    canvas.paint("lung", oesophagus + 3, 0.6)
    canvas.paint("venous", np.hypot(x + 8, y - level + 19) - 2.7)
    low = np.maximum(canvas.ellipse(-0.2 * a, 0.3 * b, rng.uniform(0, 3), 12, rng.uniform(7.5, 11)), z - 5)
    canvas.paint("venous", low)
    upper = np.maximum(canvas.ellipse(-26, -2, rng.uniform(0, 3), 10, 8.5), 18 - z)
    canvas.paint("venous", upper)
    pipe = np.maximum(canvas.ellipse(2, 0.2 * b, 0, 8.5, 8), 48 - z)
    canvas.paint("cortical", pipe - 1.5)
    canvas.paint("lung", pipe, 1.0)


def wobble(points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points `[3, ...]` moved by a smooth random displacement of some mm: no two bodies are exact ellipses."""
    moved = [p.copy() for p in points]
    for wavelength in (230.0, 140.0, 85.0, 48.0):
        for axis in (0, 1, 2):
            direction = rng.normal(size=3)
            direction *= 2 * math.pi / wavelength / np.linalg.norm(direction)
            along = sum(
                (np.float32(d) * p for d, p in zip(direction, points, strict=True)), np.float32(rng.uniform(0, 2 * math.pi))
            )
            moved[axis] += np.float32(rng.normal(0, wavelength / 55)) * np.sin(along)
    return moved[0], moved[1], moved[2]
