"""Slab of a head in an inversion-prepared gradient echo (MPRAGE).

Labels: 0 other, 1 grey matter, 2 white matter, 3 cerebrospinal fluid.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from data_pipeline.simulator import vessels
from data_pipeline.simulator.brain_anatomy import Brain, draw_brain
from data_pipeline.simulator.brain_template import bend_template
from data_pipeline.simulator.contrast import TISSUES, Tissue
from data_pipeline.simulator.fields import rough
from data_pipeline.simulator.frame import fine_volume, frame, on_matrix, points, turned
from data_pipeline.simulator.relaxation import displaced, fat_displacement, fat_offset_hz, mprage
from data_pipeline.simulator.shapes import cover, ellipsoid
from data_pipeline.simulator.subject import Settings
from data_pipeline.simulator.torso import wobble

GREY, WHITE, FLUID = 1, 2, 3  # labels
INVERSION_MS, CYCLE_MS = 950.0, 2000.0
AXIAL = ((0, 0, 1), (0, 1, 0), (1, 0, 0))  # through, down, across
RAMP = 0.12  # of the slab at either end, where its profile falls to 0

HEAD_TISSUES = {
    "grey": Tissue((1120, 1400), (95, 90), 0.85),
    "white": Tissue((650, 850), (75, 65), 0.70),
    "fluid": Tissue((3500, 4200), (1500, 1500), 1.0),
    "fat": TISSUES["fat"]._replace(density=0.65),
    "muscle": TISSUES["muscle"],
    "diploe": Tissue((400, 480), (60, 50), 0.55),
    "skin": Tissue((800, 950), (40, 35), 0.75),
    "lens": Tissue((900, 1000), (30, 28), 0.7),
    "blood": Tissue((500, 600), (150, 120), 0.95),  # apparent: fresh spins have not seen the inversion
}
# where the middle, anterior and posterior arteries of one side begin, and whereto they run
ARTERIES_MM = (((12, -8, -22), (0.9, 0, 0.3)), ((4, -22, -18), (0.1, -0.8, 0.6)), ((10, 30, -20), (0.3, 0.9, 0.2)))
# relative SD of the texture
TEXTURE = {"grey": 0.055, "white": 0.045, "fat": 0.18, "muscle": 0.16, "diploe": 0.3, "skin": 0.12}


def volume(
    random: Callable[[str], np.random.Generator], settings: Settings, number: int = 0, templates: Path | None = None
) -> tuple[np.ndarray, np.ndarray, dict]:
    """One slab of a head.

    Args:
      random: stream of a name ("subject", "torso", "texture", "contrast") of this subject.
      settings: matrix, partitions, field of view, fine grid, flip angle, TR (spacing of the readouts; TE is half of it).
      number: of the slab; another one lies elsewhere in the same head.
      templates: folder of MNI ICBM152 files; without it the brain is drawn.

    Returns:
      object `[Z, H, W]` complex64 that falls to 0 at both ends of the slab, labels `[Z, ky, kx]` uint8, and the card: JSON values,
      mm, with the `frame` of the slab and `extent_mm`, half axes (x, y, z) of the head.

    Raises:
      InputError: of `relaxation.mprage` and `brain_template.bend_template`.
    """
    card = draw_card(random("subject"))
    slab_rng, texture_rng = (random(name).spawn(number + 1)[number] for name in ("subject", "texture"))
    place = slab(slab_rng, settings)
    shape = fine_volume(settings)
    spacing = [size / n for size, n in zip(place["size_mm"], shape, strict=True)]
    body = points(place, shape)
    anatomy_rng, wobble_rng, vessel_rng = random("torso").spawn(3)
    bent = body + np.float32(0.6) * (np.stack(wobble(body, wobble_rng)) - body)
    # folds are drawn on the grid: another slab has others
    own = anatomy_rng.spawn(number + 1)[number]
    brain = draw_brain(bent, spacing, card, own) if templates is None else bend_template(bent, templates, card)

    signals = tissue_signals(random("contrast"), settings)
    fine = rough(texture_rng, shape, spacing, 1.6, 8.0)
    water, fat, labels = head(bent, brain, card, signals, fine, spacing)
    enclosed = cover(brain.envelope, min(spacing[1:]))
    for coverage, signal in small_vessels(vessel_rng, place, shape, brain, signals):
        water += coverage * (np.float32(signal) - water)
    shade = 1 + 0.05 * rough(texture_rng, shape, spacing, 2.6, 60.0) * enclosed
    water *= shade

    te = 0.5 * settings.tr_ms
    turn = np.complex64(np.exp(2e-3j * math.pi * te * fat_offset_hz(settings.field_strength)))
    picture = water + turn * displaced(fat, fat_displacement(settings))
    picture *= profile(shape[0])[:, None, None]
    return picture, on_matrix(labels, (settings.partitions, *settings.matrix)), card | {"frame": place, "slice": number}


def draw_card(rng: np.random.Generator) -> dict:
    """Draws one head: JSON values, lengths in mm."""
    uniform = lambda low, high: float(rng.uniform(low, high))
    age = uniform(0, 1)
    half = [uniform(64, 73), uniform(80, 93), uniform(62, 72)]
    scalp = 2.5 + float(rng.gamma(3.0, 1.0))
    return {
        "age": age,
        "brain_half_mm": half,
        "fold_mm": uniform(18, 24),
        "sulcus_mm": 0.2 + 0.8 * age * uniform(0.5, 1.0),
        "cortex_mm": uniform(2.3, 3.1) - 0.3 * age,
        "ventricle": 0.7 + 0.9 * age * uniform(0.4, 1.2),
        "folia_mm": uniform(3.6, 5.0),
        "gap_mm": 1.2 + 2.5 * age,
        "diploe_mm": uniform(2.0, 5.0),
        "scalp_mm": scalp,
        "muscle_mm": uniform(5, 11),
        "extent_mm": [h + 14 + scalp for h in half],
    }


def slab(rng: np.random.Generator, settings: Settings) -> dict:
    """Frame of an oblique axial slab through the brain."""
    axes = turned(np.array(AXIAL, float), rng.normal((-6, 0, 0), (9, 4, 5)))
    centre = rng.uniform((-4, -6, -18), (4, 8, 32))
    return frame(centre, axes, (settings.partitions * settings.slice_mm, *settings.fov_mm))


def tissue_signals(rng: np.random.Generator, settings: Settings) -> dict[str, float]:
    """Signed signal of every tissue of this subject; the train runs over the partitions of a cycle."""
    column = 0 if settings.field_strength == 1.5 else 1
    factor = settings.acceleration[1] if isinstance(settings.acceleration, tuple) else 1
    readouts = math.ceil(settings.partitions / factor)
    found = {}
    for name, tissue in HEAD_TISSUES.items():
        t1, t2, density = (
            value * math.exp(spread)
            for value, spread in zip(
                (tissue.t1[column], tissue.t2[column], tissue.density), rng.normal(0, 0.03, 3), strict=True
            )
        )
        signal = mprage(t1, density, math.radians(settings.flip_deg), settings.tr_ms, readouts, INVERSION_MS, CYCLE_MS)
        found[name] = signal * math.exp(-0.5 * settings.tr_ms / t2)
    return found


def profile(partitions: int) -> np.ndarray:
    """Excitation of the slab `[Z]` float32: 1 in the middle, 0 at its ends, so that nothing folds over along kz."""
    from_end = (np.minimum(np.arange(partitions), partitions - np.arange(partitions)) / partitions).astype(np.float32)
    return np.sin(0.5 * np.pi * np.clip(from_end / RAMP, 0, 1)) ** 2 if partitions > 2 else np.ones(partitions, np.float32)


def head(
    points: np.ndarray, brain: Brain, card: dict, signals: dict[str, float], texture: np.ndarray, spacing: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Paints scalp, skull, eyes and brain at points `[3, Z, H, W]`: signal of water and of fat, float32, and labels."""
    x, y, z = points
    width = min(spacing[1:])
    water, fat = np.zeros_like(x), np.zeros_like(x)
    outside, half = brain.envelope, card["brain_half_mm"]

    def paint(tissue: str | None, distance: np.ndarray, fatty: float = 0.0) -> None:
        coverage = cover(distance, width)
        value = coverage * np.maximum(1 + np.float32(TEXTURE.get(tissue or "", 0)) * texture, 0)
        for channel, share in ((water, 1 - fatty), (fat, fatty)):
            channel *= 1 - coverage
            if tissue and share:
                channel += np.float32(share * signals[tissue]) * value

    # the chewing muscle lies on the temple, the face below and before the brain
    temple = np.exp(-(((y + 25) / 30) ** 2) - (((z + 12) / 28) ** 2)) * np.clip((np.abs(x) - 30) / 25, 0, 1)
    muscle = np.float32(card["muscle_mm"]) * temple
    face = ellipsoid((x, y + 0.62 * half[1], z + 52), (58, 46, 50)) + 9
    table = np.minimum(outside - card["gap_mm"], face)
    thick = np.float32(3.0 + card["diploe_mm"])
    scalp = table - thick - muscle - card["scalp_mm"]
    paint("skin", scalp - 1.6)
    paint("fat", scalp, 1.0)
    paint(None, np.abs(table - thick - muscle - 0.5 * card["scalp_mm"]) - 0.35)
    paint("muscle", table - thick - muscle + 0.4)
    paint(None, table - thick)
    paint("diploe", np.maximum(table - thick + 1.5, 1.5 - table), 0.6)
    for side in (-1, 1):
        eye = (x - side * 32, y + half[1] - 9, z + 34)
        paint("fat", ellipsoid((eye[0] + side * 5, eye[1] - 16, eye[2]), (17, 27, 17)), 1.0)
        for height, lean in ((11, 0), (-11, 0), (0, 11), (0, -11)):
            paint(
                "muscle",
                ellipsoid((eye[0] - lean, eye[1] - 16, eye[2] - height), (2 + 0.1 * abs(height), 17, 2 + 0.1 * abs(lean))),
            )
        paint("white", ellipsoid((eye[0] + side * 6, eye[1] - 24, eye[2]), (2.2, 16, 2.2)))
        paint("skin", ellipsoid(eye, (12.6, 12.6, 12.6)))
        paint("fluid", ellipsoid(eye, (11.6, 11.6, 11.6)))
        paint("lens", ellipsoid((eye[0], eye[1] + 8.5, eye[2]), (4.4, 2.2, 4.4)))
    sinus = ellipsoid((x, y + half[1] - 6, z + 42), (14, 18, 16)) + 2.5 * np.sin(x / 4) * np.sin(y / 5)
    paint(None, np.maximum(sinus, 3 - outside))
    dura = outside - card["gap_mm"]
    paint(None, dura - 0.6)
    paint("fluid", dura)
    falx = np.maximum(np.abs(x) - 0.5, ellipsoid((0 * x, y - 2, z + 3), (1.0, 36, 26)) * -1)
    paint("muscle", np.maximum(np.maximum(falx, dura), -z))
    matter = brain.grey + brain.white
    water *= 1 - matter
    fat *= 1 - matter
    for tissue, part in (("grey", brain.grey), ("white", brain.white)):
        water += np.float32(signals[tissue]) * part * (1 + np.float32(TEXTURE[tissue]) * texture)
    labels = np.where(dura < 0, FLUID, 0).astype(np.uint8)
    labels[brain.grey > 0.5], labels[brain.white > 0.5] = GREY, WHITE
    return water, fat, labels


def small_vessels(
    rng: np.random.Generator, place: dict, shape: Sequence[int], brain: Brain, signals: dict[str, float]
) -> list[tuple[np.ndarray, float]]:
    """Bright arteries that branch over the brain, dark fluid along those that pierce the white matter: (coverage, signal) each."""
    trees = []
    for side in (-1, 1):
        for (x, y, z), (right, back, up) in ARTERIES_MM:
            trees.append(vessels.grow(rng, (side * x, y, z), (side * right, back, up), 1.3, 8))
    arteries = vessels.join(trees)
    start = rng.uniform((-45, -60, -30), (45, 65, 60), (700, 3))
    outward = start * (1.0, 0.6, 1.0) + rng.normal(0, 8, (700, 3)) - (0, 0, 8)
    end = start + outward / np.linalg.norm(outward, axis=1, keepdims=True) * rng.uniform(4, 14, (700, 1))
    spaces = vessels.Tree(start, end, rng.uniform(0.3, 0.8, 700), rng.uniform(0.3, 0.9, 700))
    bright = tubes(arteries, place, shape) * (1 - brain.white) * cover(brain.envelope - 2, 2)
    return [(bright, signals["blood"]), (tubes(spaces, place, shape) * brain.white, 0.3 * signals["grey"])]


def tubes(tree: vessels.Tree, place: dict, shape: Sequence[int]) -> np.ndarray:
    """Part of every point of a grid that the segments of a tree cover, `[Z, H, W]`; those thinner than a point are fainter."""
    axes, size = np.array(place["axes"]), np.array(place["size_mm"])
    step = size / shape
    local = lambda p: (p - place["centre_mm"]) @ axes.T / step + np.array(shape) // 2
    coverage = np.zeros(shape, np.float32)
    for start, end, radius, brightness in zip(local(tree.start), local(tree.end), tree.radius, tree.brightness, strict=True):
        reach = radius / step + 1.5
        low = np.maximum(np.floor(np.minimum(start, end) - reach).astype(int), 0)
        high = np.minimum(np.ceil(np.maximum(start, end) + reach).astype(int) + 1, shape)
        if np.any(low >= high):
            continue
        grid = np.meshgrid(
            *(np.arange(a, b, dtype=np.float32) for a, b in zip(low, high, strict=True)), indexing="ij", sparse=True
        )
        offset = [(g - np.float32(s)) * np.float32(d) for g, s, d in zip(grid, start, step, strict=True)]
        along = ((end - start) * step).astype(np.float32)
        part = np.clip(sum(o * a for o, a in zip(offset, along, strict=True)) / max(float(along @ along), 1e-6), 0, 1)
        distance = np.sqrt(sum((o - part * a) ** 2 for o, a in zip(offset, along, strict=True)))
        width = float(step.min())
        share = brightness * min(1.0, 2 * radius / width)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        np.maximum(coverage[box], np.float32(share) * cover(distance - np.float32(radius), width), out=coverage[box])
    return coverage
