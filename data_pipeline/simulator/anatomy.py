"""Torso and beating heart as implicit shapes: layers of tissue coverage on the fine grid, and material coordinates.

Lengths in mm. The torso's frame: x left-right, y down the page (anterior to posterior). The heart's frame: z along the long axis
(0 at the epicardial apex, positive to the base), x away from the right ventricle, y inferior. A view is a plane through the heart.
"""

import math
from typing import NamedTuple

import numpy as np

from data_pipeline.simulator.subject import volume_curve
from data_pipeline.simulator.texture import power_law, sample


class Layer(NamedTuple):
    """One tissue painted over what lies below it.

    Attributes:
      tissue: a name in `contrast.TISSUES`.
      coverage: `[H, W]` or `[T, h, w]` in 0..1, part of each fine pixel that the tissue covers.
    """

    tissue: str
    coverage: np.ndarray


class View(NamedTuple):
    """The image plane.

    Attributes:
      torso: `[2, H, W]` float32 (x, y) in the torso's frame of every fine pixel.
      pixel_mm: spacing of the fine grid, the smaller of the two.
      origin: `[3]` point of the heart's frame at the heart's centre in the image.
      axes: `[2, 3]` unit vectors of the heart's frame along the torso's x and y.
      heart_centre: (x, y) in the torso's frame.
    """

    torso: np.ndarray
    pixel_mm: float
    origin: np.ndarray
    axes: np.ndarray
    heart_centre: tuple[float, float]


class HeartShape(NamedTuple):
    """What stays the same over the beat, at the points of the image plane (`[h, w]` float32) or drawn once (numbers).

    Attributes:
      x, y, z: the points in the heart's frame.
      angle: around the long axis.
      roundness: radius of the left ventricle over that of a circle, at `angle`.
      weak: part of the contraction that is left where the wall moves poorly.
      thickness: of the wall at end diastole.
      fat: thickness of the epicardial fat.
      rv_lumps: bumps of the right ventricle's border.
      speckle: `[256, 256]` pattern of the trabeculae.
      axes: `[2, 3]` of the view.
      pixel_mm: spacing of the points.
      rv_y, rv_wall, aorta: place and sizes, mm.
      papillary: angle, half width, reach over the cavity's radius, flattening: of each muscle.
      coronary: angle and radius of each artery.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    angle: np.ndarray
    roundness: np.ndarray
    weak: np.ndarray
    thickness: np.ndarray
    fat: np.ndarray
    rv_lumps: np.ndarray
    speckle: np.ndarray
    axes: np.ndarray
    pixel_mm: float
    rv_y: float
    rv_wall: float
    aorta: float
    papillary: list[tuple[float, float, float, float]]
    coronary: list[tuple[float, float]]


class Heart(NamedTuple):
    """The heart in one frame.

    Attributes:
      layers: in painting order, coverage `[h, w]`.
      material: `[2, h, w]` in-plane material coordinates (mm): texture attached to them moves with the wall.
      displacement: `[2, h, w]` torso-frame shift (mm) from a point to where its material was at end diastole.
      outside: `[h, w]` distance (mm) to the pericardium, negative inside.
    """

    layers: list[Layer]
    material: np.ndarray
    displacement: np.ndarray
    outside: np.ndarray


class State(NamedTuple):
    """State of the heart in one frame: relative volume of the left ventricle, part of the stroke volume that is ejected,
    length of the long axis over that at end diastole, relative shortening of the cavity's radius."""

    volume: float
    emptied: float
    stretch: float
    contraction: float


def cover(distance: np.ndarray, width: float) -> np.ndarray:
    """Part of a pixel inside a shape: 1 deep inside, 0 outside, linear over `width` mm of signed distance."""
    return np.clip(np.float32(0.5) - distance / np.float32(width), 0, 1)


def ellipsoid(points: tuple, half_axes: tuple) -> np.ndarray:
    """Signed distance to an ellipsoid or ellipse at the origin, k0 (k0 - 1) / k1 with k0 = |p/a|, k1 = |p/a^2| (first order)."""
    scaled = [p / a for p, a in zip(points, half_axes, strict=True)]
    k0 = np.sqrt(sum(s * s for s in scaled)) + np.float32(1e-6)
    k1 = np.sqrt(sum((s / a) ** 2 for s, a in zip(scaled, half_axes, strict=True))) + np.float32(1e-6)
    return k0 * (k0 - 1) / k1


def capsule(points: tuple, start: tuple, end: tuple, radius: float | np.ndarray) -> np.ndarray:
    """Signed distance to a segment thickened by `radius`, in any number of dimensions."""
    direction = [e - s for s, e in zip(start, end, strict=True)]
    offset = [p - s for p, s in zip(points, start, strict=True)]
    length2 = sum(d * d for d in direction)
    along = np.clip(sum(o * d for o, d in zip(offset, direction, strict=True)) / length2, 0, 1)
    return np.sqrt(sum((o - along * d) ** 2 for o, d in zip(offset, direction, strict=True))) - radius


def heart_motion(card: dict, frames: int) -> list[State]:
    """States over one RR interval from volume = radius^2 * stretch, in units of end diastole."""
    volume = volume_curve(card["ejection_fraction"], card["systole"], np.arange(frames) / frames)
    emptied = (1 - volume) / card["ejection_fraction"]
    stretch = 1 - card["shortening"] * emptied
    contraction = 1 - np.sqrt(volume / stretch)
    return [State(*map(float, values)) for values in zip(volume, emptied, stretch, contraction, strict=True)]


def view_plane(card: dict, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Point and axes `[3]`, `[2, 3]` of the card's plane in the heart's frame."""
    long = card["lv_length_mm"]
    tilt = np.deg2rad(card["tilt_deg"])
    if card["plane"] in ("short_axis", "oblique"):
        first = np.array([np.cos(tilt[0]), 0, np.sin(tilt[0])])
        second = np.array([0, np.cos(tilt[1]), np.sin(tilt[1])])
        turn = np.deg2rad(rng.normal(-35, 15))  # the septum runs from anterior left to posterior right
        origin = np.array([card["offset_mm"] - 6, 0, card["level"] * long])
    else:
        azimuth = np.deg2rad({"four_chamber": 8, "two_chamber": 95, "three_chamber": 130}[card["plane"]]) + tilt[0]
        first = np.array([0, 0, 1.0])
        second = np.array([np.cos(azimuth), np.sin(azimuth), 0])
        turn = np.deg2rad(rng.normal(125, 15))  # the apex points anterior and to the left
        origin = -card["offset_mm"] * np.array([np.sin(azimuth), -np.cos(azimuth), 0]) + np.array([0, 0, 0.62 * long])
    second = second - first * (first @ second)
    second = second / np.linalg.norm(second)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return origin, rotation @ np.stack([first, second])


def heart_shape(card: dict, view: View, box: tuple[slice, slice], rng: np.random.Generator) -> HeartShape:
    """Draws the heart and finds the points of `box` (rows, columns of the view) in its frame."""
    across = view.torso[0][box] - view.heart_centre[0]
    down = view.torso[1][box] - view.heart_centre[1]
    x, y, z = (float(o) + float(a) * across + float(b) * down for o, a, b in zip(view.origin, *view.axes, strict=True))
    angle = np.arctan2(y, x)
    roundness = np.ones_like(x)
    for k, size in ((2, 0.05), (3, 0.02), (4, 0.01)):
        roundness += size * rng.normal() * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    weak = 1 - card["defect"] * np.exp(3 * (np.cos(angle - math.radians(card["defect_angle_deg"])) - 1))
    return HeartShape(
        x=x,
        y=y,
        z=z,
        angle=angle,
        roundness=roundness,
        weak=weak,
        thickness=card["wall_mm"] * (1 + 0.12 * np.cos(angle + rng.uniform(2.6, 3.6))),
        fat=card["epicardial_fat_mm"] * np.clip(0.6 + lumps(angle, rng) - 0.2 * (x > 0).astype(np.float32), 0.05, 2),
        rv_lumps=3 * lumps(2 * angle, rng),
        speckle=power_law(rng, (256, 256), 1.2, longest=7, shortest=5),
        axes=view.axes,
        pixel_mm=view.pixel_mm,
        rv_y=rng.uniform(-8, 2),
        rv_wall=rng.uniform(2.5, 4),
        aorta=rng.uniform(11, 15),
        papillary=[
            (rng.normal(mean, 0.2), rng.uniform(3.2, 5.5), rng.uniform(0.72, 0.84), rng.uniform(0.75, 1.3))
            for mean in (-0.9, 1.6)
        ],
        coronary=[(rng.uniform(-np.pi, np.pi), rng.uniform(1, 2)) for _ in range(3)],
    )


def heart(card: dict, shape: HeartShape, state: State) -> Heart:
    """The heart in one frame.

    The wall is incompressible: a point at radius r was at r_m with r_m^2 = R_i^2 + (r^2 - r_i^2) * stretch, and the outer radius
    follows from that. Regional wall motion, twist, an AV plane that descends, atria that fill in antiphase.
    """
    x, y, z = shape.x, shape.y, shape.z
    base, radius, stretch = card["lv_length_mm"], card["lv_radius_mm"], state.stretch
    # the slice is 6-8 mm thick: borders that are not normal to it are less sharp
    sharp = max(shape.pixel_mm, 0.6 * card["softness_mm"])
    soft = max(shape.pixel_mm, 1.2 * card["softness_mm"])
    xs, ys = x / shape.roundness, y / shape.roundness
    inner = radius * (1 - state.contraction * shape.weak)
    outer = np.sqrt(inner**2 + ((radius + shape.thickness) ** 2 - radius**2) / stretch)
    material, displacement, material_z = material_coordinates(card, shape, state, inner, xs, ys)

    centre_z = z - stretch * 0.66 * base
    cavity = (inner, inner, stretch * 0.66 * base - 0.6 * card["wall_mm"])
    valve_plane = z - stretch * base
    wall = np.maximum(ellipsoid((xs, ys, centre_z), (outer, outer, stretch * 0.66 * base)), valve_plane)
    endocardium = ellipsoid((xs, ys, centre_z), cavity)
    right = right_ventricle(card, shape, state)
    atria_and_arteries = chambers_above(card, shape, state)
    muscle = np.minimum(wall, right.wall)
    for distance, _ in atria_and_arteries:
        muscle = np.minimum(muscle, distance - 2)
    pericardium = muscle - shape.fat - 5 * np.exp(-((valve_plane / 9) ** 2))

    layers = [Layer("fat", cover(pericardium, soft)), Layer("cortical", 0.3 * cover(np.abs(pericardium - 0.4) - 0.5, sharp))]
    for distance, blood in atria_and_arteries:
        layers += [Layer("myocardium", cover(distance - 1.6, soft)), Layer(blood, cover(distance, soft))]
    right_blood = cover(right.cavity, soft)
    columns = trabeculae(shape, -right.cavity / 4, right.x * 1.2 + 0.4 * material_z + 90, right.y * 1.2, -0.25)
    layers.append(Layer("myocardium", cover(right.wall, soft)))
    layers.append(Layer("venous", right_blood * (1 - columns)))
    layers.append(Layer("myocardium", cover(right.band, sharp) * right_blood))
    layers.append(Layer("myocardium", cover(wall, sharp)))
    blood = cover(np.maximum(endocardium, valve_plane), sharp)
    amount = 0.25 + card["trabeculae"] * np.clip(1.25 - material_z / base, 0.25, 1)
    squeeze = 1.4 * radius / inner
    columns = trabeculae(shape, -endocardium * squeeze / (7 * amount), xs * squeeze + 0.5 * material_z, ys * squeeze, 0.3)
    layers.append(Layer("blood", blood * (1 - columns)))
    for muscle_index in range(len(shape.papillary)):
        distance = papillary_muscle(card, shape, state, float(inner.mean()), xs, ys, muscle_index)
        layers.append(Layer("myocardium", cover(distance, sharp) * blood))
    for leaflets in valves(card, shape, state):
        layers.append(Layer("myocardium", 0.8 * cover(leaflets, sharp)))
    for where, size in shape.coronary:
        reach = outer * shape.roundness + shape.fat * 0.5 + 1
        distance = np.hypot(x - reach * math.cos(where), y - reach * math.sin(where)) - size
        layers.append(Layer("blood", cover(distance, sharp) * cover(pericardium, sharp) * cover(-muscle, sharp)))
    return Heart(layers, material, displacement, pericardium)


def material_coordinates(
    card: dict, shape: HeartShape, state: State, inner: np.ndarray, xs: np.ndarray, ys: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the tissue at every point was at end diastole: in-plane texture coordinates, displacement, height (`Heart`)."""
    r2 = xs * xs + ys * ys
    radius = np.sqrt(np.maximum(card["lv_radius_mm"] ** 2 + (r2 - inner**2) * state.stretch, 0.02 * r2))
    twist = math.radians(card["twist_deg"]) * state.emptied * (0.6 - shape.z / card["lv_length_mm"])
    height = shape.z / state.stretch
    turned = shape.angle - twist
    # planes at different heights show different texture: tissue that moves through the plane changes it
    length = radius * shape.roundness
    material = np.stack([length * np.cos(turned) + 0.41 * height, length * np.sin(turned) + 0.29 * height])
    ratio = radius / np.sqrt(r2 + 1e-3) - 1
    shift = (ratio * shape.x, ratio * shape.y, height - shape.z)
    displacement = np.stack([sum(float(a) * s for a, s in zip(axis, shift, strict=True)) for axis in shape.axes])
    return material, displacement, height


def trabeculae(shape: HeartShape, depth: np.ndarray, row: np.ndarray, column: np.ndarray, level: float) -> np.ndarray:
    """Coverage of the muscle columns in a cavity: where the speckle exceeds `depth` (0 at the wall, growing inwards) minus `level`."""
    columns = np.zeros_like(depth)
    near = np.flatnonzero(np.abs(depth) < 3)
    value = sample(shape.speckle, row.ravel()[near], column.ravel()[near])
    columns.ravel()[near] = np.clip(2.5 * (value + level - depth.ravel()[near]), 0, 1)
    return columns


class RightVentricle(NamedTuple):
    """Signed distances to cavity, outer wall and moderator band; material x and y of the trabeculae."""

    cavity: np.ndarray
    wall: np.ndarray
    band: np.ndarray
    x: np.ndarray
    y: np.ndarray


def right_ventricle(card: dict, shape: HeartShape, state: State) -> RightVentricle:
    """The right ventricle: an ellipsoid beside the left one, which is painted over it; its valve plane descends further."""
    base, size = card["lv_length_mm"], card["rv_radius_mm"]
    squeeze = 1 - 0.22 * state.emptied
    x = shape.x - right_x(card) * (1 - 0.12 * state.emptied)
    y = shape.y - shape.rv_y
    z = shape.z - 0.66 * base * state.stretch
    distance = ellipsoid((x, y, z), (size * squeeze, 1.25 * size * squeeze, 0.58 * base * state.stretch)) + shape.rv_lumps
    valve_plane = shape.z - right_valve(card, state)
    height = 0.38 * base * state.stretch
    ends = ((right_x(card) + 20, 4.0, height - 4), (right_x(card) - size * squeeze, -6.0, height + 8))
    return RightVentricle(
        cavity=np.maximum(distance, valve_plane),
        wall=np.maximum(distance - shape.rv_wall * (1 + 0.4 * state.emptied), valve_plane),
        band=capsule((shape.x, shape.y, shape.z), *ends, 2.0),
        x=x / squeeze,
        y=y / squeeze,
    )


def right_x(card: dict) -> float:
    """Place of the right ventricle's axis."""
    return -card["lv_radius_mm"] - 0.28 * card["rv_radius_mm"]


def right_valve(card: dict, state: State) -> float:
    """Height of the tricuspid plane."""
    return card["lv_length_mm"] * (state.stretch - 0.05 * state.emptied)


def chambers_above(card: dict, shape: HeartShape, state: State) -> list[tuple[np.ndarray, str]]:
    """Signed distances to right and left atrium, pulmonary artery and aortic root, with the tissue that fills them."""
    x, y, z = shape.x, shape.y, shape.z
    top = card["lv_length_mm"] * state.stretch
    fill = 0.84 + 0.3 * state.emptied**0.7 * card["ejection_fraction"]
    pulse = shape.aorta * (1 + 0.05 * state.emptied)
    right_atrium = (x - right_x(card) + 4, y - 8, z - right_valve(card, state) - 20 * fill)
    return [
        (ellipsoid(right_atrium, (24 * fill, 23 * fill, 23 * fill)), "venous"),
        (ellipsoid((x - 5, y - 9, z - top - 21 * fill), (25 * fill, 21 * fill, 24 * fill)), "blood"),
        (capsule((x, y, z), (-24, -32, top - 8), (4, -46, top + 22), 0.95 * pulse), "venous"),
        (capsule((x, y, z), (-7, -13, top - 4), (-18, -40, top + 36), pulse), "blood"),
    ]


def lumps(angle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Smooth random function of an angle, about -0.6..0.6."""
    return sum((rng.normal(0, 0.3) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (1, 2, 3, 5)), np.zeros_like(angle))


def papillary_muscle(
    card: dict, shape: HeartShape, state: State, cavity_radius: float, x: np.ndarray, y: np.ndarray, index: int
) -> np.ndarray:
    """Signed distance to a papillary muscle: a tapered column at the wall that thickens as it shortens."""
    angle, size, reach, flatten = shape.papillary[index]
    angle = angle + math.radians(card["twist_deg"]) * 0.3 * state.emptied
    place = cavity_radius * reach - size * 0.3
    taper = np.clip(1.35 - 2.2 * np.abs(shape.z / (state.stretch * card["lv_length_mm"]) - 0.38), -0.3, 1) / math.sqrt(
        state.stretch
    )
    return np.hypot((x - place * math.cos(angle)) * flatten, (y - place * math.sin(angle)) / flatten) - size * taper


def valves(card: dict, shape: HeartShape, state: State) -> list[np.ndarray]:
    """Signed distances to mitral and tricuspid leaflets, 1.2 mm thick: they hang from a ring in the valve plane, open in diastole."""
    opening = 0.15 + 1.1 * max(1 - 1.5 * state.emptied, 0)
    rings = (
        (3.0, 0.72 * card["lv_radius_mm"], card["lv_length_mm"] * state.stretch),
        (right_x(card), 0.62 * card["rv_radius_mm"], right_valve(card, state)),
    )
    distances = []
    for place, ring, plane in rings:
        radial = np.hypot(shape.x - place, 0.6 * shape.y)
        tip = (ring - 0.95 * ring * math.cos(opening), -0.95 * ring * math.sin(opening))
        distances.append(capsule((radial, shape.z - plane), (ring, 0.0), tip, 0.6))
    return distances


class Canvas:
    """The points of the torso, and the layers painted on them so far."""

    def __init__(self, x: np.ndarray, y: np.ndarray, pixel_mm: float, softness_mm: float):
        self.x, self.y, self.pixel_mm = x, y, max(pixel_mm, 0.6)
        self.width = max(self.pixel_mm, 0.5 * softness_mm)
        self.layers: list[Layer] = []

    def paint(self, tissue: str, distance: np.ndarray, within: np.ndarray | float = 1.0) -> None:
        """Adds the shape of signed `distance`, seen inside the coverage `within`."""
        self.layers.append(Layer(tissue, cover(distance, self.width) * within))

    def ellipse(self, x: float, y: float, angle: float, half_x: float, half_y: float) -> np.ndarray:
        """Signed distance to an ellipse at (x, y) whose first axis is turned by `angle` radians."""
        cosine, sine = math.cos(angle), math.sin(angle)
        dx, dy = self.x - float(x), self.y - float(y)
        return ellipsoid((cosine * dx + sine * dy, cosine * dy - sine * dx), (float(half_x), float(half_y)))


def torso(card: dict, view: View, rng: np.random.Generator) -> list[Layer]:
    """The still part of the scene: body wall, lungs and liver with their vessels, spine, great vessels."""
    x, y = wobble(view.torso, rng)
    canvas = Canvas(x, y, view.pixel_mm, card["softness_mm"])
    cavity = body_wall(canvas, card, rng)
    lungs(canvas, card, view.heart_centre, cavity, rng)
    if card["liver"] > 0.05:
        liver(canvas, card, cavity, rng)
    spine(canvas, card, rng)
    return canvas.layers


def body_wall(canvas: Canvas, card: dict, rng: np.random.Generator) -> np.ndarray:
    """Skin, fat, muscle with fascia, ribs; returns the signed distance to the thoracic cavity."""
    x, y = canvas.x, canvas.y
    a, b = card["body_half_mm"]
    around = np.arctan2(y / b, x / a)
    exponent = rng.uniform(2.2, 2.8)
    k = (np.abs(x / a) ** exponent + np.abs(y / b) ** exponent) ** (1 / exponent)
    body = (k - 1) * np.hypot(x, y) / np.maximum(k, 1e-3)
    fat = card["fat_mm"] * (1 + 0.5 * lumps(around, rng)) * (1 - 0.35 * np.sin(around))
    muscle = rng.uniform(8, 16) * (1 + 0.5 * lumps(around, rng) + 0.4 * np.abs(np.cos(around)))
    inside = body + np.maximum(fat, 4) + 2
    canvas.paint("muscle", body)
    canvas.paint("fat", body + 2)
    canvas.paint("muscle", inside)
    for _ in range(3):
        depth = muscle * rng.uniform(0.2, 0.9) + 4 * lumps(around, rng)
        gap = np.clip(4 * lumps(2 * around, rng), 0, 2)
        canvas.paint("fat", np.maximum(np.abs(inside + depth) - gap, inside))
    cavity = inside + np.maximum(muscle, 5)
    count = rng.integers(9, 15)
    for where in 2 * np.pi * (np.arange(count) + rng.uniform(0, 1)) / count + rng.normal(0, 0.07, count):
        reach = 0.88 - 0.002 * card["fat_mm"]
        rib = canvas.ellipse(
            reach * a * np.cos(where),
            reach * b * np.sin(where),
            np.arctan2(a * np.cos(where), -b * np.sin(where)),
            rng.uniform(7, 13),
            rng.uniform(3, 5),
        )
        rib = np.maximum(rib, -(cavity + 1))
        canvas.paint("cortical", rib)
        canvas.paint("marrow", rib + 1.8)
    for side in (-1, 1):
        canvas.paint("venous", np.hypot(x - side * 17, y + b - card["fat_mm"] - 20) - 1.6)
    return cavity


def lungs(canvas: Canvas, card: dict, heart_centre: tuple[float, float], cavity: np.ndarray, rng: np.random.Generator) -> None:
    """Fat of the mediastinum, and the lungs that fill the rest of the cavity, with their vessels."""
    a, b = card["body_half_mm"]
    canvas.paint("fat", cavity)
    height, turn = rng.uniform(-10, 5), rng.normal(1.4, 0.15)
    mediastinum = canvas.ellipse(heart_centre[0] * 0.35, height, turn, 0.7 * b, rng.uniform(20, 32))
    lung = np.maximum(cavity + rng.uniform(1, 3), 3 - mediastinum)
    lung = np.maximum(lung, 30 - np.hypot(canvas.x, canvas.y - 0.62 * b))
    canvas.paint("lung", lung)
    inside = cover(lung, canvas.pixel_mm)
    vessel_tree(canvas, inside, "venous", rng, (-0.35 * a, 0.0), 110, 3.6)
    vessel_tree(canvas, inside, "blood", rng, (0.35 * a, 0.15 * b), 110, 3.6)
    vessel_strokes(canvas, inside, rng, a, b, 46)


def liver(canvas: Canvas, card: dict, cavity: np.ndarray, rng: np.random.Generator) -> None:
    """The dome of the liver with its veins, as high as `card["liver"]` says, and the inferior vena cava."""
    a, b = card["body_half_mm"]
    around = np.arctan2(canvas.y / b, canvas.x / a)
    dome = canvas.ellipse(-0.62 * a, 0.05 * b, rng.normal(0.2, 0.2), (0.3 + 0.45 * card["liver"]) * a, 0.72 * b)
    dome = np.maximum(dome + 6 * lumps(2 * around, rng), cavity + 2)
    canvas.paint("fat", dome - 1.5)
    canvas.paint("liver", dome)
    inside = cover(dome + 3, canvas.pixel_mm)
    vessel_tree(canvas, inside, "venous", rng, (-0.3 * a, 0.3 * b), 120, 4.5)
    vessel_tree(canvas, inside, "venous", rng, (-0.65 * a, 0.0), 80, 3.4)
    vessel_strokes(canvas, inside, rng, a, b, 40)
    canvas.paint("venous", canvas.ellipse(-0.22 * a, 0.3 * b, rng.uniform(0, 3), 12, rng.uniform(7, 11)))


def spine(canvas: Canvas, card: dict, rng: np.random.Generator) -> None:
    """Vertebra, canal and cord, muscles beside them, descending aorta, azygos vein and oesophagus."""
    x, y = canvas.x, canvas.y
    level = 0.62 * card["body_half_mm"][1]
    for side in (-1, 1):
        canvas.paint("fat", canvas.ellipse(side * 34, level + 22, side * 0.4, 30, 20))
        canvas.paint("muscle", canvas.ellipse(side * 34, level + 22, side * 0.4, 27, 17))
        canvas.paint("fat", canvas.ellipse(side * 40, level + 20, side * 0.8, 20, 1.3))
    vertebra = canvas.ellipse(0, level, 0, rng.uniform(19, 23), rng.uniform(14, 17))
    canvas.paint("cortical", vertebra)
    canvas.paint(str(rng.choice(["marrow", "disc"])), vertebra + 1.6)
    canal = level + 25
    canvas.paint("cortical", canvas.ellipse(0, canal + 1, 0, 15, 13))
    canvas.paint("marrow", canvas.ellipse(0, canal + 22, 0, 4, 14))
    canvas.paint("fat", canvas.ellipse(0, canal, 0, 11, 9))
    canvas.paint("csf", canvas.ellipse(0, canal, 0, 9, 7))
    canvas.paint("cord", canvas.ellipse(0, canal, 0, 5, 3.6))
    canvas.paint("fat", canvas.ellipse(24, level - 18, 0.3, 17, 15))
    aorta = canvas.ellipse(24, level - 17, rng.uniform(0, 3), rng.uniform(11, 14), rng.uniform(10, 12))
    canvas.paint("myocardium", aorta - 1.2)
    canvas.paint("blood", aorta)
    canvas.paint("muscle", canvas.ellipse(4, level - 24, 0.3, 9, 4.5))
    canvas.paint("venous", np.hypot(x + 8, y - level + 18) - 3)


def wobble(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Points `[2, ...]` moved by a smooth random displacement of some mm: no two torsos are exact ellipses."""
    moved = points.copy()
    for wavelength in (220.0, 130.0, 80.0, 45.0):
        for axis in (0, 1):
            direction = rng.uniform(0, 2 * math.pi)
            along = math.cos(direction) * points[0] + math.sin(direction) * points[1]
            size, start = rng.normal(0, wavelength / 55), rng.uniform(0, 2 * math.pi)
            moved[axis] += size * np.sin(2 * math.pi / wavelength * along + start)
    return moved


def vessel_tree(
    canvas: Canvas,
    mask: np.ndarray,
    tissue: str,
    rng: np.random.Generator,
    root: tuple[float, float],
    segments: int,
    radius: float,
) -> None:
    """A vessel that bifurcates from `root`, thinner by Murray's law at each fork, seen inside `mask` (a coverage)."""
    coverage = np.zeros_like(mask)
    ends = [(root, rng.uniform(0, 2 * math.pi), radius, 0.0) for _ in range(3)]
    for _ in range(segments):
        (x0, y0), heading, size, out = ends.pop(0)
        length = rng.uniform(1.5, 4) * size + 1.5
        end = (x0 + length * math.cos(heading), y0 + length * math.sin(heading))
        # the vessel leaves the slice and comes back: fainter by the part of it that is outside
        add_capsule(canvas, coverage, (x0, y0), end, 0.7 * size, math.exp(-((out / 5) ** 2)))
        share = rng.uniform(0.25, 0.75)
        for part, turn in ((share, 1), (1 - share, -1)):
            thinner = max(size * part ** (1 / 3), 0.7)
            ends.append((end, heading + turn * rng.uniform(0.1, 0.6) / part**0.3, thinner, out + rng.normal(0, 0.4) * length))
    canvas.layers.append(Layer(tissue, coverage * mask))


def vessel_strokes(
    canvas: Canvas, mask: np.ndarray, rng: np.random.Generator, half_x: float, half_y: float, count: int
) -> None:
    """Vessels that cross the plane: short bright strokes about 1 mm in radius, all over `mask`."""
    coverage = np.zeros_like(mask)
    for _ in range(count):
        start = (rng.uniform(-half_x, half_x), rng.uniform(-half_y, half_y))
        heading, length = rng.uniform(0, math.pi), rng.exponential(5) + 0.5
        end = (start[0] + length * math.cos(heading), start[1] + length * math.sin(heading))
        add_capsule(canvas, coverage, start, end, math.exp(rng.normal(0.2, 0.4)), rng.uniform(0.4, 1))
    canvas.layers.append(Layer("blood", coverage * mask))


def add_capsule(canvas: Canvas, coverage: np.ndarray, start: tuple, end: tuple, radius: float, weight: float) -> None:
    """Draws a thick segment into `coverage`, touching only the grid points near it."""
    reach = radius + canvas.pixel_mm + 0.5 * math.hypot(end[0] - start[0], end[1] - start[1])
    near_x = np.abs(canvas.x - 0.5 * (start[0] + end[0])) < reach
    near = np.flatnonzero(near_x & (np.abs(canvas.y - 0.5 * (start[1] + end[1])) < reach))
    if near.size:
        distance = capsule((canvas.x.ravel()[near], canvas.y.ravel()[near]), start, end, radius)
        flat = coverage.reshape(-1)
        flat[near] = np.maximum(flat[near], weight * cover(distance, canvas.pixel_mm))
