"""The tissues of the spine as implicit shapes along the column, each painted over those before it."""

from typing import TYPE_CHECKING

import numpy as np

from data_pipeline.simulator.shapes import ellipsoid
from data_pipeline.simulator.spine_column import C7, S1, T12, Column, Place, along, canal_centre, cells, rounded, sac_half
from data_pipeline.simulator.spine_surroundings import great_vessels, muscles, organs, outline
from data_pipeline.simulator.texture import sample
from data_pipeline.simulator.torso import wobble

if TYPE_CHECKING:
    from data_pipeline.simulator.spine import Paper

FLUID, NERVE, BODY, DISC = 1, 2, 3, 4  # labels
ROOTS = 26
REACH_MM = 68.0  # of the column with its processes and great vessels


def paint_spine(paper: "Paper", body: np.ndarray, spine: Column, card: dict, slice_mm: float, rng: np.random.Generator) -> None:
    """Paints one slice.

    Args:
      paper: to paint on.
      body: `[3, H, W]` points of the slice.
      spine, card: of the subject.
      slice_mm: its thickness.
      rng: of the subject's anatomy, in the same state for every slice.
    """
    organs_rng, muscle_rng, bone_rng, nerve_rng, bend_rng = rng.spawn(5)
    body = body + np.float32(0.3) * (np.stack(wobble(body, bend_rng)) - body)
    s, u, x = along(spine, body)
    place = Place(body, s, u, x, np.interp(s, spine.centre, np.arange(len(spine.centre))).astype(np.float32))
    outline(paper, place, spine, card)
    organs(paper, place, spine, card, organs_rng)
    muscles(paper, place, spine, card, muscle_rng)
    # the column takes up a part of the slice only
    columns = np.flatnonzero((np.abs(u) < REACH_MM).any(axis=0))
    box = slice(None), slice(columns[0], columns[-1] + 1) if len(columns) else slice(0, 0)
    near, part = place.within(box), paper.within(box)
    discs_and_bodies(part, near, spine, card, bone_rng)
    posterior(part, near, spine, card)
    canal(part, near, spine, card)
    nerves(part, near, spine, card, slice_mm, nerve_rng)
    great_vessels(part, near, spine, card)
    if card["saturation"] < 1:
        ahead = -(u + place.of(spine.depth)) - np.float32(card["saturation_mm"])
        fade = 1 - (1 - np.float32(card["saturation"])) / (1 + np.exp(-ahead / 5))
        np.multiply(paper.signal, fade, out=paper.signal)


def discs_and_bodies(paper: "Paper", place: Place, spine: Column, card: dict, rng: np.random.Generator) -> None:
    """Discs with nucleus and annulus, bodies with endplates, marrow and veins, the ligaments before and behind them."""
    level, v = cells(place, place.s, spine)
    lookup = lambda values: np.asarray(values, np.float32)[level]
    depth, width = place.of(spine.depth), place.of(spine.width)
    body, wear = lookup(spine.body), lookup(card["wear"])
    u = place.u + lookup(card["slip_mm"])
    count = len(spine.centre)

    side = np.maximum(ellipsoid((place.x, u), (width, depth)), u - depth + 1.2)
    bulge = np.interp(place.s, spine.centre + 0.5 * (spine.body + spine.disc), card["bulge_mm"]).astype(np.float32)
    # a point above the middle of its body is nearest to the disc of the level over it
    own = np.where(v > 0, level, np.maximum(level - 1, 0))
    thick, worn = (np.asarray(values, np.float32)[own] for values in (spine.disc, card["wear"]))
    gap = np.abs(0.5 * (body + thick) - np.abs(v))  # to the middle of the disc
    inside_column = np.maximum(place.s - np.float32(spine.centre[-1] + 8), np.float32(spine.centre[0] - 10) - place.s)
    annulus = np.maximum(np.maximum(side - bulge, gap - thick), inside_column)
    paper.paint("ligament", np.maximum(side - 0.9 - 0.5 * bulge, inside_column))
    paper.paint("annulus", annulus, label=DISC)
    lamellae = np.sin(2 * np.pi * side / 1.6)
    paper.paint("annulus", annulus, 0.35, gain=0.8 + 0.8 * lamellae, label=DISC)
    nucleus = ellipsoid((place.x, u - 0.06 * depth, gap), (0.66 * width, 0.62 * depth, 0.46 * thick + 0.8))
    bright = np.clip(1.1 - 0.95 * worn, 0.08, 1.05)
    cleft = 1 - 0.45 * np.exp(-((gap / 0.7) ** 2)) * (thick > 4)
    paper.paint("nucleus", nucleus, gain=bright * cleft, label=DISC, soften=5)
    tear = np.maximum(np.abs(u - depth + 1.3) - 0.9, gap - 0.16 * thick)
    paper.paint(
        "nucleus",
        np.maximum(tear, np.abs(place.x) - 8),
        0.8 * ((worn > 0.45) & (own % 3 == card["form"] % 3)),
        label=DISC,
        soften=2,
    )

    hollow = np.float32(1.4) * (1 - np.clip(u / depth, -1, 1) ** 2) * (place.level < S1)
    node = np.zeros_like(v)
    for index in np.flatnonzero(rng.random(count) < 0.2):
        at, deep = rng.uniform(-0.4, 0.3) * spine.depth[index], rng.uniform(1.5, 5)
        node += np.where(
            level == index, np.float32(deep) * np.exp(-(((u - np.float32(at)) / 3.2) ** 2 + (place.x / 6) ** 2)), 0
        )
    upper_or_lower = np.where(v > 0, 1, 1 - 0.9 * (level % 2)).astype(np.float32)
    waist = np.float32(1.5) * (1 - np.clip(2 * v / body, -1, 1) ** 2)
    spur = 2.2 * wear * np.exp(-(((np.abs(v) - 0.5 * body) / 2.2) ** 2)) * (u < 0)
    wedge = lookup(card["compressed"]) * 0.25 * np.maximum(-u / depth, 0) * body
    bone = rounded(side + waist - spur, np.abs(v) - 0.5 * body + hollow + node * upper_or_lower + wedge * (v < 0), 1.8)
    bone = np.maximum(bone, inside_column)
    plate = 0.75 + 0.35 * wear
    paper.paint("cortical", bone, label=BODY)
    focal = np.clip(0.35 * sample(paper.fine, place.s * 1.1, u * 1.2 + 31 * level), -0.2, 0.3)
    # degenerate endplates turn to fat (Modic 2) or to oedema
    modic = np.exp(-(np.maximum(0.5 * body - np.abs(v) - 1, 0) / 5)) * np.clip(worn - 0.55, 0, 1)
    share = np.float32(card["marrow_fat"]) + lookup(card["level_fat"]) + 0.5 * focal + 0.9 * modic
    # vertical trabeculae carry the load
    posts = sample(paper.trabeculae, place.s * 0.8, u / (0.75 * paper.pixel_mm))
    gain = np.maximum(1 + 0.16 * posts + 0.25 * focal, 0.1)
    paper.paint("marrow", bone + plate, fat=np.clip(share, 0.08, 0.95), gain=gain, label=BODY)
    for index in np.flatnonzero(rng.random(count) < 0.12):  # haemangioma
        at, radius = rng.uniform(-0.4, 0.4, 3) * (spine.depth[index], spine.body[index], spine.width[index]), rng.uniform(3, 7)
        ball = np.sqrt(
            (u - np.float32(at[0])) ** 2 + (v - np.float32(at[1])) ** 2 + (place.x - np.float32(at[2])) ** 2
        ) - np.float32(radius)
        ball = np.where(level == index, np.maximum(ball, bone + 1.5), np.float32(9))
        paper.paint("vein", ball, 0.75, fat=0.45, gain=np.maximum(0.9 + 0.5 * posts, 0), label=BODY, soften=3)
    taper = np.clip((u + 0.25 * depth) / (1.25 * depth), 0, 1)
    vein = np.abs(v + 0.8 * np.sin(u / 3 + level)) - (0.25 + 1.5 * taper**1.5)
    vein = np.maximum(np.maximum(vein, -u - 0.2 * depth), np.abs(place.x) - 2 - 5 * taper)
    vein = np.maximum(np.maximum(vein, bone - 0.6), inside_column) + 50 * (place.level > S1 - 0.5)
    paper.paint("vein", vein, 0.85, gain=1.1, label=BODY, soften=2)


def canal(paper: "Paper", place: Place, spine: Column, card: dict) -> None:
    """Epidural fat, the dural sac, its fluid with voids where it pulsates, and the cord down to its conus."""
    centre, half = place.of(canal_centre(spine, card)), place.of(sac_half(card))
    level, v = cells(place, place.s, spine)
    body = np.asarray(spine.body, np.float32)[level]
    du = place.u - centre
    bony = ellipsoid((place.x, du - 0.8), (half + 5, half + 2.2))
    low = np.clip((place.level - C7) / 6, 0.25, 1)
    paper.paint("vein", bony, gain=0.5, fat=0.5 * low)
    # behind the sac, between the laminae, a triangle of fat
    between = np.clip(np.abs(v) - 0.1 * body, 0, None) / body
    triangle = np.maximum(ellipsoid((place.x, du - half - 0.5), (4.5, 1.0 + 7 * between * low)), -du)
    paper.paint("fat", triangle)
    bulge = np.interp(place.s, spine.centre + 0.5 * (spine.body + spine.disc), card["bulge_mm"]).astype(np.float32)
    disc = np.exp(-(((0.5 * (body + 5) - np.abs(v)) / 4) ** 2)) * np.maximum(bulge - 0.8, 0) * np.exp(-((place.x / 9) ** 2))
    sac = ellipsoid((place.x, du - 0.4 * disc), (half + 2.5, np.maximum(half - 0.5 * disc, 0.1)))
    paper.paint("ligament", sac - 0.7)
    # pulsation: long dark swirls, strongest behind the thoracic cord
    swirl = sample(paper.fine, place.s * 0.35, place.u * 1.1)
    strength = np.float32(card["flow"]) * np.exp(-(((place.level - 12) / 6.5) ** 2)) * np.clip(0.6 + du / half, 0.1, 1.5)
    paper.paint("csf", sac, gain=np.clip(1 - strength * (0.7 + 1.1 * swirl), 0.15, 1.05), label=FLUID)
    end = float(np.interp(card["conus_level"], np.arange(len(spine.centre)), spine.centre))
    taper = np.clip((end - place.s) / 26, 0, 1) ** 0.6
    thick = (
        card["cord"]
        * card["scale"]
        * (1 + 0.14 * np.exp(-(((place.level - 4) / 1.8) ** 2)) + 0.16 * np.exp(-(((place.level - 17.2) / 1.4) ** 2)))
    )
    wide, deep = (np.maximum(np.float32(size) * thick * taper, 0.05).astype(np.float32) for size in (5.0, 3.5))
    lean = -0.22 * half * np.sin(np.clip((place.level - 7) / 10, 0, 1) * np.pi)  # ahead in the kyphosis
    dx, dy = place.x, du - lean
    cord = np.maximum(ellipsoid((dx, dy), (wide, deep)), place.s - np.float32(end))
    paper.paint("cord", cord, label=NERVE)
    paper.paint(
        "cord", np.maximum(ellipsoid((dx, dy), (0.55 * wide, 0.42 * deep)), cord + 0.8), 0.8, gain=1.16, label=NERVE, soften=3
    )
    paper.paint("csf", np.maximum(np.hypot(dx, dy) - 0.35, cord + 1.5), 0.35, label=NERVE)
    for sign in (-1, 1):  # vessels and ligaments on the cord
        paper.paint(
            "flow",
            np.maximum(np.abs(dy - sign * (deep + 0.7) - 0.4 * np.sin(place.s / 6 + sign)) - 0.35, np.abs(dx) - 1.5)
            + 9 * (taper <= 0),
            0.6,
        )


def nerves(paper: "Paper", place: Place, spine: Column, card: dict, slice_mm: float, rng: np.random.Generator) -> None:
    """Roots of the cauda equina, sunk to the back of the sac, each to the foramen of its level; faint as they are thin."""
    half, centre = sac_half(card), canal_centre(spine, card)
    levels = np.arange(len(half))
    end = float(np.interp(card["conus_level"], levels, spine.centre))
    for index in range(ROOTS):
        side, leaves = (-1) ** index, rng.uniform(T12 + 2.0, S1 + 1.6)
        stop = float(np.interp(leaves, levels, spine.centre))
        sink, spread, radius = rng.uniform(-0.35, 0.8), rng.uniform(0, 0.65), rng.uniform(0.4, 0.75)
        waves = [(rng.uniform(0.2, 0.9), rng.uniform(18, 60), rng.uniform(0, 6)) for _ in range(4)]
        start = end - rng.uniform(0, 30)
        if not (stop - start > 5 and start < place.s.max() and stop > place.s.min()):
            continue
        nodes = np.arange(start - 5, stop + 5, 2.0)
        way = np.clip((nodes - start) / (stop - start), 0, 1)
        size, middle = np.interp(nodes, spine.centre, half), np.interp(nodes, spine.centre, centre)
        ripple = [a * np.sin(nodes / w + p) for a, w, p in waves]
        leaving = spread * np.minimum(3 * way, 1) + (1 - spread) * np.maximum(way - 0.75, 0) * 4
        beside = side * (size + 1.5) * leaving + ripple[0] + ripple[1]
        behind = middle + size * sink * np.minimum(2.5 * way, 1) + ripple[2] + ripple[3]
        beside, behind = (np.interp(place.s, nodes, way).astype(np.float32) for way in (beside, behind))
        dx = np.abs(place.x - beside)
        line = np.maximum(
            np.abs(place.u - behind) - radius, np.maximum(np.float32(start) - place.s, place.s - np.float32(stop))
        )
        share = np.clip((0.5 * slice_mm + radius - dx) / radius, 0, 1) * min(1.0, 3.5 * radius / slice_mm)
        paper.paint("root", line, share, label=FLUID)


def posterior(paper: "Paper", place: Place, spine: Column, card: dict) -> None:
    """Arches: laminae and yellow ligaments, spinous processes, facet joints, pedicles, foramina with their roots, ribs."""
    scale = np.float32(card["scale"])
    centre, half = place.of(canal_centre(spine, card)), place.of(sac_half(card))
    depth = place.of(spine.depth)
    behind = place.u - centre - half - 3 * scale  # from the back of the canal
    beside = np.abs(place.x)
    thoracic = np.exp(-(((place.level - 12) / 5.5) ** 2))
    lumbar = np.clip((place.level - T12) / 2, 0, 1) * np.clip(S1 + 0.5 - place.level, 0.3, 1)

    def bone(distance: np.ndarray, cortex: float = 1.1) -> None:
        paper.paint("cortical", distance)
        paper.paint("marrow", distance + cortex, fat=min(card["marrow_fat"] + 0.1, 0.9), gain=0.95)

    # between the spinous processes: ligament and fat
    length = scale * (16 + 12 * np.exp(-(((place.level - C7) / 2.5) ** 2)) + 10 * thoracic + 12 * lumbar)
    middle = np.maximum(np.maximum(beside - 3.2, behind - length), -behind)
    streaks = sample(paper.network, place.s * 1.5 + place.u, place.s * 0.4 - place.u * 2)
    paper.paint("ligament", middle, fat=np.clip(0.35 + 0.4 * streaks, 0, 0.9), gain=1.3)
    paper.paint("ligament", np.maximum(np.abs(behind - length - 1) - 1.1, beside - 5))
    slope = np.float32(0.25) + 0.75 * thoracic
    level, v = cells(place, place.s - 0.12 * 24 - slope * np.maximum(behind, -4), spine)
    body = np.asarray(spine.body, np.float32)[level]
    high = 0.17 * body + 0.13 * body * lumbar + 0.9 * np.clip(behind / length, 0, 1) ** 2
    spinous = rounded(np.abs(v) - high, np.maximum(behind - length * (0.93 + 0.07 * np.cos(level * 2.3)), -1 - behind), 2.2)
    bone(rounded(spinous, beside - 3.4 - np.clip(behind / length, 0, 1), 1.5) + 60 * (place.level > S1 + 2.5))
    # laminae close the canal, yellow ligament between them
    arch = np.maximum(np.abs(behind - 1.2 + 0.12 * (beside - 6) ** 2 / 6) - 2.6, beside - 15)
    level, v = cells(place, place.s - 4 - 0.35 * behind, spine)
    body = np.asarray(spine.body, np.float32)[level]
    paper.paint("ligament", np.maximum(np.maximum(arch + 0.6, 2.5 - beside), behind - 1.5), 0.9)
    bone(rounded(arch, np.abs(v) - 0.30 * body, 1.4) + 30 * (beside < 2.0))
    # pillars of articular processes with the joint between them
    off = 15.5 * scale + 0.18 * (depth - 10)
    pillar = ellipsoid((beside - off, behind + 1.5), (7.5 * scale, 7.0 * scale))
    bone(pillar)
    level, v = cells(place, place.s + 0.5 * np.asarray(spine.body, np.float32)[level] - 1.1 * (behind + 1.5), spine)
    joint = np.maximum(np.abs(v + 1.5 * np.sin(0.5 * behind)) - 0.45, pillar - 0.5)
    paper.paint("cortical", joint - 1.1)
    paper.paint("csf", joint, 0.75, gain=0.9)
    # pedicles join them to the bodies; fat, root and veins in the foramina below
    level, v = cells(place, place.s, spine)
    body = np.asarray(spine.body, np.float32)[level]
    passage = np.maximum(np.maximum(np.abs(beside - off + 2) - 5.5, depth - 1.0 - place.u), behind + 7)
    paper.paint("fat", passage)
    root = np.hypot(v - 0.36 * body, place.u - centre + 2.5 + 0.5 * np.sin(level)) - (2.0 + 1.2 * lumbar)
    paper.paint("root", np.maximum(root, passage), gain=0.8)
    for offset, size in ((-4.5, 0.9), (-6.0, 0.6), (3.2, 0.7)):
        vessel = np.hypot(v - 0.36 * body - 0.5 * offset, place.u - centre + 2.5 - offset) - size
        paper.paint("flow", np.maximum(vessel, passage))
    arched = v + 0.20 * body + 0.012 * (place.u - depth - 4) ** 2
    length_and_width = np.maximum(np.abs(beside - off + 2) - 4.5, np.maximum(0.3 * depth - place.u, behind + 3))
    pedicle = rounded(np.abs(arched) - 0.23 * body, length_and_width, 3.0)
    bone(pedicle)
    # transverse processes and heads of ribs
    rib = ellipsoid((beside - off - 14, place.u - depth - 6 - 3 * thoracic, v + 0.2 * body), (9.0, 5.5, 4.0 + 0.1 * body))
    bone(rib)
