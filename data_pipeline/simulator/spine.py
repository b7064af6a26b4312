"""Sagittal T2-weighted turbo spin echo of a spine: all slices of a subject cut one three-dimensional model.

Labels: 0 other, 1 cerebrospinal fluid, 2 cord and nerve roots, 3 vertebral bodies, 4 discs.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from data_pipeline.simulator import view as views
from data_pipeline.simulator.contrast import TISSUES, Tissue
from data_pipeline.simulator.fourier import transform
from data_pipeline.simulator.frame import frame, on_matrix, points, turned
from data_pipeline.simulator.relaxation import displaced, echo_train, fat_displacement, turbo_spin_echo
from data_pipeline.simulator.shapes import cover
from data_pipeline.simulator.spine_anatomy import paint_spine
from data_pipeline.simulator.spine_column import LEVELS, column
from data_pipeline.simulator.subject import Settings
from data_pipeline.simulator.texture import power_law, strands

TE_MS, ECHO_SPACING_MS, ECHOES = 89.0, 9.9, 16
BASE_T2_MS = (35.0, 120.0, 1500.0)  # between which the blur along ky is interpolated
SAGITTAL = ((1, 0, 0), (0, 0, -1), (0, 1, 0))  # through, down, across: seen from the right, anterior on the left

# fat of a train of refocusing pulses decays slowly (its J-coupling is undone); marrow here is its water
SPINE_TISSUES = TISSUES | {
    "fat": Tissue((290, 370), (125, 115), 0.80),
    "marrow": Tissue((900, 1000), (52, 46), 0.75),
    "nucleus": Tissue((1100, 1250), (125, 105), 0.90),
    "annulus": Tissue((900, 1050), (36, 32), 0.60),
    "ligament": Tissue((900, 1000), (9, 8), 0.45),
    "root": Tissue((1000, 1150), (82, 74), 0.75),
    "vein": Tissue((1500, 1800), (170, 120), 0.70),
    "flow": Tissue((1550, 1850), (200, 150), 0.05),
    "kidney": Tissue((970, 1190), (88, 76), 0.85),
    "air": Tissue((1000, 1000), (10, 10), 0.0),
}
# relative SD of the texture: fine power law, trabeculae, dark strands
TEXTURE = {
    "fat": (0.16, 0.0, 0.55),
    "marrow": (0.12, 0.22, 0.0),
    "muscle": (0.22, 0.10, 0.0),
    "annulus": (0.18, 0.10, 0.25),
    "nucleus": (0.10, 0.05, 0.0),
    "csf": (0.03, 0.0, 0.0),
    "cord": (0.05, 0.04, 0.0),
    "ligament": (0.35, 0.15, 0.0),
    "liver": (0.12, 0.08, 0.0),
    "kidney": (0.12, 0.08, 0.0),
}


def images(
    random: Callable[[str], np.random.Generator], settings: Settings, number: int = 0
) -> tuple[np.ndarray, np.ndarray, dict]:
    """One sagittal slice of a subject.

    Args:
      random: stream of a name ("subject", "texture", "contrast") of this subject.
      settings: matrix, field of view, slices and their distance, fine grid, TR; TE is 89 ms.
      number: of the slice, from the patient's right to the left.

    Returns:
      object `[1, H, W]` complex64, labels `[1, ky, kx]` uint8, and the card: JSON values, mm, with the `frame` of the slice and
      `extent_mm`, half axes (x, y) of the trunk about the origin.
    """
    card = draw_card(random("subject"), settings)
    spine = column(card)
    shape = views.fine_shape(settings, settings.fov_mm)
    place = _frame(card, spine.at, settings, number)
    body = points(place, (1, *shape))[:, 0]
    pixel = min(fov / n for fov, n in zip(settings.fov_mm, shape, strict=True))
    paper = blank(shape, pixel, tissues(random("contrast"), settings), random("texture").spawn(number + 1)[number])
    paint_spine(paper, body, spine, card, settings.slice_mm, random("torso"))
    paper.signal[-1] = displaced(paper.signal[-1], fat_displacement(settings))
    blurred = blur(paper.signal, (*BASE_T2_MS, paper.tissues["fat"][1]), settings)
    return blurred[None], on_matrix(paper.labels, settings.matrix)[None], card | {"frame": place, "slice": number}


def draw_card(rng: np.random.Generator, settings: Settings) -> dict:
    """Draws one spine: JSON values, lengths in mm, angles in degrees, one entry a level where there are several."""
    uniform = lambda low, high: float(rng.uniform(low, high))
    age = rng.uniform(0, 1)
    # the lower a disc is, the sooner it wears
    wear = np.clip(rng.normal(1.1 * age - 0.35, 0.28, len(LEVELS)) + 0.2 * (np.arange(len(LEVELS)) > 20), 0, 1)
    middle = uniform(16.5, 21.0) if rng.random() < 0.65 else uniform(11.0, 16.5)
    scale, depth, fat = uniform(0.88, 1.1), uniform(185, 260), float(6 + rng.gamma(2.5, 5.0))
    return {
        "scale": scale,
        "age": float(age),
        "middle_level": middle,
        "kyphosis": uniform(0.5, 1.35),
        "lordosis": uniform(0.45, 1.35),
        "scoliosis_mm": float(rng.normal(0, 2.5)),
        "tilt_deg": [float(v) for v in rng.normal(0, 1.5, 2)],
        "shift_mm": [float(v) for v in rng.normal((0, 38), (2, 10))],
        "height": [float(v) for v in rng.normal(1, 0.03, len(LEVELS))],
        "wear": [float(v) for v in wear],
        "bulge_mm": [float(v) for v in rng.uniform(0.3, 1.0) + 4.0 * wear * rng.random(len(LEVELS)) ** 2],
        "slip_mm": [float(v) for v in rng.normal(0, 0.4, len(LEVELS)) + 4 * (rng.random(len(LEVELS)) < 0.03)],
        "compressed": [float(v) for v in rng.uniform(0.15, 0.5, len(LEVELS)) * (rng.random(len(LEVELS)) < 0.04 * age)],
        "marrow_fat": float(np.clip(0.3 + 0.3 * age + rng.normal(0, 0.06), 0.2, 0.75)),
        "level_fat": [float(v) for v in rng.normal(0, 0.04, len(LEVELS))],
        "canal": uniform(0.85, 1.15),
        "conus_level": float(rng.normal(19.2, 0.45)),
        "cord": uniform(0.9, 1.1),
        "fat_mm": fat,
        "muscle_fat": float(np.clip(0.05 + 0.3 * age + rng.normal(0, 0.08), 0.02, 0.5)),
        "depth_mm": depth,
        "saturation": float(rng.uniform(0.05, 0.3) if rng.random() < 0.6 else 1.0),
        "saturation_mm": uniform(18, 45),
        "flow": uniform(0.1, 0.5),
        "extent_mm": [uniform(150, 190), 0.5 * (depth + fat)],
        "form": int(rng.integers(2**31)),
    }


def tissues(rng: np.random.Generator, settings: Settings) -> dict[str, tuple[float, float]]:
    """Signal and T2 (ms) of every tissue in this subject."""
    column = _column(settings)
    found = {}
    for name, tissue in SPINE_TISSUES.items():
        t1, t2, density = (
            value * math.exp(v)
            for value, v in zip((tissue.t1[column], tissue.t2[column], tissue.density), rng.normal(0, 0.05, 3), strict=True)
        )
        found[name] = turbo_spin_echo(t1, t2, density, settings.tr_ms, TE_MS), t2
    return found


class Paper(NamedTuple):
    """What is painted on, a slice or a part of it; every shape changes it in place.

    Attributes:
      signal: `[4, h, w]` of water with each of `BASE_T2_MS`, and of fat.
      labels: `[h, w]` uint8.
      pixel_mm: of the fine grid.
      tissues: signal and T2 of every tissue.
      fine, trabeculae, network: textures of the whole slice `[H, W]`.
      box: rows and columns of the part.
    """

    signal: np.ndarray
    labels: np.ndarray
    pixel_mm: float
    tissues: dict[str, tuple[float, float]]
    fine: np.ndarray
    trabeculae: np.ndarray
    network: np.ndarray
    box: tuple[slice, slice] = (slice(None), slice(None))

    def within(self, box: tuple[slice, slice]) -> "Paper":
        """A part of the whole slice."""
        return self._replace(signal=self.signal[:, box[0], box[1]], labels=self.labels[box], box=box)

    def texture(self, tissue: str, box: tuple[slice, slice]) -> np.ndarray | float:
        """Relative signal of a tissue in a box of this part."""
        if tissue not in TEXTURE:
            return 1.0
        fine, trabeculae, network = (np.float32(v) for v in TEXTURE[tissue])
        modulation = 1 + fine * self.fine[self.box][box]
        if trabeculae:
            modulation += trabeculae * self.trabeculae[self.box][box]
        if network:
            modulation *= 1 - network * self.network[self.box][box]
        return np.maximum(modulation, 0)

    def paint(
        self,
        tissue: str,
        distance: np.ndarray,
        opacity: np.ndarray | float = 1.0,
        fat: np.ndarray | float = 0.0,
        gain: np.ndarray | float = 1.0,
        label: int | None = None,
        soften: float = 1.0,
    ) -> None:
        """Lays a tissue over what is there.

        Args:
          distance: signed, mm.
          opacity: part of the covered signal that it replaces.
          fat: share of its signal that is fat's instead.
          gain: factor on its signal.
          label: that it gets where it covers more than half; 0 if not given.
          soften: width of its border in pixels.
        """
        near = distance < self.pixel_mm * soften
        rows, columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
        if not len(rows):
            return
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        cut = lambda value: value[box] if isinstance(value, np.ndarray) else np.float32(value)
        coverage = cover(distance[box], soften * self.pixel_mm) * cut(opacity)
        texture = coverage * self.texture(tissue, box) * cut(gain)
        signal, t2 = self.tissues[tissue]
        share = np.float32(1) if tissue == "fat" else cut(fat)
        water = np.float32(signal) * texture * (1 - share)
        self.signal[(slice(None), *box)] *= 1 - coverage
        for channel, weight in zip(self.signal, t2_weights(t2), strict=False):
            if weight and tissue != "fat":
                channel[box] += weight * water
        self.signal[-1][box] += np.float32(self.tissues["fat"][0]) * texture * share
        marks = self.labels[box]
        marks[coverage > 0.5] = label or 0


def blank(shape: tuple[int, int], pixel_mm: float, tissues: dict[str, tuple[float, float]], rng: np.random.Generator) -> Paper:
    """A slice without anything on it, and the textures of what will be."""
    field = lambda exponent, longest, shortest=0.0: power_law(rng, shape, exponent, longest / pixel_mm, shortest / pixel_mm)
    fine = 0.85 * field(1.7, 9) + 0.5 * field(2.0, 60)
    signal = np.zeros((len(BASE_T2_MS) + 1, *shape), np.float32)
    network = strands(field(2.0, 22), 0.2)
    return Paper(signal, np.zeros(shape, np.uint8), pixel_mm, tissues, fine, field(1.0, 6, 0.6), network)


def t2_weights(t2: float) -> np.ndarray:
    """Shares of `BASE_T2_MS` that stand for a T2 (ms), linear in its logarithm, `[3]` float32."""
    place = np.interp(math.log(t2), np.log(BASE_T2_MS), np.arange(len(BASE_T2_MS)))
    return np.clip(1 - np.abs(place - np.arange(len(BASE_T2_MS))), 0, 1).astype(np.float32)


def blur(signals: np.ndarray, t2: Sequence[float], settings: Settings) -> np.ndarray:
    """Sum of pictures `[N, H, W]` whose k-space along ky decays with their T2 (ms) over the echo train; complex64."""
    rows, lines = signals.shape[1], settings.matrix[0]
    before = rows // 2 - lines // 2
    around = (before, rows - lines - before)
    kspace = np.zeros(signals.shape[1:], np.complex64)
    for signal, time in zip(signals, t2, strict=True):
        weight = np.pad(echo_train(lines, ECHO_SPACING_MS, TE_MS, ECHOES, time), around, mode="edge").astype(np.float32)
        kspace += transform(signal, -2) * weight[:, None]
    return transform(kspace, -2, inverse=True)


def _column(settings: Settings) -> int:
    """Of the tissue table: 1.5 T or 3 T."""
    return 0 if settings.field_strength == 1.5 else 1


def _frame(card: dict, at: np.ndarray, settings: Settings, number: int) -> dict:
    """A slice through the middle level of the card, `number` slices from the patient's right."""
    axes = turned(np.array(SAGITTAL, float), (0, *card["tilt_deg"]))
    level = np.array([np.interp(card["middle_level"], np.arange(len(at)), at[:, axis]) for axis in range(3)])
    offset = card["shift_mm"][0] + (number - (settings.slices - 1) / 2) * settings.slice_mm
    centre = level + offset * axes[0] - card["shift_mm"][1] * axes[2]
    return frame(centre, axes, (settings.slice_mm, *settings.fov_mm))
