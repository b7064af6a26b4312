"""One subject's scene: the picture of a view over the frames, tissue by tissue."""

import cmath
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from data_pipeline.simulator import contrast, kinetics
from data_pipeline.simulator import heart as hearts
from data_pipeline.simulator import torso as bodies
from data_pipeline.simulator import view as views
from data_pipeline.simulator.encoding import in_threads
from data_pipeline.simulator.frame import on_matrix
from data_pipeline.simulator.motion import State, Timing, volume_curve
from data_pipeline.simulator.rough import coarser, finer, window_of
from data_pipeline.simulator.shapes import Layer, Window
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
REACH_MM = 3.0  # past the pericardium, where a heart is drawn
ROWS = 216  # of a part of the body at most; much fewer, and two threads get in each other's way
ROUGH = 4  # fine grid points between those where the heart's outline is found
LABELS = {"blood": 1, "venous": 1, "myocardium": 2}
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
    box: Window
    moving: np.ndarray
    labels: np.ndarray


def images(drawn: Drawn) -> np.ndarray:
    """The picture `[T, H, W]` complex64."""
    whole = np.broadcast_to(drawn.still, (len(drawn.moving), *drawn.still.shape)).copy()
    whole[:, drawn.box[0], drawn.box[1]] = drawn.moving
    return whole


def draw(card: dict, view: View, settings: Settings, states: Sequence[State], when: Timing, random: Streams) -> Drawn:
    """Paints the subject in every state.

    Args:
      random: streams of the subject's body, heart, texture, contrast and blood.
    """
    texture = random("texture")
    pattern = wall_pattern(texture, card)
    textures = draw_textures(texture, view)
    signals = contrast.tissue_signals(random("contrast"), settings, view, card)
    body = bodies.draw_torso(card, random("torso"))
    form = hearts.draw_form(random("heart"))
    weights = kinetics.weights(card, settings, when, random("contrast").spawn(1)[0])  # numbers other than those of the signals
    if settings.kind == "retro_cine":
        box = heart_box(card, view)
        still = painted_body(card, body, view, view.body, textured(signals, textures))
        behind = in_held_breath(card, form, view, box, still, states)
    else:
        box, still = (slice(0, view.shape[0]), slice(0, view.shape[1])), np.zeros(view.shape, np.complex64)
        in_frame = lambda index: textured(
            kinetics.weighted(signals, weights, index), moved_textures(textures, view, states[index].breath)
        )
        behind = in_free_breath(card, form, body, view, in_frame, states)
    shape = box[0].stop - box[0].start, box[1].stop - box[1].start
    own = {name: signals[name][box] for name in hearts.TISSUES}
    swirls = swirl(random("blood"), len(states), shape, view.pixel_mm)
    speed = flow(card, when.cycle)

    def frame(index: int) -> tuple[np.ndarray, np.ndarray]:
        picture, outside, place_in = behind(index)
        near = near_heart(outside, view, shape)
        if near is None:
            return picture, np.zeros(settings.matrix, np.uint8)
        beating = hearts.heart(card, form, place_in(near), states[index])
        flowing, wall = stirred(swirls(index, near), card, speed[index]), wall_field(beating, pattern)
        here = kinetics.weighted({name: signal[near] for name, signal in own.items()}, weights, index)
        here |= {name: here[name] * flowing for name in ("blood", "venous")}
        here |= {name: here[name] * (1 + np.float32(TEXTURE[name][0]) * wall) for name in ("myocardium", "fat")}
        here["myocardium"] = kinetics.with_defect(here["myocardium"], weights, index, beating.around, card)
        paint(beating.layers, here, picture[near])
        corner = (box[0].start + near[0].start, box[1].start + near[1].start)
        return picture, heart_labels(beating.layers, view.shape, corner, flowing.shape, settings)

    parts, marked = zip(*map(frame, range(len(states))), strict=True)
    return Drawn(still, box, share_views(np.stack(parts), when.footprint), np.stack(marked))


class Behind(NamedTuple):
    """One frame without the heart, and where the heart is in it.

    Attributes:
      picture: `[h, w]` complex64, to be painted on.
      outside: distance (mm) to the pericardium at the points of `coarser`.
      place_in: the heart's points of a window.
    """

    picture: np.ndarray
    outside: np.ndarray
    place_in: Callable[[Window], hearts.Place]


def in_held_breath(
    card: dict, form: hearts.Form, view: View, box: Window, still: np.ndarray, states: Sequence[State]
) -> Callable[[int], Behind]:
    """The frames behind a heart in a box of a body `still` `[H, W]` that it alone moves."""
    points = view.body[:, box[0], box[1]]
    place = hearts.at(card, form, views.in_heart(view, points), view.pixel_mm)
    rough = hearts.at(card, form, views.in_heart(view, coarser(points, ROUGH)), ROUGH * view.pixel_mm)

    def behind(index: int) -> Behind:
        outline = hearts.outline(card, form, rough, states[index])
        return Behind(moved_background(still, outline, view, box), outline.outside, lambda near: hearts.part(place, near))

    return behind


def in_free_breath(
    card: dict,
    form: hearts.Form,
    body: bodies.Torso,
    view: View,
    in_frame: Callable[[int], Signals],
    states: Sequence[State],
) -> Callable[[int], Behind]:
    """The frames behind a heart in a body that breathes, whose signals in every frame are `in_frame`."""
    rough = coarser(view.body, ROUGH)

    def behind(index: int) -> Behind:
        seen, points = breathed(view, states[index].breath, card)
        at = lambda where, step: hearts.at(card, form, views.in_heart(seen, where), step * view.pixel_mm)
        outside = hearts.outline(card, form, at(rough, ROUGH), states[index]).outside
        picture = painted_body(card, body, seen, points, in_frame(index))
        return Behind(picture, outside, lambda near: at(view.body[:, near[0], near[1]], 1))

    return behind


class Textures(NamedTuple):
    """Unit fields of the body on the view's grid: fine, coarse, network of strands."""

    fine: np.ndarray
    coarse: np.ndarray
    network: np.ndarray


def draw_textures(rng: np.random.Generator, view: View) -> Textures:
    """The body's textures in one slice."""
    unit = lambda exponent, longest: power_law(rng, view.shape, exponent, longest=longest / view.pixel_mm)
    return Textures(unit(2.0, 10), unit(2.0, 60), unit(2.2, 20))


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
    return Textures(turn(textures.fine), turn(textures.coarse), turn(textures.network))


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
    shared = np.empty_like(moving)
    for t, part in enumerate(footprint.astype(np.float32)):  # frame by frame, as the cache likes it
        np.add(moving[t - 1], moving[(t + 1) % len(moving)], out=shared[t])
        shared[t] *= part
        shared[t] += (1 - 2 * part) * moving[t]
    return shared


def heart_box(card: dict, view: View) -> Window:
    """Rows and columns, two at least, that the heart and what it moves can reach; of a slice beside it the nearest points."""
    reach = 80 if card["plane"] == "short_axis" else 96
    middle = view.apex + 0.6 * card["lv_length_mm"] * view.heart_axes[2]
    distance2 = np.square(view.body - middle.astype(np.float32)[:, None, None]).sum(axis=0)
    inside = distance2 <= max(reach, math.sqrt(distance2.min()) + 5) ** 2
    row, column = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    firsts = [min(int(found[0]), n - 2) for found, n in zip((row, column), view.shape, strict=True)]
    stops = [max(int(found[-1]) + 1, first + 2) for found, first in zip((row, column), firsts, strict=True)]
    return slice(firsts[0], stops[0]), slice(firsts[1], stops[1])


def moved_background(still: np.ndarray, outline: hearts.Outline, view: View, box: Window) -> np.ndarray:
    """The body behind the heart, pulled along by it: the displacement decays over 14 mm outside the pericardium, `[h, w]`.

    It is 0 at the borders of the box, where the body that stays begins.

    Args:
      outline: on the grid of `coarser`, between whose points the displacement is taken to be linear.
    """
    shape = box[0].stop - box[0].start, box[1].stop - box[1].start
    decay = np.exp(np.maximum(outline.outside, 0) * np.float32(-1 / 14))
    shift = np.clip(outline.displacement, -12, 12) * decay
    border = inside_box(box, view)
    places = []
    for axis, spacing, part, size in zip((view.down, view.across), view.spacing_mm, box, still.shape, strict=True):
        weights = (view.heart_axes @ axis / spacing).astype(np.float32)
        index = np.arange(part.start, part.stop, dtype=np.float32)
        index = index[:, None] if axis is view.down else index
        moved = border * finer(np.tensordot(weights, shift, 1), ROUGH, shape)
        places.append(np.clip(moved + index, 0, size - 1))
    return sample(still, *places)


def near_heart(outside: np.ndarray, view: View, shape: tuple[int, int]) -> Window | None:
    """The window of `[h, w]` that the heart is drawn in, by its distance at `coarser` points; None if it is not there.

    No point is further from a coarser one than 2.9 grid points; 5, because the distances are of first order.
    """
    return window_of(outside < REACH_MM + 5 * max(view.spacing_mm), ROUGH, shape)


def inside_box(box: Window, view: View) -> np.ndarray:
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


def swirl(
    rng: np.random.Generator, frames: int, shape: tuple[int, int], pixel_mm: float
) -> Callable[[int, Window], np.ndarray]:
    """Texture of moving blood in a window of a frame: unit fields `[h, w]` that drift and turn into others.

    Two patterns drift on random walks while their shares change; neighbouring frames are correlated on large scales and hardly
    on small ones.
    """
    first, second = power_law(rng, (2, *shape), 1.8, longest=26 / pixel_mm)
    steps = rng.normal(0, 2.0 / pixel_mm, (frames, 2, 2)).cumsum(axis=0).round().astype(int)
    angle = rng.normal(0.5, 0.2, frames).cumsum() + rng.uniform(0, 6)

    def at(frame: int, near: Window) -> np.ndarray:
        rows, columns = (np.arange(part.start, part.stop) for part in near)
        one, other = (
            field.take((rows - down) % shape[0], 0).take((columns - across) % shape[1], 1)
            for field, (down, across) in zip((first, second), steps[frame], strict=True)
        )
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
        if not layer.coverage.any():
            continue
        part = canvas[layer.window]
        part += layer.coverage * (signals[layer.tissue][layer.window] - part)
    return canvas


def painted_body(card: dict, body: bodies.Torso, view: View, points: np.ndarray, signals: Signals) -> np.ndarray:
    """The body without its heart, `[H, W]`, in an even number of equal parts, two at once.

    Args:
      points: `[3, H, W]` as in `torso.torso`.
    """
    canvas = np.zeros(view.shape, np.complex64)
    parts = 2 * math.ceil(view.shape[0] / (2 * ROWS))
    rows = math.ceil(view.shape[0] / parts)

    def rows_from(first: int) -> None:
        here = slice(first, first + rows)
        seen = view._replace(middle=(view.middle[0] - first, view.middle[1]))  # what of a view vessels are drawn by
        paint(bodies.torso(card, body, seen, points[:, here]), {name: s[here] for name, s in signals.items()}, canvas[here])

    for _ in in_threads(rows_from, range(0, view.shape[0], rows)):
        pass
    return canvas


def heart_labels(
    layers: Sequence[Layer], fine: tuple[int, int], corner: tuple[int, int], shape: tuple[int, int], settings: Settings
) -> np.ndarray:
    """Labels `[ky, kx]` of the heart in one frame: the tissue on top at the middle of each pixel.

    Args:
      layers: of a part `shape` of the grid `fine`, which begins at `corner`.
    """
    top = np.zeros(shape, np.uint8)
    for layer in layers:
        top[layer.window][layer.coverage > 0.5] = LABELS.get(layer.tissue, 0)
    whole = np.zeros(fine, np.uint8)
    whole[corner[0] : corner[0] + shape[0], corner[1] : corner[1] + shape[1]] = top
    return on_matrix(whole, settings.matrix)


def edge_taper(shape: tuple[int, int]) -> np.ndarray:
    """Outer volume suppression: 1 inside, falling to 0 over the last 3 % of the field of view, so that nothing folds over."""
    sides = [np.sin(0.5 * np.pi * np.clip((0.5 - np.abs((np.arange(n) - n // 2) / n)) / 0.03, 0, 1)) ** 2 for n in shape]
    return np.outer(*sides).astype(np.float32)
