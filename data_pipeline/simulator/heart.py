"""The beating heart as implicit shapes, at any points and in any state: layers of tissue and material coordinates.

Lengths in mm. The heart's frame: z along the long axis (0 at the epicardial apex, positive to the base), x away from the right
ventricle, y inferior.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data_pipeline.simulator.motion import State
from data_pipeline.simulator.shapes import Layer, Window, capsule, cover, ellipsoid, hypotenuse
from data_pipeline.simulator.texture import power_law, sample

Points = tuple[np.ndarray, np.ndarray, np.ndarray]
NOWHERE: Window = (slice(0, 0), slice(0, 0))
TISSUES = ("blood", "venous", "myocardium", "fat", "csf", "cortical")  # that the layers are of
FAR_MM = 60  # from a chamber; what is further is moved by a hundredth of its shift
MEAN_OF_SECTOR = 0.243  # of exp(3 (cos - 1)) over the circle


class Form(NamedTuple):
    """What is drawn once of a heart.

    Attributes:
      round, fat, rv: Fourier series `[3, orders]` (order, size, phase) of the angle around the long axis: roundness, epicardial fat,
        border of the right ventricle.
      speckle: `[256, 256]` pattern of the trabeculae.
      rv_y, rv_wall, aorta, thick_side: place and sizes (mm), angle of the thickest wall.
      papillary: angle, radius, reach into the cavity, height of foot and tip over the long axis: of each muscle.
      coronary: angle and radius of each artery.
      veins: end points of the pulmonary veins relative to the left atrium.
    """

    round: np.ndarray
    fat: np.ndarray
    rv: np.ndarray
    speckle: np.ndarray
    rv_y: float
    rv_wall: float
    aorta: float
    thick_side: float
    papillary: list[tuple[float, float, float, float, float]]
    coronary: list[tuple[float, float]]
    veins: list[tuple[float, float, float]]


class Place(NamedTuple):
    """Points of the image in the heart's frame, and what does not change there over the beat (all `[h, w]`).

    Attributes:
      points: x, y, z.
      angle: around the long axis.
      roundness: radius of the left ventricle over that of a circle, at `angle`.
      weak: part of the contraction that is left where the wall moves poorly.
      thickness: of the wall at end diastole.
      fat: thickness of the epicardial fat.
      rv_lumps: bumps of the right ventricle's border.
      pixel_mm: spacing of the points.
      index: `[3, 4]` row, column and height over the image (mm) of a point (x, y, z, 1).
    """

    points: Points
    angle: np.ndarray
    roundness: np.ndarray
    weak: np.ndarray
    thickness: np.ndarray
    fat: np.ndarray
    rv_lumps: np.ndarray
    pixel_mm: float
    index: np.ndarray


class Beating(NamedTuple):
    """The heart in one frame.

    Attributes:
      layers: in painting order, each in a window of `[h, w]`.
      fibres: `[2, h, w]` material coordinates (mm) along and across the wall's fibres.
      around: `[h, w]` material angle around the long axis.
    """

    layers: list[Layer]
    fibres: np.ndarray
    around: np.ndarray


class Outline(NamedTuple):
    """The heart seen from outside in one frame.

    Attributes:
      outside: `[h, w]` distance (mm) to the pericardium, negative inside.
      displacement: `[3, h, w]` shift in the heart's frame (mm) from a point to where its material was at end diastole.
    """

    outside: np.ndarray
    displacement: np.ndarray


class Chamber(NamedTuple):
    """Signed distance `[a, b]` to an atrium or a great vessel in the window of the points that it is near to; what fills it."""

    distance: np.ndarray
    blood: str
    window: Window


class Shapes(NamedTuple):
    """Signed distances `[h, w]` in one frame: ventricles, what lies above them, all muscle, the fat around it, the sac."""

    left: "LeftVentricle"
    right: "RightVentricle"
    above: list[Chamber]
    muscle: np.ndarray
    pericardium: np.ndarray
    sac: np.ndarray


class LeftVentricle(NamedTuple):
    """Signed distances to outer wall, cavity and valve plane; x and y over the roundness; radius of the cavity at every angle and
    its mean, radius of the wall."""

    wall: np.ndarray
    cavity: np.ndarray
    valve_plane: np.ndarray
    x: np.ndarray
    y: np.ndarray
    inner: np.ndarray
    outer: np.ndarray
    radius: float


def draw_form(rng: np.random.Generator) -> Form:
    """Draws what one heart has of its own beyond the numbers of the card."""
    series = lambda orders, sizes: np.array(
        [orders, rng.normal(0, 1, len(orders)) * sizes, rng.uniform(0, 2 * np.pi, len(orders))]
    )
    muscles = [-0.9, 1.6] if rng.random() < 0.85 else [-0.9, 1.3, 2.3]
    return Form(
        round=series((2, 3, 4), (0.05, 0.02, 0.012)),
        fat=series((1, 2, 3, 5), (0.3, 0.3, 0.3, 0.3)),
        rv=series((2, 4, 6, 10), (0.9, 0.9, 0.9, 0.6)),
        speckle=power_law(rng, (256, 256), 1.6, longest=14, shortest=9),
        rv_y=rng.uniform(-8, 2),
        rv_wall=rng.uniform(2.2, 4),
        aorta=rng.uniform(10.5, 16),
        thick_side=rng.uniform(2.6, 3.6),
        papillary=[
            (
                rng.normal(angle, 0.2),
                rng.uniform(3.0, 5.5),
                rng.uniform(0.58, 0.74),
                rng.uniform(0.22, 0.34),
                rng.uniform(0.55, 0.68),
            )
            for angle in muscles
        ],
        coronary=[(rng.uniform(-np.pi, np.pi), rng.uniform(0.8, 2)) for _ in range(5)],
        veins=[(side * rng.uniform(24, 40), rng.uniform(4, 26), rng.uniform(-4, 22)) for side in (-1, -1, 1, 1)],
    )


def within(points: Points, near: Window) -> Points:
    """The points of a window."""
    x, y, z = (p[near] for p in points)
    return x, y, z


def part(place: Place, near: Window) -> Place:
    """The points of a window, with what belongs to them."""
    index = place.index.copy()
    index[:2, 3] -= [side.start for side in near]
    fields = {name: getattr(place, name)[near] for name in ("angle", "roundness", "weak", "thickness", "fat", "rv_lumps")}
    return place._replace(points=within(place.points, near), index=index, **fields)


def at(card: dict, form: Form, points: Points, pixel_mm: float) -> Place:
    """Prepares a heart for points of its frame."""
    angle = np.arctan2(points[1], points[0])
    septal = np.exp(2 * (np.cos(angle - np.float32(math.pi)) - 1))
    weak = 1 - card["defect"] * np.exp(3 * (np.cos(angle - math.radians(card["defect_angle_deg"])) - 1))
    return Place(
        points=points,
        angle=angle,
        roundness=1 + fourier(angle, form.round),
        weak=weak,
        thickness=card["wall_mm"] * (1 + 0.12 * np.cos(angle + form.thick_side) + card["septum"] * septal),
        fat=card["epicardial_fat_mm"]
        * np.clip(0.6 + fourier(angle, form.fat) - 0.2 * (points[0] > 0).astype(np.float32), 0.05, 2),
        rv_lumps=fourier(angle, form.rv),
        pixel_mm=pixel_mm,
        index=indices(points),
    )


def indices(points: Points) -> np.ndarray:
    """Matrix `[3, 4]` that takes (x, y, z, 1) to row, column and height of an affine grid of points `[h, w]`, past the grid too."""
    corner = np.array([float(p[0, 0]) for p in points])
    steps = np.array([[float(p[-1, 0] - p[0, 0]) / (len(p) - 1), float(p[0, -1] - p[0, 0]) / (p.shape[1] - 1)] for p in points])
    normal = np.cross(steps[:, 0], steps[:, 1])
    inverse = np.concatenate([np.linalg.pinv(steps), normal[None] / np.linalg.norm(normal)])
    return np.concatenate([inverse, -inverse @ corner[:, None]], axis=1)


def window(place: Place, corners: Sequence[tuple], reach: float) -> Window:
    """Rows and columns within `reach` mm of what lies between `corners`, the only ones where it is drawn; none if all are further."""
    rows, columns, heights = (place.index[:, :3] @ np.array(corners).T + place.index[:, 3:]).tolist()
    if min(heights) > reach or max(heights) < -reach:
        return NOWHERE
    margin = reach / place.pixel_mm + 1
    row, column = (
        slice(min(max(math.floor(min(found) - margin), 0), n), min(max(math.ceil(max(found) + margin) + 1, 0), n))
        for found, n in zip((rows, columns), place.angle.shape, strict=True)
    )
    return row, column


def fourier(angle: np.ndarray, series: np.ndarray) -> np.ndarray:
    """sum_k size_k cos(order_k angle + phase_k)."""
    return sum((float(size) * np.cos(float(k) * angle + float(phase)) for k, size, phase in series.T), np.zeros_like(angle))


def outline(card: dict, form: Form, place: Place, state: State) -> Outline:
    """The heart from outside, at points that may be far from it: what they need who surround it."""
    shapes = shapes_of(card, form, place, state, FAR_MM)
    return Outline(shapes.sac, displacement(card, place, state, shapes.left))


def heart(card: dict, form: Form, place: Place, state: State) -> Beating:
    """The heart in one frame, at points within it or near it.

    The wall is incompressible: a point at radius r was at r_m with r_m^2 = R_i^2 + (r^2 - r_i^2) * stretch, and the outer radius
    follows from that. Regional wall motion, twist, an AV plane that descends, atria that fill in antiphase.
    """
    # the slice is 6-8 mm thick: borders that are not normal to it are less sharp
    sharp = max(place.pixel_mm, card["softness_mm"])
    soft = max(place.pixel_mm, 1.7 * card["softness_mm"])
    reach = 2 * card["epicardial_fat_mm"] + card["effusion_mm"] + 8 + soft  # beyond, the distance to a chamber decides nothing
    left, right, above, muscle, pericardium, sac = shapes_of(card, form, place, state, reach)
    fibres, around, height = material(card, place, state, left)

    layers = [Layer("csf", cover(sac, soft))] if card["effusion_mm"] else []
    layers += [Layer("fat", cover(pericardium, soft)), Layer("cortical", 0.35 * cover(np.abs(sac - 0.4) - 0.6, sharp))]
    for distance, blood, near in above:
        layers += [Layer("myocardium", cover(distance - 1.6, soft), near), Layer(blood, cover(distance, soft), near)]
    layers += right_layers(form, place, right, height, sharp, soft)
    layers += left_layers(card, form, place, state, left, height, sharp)
    layers += valves(card, place, state, sharp)
    layers += coronaries(form, place, left, cover(pericardium, sharp) * cover(-muscle, sharp), sharp)
    return Beating(layers, fibres, around)


def shapes_of(card: dict, form: Form, place: Place, state: State, reach: float) -> Shapes:
    """The heart's shapes; the distance to what lies above the ventricles counts within `reach` mm of it."""
    left = left_ventricle(card, place, state)
    right = right_ventricle(card, form, place, state)
    above = chambers_above(card, form, place, state, reach)
    muscle = np.minimum(left.wall, right.wall)
    for distance, _, near in above:
        muscle[near] = np.minimum(muscle[near], distance - 2)
    pericardium = muscle - place.fat - 5 * np.exp(-((left.valve_plane / 9) ** 2))
    return Shapes(left, right, above, muscle, pericardium, pericardium - card["effusion_mm"])


def left_ventricle(card: dict, place: Place, state: State) -> LeftVentricle:
    """The left ventricle: a spheroid truncated at the valve plane, its wall of constant volume."""
    x, y, z = place.points
    inner = card["lv_radius_mm"] * (1 - state.contraction * place.weak)
    base, stretch = card["lv_length_mm"], state.stretch
    xs, ys = x / place.roundness, y / place.roundness
    radius = card["lv_radius_mm"]
    outer = np.sqrt(inner**2 + ((radius + place.thickness) ** 2 - radius**2) / stretch)
    centre_z = z - stretch * 0.66 * base
    valve_plane = z - stretch * base
    return LeftVentricle(
        wall=np.maximum(ellipsoid((xs, ys, centre_z), (outer, outer, stretch * 0.66 * base)), valve_plane),
        cavity=np.maximum(
            ellipsoid((xs, ys, centre_z), (inner, inner, stretch * 0.66 * base - 0.6 * card["wall_mm"])), valve_plane
        ),
        valve_plane=valve_plane,
        x=xs,
        y=ys,
        inner=inner,
        outer=outer,
        radius=radius * (1 - state.contraction * (1 - MEAN_OF_SECTOR * card["defect"])),
    )


def left_layers(
    card: dict, form: Form, place: Place, state: State, left: LeftVentricle, height: np.ndarray, sharp: float
) -> list[Layer]:
    """Wall, blood between the trabeculae, papillary muscles with their chordae, and the jet of the outflow or inflow."""
    base = card["lv_length_mm"]
    blood = cover(left.cavity, sharp)
    amount = 0.25 + card["trabeculae"] * np.clip(1.25 - height / base, 0.25, 1)
    squeeze = 1.6 * card["lv_radius_mm"] / left.radius
    columns = trabeculae(
        form.speckle, -left.cavity * squeeze / (7 * amount), left.x * squeeze + 0.5 * height, left.y * squeeze, 0.3
    )
    layers = [Layer("myocardium", cover(left.wall, sharp)), Layer("blood", blood * (1 - columns))]
    if card["jet"]:
        # fast flow dephases: a dark plume through the mitral valve while it fills, out of the aortic valve while it empties
        ends = (
            ((4.0, 2.0, 0.95 * base), (2.0, 4.0, 0.6 * base))
            if state.emptied < 0.5
            else ((-7.0, -10.0, 0.75 * base), (-8.0, -14.0, base))
        )
        near = window(place, ends, 5)
        plume = capsule(within(place.points, near), *ends, 3.0)
        layers.append(Layer("cortical", 0.55 * np.clip(-plume / 4 + 0.2, 0, 1) * blood[near], near))
    for muscle in form.papillary:
        foot, tip, size = papillary(card, state, left.radius, muscle)
        near = window(place, (foot, tip), size + sharp + 0.3 * left.radius)  # the cavity is not round
        body = capsule(within((left.x, left.y, place.points[2]), near), foot, tip, size)
        layers.append(Layer("myocardium", cover(body, sharp) * blood[near], near))
        for side in (-0.5, 0.5):
            ring = (
                0.6 * card["lv_radius_mm"] * math.cos(muscle[0] + side),
                0.6 * card["lv_radius_mm"] * math.sin(muscle[0] + side),
            )
            ends = (tip, (*ring, state.stretch * base - 8))
            near = window(place, ends, 0.35 + sharp)
            thread = capsule(within(place.points, near), *ends, 0.35)
            layers.append(Layer("myocardium", 0.6 * cover(thread, sharp) * blood[near], near))
    return layers


def papillary(
    card: dict, state: State, cavity_radius: float, muscle: tuple[float, float, float, float, float]
) -> tuple[tuple, tuple, float]:
    """Foot, tip and radius of a papillary muscle: from the wall into the cavity, thicker as it shortens."""
    angle, size, reach, foot, tip = muscle
    angle = angle + math.radians(card["twist_deg"]) * 0.3 * state.emptied
    length = card["lv_length_mm"] * state.stretch
    end = lambda part, height: (part * cavity_radius * math.cos(angle), part * cavity_radius * math.sin(angle), height * length)
    return end(0.95, foot), end(reach, tip), size / math.sqrt(state.stretch)


def material(card: dict, place: Place, state: State, left: LeftVentricle) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the tissue at every point was at end diastole: fibre coordinates, angle (both of `Beating`), height."""
    _, radius = radii(card, state, left)
    height = place.points[2] / state.stretch
    around = place.angle - twist(card, place, state)
    # planes at different heights show different texture: tissue that moves through the plane changes it. Fibres run around the
    # wall and turn from +60 to -60 degrees across it: longer correlation along the arc than in depth
    along = card["lv_radius_mm"] * around + 0.35 * height
    across = 2.2 * radius * place.roundness + 0.6 * height
    return np.stack([along, across]), around, height


def displacement(card: dict, place: Place, state: State, left: LeftVentricle) -> np.ndarray:
    """Shift `[3, h, w]` from every point to where its tissue was at end diastole (`Outline`).

    The cavity's blood comes from nowhere: about the axis the wall's shift fades to the one along the axis, above and below the
    heart too, so that what lies there is not torn.
    """
    x, y, z = place.points
    r2, radius = radii(card, state, left)
    part = r2 / (r2 + (card["lv_radius_mm"] / 3) ** 2)
    stretch = radius / np.sqrt(r2 + 1e-3)
    turn = twist(card, place, state)
    cosine, sine = stretch * np.cos(turn), stretch * np.sin(turn)
    return np.stack([part * (cosine * x + sine * y - x), part * (cosine * y - sine * x - y), z / state.stretch - z])


def radii(card: dict, state: State, left: LeftVentricle) -> tuple[np.ndarray, np.ndarray]:
    """Squared radius of every point, over the roundness, and the radius where its tissue was at end diastole."""
    r2 = left.x * left.x + left.y * left.y
    return r2, np.sqrt(np.maximum(card["lv_radius_mm"] ** 2 + (r2 - left.inner**2) * state.stretch, 0.02 * r2))


def twist(card: dict, place: Place, state: State) -> np.ndarray:
    """Angle by which every point has turned since end diastole."""
    return math.radians(card["twist_deg"]) * state.emptied * (0.6 - place.points[2] / card["lv_length_mm"])


def trabeculae(speckle: np.ndarray, depth: np.ndarray, row: np.ndarray, column: np.ndarray, level: float) -> np.ndarray:
    """Coverage of the muscle columns in a cavity: where the speckle exceeds `depth` (0 at the wall, growing inwards) minus `level`."""
    columns = np.zeros_like(depth)
    near = np.flatnonzero(np.abs(depth) < 3)
    value = sample(speckle, row.ravel()[near], column.ravel()[near])
    columns.ravel()[near] = np.clip(1.7 * (value + level - depth.ravel()[near]), 0, 1)
    return columns


class RightVentricle(NamedTuple):
    """Signed distances to cavity and outer wall, ends of the moderator band; material x and y of the trabeculae."""

    cavity: np.ndarray
    wall: np.ndarray
    band: tuple[tuple, tuple]
    x: np.ndarray
    y: np.ndarray


def right_ventricle(card: dict, form: Form, place: Place, state: State) -> RightVentricle:
    """The right ventricle: an ellipsoid beside the left one, which is painted over it; its valve plane descends further."""
    base, size = card["lv_length_mm"], card["rv_radius_mm"]
    squeeze = 1 - 0.22 * state.emptied
    x = place.points[0] - right_x(card) * (1 - 0.12 * state.emptied)
    y = place.points[1] - form.rv_y
    z = place.points[2] - 0.66 * base * state.stretch
    half = (0.98 * size * squeeze, 1.32 * size * squeeze, 0.58 * base * state.stretch)
    distance = ellipsoid((x, y, z), half) + place.rv_lumps
    valve_plane = place.points[2] - right_valve(card, state)
    height = 0.38 * base * state.stretch
    ends = ((right_x(card) + 20, 4.0, height - 4), (right_x(card) - size * squeeze, -6.0, height + 8))
    return RightVentricle(
        cavity=np.maximum(distance, valve_plane),
        wall=np.maximum(distance - form.rv_wall * (1 + 0.4 * state.emptied), valve_plane),
        band=ends,
        x=x / squeeze,
        y=y / squeeze,
    )


def right_layers(form: Form, place: Place, right: RightVentricle, height: np.ndarray, sharp: float, soft: float) -> list[Layer]:
    """Thin wall, blood between coarse trabeculae, the moderator band."""
    blood = cover(right.cavity, soft)
    near = window(place, right.band, 2 + sharp)
    columns = trabeculae(form.speckle, -right.cavity / 4, right.x * 1.5 + 0.4 * height + 90, right.y * 1.5, -0.5)
    return [
        Layer("myocardium", cover(right.wall, soft)),
        Layer("venous", blood * (1 - columns)),
        Layer("myocardium", cover(capsule(within(place.points, near), *right.band, 2.0), sharp) * blood[near], near),
    ]


def right_x(card: dict) -> float:
    """Place of the right ventricle's axis."""
    return -0.8 * card["lv_radius_mm"] - 0.12 * card["rv_radius_mm"]


def right_valve(card: dict, state: State) -> float:
    """Height of the tricuspid plane."""
    return card["lv_length_mm"] * (state.stretch - 0.05 * state.emptied)


def chambers_above(card: dict, form: Form, place: Place, state: State, reach: float) -> list[Chamber]:
    """Atria with their veins, pulmonary artery and aortic root, within `reach` mm of each."""
    top = card["lv_length_mm"] * state.stretch
    fill = 0.84 + 0.3 * state.emptied**0.7 * card["ejection_fraction"]
    pulse = form.aorta * (1 + 0.05 * state.emptied)
    right_centre = (right_x(card) - 4, 8.0, right_valve(card, state) + 20 * fill)
    left_centre = (5.0, 9.0, top + 21 * fill)

    def atrium(centre: tuple, half: tuple, blood: str, veins: Sequence[tuple] = ()) -> Chamber:
        ends = [tuple(c + v for c, v in zip(centre, vein, strict=True)) for vein in veins]
        near = window(place, (centre, *ends), max(half) + reach)
        points = within(place.points, near)
        distance = ellipsoid(tuple(p - c for p, c in zip(points, centre, strict=True)), half)
        for end in ends:
            distance = np.minimum(distance, capsule(points, centre, end, 5.0))
        return Chamber(distance, blood, near)

    def vessel(start: tuple, end: tuple, radius: float, blood: str) -> Chamber:
        near = window(place, (start, end), radius + reach)
        return Chamber(capsule(within(place.points, near), start, end, radius), blood, near)

    return [
        atrium(right_centre, (24 * fill, 23 * fill, 23 * fill), "venous"),
        atrium(left_centre, (25 * fill, 21 * fill, 24 * fill), "blood", form.veins),
        vessel((-24, -32, top - 8), (4, -46, top + 22), 0.95 * pulse, "venous"),
        vessel((-7, -13, top - 4), (-18, -40, top + 36), pulse, "blood"),
    ]


def valves(card: dict, place: Place, state: State, sharp: float) -> list[Layer]:
    """Mitral, tricuspid and aortic leaflets, 0.8 to 1.2 mm thick, which fill a part of a slice.

    Mitral and tricuspid leaflets hang from a ring in the valve plane and open in diastole; the aortic ones lie across the root.
    """
    opening = 0.15 + 1.1 * max(1 - 1.5 * state.emptied, 0)
    top = card["lv_length_mm"] * state.stretch
    layers = []
    for middle, ring, plane in (
        (3.0, 0.72 * card["lv_radius_mm"], top),
        (right_x(card), 0.62 * card["rv_radius_mm"], right_valve(card, state)),
    ):
        near = window(place, ((middle, 0.0, plane), (middle, 0.0, plane - ring)), (ring + 0.6 + 0.5 * sharp) / 0.6)
        x, y, z = within(place.points, near)
        tip = (ring - 0.95 * ring * math.cos(opening), -0.95 * ring * math.sin(opening))
        leaflets = capsule((hypotenuse(x - middle, 0.6 * y), z - plane), (ring, 0.0), tip, 0.6)
        layers.append(Layer("myocardium", 0.8 * cover(leaflets, sharp), near))
    near = window(place, ((-9.0, -18.0, top + 5), (-9.0, -18.0, top + 8)), 11.4 + sharp)
    x, y, z = within(place.points, near)
    cusps = capsule((hypotenuse(x + 9, y + 18), z - top - 5), (11.0, 0.0), (1.0, 3.0), 0.4)
    return [*layers, Layer("myocardium", 0.5 * cover(cusps, sharp), near)]


def coronaries(form: Form, place: Place, left: LeftVentricle, grooves: np.ndarray, sharp: float) -> list[Layer]:
    """Arteries that run along the left ventricle in the fat, seen inside the coverage `grooves`."""
    reach = left.outer * place.roundness + place.fat * 0.5 + 1
    nearest, furthest = float(reach.min()), float(reach.max())
    lowest, highest = (float(limit(place.points[2])) for limit in (np.min, np.max))
    layers = []
    for where, size in form.coronary:
        cosine, sine = math.cos(where), math.sin(where)
        corners = [(r * cosine, r * sine, z) for r in (nearest, furthest) for z in (lowest, highest)]
        near = window(place, corners, size + sharp)
        x, y, _ = within(place.points, near)
        distance = hypotenuse(x - reach[near] * cosine, y - reach[near] * sine) - size
        layers.append(Layer("blood", cover(distance, sharp) * grooves[near], near))
    return layers
