"""Raw cardiac cine scans with known truth: anatomy, contrast, coils, acquisition.

A subject follows from (seed, subject) alone: its card, body, beating heart, coils and noise each draw from their own stream.
"""

from dataclasses import asdict, dataclass

import numpy as np

from data_pipeline.simulator.acquisition import Acquired, acquire, from_magnitude
from data_pipeline.simulator.scene import coil_maps, draw, place_view
from data_pipeline.simulator.subject import Settings, draw_card, stream
from snraware_jax.formats.scan import RawScan

__all__ = ["Acquired", "Settings", "Simulated", "acquire", "from_magnitude", "simulate"]


@dataclass(frozen=True)
class Simulated:
    """One simulated subject.

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


def simulate(seed: int, subject: int, settings: Settings = Settings()) -> Simulated:  # noqa: B008 (frozen)
    """Simulates one subject: a bSSFP cine of a beating heart as a raw multi-coil scan.

    Args:
      seed: of the population.
      subject: index in it; (seed, subject) fixes everything.
      settings: of scanner and population.
    """
    random = lambda name: stream(seed, subject, name)
    card = draw_card(random("subject"), settings)
    fov_mm = tuple(v * card["zoom"] for v in settings.fov_mm)
    view = place_view(card, settings, fov_mm, random("torso"))
    images, labels, volume = draw(card, view, settings, random)
    maps = coil_maps(card, fov_mm, settings.coils, random("coils"))
    acquired = acquire(images, maps, settings, random("noise"), f"simulated-{seed}-{subject}", fov_mm)
    card = {
        **card,
        "seed": seed,
        "subject": subject,
        "signal_snr": acquired.signal_snr,
        "relative_volume": [float(v) for v in volume],
        "fov_mm": list(fov_mm),
        "settings": asdict(settings),
    }
    return Simulated(acquired.scan, acquired.noise_free, acquired.truth, labels, card)
