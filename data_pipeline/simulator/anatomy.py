"""Torso and beating heart as implicit shapes: layers of tissue coverage on the fine grid, and material coordinates.

Lengths in mm. The torso's frame: x left-right, y down the page (anterior to posterior). The heart's frame: z along the long axis
(0 at the epicardial apex, positive to the base), x away from the right ventricle, y inferior. A view is a plane through the heart.
"""

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


class Heart(NamedTuple):
    """The heart over the cardiac cycle.

    Attributes:
      layers: in painting order, coverage `[T, h, w]`.
      material: `[2, T, h, w]` in-plane material coordinates (mm) for tissue that moves with the wall.
      displacement: `[2, T, h, w]` torso-frame shift (mm) from a point to where its material was at end diastole.
      outside: `[T, h, w]` distance (mm) to the pericardium, negative inside.
      volume: `[T]` of the left ventricle over that at end diastole.
    """

    layers: list[Layer]
    material: np.ndarray
    displacement: np.ndarray
    outside: np.ndarray
    volume: np.ndarray


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


def heart_motion(card: dict, frames: int) -> dict[str, np.ndarray]:
    """State of the left ventricle in every frame, `[T, 1, 1]` float32 each: volume, long-axis stretch, contraction, twist.

    volume = radius^2 * stretch in units of end diastole: the wall keeps its own volume in `heart`.
    """
    phase = np.arange(frames) / frames
    volume = volume_curve(card["ejection_fraction"], card["systole"], phase)
    emptied = (1 - volume) / card["ejection_fraction"]
    stretch = 1 - card["shortening"] * emptied
    contraction = 1 - np.sqrt(volume / stretch)
    values = {"volume": volume, "emptied": emptied, "stretch": stretch, "contraction": contraction}
    return {name: value.astype(np.float32)[:, None, None] for name, value in values.items()}


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


def heart(card: dict, view: View, frames: int, box: tuple[slice, slice], rng: np.random.Generator) -> Heart:
    """The beating heart in the rows and columns of `box`, all frames at once.

    The wall is incompressible: a point at radius r was at r_m with r_m^2 = R_i^2 + (r^2 - r_i^2) * stretch, and the outer radius
    follows from that. Regional wall motion, twist, an AV plane that descends, atria that fill in antiphase.
    """
    motion = heart_motion(card, frames)
    emptied, stretch = motion["emptied"], motion["stretch"]
    pixel = view.pixel_mm
    edge = max(pixel, 0.7)
    oblique = max(pixel, 1.6)  # the slice is 6-8 mm thick: borders that are not normal to it are less sharp
    across = view.torso[0][box] - np.float32(view.heart_centre[0])
    down = view.torso[1][box] - np.float32(view.heart_centre[1])
    x, y, z = (np.float32(o) + np.float32(a) * across + np.float32(b) * down for o, a, b in zip(view.origin, *view.axes, strict=True))

    angle = np.arctan2(y, x)
    shape = np.ones_like(x)
    for k, size in ((2, 0.05), (3, 0.02), (4, 0.01)):
        shape += np.float32(size * rng.normal()) * np.cos(k * angle + np.float32(rng.uniform(0, 6.28)))
    xs, ys = x / shape, y / shape
    r2 = xs * xs + ys * ys

    base, wall, radius = card["lv_length_mm"], card["wall_mm"], card["lv_radius_mm"]
    equator = np.float32(0.66 * base)
    weak = 1 - np.float32(card["defect"]) * np.exp(3 * (np.cos(angle - np.deg2rad(card["defect_angle_deg"])) - 1)).astype(np.float32)
    thick = wall * (1 + np.float32(0.12) * np.cos(angle + np.float32(rng.uniform(2.6, 3.6))))
    inner = radius * (1 - motion["contraction"] * weak)
    outer = np.sqrt(inner**2 + ((radius + thick) ** 2 - radius**2) / stretch)
    zc = z - stretch * equator
    apical_wall = np.float32(0.6 * wall)
    cavity_axes = (inner, inner, stretch * equator - apical_wall)
    d_epi = ellipsoid((xs, ys, zc), (outer, outer, stretch * equator))
    d_endo = ellipsoid((xs, ys, zc), cavity_axes)
    valve_plane = z - stretch * base
    d_wall = np.maximum(d_epi, valve_plane)
    depth = np.sqrt((xs / inner) ** 2 + (ys / inner) ** 2 + (zc / cavity_axes[2]) ** 2)  # 0 on the axis, 1 at the endocardium

    material_radius = np.sqrt(np.maximum(radius**2 + (r2 - inner**2) * stretch, 0.02 * r2))
    twist = np.deg2rad(card["twist_deg"]) * emptied * (np.float32(0.6) - z / np.float32(base))
    ratio = material_radius / np.sqrt(r2 + np.float32(1e-3)) * shape
    turned = angle - twist.astype(np.float32)
    material_length = material_radius * shape
    mx, my, mz = material_length * np.cos(turned), material_length * np.sin(turned), z / stretch
    material = np.stack([mx + np.float32(0.41) * mz, my + np.float32(0.29) * mz])
    shift = [(ratio - 1) * x, (ratio - 1) * y, mz - z]
    displacement = np.stack([sum(np.float32(a) * s for a, s in zip(axis, shift, strict=True)) for axis in view.axes])

    # trabeculae: columns of muscle in a cavity, ever more of them towards its wall
    speckle = power_law(rng, (256, 256), 1.0, longest=5, shortest=3)
    squeeze = radius / inner
    lv_speckle = sample(speckle, xs * squeeze * 1.4 + 0.5 * mz, ys * squeeze * 1.4)
    amount = np.float32(card["trabeculae"]) * np.clip(np.float32(1.25) - mz / np.float32(base), 0.25, 1)
    lv_columns = np.clip(2.5 * (lv_speckle + np.float32(0.3) - (1 - depth) * 5 / (np.float32(0.25) + amount)), 0, 1)

    rv = card["rv_radius_mm"]
    squeeze_rv = 1 - np.float32(0.22) * emptied
    rv_x, rv_y = np.float32(-radius - 0.28 * rv), np.float32(rng.uniform(-8, 2))
    rv_points = (x - rv_x * (1 - np.float32(0.12) * emptied), y - rv_y, z - stretch * np.float32(0.66 * base))
    rv_axes = (rv * squeeze_rv, np.float32(1.25 * rv) * squeeze_rv, stretch * np.float32(0.58 * base))
    d_rv = ellipsoid(rv_points, rv_axes) + 3 * lumps(2 * angle, rng)
    excursion = stretch - np.float32(0.05) * emptied
    tricuspid = z - excursion * np.float32(base)
    rv_wall = np.float32(rng.uniform(2.5, 4)) * (1 + np.float32(0.4) * emptied)
    rv_depth = 1 + d_rv / (np.float32(0.8 * rv))
    rv_speckle = sample(speckle, rv_points[0] / squeeze_rv * 1.2 + 0.4 * mz + 90, rv_points[1] / squeeze_rv * 1.2 + 31)
    rv_columns = np.clip(2.5 * (rv_speckle - (np.float32(0.25) + (1 - rv_depth) * 4)), 0, 1)

    fill = 0.84 + 0.3 * emptied**0.7 * np.float32(card["ejection_fraction"])
    top = stretch * np.float32(base)
    d_la = ellipsoid((x - 5, y - 9, z - top - 21 * fill), (25 * fill, 21 * fill, 24 * fill))
    d_ra = ellipsoid((x - rv_x + 4, y - 8, z - excursion * np.float32(base) - 20 * fill), (24 * fill, 23 * fill, 23 * fill))
    pulse = np.float32(rng.uniform(11, 15)) * (1 + np.float32(0.05) * np.roll(emptied, 1, axis=0))
    d_aorta = capsule((x, y, z), (-7, -13, top - 4), (-18, -40, top + 36), pulse)
    d_pulmonary = capsule((x, y, z), (-24, -32, top - 8), (4, -50, top + 30), np.float32(0.95) * pulse)

    layers = []
    rv_outside = np.maximum(d_rv - rv_wall, tricuspid)
    d_heart = np.minimum(np.minimum(d_wall, rv_outside), np.minimum(np.minimum(d_la, d_ra), np.minimum(d_aorta, d_pulmonary)) - 2)
    fat = np.float32(card["epicardial_fat_mm"]) * np.clip(0.6 + lumps(angle, rng) - 0.2 * (x > 0), 0.05, 2)
    groove = 5 * np.exp(-((valve_plane / 9) ** 2))
    pericardium = d_heart - fat - groove
    layers.append(Layer("fat", cover(pericardium, oblique)))
    layers.append(Layer("cortical", 0.3 * cover(np.abs(pericardium - 0.4) - 0.5, edge)))
    for d, blood in ((d_ra, "venous"), (d_la, "blood"), (d_pulmonary, "venous"), (d_aorta, "blood")):
        layers.append(Layer("myocardium", cover(d - 1.6, oblique)))
        layers.append(Layer(blood, cover(d, oblique)))
    layers.append(Layer("myocardium", cover(rv_outside, oblique)))
    rv_blood = cover(np.maximum(d_rv, tricuspid), oblique)
    layers.append(Layer("venous", rv_blood * (1 - rv_columns)))
    layers.append(Layer("myocardium", cover(moderator_band(x, y, z, rv_x, rv, base, stretch, squeeze_rv), edge) * rv_blood))
    layers.append(Layer("myocardium", cover(d_wall, edge)))
    lv_blood = cover(np.maximum(d_endo, valve_plane), edge)
    layers.append(Layer("blood", lv_blood * (1 - lv_columns)))
    for papillary in papillary_muscles(card, motion, xs, ys, z, inner, rng):
        layers.append(Layer("myocardium", cover(papillary, edge) * lv_blood))
    opening = np.clip(1 - emptied * 1.5, 0, 1) * np.float32(1.1) + np.float32(0.15)
    for cx, ring, plane in ((3.0, 0.72 * radius, stretch * base), (float(rv_x), 0.62 * rv, excursion * base)):
        leaflets = valve(x - np.float32(cx), y, z - plane.astype(np.float32), ring, opening)
        layers.append(Layer("myocardium", 0.8 * cover(leaflets, edge)))
    for _ in range(3):
        where, size = rng.uniform(-np.pi, np.pi), rng.uniform(1.0, 2.0)
        reach = outer * shape + fat * 0.5 + 1
        d_coronary = np.hypot(x - reach * np.cos(where), y - reach * np.sin(where)) - size
        layers.append(Layer("blood", cover(d_coronary, edge) * cover(pericardium, edge) * cover(-d_heart, edge)))
    return Heart(layers, material, displacement, pericardium, motion["volume"][:, 0, 0])


def lumps(angle: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Smooth random function of an angle, about -0.6..0.6."""
    return sum(np.float32(rng.normal(0, 0.3)) * np.cos(k * angle + np.float32(rng.uniform(0, 6.28))) for k in (1, 2, 3, 5))


def moderator_band(x, y, z, rv_x, rv, base, stretch, squeeze):
    """Signed distance to the strand of muscle between septum and free wall of the right ventricle, in its apical third."""
    height = stretch * np.float32(0.38 * base)
    return capsule((x, y, z), (rv_x + 20, 4.0, height - 4), (rv_x - rv * squeeze, -6.0, height + 8), 2.0)


def papillary_muscles(card: dict, motion: dict, x, y, z, inner, rng: np.random.Generator) -> list[np.ndarray]:
    """Signed distances to the two papillary muscles: tapered columns at the wall that thicken as they shorten."""
    base = card["lv_length_mm"]
    middle = inner.mean(axis=(1, 2), keepdims=True) if inner.ndim == 3 else inner
    distances = []
    for mean_angle in (-0.9, 1.6):
        angle = rng.normal(mean_angle, 0.2) + np.deg2rad(card["twist_deg"]) * 0.3 * motion["emptied"]
        size = np.float32(rng.uniform(3.2, 5.5))
        height = z / (motion["stretch"] * base)
        taper = np.clip(1.35 - 2.2 * np.abs(height - 0.38), 0, 1) / np.sqrt(motion["stretch"])
        reach = middle * np.float32(rng.uniform(0.72, 0.84)) - size * 0.3
        flatten = np.float32(rng.uniform(0.75, 1.3))
        across = (x - reach * np.cos(angle)) * flatten
        distances.append(np.hypot(across, (y - reach * np.sin(angle)) / flatten) - size * taper + 0.4 * (taper < 0.05))
    return distances


def valve(x: np.ndarray, y: np.ndarray, z: np.ndarray, ring: float, opening: np.ndarray) -> np.ndarray:
    """Signed distance to two leaflets 1.2 mm thick that hang from a ring of the valve plane z = 0 towards the apex.

    Args:
      opening: `[T, 1, 1]` angle (radians) between leaflet and valve plane.
    """
    radial = np.sqrt(x * x + (0.6 * y) ** 2)
    tip = (ring - 0.95 * ring * np.cos(opening), -0.95 * ring * np.sin(opening))
    return capsule((radial, z), (ring, 0.0), tip, 0.6)


def torso(card: dict, view: View, rng: np.random.Generator) -> list[Layer]:
    """The still part of the scene: body wall, lungs with vessels, spine, liver with vessels, great vessels."""
    x, y = wobble(view.torso, rng)
    pixel = max(view.pixel_mm, 0.8)
    a, b = card["body_half_mm"]
    around = np.arctan2(y / b, x / a)
    layers: list[Layer] = []
    paint = lambda tissue, distance, width=1.0: layers.append(Layer(tissue, cover(distance, max(pixel, width))))

    def shell(half_x: float, half_y: float, exponent: float, offset_y: float = 0.0) -> np.ndarray:
        k = (np.abs(x / half_x) ** exponent + np.abs((y - offset_y) / half_y) ** exponent) ** np.float32(1 / exponent)
        return (k - 1) * np.hypot(x, y) / np.maximum(k, 1e-3)

    body = shell(a, b, rng.uniform(2.2, 2.8))
    fat = card["fat_mm"] * (1 + 0.5 * lumps(around, rng)) * (1 - 0.35 * np.sin(around))
    paint("muscle", body)
    paint("fat", body + 2)
    muscle = np.float32(rng.uniform(8, 16)) * (1 + 0.5 * lumps(around, rng) + 0.4 * np.abs(np.cos(around)))
    inside = body + np.maximum(fat, 4) + 2
    paint("muscle", inside)
    for _ in range(3):
        depth = muscle * np.float32(rng.uniform(0.2, 0.9)) + 4 * lumps(around, rng)
        gap = np.clip(4 * lumps(2 * around, rng), 0, 2)
        paint("fat", np.maximum(np.abs(inside + depth) - gap, inside))
    cavity = inside + np.maximum(muscle, 5)
    count = rng.integers(9, 15)
    for where in 2 * np.pi * (np.arange(count) + rng.uniform(0, 1)) / count + rng.normal(0, 0.07, count):
        reach = 1 - 0.12 - 0.002 * card["fat_mm"]
        rx, ry = reach * a * np.cos(where), reach * b * np.sin(where)
        rib = rotated_ellipse(x, y, rx, ry, np.arctan2(a * np.cos(where), -b * np.sin(where)), rng.uniform(7, 13), rng.uniform(3, 5))
        rib = np.maximum(rib, -(cavity + 1))
        paint("cortical", rib)
        paint("marrow", rib + 1.8)
    paint("fat", cavity)
    # subpleural fat is thin: the lungs fill the cavity but for the mediastinum and the spine
    mediastinum = rotated_ellipse(
        x, y, view.heart_centre[0] * 0.35, rng.uniform(-10, 5), rng.normal(1.4, 0.15), 0.7 * b, rng.uniform(20, 32)
    )
    lung = np.maximum(cavity + np.float32(rng.uniform(1, 3)), 3 - mediastinum)
    spine_y = 0.62 * b
    lung = np.maximum(lung, 30 - np.hypot(x, y - spine_y))
    paint("lung", lung)
    layers.extend(vessel_tree(x, y, pixel, cover(lung, pixel), "venous", rng, (-0.35 * a, 0.0), 110, 3.6))
    layers.extend(vessel_tree(x, y, pixel, cover(lung, pixel), "blood", rng, (0.35 * a, 0.15 * b), 110, 3.6))
    layers.extend(vessel_dots(x, y, pixel, cover(lung, pixel), rng, a, b, 46))
    if card["liver"] > 0.05:
        edge = 6 * lumps(2 * around, rng)
        liver = rotated_ellipse(x, y, -0.62 * a, 0.05 * b, rng.normal(0.2, 0.2), 0.3 * a + 0.45 * a * card["liver"], 0.72 * b) + edge
        liver = np.maximum(liver, cavity + 2)
        paint("fat", liver - 1.5)
        paint("liver", liver, 1.5)
        inside_liver = cover(liver + 3, pixel)
        layers.extend(vessel_tree(x, y, pixel, inside_liver, "venous", rng, (-0.3 * a, 0.3 * b), 120, 4.5))
        layers.extend(vessel_tree(x, y, pixel, inside_liver, "venous", rng, (-0.65 * a, 0.0), 80, 3.4))
        layers.extend(vessel_dots(x, y, pixel, inside_liver, rng, a, b, 40))
        paint("venous", rotated_ellipse(x, y, -0.22 * a, 0.3 * b, rng.uniform(0, 3), 12, rng.uniform(7, 11)))
    for side in (-1, 1):
        paint("fat", rotated_ellipse(x, y, side * 34, spine_y + 22, side * 0.4, 30, 20))
        paint("muscle", rotated_ellipse(x, y, side * 34, spine_y + 22, side * 0.4, 27, 17))
        paint("fat", rotated_ellipse(x, y, side * 40, spine_y + 20, side * 0.8, 20, 1.3))
    vertebra = rotated_ellipse(x, y, 0, spine_y, 0, rng.uniform(19, 23), rng.uniform(14, 17))
    paint("cortical", vertebra)
    paint(str(rng.choice(["marrow", "disc"])), vertebra + 1.6)
    canal_y = spine_y + 25
    paint("cortical", rotated_ellipse(x, y, 0, canal_y + 1, 0, 15, 13))
    paint("marrow", rotated_ellipse(x, y, 0, canal_y + 22, 0, 4, 14))
    paint("fat", rotated_ellipse(x, y, 0, canal_y, 0, 11, 9))
    paint("csf", rotated_ellipse(x, y, 0, canal_y, 0, 9, 7))
    paint("cord", rotated_ellipse(x, y, 0, canal_y, 0, 5, 3.6))
    paint("fat", rotated_ellipse(x, y, 24, spine_y - 18, 0.3, 17, 15))
    aorta = rotated_ellipse(x, y, 24, spine_y - 17, rng.uniform(0, 3), rng.uniform(11, 14), rng.uniform(10, 12))
    paint("myocardium", aorta - 1.2)
    paint("blood", aorta)
    paint("muscle", rotated_ellipse(x, y, 4, spine_y - 24, 0.3, 9, 4.5))
    paint("venous", np.hypot(x + 8, y - spine_y + 18) - 3)
    for side in (-1, 1):
        paint("venous", np.hypot(x - side * 17, y + b - card["fat_mm"] - 20) - 1.6)
    return layers


def rotated_ellipse(x, y, centre_x: float, centre_y: float, angle: float, half_x: float, half_y: float) -> np.ndarray:
    """Signed distance to an ellipse whose first axis is turned by `angle` radians."""
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    dx, dy = x - np.float32(centre_x), y - np.float32(centre_y)
    return ellipsoid((cosine * dx + sine * dy, cosine * dy - sine * dx), (np.float32(half_x), np.float32(half_y)))


def wobble(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Points `[2, ...]` moved by a smooth random displacement of some mm: no two torsos are exact ellipses."""
    moved = points.copy()
    for wavelength in (220.0, 130.0, 80.0, 45.0):
        for axis in (0, 1):
            direction = rng.uniform(0, 2 * np.pi)
            wave = np.float32(2 * np.pi / wavelength) * (np.float32(np.cos(direction)) * points[0] + np.float32(np.sin(direction)) * points[1])
            moved[axis] += np.float32(rng.normal(0, wavelength / 55)) * np.sin(wave + np.float32(rng.uniform(0, 6.28)))
    return moved


def vessel_tree(
    x: np.ndarray,
    y: np.ndarray,
    pixel: float,
    mask: np.ndarray,
    tissue: str,
    rng: np.random.Generator,
    root: tuple[float, float],
    segments: int,
    radius: float,
) -> list[Layer]:
    """A vessel that bifurcates from `root`, thinner by Murray's law at each fork, seen inside `mask` (a coverage)."""
    coverage = np.zeros_like(mask)
    ends = [(root, rng.uniform(0, 2 * np.pi), radius, 0.0) for _ in range(3)]
    for _ in range(segments):
        (x0, y0), heading, size, out = ends.pop(0)
        length = rng.uniform(1.5, 4) * size + 1.5
        end = (x0 + length * np.cos(heading), y0 + length * np.sin(heading))
        # the vessel leaves the slice and comes back: fainter by the part of it that is outside
        add_capsule(coverage, x, y, (x0, y0), end, 0.7 * size, pixel, float(np.exp(-((out / 5) ** 2))))
        share = rng.uniform(0.25, 0.75)
        for part, turn in ((share, 1), (1 - share, -1)):
            thinner = max(size * part ** (1 / 3), 0.7)
            ends.append((end, heading + turn * rng.uniform(0.1, 0.6) / part**0.3, thinner, out + rng.normal(0, 0.4) * length))
    return [Layer(tissue, coverage * mask)]


def vessel_dots(x, y, pixel: float, mask: np.ndarray, rng: np.random.Generator, a: float, b: float, count: int) -> list[Layer]:
    """Vessels that cross the plane: short bright strokes of 0.6 to 3 mm radius all over `mask`."""
    coverage = np.zeros_like(mask)
    for _ in range(count):
        start = (rng.uniform(-a, a), rng.uniform(-b, b))
        heading, length = rng.uniform(0, np.pi), rng.exponential(5) + 0.5
        end = (start[0] + length * np.cos(heading), start[1] + length * np.sin(heading))
        add_capsule(coverage, x, y, start, end, np.exp(rng.normal(0.2, 0.4)), pixel, rng.uniform(0.4, 1))
    return [Layer("blood", coverage * mask)]


def add_capsule(coverage: np.ndarray, x, y, start, end, radius: float, pixel: float, weight: float = 1.0) -> None:
    """Draws a thick segment into `coverage`, touching only the grid points near it; thinner than a pixel means fainter."""
    reach = radius + pixel + 0.5 * np.hypot(end[0] - start[0], end[1] - start[1])
    middle = (np.float32(0.5 * (start[0] + end[0])), np.float32(0.5 * (start[1] + end[1])))
    near = np.flatnonzero((np.abs(x - middle[0]) < reach) & (np.abs(y - middle[1]) < reach))
    if near.size:
        distance = capsule((x.ravel()[near], y.ravel()[near]), start, end, radius)
        flat = coverage.reshape(-1)
        flat[near] = np.maximum(flat[near], weight * cover(distance, pixel))
