"""Raw scans with known truth: anatomy, contrast, coils, acquisition.

A subject follows from (seed, subject) alone: card, body, beating heart, coils and noise each draw from their own stream, what
belongs to one view of it from streams of (seed, subject, view).
"""

from dataclasses import asdict, dataclass

import numpy as np

from data_pipeline.simulator import coils, motion, object_phase, scene
from data_pipeline.simulator import view as views
from data_pipeline.simulator.acquisition import Acquired, acquire, from_magnitude
from data_pipeline.simulator.subject import Settings, draw_card, draw_view, stream
from snraware_jax.formats.scan import RawScan

__all__ = ["Acquired", "Settings", "Simulated", "acquire", "from_magnitude", "simulate"]


@dataclass(frozen=True)
class Simulated:
    """One view of one simulated subject.

    Attributes:
      scan: the raw scan, noise and all.
      noise_free: `[T, C, ky, kx_oversampled]` complex64, `scan.kspace` without noise.
      truth: `[T, H, W]` complex64, fully sampled noise-free combination in the SNR units of an R = 1 scan (see `Acquired`).
      labels: `[T, H, W]` uint8 of the heart: 0 other, 1 blood, 2 myocardium.
      card: what was drawn, and the volume curve; JSON values.
    """

    scan: RawScan
    noise_free: np.ndarray
    truth: np.ndarray
    labels: np.ndarray
    card: dict


def simulate(seed: int, subject: int, settings: Settings = Settings(), view: int = 0) -> Simulated:  # noqa: B008 (frozen)
    """Simulates one view of one subject: a series of a beating heart as a raw multi-coil scan.

    Args:
      seed: of the population.
      subject: index in it.
      settings: of scanner and population.
      view: which of the subject's views; (seed, subject, view) fixes everything.
    """
    card, drawn, plane = picture(seed, subject, settings, view)
    of_body, of_view = (lambda name: stream(seed, subject, name)), (lambda name: stream(seed, subject, name, view))
    phase = object_phase.moving(of_view("phase"), settings.frames, plane.shape)
    maps = coil_maps(card, plane, settings, of_body("coils"))
    name = f"simulated-{seed}-{subject}" + (f"-{view}" if view else "")
    acquired = acquire(scene.images(drawn) * np.exp(1j * phase), maps, settings, of_view("noise"), name, tuple(card["fov_mm"]))
    card = card | {"signal_snr": acquired.signal_snr}
    return Simulated(acquired.scan, acquired.noise_free, acquired.truth, drawn.labels, card)


def picture(seed: int, subject: int, settings: Settings, view: int) -> tuple[dict, scene.Drawn, views.View]:
    """Card, picture with its phase that stays the same over the frames, and image plane of one view of one subject."""
    of_body, of_view = (lambda name: stream(seed, subject, name)), (lambda name: stream(seed, subject, name, view))
    card = draw_card(of_body("subject"), settings) | draw_view(of_view("subject"), settings)
    fov_mm = tuple(v * card["zoom"] for v in settings.fov_mm)
    plane = views.place(card, settings, fov_mm)
    when = motion.timing(card, settings, of_view("heart"))
    states = motion.states(card, when)
    drawn = scene.draw(card, plane, settings, states, when, of_body)
    turn = np.exp(1j * object_phase.still(of_view("phase"), plane.shape)) * scene.edge_taper(plane.shape)
    drawn = drawn._replace(still=drawn.still * turn, moving=drawn.moving * turn[drawn.box])
    card |= {
        "seed": seed,
        "subject": subject,
        "view": view,
        "relative_volume": [state.volume for state in states],
        "fov_mm": list(fov_mm),
        "settings": asdict(settings),
    }
    return card, drawn, plane


def coil_maps(card: dict, plane: views.View, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Sensitivities `[C, 48, 64]` of the subject's array over the field of view."""
    standoff = rng.uniform(40, 75)
    half = [float(body) + standoff for body in card["body_half_mm"]]
    points = views.points(plane, (48, 64))
    return coils.sensitivities(rng, settings.coils, points, half, settings.array, settings.broken_coil)
