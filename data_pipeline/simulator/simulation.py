"""From (seed, subject) to scans: the scene of a protocol, its coils, and the scanner."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_pipeline.simulator import bottles, brain, coils, frame, motion, object_phase, scene, spine
from data_pipeline.simulator import view as views
from data_pipeline.simulator.acquisition import acquire
from data_pipeline.simulator.clean_sample import CleanSample, clean_sample
from data_pipeline.simulator.subject import MOST_SLICES, Settings, draw_card, draw_view, stream
from snraware_jax.errors import InputError
from snraware_jax.formats.scan import RawScan
from snraware_jax.recon import grappa

MAPS = (48, 64)  # grid of the coil maps, which are smooth
HEARTS = ("retro_cine", "realtime_cine", "perfusion")
STANDOFF_MM = {"spine": 15.0, "helmet": 22.0, "birdcage": 30.0}
Streams = Callable[[str], np.random.Generator]


@dataclass(frozen=True)
class Simulated:
    """One slice of one simulated subject, or a volume. Axes in brackets are those of a volume, whose `truth` and `labels` have no T.

    Attributes:
      scan: the raw scan, noise and all.
      noise_free: `[T, C, (kz,) ky, kx_oversampled]` complex64, `scan.kspace` without noise.
      truth: `[T, H, W]` complex64, of a volume `[Z, H, W]`: fully sampled noise-free combination in the SNR units of an R = 1 scan.
      labels: the same shape, uint8; of a heart 0 other, 1 blood, 2 myocardium, of other objects as their module says.
      card: what was drawn; JSON values.
    """

    scan: RawScan
    noise_free: np.ndarray
    truth: np.ndarray
    labels: np.ndarray
    card: dict


@dataclass(frozen=True)
class TrainingSample:
    """A clean series and its g-maps, without a raw scan: `image` `[T, H, W]` complex64, `gmaps` `[7, H, W]` float32 for R = 2 to 8."""

    image: np.ndarray
    gmaps: np.ndarray
    card: dict


class Scene(NamedTuple):
    """What lies in the scanner: object `[T, H, W]` (volume `[D, H, W]`) complex64, labels, coil maps `[C, ...]`, card."""

    images: np.ndarray
    labels: np.ndarray
    maps: np.ndarray
    card: dict


def simulate(seed: int, subject: int, settings: Settings = Settings(), view: int = 0) -> Simulated:  # noqa: B008 (frozen)
    """Simulates one view of one subject as a raw multi-coil scan of a single slice, or a volume.

    Args:
      seed: of the population.
      subject: index in it.
      settings: of scanner and population.
      view: which of the subject's views; (seed, subject, view) fixes everything.
    """
    return study(seed, subject, replace(settings, slices=1), view)[0]


def study(seed: int, subject: int, settings: Settings, view: int = 0, templates: Path | None = None) -> list[Simulated]:
    """Simulates all `settings.slices` of a study: parallel slices of one body, with the same coils, receivers, noise scan and scale.

    Args:
      templates: folder of the MNI ICBM152 files for a brain, which is drawn without them.
    """
    made: list[Simulated] = []
    receiver = scale = None
    for number in range(settings.slices):
        if settings.kind in HEARTS:
            found = heart_scene(seed, subject, settings, view, number)
        else:
            found = object_scene(seed, subject, settings, number, templates)
        name = "-".join(map(str, ("simulated", seed, subject, *([view] if view else []), *([number] if number else []))))
        random = stream(seed, subject, "noise", view * MOST_SLICES + number)
        fov_mm = tuple(found.card["fov_mm"])
        acquired = acquire(found.images, found.maps, settings, random, name, fov_mm, receiver, scale)
        receiver, scale = acquired.receiver, acquired.scale
        card = found.card | {
            "seed": seed,
            "subject": subject,
            "view": view,
            "slice": number,
            "signal_snr": acquired.signal_snr,
            "settings": asdict(settings),
        }
        made.append(Simulated(acquired.scan, acquired.noise_free, acquired.truth, found.labels, card))
    return made


def training_sample(seed: int, subject: int, settings: Settings, view: int = 0) -> TrainingSample:
    """Makes the clean series and the g-maps of one view of a heart without its raw scan.

    Raises:
      InputError: as `check_training`.
    """
    check_training(settings)
    of_view = lambda name: stream(seed, subject, name, view * MOST_SLICES)
    card, drawn, plane = heart_picture(seed, subject, settings, view, 0)
    maps = body_maps(card, plane, settings, stream(seed, subject, "coils"))
    made: CleanSample = clean_sample(drawn.still, drawn.box, drawn.moving, maps, settings, of_view("noise"))
    moving = object_phase.moving(of_view("phase").spawn(1)[0], settings.frames, settings.matrix)
    image = made.image * object_phase.turn(moving)
    card |= {"seed": seed, "subject": subject, "view": view, "signal_snr": made.signal_snr, "settings": asdict(settings)}
    return TrainingSample(image, made.g_maps, card)


def check_training(settings: Settings) -> None:
    """What training samples ask of settings.

    Raises:
      InputError: for another kind of object, or too few calibration lines for the g-maps.
    """
    if settings.kind not in HEARTS:
        raise InputError(f"kind is {settings.kind!r}: training samples are of hearts, choose one of {', '.join(HEARTS)}")
    least = 3 * max(grappa.ACCELERATIONS) + 1
    if settings.calibration_lines < least:
        raise InputError(f"calibration_lines is {settings.calibration_lines}: g-maps to R = 8 need {least} or more")


def heart_scene(seed: int, subject: int, settings: Settings, view: int, number: int) -> Scene:
    """One slice of a beating heart."""
    card, drawn, plane = heart_picture(seed, subject, settings, view, number)
    random = stream(seed, subject, "phase", view * MOST_SLICES + number).spawn(1)[
        0
    ]  # numbers other than those of the still part
    images = scene.images(drawn)
    images *= object_phase.turn(object_phase.moving(random, settings.frames, plane.shape))
    return Scene(images, drawn.labels, body_maps(card, plane, settings, stream(seed, subject, "coils")), card)


def heart_picture(seed: int, subject: int, settings: Settings, view: int, number: int) -> tuple[dict, scene.Drawn, views.View]:
    """Card, picture with the phase that stays the same over the frames, and image plane of one slice of one view."""
    of_body: Streams = lambda name: stream(seed, subject, name)
    of_slice: Streams = lambda name: stream(seed, subject, name, view * MOST_SLICES + number)
    of_view: Streams = lambda name: stream(seed, subject, name, view * MOST_SLICES)
    own = ("texture", "blood")
    card = draw_card(of_body("subject"), settings) | draw_view(of_view("subject"), settings)
    fov_mm = tuple(v * card["zoom"] for v in settings.fov_mm)
    offset = (number - (settings.slices - 1) / 2) * settings.slice_mm
    plane = views.place(card, settings, fov_mm, offset)
    when = motion.timing(card, settings, of_view("heart"))
    states = motion.states(card, when)
    streams: Streams = lambda name: of_slice(name) if name in own else of_body(name)
    drawn = scene.draw(card, plane, settings, states, when, streams)
    turn = object_phase.turn(object_phase.still(of_slice("phase"), plane.shape)) * scene.edge_taper(plane.shape)
    card |= {"relative_volume": [state.volume for state in states], "fov_mm": list(fov_mm)}
    return card, drawn._replace(still=drawn.still * turn, moving=drawn.moving * turn[drawn.box]), plane


def object_scene(seed: int, subject: int, settings: Settings, number: int, templates: Path | None) -> Scene:
    """One slice of a spine or of bottles, or one slab of a brain."""
    random: Streams = lambda name: stream(seed, subject, name)
    if settings.kind == "mprage":
        images, labels, card = brain.volume(random, settings, number, templates)
    else:
        images, labels, card = (spine.images if settings.kind == "spine" else bottles.image)(random, settings, number)
    images = images * object_phase.turn(object_phase.still(stream(seed, subject, "phase", number), images.shape[-2:]))
    depth = len(images) if settings.kind == "mprage" else 1
    points = frame.points(card["frame"], (min(depth, 16), *MAPS))
    if settings.kind != "mprage":
        points = points[:, 0]
    array = settings.array if settings.array != "mixed" else "body"
    half = [float(extent) + STANDOFF_MM.get(array, 40.0) for extent in card["extent_mm"]]
    maps = coils.sensitivities(random("coils"), settings.coils, points, half, array, settings.broken_coil)
    return Scene(images, labels, maps, card | {"fov_mm": list(settings.fov_mm)})


def body_maps(card: dict, plane: views.View, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Sensitivities `[C, 48, 64]` of the array on the subject's chest over the field of view."""
    standoff = rng.uniform(15, 55)
    half = [float(body) + standoff for body in card["body_half_mm"]]
    return coils.sensitivities(rng, settings.coils, views.points(plane, MAPS), half, settings.array, settings.broken_coil)
