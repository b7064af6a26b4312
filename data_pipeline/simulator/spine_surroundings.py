"""What lies about the spine: trunk, organs, muscles, great vessels."""

from typing import TYPE_CHECKING

import numpy as np

from data_pipeline.simulator.shapes import ellipsoid, lumps
from data_pipeline.simulator.spine_column import T12, Column, Place, cells, skin_of_back
from data_pipeline.simulator.texture import power_law, sample, strands

if TYPE_CHECKING:
    from data_pipeline.simulator.spine import Paper


def outline(paper: "Paper", place: Place, spine: Column, card: dict) -> None:
    """Skin and the fat below it."""
    _, y, z = place.body
    skin = skin_of_back(z, spine, card)
    bend = 6 * lumps(z / 45, np.random.default_rng(card["form"]))
    trunk = np.maximum(y - skin, skin - np.float32(card["depth_mm"] + card["fat_mm"]) + bend - y)
    paper.paint("muscle", trunk, gain=1.5)
    paper.paint("fat", trunk + 1.8)


def organs(paper: "Paper", place: Place, spine: Column, card: dict, rng: np.random.Generator) -> None:
    """In front of the column: lung above the diaphragm, liver, bowel, kidneys below it, and the fat between them."""
    x, y, z = place.body
    front = skin_of_back(z, spine, card) - np.float32(card["depth_mm"])
    cavity = np.maximum(front + 6 + 3 * lumps(z / 30, rng) - y, place.u + place.of(spine.depth) + 9)
    wall = cavity - np.float32(rng.uniform(5, 9))
    paper.paint("muscle", np.maximum(wall, place.u + place.of(spine.depth) + 25))
    paper.paint("fat", cavity)
    top = float(spine.at[T12 - 1, 2]) + rng.uniform(-15, 20)
    depth = np.clip((y - front) / card["depth_mm"], 0, 1)
    diaphragm = z - np.float32(top) - 45 * np.sin(np.pi * depth).astype(np.float32) - 4 * lumps(y / 30, rng)
    chest = np.maximum(cavity + 2, -diaphragm)
    paper.paint("air", chest)
    vessels = 0.5 * (sample(paper.fine, y * 1.7, z * 1.7) - 2.2)
    paper.paint("vein", np.maximum(chest, -vessels), 0.5)
    heart = np.maximum(ellipsoid((x - 22, y - front - 62, z - np.float32(top) - 75), (60, 52, 62)), chest)
    paper.paint("fat", heart - 3)
    paper.paint("muscle", heart)
    paper.paint("flow", heart + 11)
    below = np.maximum(cavity, diaphragm)
    liver = np.maximum(np.maximum(ellipsoid((x + 70, y - front - 85, z - np.float32(top) + 20), (110, 85, 75)), below + 4), 0)
    paper.paint("liver", np.where(liver == 0, np.float32(-5), liver))
    for _ in range(26):
        centre = rng.uniform((-45, 25, -230), (45, 120, -15)) + (0, float(front.mean()), top)
        half = rng.uniform((12, 9, 9), (26, 20, 24))
        content = str(rng.choice(["liver", "csf", "air", "muscle", "kidney"], p=(0.3, 0.15, 0.2, 0.2, 0.15)))
        fill, form_rng = rng.uniform(0.35, 0.8), rng.spawn(1)[0]
        box = place.around(centre[1], centre[2], 34)
        bx, by, bz = place.body[:, box[0], box[1]]
        loop = ellipsoid((bx - centre[0], by - np.float32(centre[1]), bz - np.float32(centre[2])), tuple(half))
        loop = np.maximum(loop + 2.5 * lumps(by / 7 + bz / 9, form_rng, (1, 2, 3)), below[box] + 3)
        part = paper.within(box)
        part.paint("muscle", loop, gain=1.6)
        part.paint(content, loop + np.float32(2), gain=fill)
    for side in (-1, 1):
        kidney = ellipsoid(
            (
                x - side * 58,
                y - np.interp(spine.centre[T12 + 2], spine.s, spine.y) + 4,
                z - np.float32(spine.at[T12 + 1, 2] + 6 * side),
            ),
            (27, 24, 55),
        )
        paper.paint("kidney", kidney)
        paper.paint("fat", kidney + 15)


def muscles(paper: "Paper", place: Place, spine: Column, card: dict, rng: np.random.Generator) -> None:
    """Erector spinae behind the laminae and psoas beside the bodies: fascicles, septa, and fat between them."""
    u, x = place.u, place.x
    depth = place.of(spine.depth)
    fascia = place.body[1] - skin_of_back(place.body[2], spine, card) + np.float32(card["fat_mm"]) - 2.0
    behind = np.maximum(fascia, depth + 6 - u)
    fibres = power_law(rng, (256, 256), 1.5, longest=30)
    # fascicles run along the column and slant towards it
    slant = place.s / 5 + 0.12 * u + 1.3 * x
    fascicle = sample(fibres, slant, u / 0.55 + 2.5 * x)
    septa = strands(sample(fibres, slant / 2.3 + 90, u / 1.5 + 1.5 * x), 0.1 + 0.45 * card["muscle_fat"])
    streak = np.maximum(1 + 0.3 * fascicle, 0.2)
    fatty = np.float32(card["muscle_fat"]) * np.clip(1 + 0.8 * fascicle, 0, 1.6)
    paper.paint("muscle", behind, gain=streak, fat=np.clip(fatty + septa, 0, 1))
    paper.paint("ligament", np.abs(fascia) - 0.6)
    reach = np.clip((place.level - T12) / 4, 0, 1.2)
    psoas = ellipsoid((np.abs(x) - 26 - 8 * reach, u + 2), (6 + 12 * reach, 8 + 11 * reach)) + 200 * (reach <= 0)
    paper.paint("fat", psoas - 2)
    paper.paint("muscle", psoas, gain=streak, fat=np.clip(0.5 * septa + 0.3 * fatty, 0, 1))


def great_vessels(paper: "Paper", place: Place, spine: Column, card: dict) -> None:
    """Aorta to the left of the bodies down to its fork, lower caval vein to the right; both without signal as the blood moves."""
    depth = place.of(spine.depth)
    form = np.random.default_rng(card["form"] + 1)
    fork = np.clip(place.level - form.uniform(21.5, 22.5), 0, 5)
    top = 40 * np.clip(8 - place.level, 0, 1)
    sway = 3 * np.sin(place.s / 60 + form.uniform(0, 6))
    radius = form.uniform(8.5, 11.5)
    aorta = (
        np.hypot(place.x - 9 - 3 * np.clip(T12 - place.level, -3, 4) - sway - 12 * fork, place.u + depth + radius + 4)
        - radius
        + 3.5 * np.minimum(fork, 1)
        + top
    )
    paper.paint("muscle", aorta - 1.3, gain=1.2)
    paper.paint("flow", aorta)
    radius = form.uniform(8, 11)
    caval = np.hypot(place.x + 16 + sway + 10 * fork, 0.85 * (place.u + depth + radius + 5)) - radius + 3 * np.minimum(fork, 1)
    caval = caval + 3 * np.maximum(T12 - 1 - place.level, 0) ** 2
    paper.paint("muscle", caval - 0.7)
    paper.paint("flow", caval, gain=1.5)
    # segmental vessels around the waist of every body
    level, v = cells(place, place.s, spine)
    segmental = np.hypot(v, place.u + depth + 2.0) - 1.1
    paper.paint("flow", np.maximum(segmental, np.abs(place.x) - 16))
