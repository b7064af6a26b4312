"""One subject's scene: the picture of a view over the frames, tissue by tissue."""

import cmath
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from data_pipeline.simulator import contrast, kinetics
from data_pipeline.simulator import heart as hearts
from data_pipeline.simulator import torso as bodies
from data_pipeline.simulator import view as views
from data_pipeline.simulator.motion import State, Timing, volume_curve
from data_pipeline.simulator.shapes import WHOLE, Layer
from data_pipeline.simulator.subject import Settings
from data_pipeline.simulator.texture import power_law, sample, strands
from data_pipeline.simulator.view import View

# relative SD of the texture, and depth of the dark (negative: bright) strands in it
TEXTURE = {
    "blood": (0.0, 0.0),
    "venous": (0.0, 0.0),
    "myocardium": (0.13, 0.0),
    "fat": (0.18, 0.4),
    "muscle": (0.3, -1.2),
    "liver": (0.22, 0.0),
    "spleen": (0.1, 0.0),
    "lung": (0.7, 0.0),
    "marrow": (0.25, 0.2),
    "disc": (0.08, 0.0),
    "csf": (0.08, 0.0),
    "cord": (0.05, 0.0),
    "cortical": (0.2, 0.0),
}
PATTERN_MM = 0.8
LABELS = {"blood": 1, "venous": 1, "myocardium": 2}
Box = tuple[slice, slice]
Signals = dict[str, np.ndarray]
Streams = Callable[[str], np.random.Generator]


class Drawn(NamedTuple):
    """A picture over the frames, on the fine grid.

    Attributes:
      still: `[H, W]` complex64, what does not change.
      box: rows and columns that change; all of them where the body breathes.
      moving: `[T, h, w]` complex64, the content of the box in every frame.
      labels: `[T, ky, kx]` uint8 of the heart: 0 other, 1 blood, 2 myocardium.
    """

    still: np.ndarray
    box: Box
    moving: np.ndarray
    labels: np.ndarray


def images(drawn: Drawn) -> np.ndarray:
    """The picture `[T, H, W]` complex64."""
    whole = np.broadcast_to(drawn.still, (len(drawn.moving), *drawn.still.shape)).copy()
    whole[:, drawn.box[0], drawn.box[1]] = drawn.moving
    return whole


def draw(
    card: dict, view: View, settings: Settings, states: Sequence[State], when: Timing, random: Streams, labelled: bool = True
) -> Drawn:
    """Paints the subject in every state.

    Args:
      random: streams of the subject's body, heart, texture, contrast and blood.
      labelled: False leaves the labels 0, which saves a tenth of the time.
    """
    body = bodies.draw_torso(card, random("torso"))
    form = hearts.draw_form(random("heart"))
    texture = random("texture")
    unit = lambda exponent, longest: power_law(texture, view.shape, exponent, longest=longest / view.pixel_mm)
    wall = wall_pattern(texture, card)
    textures = Textures(unit(2.0, 10), unit(2.0, 60), unit(2.2, 20), wall)
    signals = contrast.tissue_signals(random("contrast"), settings, view, card)
    weights = kinetics.weights(card, settings, when, random("contrast").spawn(1)[0])  # numbers other than those of the signals
    if settings.kind == "retro_cine":
        box = heart_box(card, view)
        still = paint(bodies.torso(card, body, view, view.body), textured(signals, textures))
    else:
        box, still = (slice(0, view.shape[0]), slice(0, view.shape[1])), np.zeros(view.shape, np.complex64)

    place = hearts.at(card, form, views.in_heart(view, view.body[:, box[0], box[1]]), view.pixel_mm)
    inside = {name: signal[box] for name, signal in signals.items()}
    swirls = swirl(random("blood"), len(states), inside["blood"].shape, view.pixel_mm)
    speed = flow(card, when.cycle)

    def frame(index: int) -> tuple[np.ndarray, np.ndarray]:
        state = states[index]
        if settings.kind == "retro_cine":
            beating = hearts.heart(card, form, place, state)
            part = moved_background(still, beating, view, box)
            current = inside
        else:
            breathing, points = breathed(view, state.breath, card)
            current = kinetics.weighted(signals, weights, index)
            part = paint(
                bodies.torso(card, body, breathing, points), textured(current, moved_textures(textures, view, state.breath))
            )
            moved = hearts.at(card, form, views.in_heart(breathing, view.body), view.pixel_mm)
            beating = hearts.heart(card, form, moved, state)
        flowing, wall = stirred(swirls(index), card, speed[index]), wall_field(beating, textures.wall)
        own = {name: current[name] * flowing for name in ("blood", "venous")}
        own |= {name: current[name] * (1 + np.float32(TEXTURE[name][0]) * wall) for name in ("myocardium", "fat")}
        own["myocardium"] = kinetics.with_defect(own["myocardium"], weights, index, beating.around, card)
        paint(beating.layers, current | own, part)
        marks = heart_labels(beating.layers, view.shape, box, settings) if labelled else np.zeros(settings.matrix, np.uint8)
        return part, marks

    with ThreadPoolExecutor(2) as threads:  # numpy lets go of the interpreter: two frames at once
        parts, marked = zip(*threads.map(frame, range(len(states))), strict=True)
    return Drawn(still, box, share_views(np.stack(parts), when.footprint), np.stack(marked))


class Textures(NamedTuple):
    """Unit fields: of the body on the view's grid (fine, coarse, network of strands), of the heart's wall on PATTERN_MM."""

    fine: np.ndarray
    coarse: np.ndarray
    network: np.ndarray
    wall: np.ndarray


def textured(signals: Signals, textures: Textures) -> Signals:
    """Tissue signals with the body's texture: a fine and a coarse power law, and dark strands in fat and muscle."""
    field = np.float32(0.85) * textures.fine + np.float32(0.53) * textures.coarse
    network = strands(textures.network, 0.22)
    result = {}
    for name, signal in signals.items():
        sd, depth = TEXTURE[name]
        modulation = 1 + np.float32(sd) * field
        result[name] = signal * np.maximum(modulation * (1 - np.float32(depth) * network) if depth else modulation, 0)
    return result


def moved_textures(textures: Textures, view: View, breath: float) -> Textures:
    """The body's fields when its tissue is `breath` mm below: shifted within the plane, others as it passes through it."""
    down, across = (round(breath * -axis[2] / s) for axis, s in zip((view.down, view.across), view.spacing_mm, strict=True))
    angle = breath * view.normal[2] / 10
    cosine, sine = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    turn = lambda field: cosine * np.roll(field, (down, across), (0, 1)) + sine * np.roll(field, (97, 61), (0, 1))
    return Textures(turn(textures.fine), turn(textures.coarse), turn(textures.network), textures.wall)


def breathed(view: View, breath: float, card: dict) -> tuple[View, np.ndarray]:
    """The view as the breathing body sees it, and where the tissue at every pixel was at end expiration `[3, H, W]`.

    The diaphragm moves down by `breath`, the heart by 0.6 of it and a little forward; the chest wall hardly.
    """
    a, b = card["body_half_mm"]
    x, y, z = view.body
    free = np.clip(1.1 - (x / a) ** 4 - (y / b) ** 4, 0.15, 1).astype(np.float32)
    shift = np.float32(breath)
    points = np.stack([x, y + 0.12 * shift * (y < 0) * free, z + shift * free])
    moved = view._replace(
        centre=view.centre + np.array([0, 0, breath]), apex=view.apex + np.array([0, -0.12 * breath, -0.6 * breath])
    )
    return moved, points


def share_views(moving: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Temporal footprint of a segmented readout: frame t holds `footprint[t]` of each neighbour, periodic; `[T, h, w]`."""
    if not footprint.any():
        return moving
    part = footprint.astype(np.float32)[:, None, None]
    return (1 - 2 * part) * moving + part * (np.roll(moving, 1, axis=0) + np.roll(moving, -1, axis=0))


def heart_box(card: dict, view: View) -> Box:
    """Rows and columns that the heart and what it moves can reach; of a slice beside the heart some points that are nearest to it."""
    reach = 80 if card["plane"] == "short_axis" else 96
    middle = view.apex + 0.6 * card["lv_length_mm"] * view.heart_axes[2]
    distance2 = np.square(view.body - middle.astype(np.float32)[:, None, None]).sum(axis=0)
    inside = distance2 <= max(reach, math.sqrt(distance2.min()) + 5) ** 2
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def moved_background(still: np.ndarray, beating: hearts.Beating, view: View, box: Box) -> np.ndarray:
    """The body behind the heart, pulled along by it: the displacement decays over 14 mm outside the pericardium, `[h, w]`.

    It is 0 at the borders of the box, where the body that stays begins.
    """
    decay = np.exp(np.maximum(beating.outside, 0) * np.float32(-1 / 14)) * inside_box(box, view)
    shift = np.clip(beating.displacement, -12, 12) * decay
    places = []
    for axis, spacing, part, size in zip((view.down, view.across), view.spacing_mm, box, still.shape, strict=True):
        weights = (view.heart_axes @ axis / spacing).astype(np.float32)
        index = np.arange(part.start, part.stop, dtype=np.float32)
        index = index[:, None] if axis is view.down else index
        places.append(np.clip(index + sum(w * s for w, s in zip(weights, shift, strict=True)), 0, size - 1))
    return sample(still, *places)


def inside_box(box: Box, view: View) -> np.ndarray:
    """1 inside a box, falling to 0 over 20 mm before those of its sides that lie within the image, `[h, w]` float32."""
    sides = []
    for part, size, spacing in zip(box, view.shape, view.spacing_mm, strict=True):
        index = np.arange(part.start, part.stop)
        before = index - part.start if part.start > 0 else np.full_like(index, size)
        after = part.stop - 1 - index if part.stop < size else np.full_like(index, size)
        sides.append(np.sin(0.5 * np.pi * np.clip(np.minimum(before, after) * spacing / 20, 0, 1)) ** 2)
    return np.outer(*sides).astype(np.float32)


def flow(card: dict, cycle: np.ndarray) -> np.ndarray:
    """Speed of the blood `[T]` at places of the heart's cycle, -1 (out) to 1 (in), by the change of the ventricle's volume."""
    volume = lambda phase: volume_curve(card["ejection_fraction"], card["systole"], phase)
    change = lambda phase: volume(phase + 0.02) - volume(phase - 0.02)
    return change(cycle) / np.abs(change(np.linspace(0, 1, 100))).max()


def swirl(rng: np.random.Generator, frames: int, shape: tuple[int, int], pixel_mm: float) -> Callable[[int], np.ndarray]:
    """Texture of moving blood, frame by frame: unit fields `[h, w]` that drift and turn into others.

    Two patterns drift on random walks while their shares change; neighbouring frames are correlated on large scales and hardly
    on small ones.
    """
    first, second = power_law(rng, (2, *shape), 1.8, longest=26 / pixel_mm)
    steps = rng.normal(0, 2.0 / pixel_mm, (frames, 2, 2)).cumsum(axis=0).round().astype(int)
    angle = rng.normal(0.5, 0.2, frames).cumsum() + rng.uniform(0, 6)

    def at(frame: int) -> np.ndarray:
        one, other = (np.roll(field, tuple(step), (0, 1)) for field, step in zip((first, second), steps[frame], strict=True))
        return np.float32(math.cos(angle[frame])) * one + np.float32(math.sin(angle[frame])) * other

    return at


def stirred(field: np.ndarray, card: dict, speed: float) -> np.ndarray:
    """What flow makes of the signal of blood: inhomogeneity of size `card["flow"]`, more when it is fast, and up to 14 degrees."""
    size = card["flow"] * (0.5 + abs(speed))
    turn = cmath.exp(0.25j * speed)
    return np.complex64(turn) + np.complex64(turn * (size + 0.12j * speed)) * field


def wall_pattern(rng: np.random.Generator, card: dict) -> np.ndarray:
    """A unit field on PATTERN_MM whose period along the fibres is once around the cavity, so that the wall has no seam."""
    around = round(2 * math.pi * card["lv_radius_mm"] / PATTERN_MM)
    return power_law(rng, (256, around), 1.8, longest=11 / PATTERN_MM)


def wall_field(beating: hearts.Beating, pattern: np.ndarray) -> np.ndarray:
    """Texture that moves with the heart's wall, streaked along its fibres; `pattern` of `wall_pattern`."""
    return sample(pattern, beating.fibres[1] / np.float32(PATTERN_MM), beating.fibres[0] / np.float32(PATTERN_MM))


def paint(layers: Sequence[Layer] | Iterator[Layer], signals: Signals, canvas: np.ndarray | None = None) -> np.ndarray:
    """Paints layers in order into `canvas` (a new one if not given), S <- S + v (s - S) with v the coverage.

    The partial volume is complex: where fat and water have opposite phase their border is dark.
    """
    if canvas is None:
        canvas = np.zeros(next(iter(signals.values())).shape, np.complex64)
    for layer in layers:
        part = canvas[layer.window]
        part += layer.coverage * (signals[layer.tissue][layer.window] - part)
    return canvas


def heart_labels(layers: Sequence[Layer], shape: tuple[int, int], box: Box, settings: Settings) -> np.ndarray:
    """Labels `[ky, kx]` of the heart in one frame: the tissue on top at the middle of each pixel."""
    places = []
    for matrix, fine, part in zip(settings.matrix, shape, box, strict=True):
        index = np.round((np.arange(matrix) - matrix // 2) * fine / matrix).astype(int) + fine // 2
        inside = (index >= part.start) & (index < part.stop)
        places.append((inside, index[inside] - part.start))
    local = np.ix_(places[0][1], places[1][1])
    height_width = tuple(part.stop - part.start for part in box)
    top = np.zeros((len(places[0][1]), len(places[1][1])), np.uint8)
    for layer in layers:
        inside = layer.coverage > 0.5
        if layer.window != WHOLE:
            inside, part = np.zeros(height_width, bool), inside
            inside[layer.window] = part
        top[inside[local]] = LABELS.get(layer.tissue, 0)
    labels = np.zeros(settings.matrix, np.uint8)
    labels[np.ix_(places[0][0], places[1][0])] = top
    return labels


def edge_taper(shape: tuple[int, int]) -> np.ndarray:
    """Outer volume suppression: 1 inside, falling to 0 over the last 3 % of the field of view, so that nothing folds over."""
    sides = [np.sin(0.5 * np.pi * np.clip((0.5 - np.abs((np.arange(n) - n // 2) / n)) / 0.03, 0, 1)) ** 2 for n in shape]
    return np.outer(*sides).astype(np.float32)
