"""Noise SD of images from their own background: whether they are in SNR units, and by what they have to be divided."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from snraware_jax.errors import InputError

FEWEST = 200  # voxels of background, whose SD is then known to 2.5 %
BINS = 12  # of the histogram, to one noise SD
UNIT = 0.3  # how far from 1 an SD may be that counts as 1: ghosts and weak signal in the background raise it (a phantom: 1.27 for 1.03)


class Background(NamedTuple):
    """The noise SD of the background.

    Attributes:
      sd: per real component, over g.
      voxels: from which it was estimated.
    """

    sd: float
    voxels: int

    @property
    def in_snr_units(self) -> bool:
        """Whether the noise SD is 1, as well as a background can tell."""
        return abs(self.sd - 1) <= UNIT


def background(data: np.ndarray, g_map: np.ndarray | None = None) -> Background | None:
    """Noise SD where there is no signal, from the magnitude's distribution, which is Rayleigh's there; None if there is no such place.

    The lowest peak of the histogram lies at the SD; magnitudes below twice the SD then give it by their mean square, that of a
    distribution cut off there: E[m^2 | m < t] = 2 sd^2 (1 - x / (e^x - 1)), x = t^2 / (2 sd^2). Magnitudes combined of several
    coils (root of sum of squares) are not Rayleigh's, and give None or too much.

    Args:
      data: `[..., H, W]` complex, or real magnitudes. Exact zeros, of masks and of padding, are left out.
      g_map: over which the SD is taken, `[..., H, W]` that fits; None is 1 everywhere. Points of 0 are left out.

    Source: Sijbers et al., Phys. Med. Biol. 2007, for the idea of the background's mode.
    """
    magnitude = np.abs(data).astype(np.float64)  # whose squares neither vanish nor overflow
    inside = magnitude > 0
    if g_map is not None:
        g_map = np.broadcast_to(g_map, magnitude.shape)
        inside &= g_map > 0
        magnitude = magnitude[inside] / g_map[inside]
    else:
        magnitude = magnitude[inside]
    sd = _first_peak(magnitude)
    if sd is None:
        return None
    for _ in range(20):
        below = magnitude[magnitude < 2 * sd]
        # with t at twice the SD, x = 2: the mean square is 2 sd^2 (1 - 2 / (e^2 - 1)) of what is below
        estimate = float(np.sqrt(np.mean(below**2) / (2 * (1 - 2 / np.expm1(2)))))
        if abs(estimate / sd - 1) < 1e-4:
            break
        sd = estimate
    below = np.count_nonzero(magnitude < 2 * sd)
    # Rayleigh's share below half an SD; tissue that was taken for background has far less there, and clipped noise more
    share, expected = np.count_nonzero(magnitude < sd / 2) / below, np.expm1(-1 / 8) / np.expm1(-2)
    if below < FEWEST or not 0.6 < share / expected < 1.6:
        return None
    return Background(sd, int(below))


def sd_of_noise(data: np.ndarray, g_map: np.ndarray, path: Path) -> float:
    """Noise SD per real component over g of images that hold noise alone: sqrt(mean |n / g|^2 / 2), of magnitudes too.

    Args:
      data: `[..., H, W]` complex, or real magnitudes. Exact zeros, of masks and of padding, are left out.
      g_map: that fits; points of 0 are left out.
      path: of the file, for messages.

    Raises:
      InputError: if there are too few points, or they are no noise of one SD, which has Rayleigh's share below half of it.
    """
    magnitude, g_map = np.abs(data).astype(np.float64), np.broadcast_to(g_map, data.shape)
    inside = (magnitude > 0) & (g_map > 0)
    over = magnitude[inside] / g_map[inside]
    if over.size < 10 * FEWEST:
        raise InputError(
            f"{path}: {over.size} points that are not 0, fewer than {10 * FEWEST}: a noise scan is needed, or --noise-sd SD."
        )
    sd = float(np.sqrt(np.mean(over**2) / 2))
    share, expected = np.mean(over < sd / 2), -np.expm1(-1 / 8)
    if not 0.8 < share / expected < 1.25:
        raise InputError(
            f"{path}: is not noise of one SD over g alone (magnitudes are not Rayleigh's): give a scan without signal."
        )
    return sd


def _first_peak(magnitude: np.ndarray) -> float | None:
    """The place of the lowest peak of the histogram; None of too few values."""
    if magnitude.size < FEWEST:
        return None
    # bins are tried from a twelfth of what a tenth of the values stay below, each half again as wide as the one before
    scale = np.quantile(magnitude, 0.1)
    best: tuple[float, float] | None = None
    for width in scale / BINS * 1.5 ** np.arange(0, 12):
        counts, edges = np.histogram(magnitude, bins=6 * BINS, range=(0, 6 * BINS * width))
        smooth = np.convolve(counts, np.ones(5) / 5, mode="same")
        peak = int(smooth[: 3 * BINS].argmax())
        # at the right scale the peak lies about BINS; farther right the histogram ends before it is over
        miss = abs(np.log((peak + 0.5) / BINS))
        if best is None or miss < best[0]:
            best = miss, float((edges[peak] + edges[peak + 1]) / 2)
        if peak < BINS / 2:
            break
    return None if best is None else best[1]
