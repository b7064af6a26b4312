"""One subject's scene: the plane through the body, the picture of it over the beat, and the coils around it."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from data_pipeline.simulator import acquisition, anatomy, coils, contrast
from data_pipeline.simulator.anatomy import Layer, View
from data_pipeline.simulator.subject import Settings
from data_pipeline.simulator.texture import power_law, sample, strands

# relative SD of the texture, and depth of the dark strands in it
TEXTURE = {
    "blood": (0.03, 0.0),
    "venous": (0.05, 0.0),
    "myocardium": (0.06, 0.0),
    "fat": (0.06, 0.3),
    "muscle": (0.12, 0.25),
    "liver": (0.06, 0.0),
    "lung": (0.35, 0.0),
    "marrow": (0.15, 0.2),
    "disc": (0.08, 0.0),
    "csf": (0.08, 0.0),
    "cord": (0.05, 0.0),
    "cortical": (0.2, 0.0),
}
PATTERN_MM = 0.8
LABELS = {"blood": 1, "venous": 1, "myocardium": 2}
Streams = Callable[[str], np.random.Generator]


def place_view(card: dict, settings: Settings, fov_mm: tuple[float, float], rng: np.random.Generator) -> View:
    """The card's image plane on the fine grid: every fine pixel's place in the torso and in the heart."""
    shape = (settings.fine * settings.matrix[0], settings.fine * settings.matrix[1])
    down, across = acquisition.grid_mm(shape, fov_mm)
    turn = np.deg2rad(card["rotation_deg"])
    a, b = card["body_half_mm"]
    heart_centre = (float(rng.uniform(0.08, 0.18) * a), float(rng.uniform(-0.3, -0.18) * b))
    # the view is centred between heart and torso, nearer the heart the smaller it is
    near = np.clip(1.9 - 1.6 * card["zoom"], 0.2, 1)
    x = np.float32(np.cos(turn)) * across - np.float32(np.sin(turn)) * down
    y = np.float32(np.sin(turn)) * across + np.float32(np.cos(turn)) * down
    if card["flip"]:
        x = -x
    x += np.float32(near * heart_centre[0] + card["shift_mm"][0])
    y += np.float32(near * heart_centre[1] + card["shift_mm"][1])
    origin, axes = anatomy.view_plane(card, rng)
    pixel = min(f / n for f, n in zip(fov_mm, shape, strict=True))
    return View(np.stack([x, y]) / np.float32(card["scale"]), pixel / card["scale"], origin, axes, heart_centre)


def draw(card: dict, view: View, settings: Settings, random: Streams) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Paints the subject.

    Returns:
      images `[T, fine * ky, fine * kx]` complex64 of the object, labels `[T, ky, kx]` uint8, relative volume `[T]`.
    """
    shape = view.torso.shape[1:]
    contrast_rng, texture_rng, blood_rng, phase_rng = random("contrast"), random("texture"), random("blood"), random("phase")
    off_resonance = contrast.off_resonance_map(
        contrast_rng, view.torso, view.heart_centre, settings.field_strength, card["band"]
    )
    signals = contrast.tissue_signals(contrast_rng, settings, off_resonance, contrast.transmit_map(contrast_rng, view.torso))

    still = np.zeros(shape, np.complex64)
    paint(still, anatomy.torso(card, view, random("torso")), still_texture(signals, texture_rng, view.pixel_mm))
    images = np.broadcast_to(still, (settings.frames, *shape)).copy()
    labels = np.zeros((settings.frames, *settings.matrix), np.uint8)

    box = heart_box(card, view)
    heart = anatomy.heart_shape(card, view, box, random("heart"))
    states = anatomy.heart_motion(card, settings.frames)
    inside = {name: signal[box] for name, signal in signals.items()}
    pattern = power_law(texture_rng, (256, 256), 1.4, longest=18 / PATTERN_MM)
    blood = blood_signals(inside, states, blood_rng, view.pixel_mm)
    # frame by frame: the arrays of one frame stay in the cache, twice as fast as all frames at once
    for frame, (state, flowing) in enumerate(zip(states, blood, strict=True)):
        beating = anatomy.heart(card, heart, state)
        part = moved_background(still, beating, view, box)
        paint(part, beating.layers, wall_texture(inside, beating, pattern) | flowing)
        images[frame][box] = part
        label_heart(labels[frame], beating.layers, shape, box, settings)
    images = share_views(images, card["footprint"], box)
    images *= np.exp(1j * acquisition.smooth_phase(phase_rng, settings.frames, shape)).astype(np.complex64)
    images *= edge_taper(shape)
    return images, labels, np.array([state.volume for state in states])


def share_views(images: np.ndarray, footprint: float, box: tuple[slice, slice]) -> np.ndarray:
    """Temporal footprint of a segmented, retro-gated readout: every phase holds `footprint` of each neighbour, periodic."""
    part = images[:, box[0], box[1]]
    blurred = (1 - 2 * footprint) * part + footprint * (np.roll(part, 1, axis=0) + np.roll(part, -1, axis=0))
    images[:, box[0], box[1]] = blurred
    return images


def heart_box(card: dict, view: View) -> tuple[slice, slice]:
    """Rows and columns that the heart and what it moves can reach."""
    reach = 85 if card["plane"] == "short_axis" else 105
    distance = np.hypot(view.torso[0] - view.heart_centre[0], view.torso[1] - view.heart_centre[1])
    inside = distance < reach
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def moved_background(still: np.ndarray, beating: anatomy.Heart, view: View, box: tuple[slice, slice]) -> np.ndarray:
    """The torso behind the heart, pulled along by it: the displacement decays over 14 mm outside the pericardium, `[h, w]`."""
    decay = np.exp(-np.maximum(beating.outside, 0) / np.float32(14))
    dx, dy = np.clip(beating.displacement, -12, 12) * decay
    # torso millimetres to fine pixels: the inverse of the (constant) gradient of view.torso
    gradient = np.stack([view.torso[:, -1, 0] - view.torso[:, 0, 0], view.torso[:, 0, -1] - view.torso[:, 0, 0]], axis=1)
    gradient = gradient / (np.array(view.torso.shape[1:]) - 1)
    inverse = np.linalg.inv(gradient).astype(np.float32)
    row = np.arange(box[0].start, box[0].stop, dtype=np.float32)[:, None] + inverse[0, 0] * dx + inverse[0, 1] * dy
    column = np.arange(box[1].start, box[1].stop, dtype=np.float32) + inverse[1, 0] * dx + inverse[1, 1] * dy
    return sample(still, np.clip(row, 0, still.shape[0] - 1), np.clip(column, 0, still.shape[1] - 1))


def still_texture(signals: dict, rng: np.random.Generator, pixel_mm: float) -> dict[str, np.ndarray]:
    """Tissue signals with the torso's texture: a fine and a coarse power law, and dark strands in fat and muscle."""
    shape = next(iter(signals.values())).shape
    fine = power_law(rng, shape, 1.3, longest=18 / pixel_mm)
    coarse = power_law(rng, shape, 2.0, longest=60 / pixel_mm)
    network = strands(power_law(rng, shape, 1.9, longest=14 / pixel_mm), 0.22)
    textured = {}
    for name, signal in signals.items():
        sd, depth = TEXTURE[name]
        modulation = 1 + np.float32(sd) * (np.float32(0.8) * fine + np.float32(0.6) * coarse)
        textured[name] = signal * np.maximum(modulation * (1 - np.float32(depth) * network) if depth else modulation, 0)
    return textured


def wall_texture(signals: dict, beating: anatomy.Heart, pattern: np.ndarray) -> dict[str, np.ndarray]:
    """Tissue signals of the heart with a texture that moves with its wall; `pattern` is a unit field on PATTERN_MM spacing."""
    field = sample(pattern, beating.material[1] / PATTERN_MM, beating.material[0] / PATTERN_MM)
    return signals | {name: signals[name] * (1 + TEXTURE[name][0] * field) for name in ("myocardium", "fat")}


def blood_signals(
    signals: dict, states: list[anatomy.State], rng: np.random.Generator, pixel_mm: float
) -> Iterator[dict[str, np.ndarray]]:
    """Signals of moving blood, frame by frame: texture of which 0.7 survives a frame, and flow phase of up to some 20 degrees."""
    flow = np.gradient([state.volume for state in states])
    flow = flow / np.abs(flow).max()
    shape = signals["blood"].shape
    swirl = power_law(rng, shape, 1.6, longest=25 / pixel_mm)
    for velocity in flow:
        phase = (0.25 * float(velocity)) * (1 + 0.5 * swirl)
        spin = np.exp(1j * phase)
        yield {name: signals[name] * ((1 + TEXTURE[name][0] * swirl) * spin) for name in ("blood", "venous")}
        swirl = 0.7 * swirl + math.sqrt(1 - 0.7**2) * power_law(rng, shape, 1.6, longest=25 / pixel_mm)


def paint(canvas: np.ndarray, layers: list[Layer], signals: dict[str, np.ndarray]) -> None:
    """Paints layers in order into `canvas`, S <- S + v (s - S) with v the coverage.

    The partial volume is complex: where fat and water have opposite phase their border is dark.
    """
    for layer in layers:
        canvas += layer.coverage * (signals[layer.tissue] - canvas)


def label_heart(
    labels: np.ndarray, layers: list[Layer], shape: tuple[int, int], box: tuple[slice, slice], settings: Settings
) -> None:
    """Writes one frame's labels `[ky, kx]` of the heart: the tissue on top at the middle of each pixel."""
    rows, columns = ((np.arange(m) - m // 2) * settings.fine + n // 2 for m, n in zip(settings.matrix, shape, strict=True))
    inside_rows = (rows >= box[0].start) & (rows < box[0].stop)
    inside_columns = (columns >= box[1].start) & (columns < box[1].stop)
    local = np.ix_(rows[inside_rows] - box[0].start, columns[inside_columns] - box[1].start)
    top = np.zeros((inside_rows.sum(), inside_columns.sum()), np.uint8)
    for layer in layers:
        top[layer.coverage[local] > 0.5] = LABELS.get(layer.tissue, 0)
    labels[np.ix_(inside_rows, inside_columns)] = top


def edge_taper(shape: tuple[int, int]) -> np.ndarray:
    """Outer volume suppression: 1 inside, falling to 0 over the last 3 % of the field of view, so that nothing folds over."""
    sides = [np.sin(0.5 * np.pi * np.clip((0.5 - np.abs((np.arange(n) - n // 2) / n)) / 0.03, 0, 1)) ** 2 for n in shape]
    return np.outer(*sides).astype(np.float32)


def coil_maps(card: dict, fov_mm: tuple[float, float], coil_count: int, rng: np.random.Generator) -> np.ndarray:
    """Sensitivities `[C, 48, 64]` of the subject's array over the field of view; the plane is oblique to the cylinder."""
    down, across = acquisition.grid_mm((48, 64), fov_mm)
    tilt = rng.normal(0, 0.35, 2)
    points = np.stack([across, down, np.float32(tilt[0]) * across + np.float32(tilt[1]) * down])
    standoff = rng.uniform(25, 50)
    # the array lies on the body, but never inside the image
    half = [max(body + standoff, 0.5 * fov + 25) for body, fov in zip(card["body_half_mm"], fov_mm[::-1], strict=True)]
    return coils.sensitivities(rng, coil_count, points, (half[0], half[1]))
