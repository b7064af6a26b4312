"""SNR of regions of interest and contrast between them, from a series and a map of its noise (the paper's Table 3)."""

from typing import NamedTuple

import numpy as np

from snraware_jax.errors import InputError


class Region(NamedTuple):
    """Figures of one region in one series.

    Attributes:
      signal: mean magnitude.
      noise: noise SD, root mean square, per real component: a mean of SDs that were estimated from few replicas would be too low.
      fidelity: how much of the true signal the series has, sum Re(conj(truth) series) / sum |truth|^2; 1 is all of it.
    """

    signal: float
    noise: float
    fidelity: float

    @property
    def snr(self) -> float:
        """Mean magnitude over noise SD."""
        return self.signal / self.noise


def measure(series: np.ndarray, noise: np.ndarray, mask: np.ndarray, truth: np.ndarray) -> Region:
    """Figures of a region.

    A map of the noise says nothing of bias: an output that does not depend on its input has none, and infinite SNR. So `fidelity`
    stands beside the SNR.

    Args:
      series: `[T, H, W]` complex.
      noise: its noise SD, `[T, H, W]` or `[H, W]`, per real component.
      mask: `[T, H, W]` or `[H, W]` bool.
      truth: `[T, H, W]` complex; it must not have noise, whose power would count as signal that the series lacks.

    Raises:
      InputError: if shapes differ, the mask is empty, or the noise is 0 or not finite within it.
    """
    mask, noise = (_of_frames(array, series.shape, name) for array, name in ((mask, "mask"), (noise, "noise map")))
    if truth.shape != series.shape:
        raise InputError(f"the truth is {truth.shape}, the series {series.shape}: they have to be of the same points")
    if mask.dtype != bool:
        raise InputError(f"the mask is {mask.dtype}: give booleans, mask == LABEL")
    if not mask.any():
        raise InputError("the region is empty: no point of the mask is True")
    within = noise[mask]
    if not (np.isfinite(within) & (within > 0)).all():
        raise InputError(
            f"the noise map is 0 or not finite at {np.count_nonzero(~(np.isfinite(within) & (within > 0)))} points of the region: "
            "a series without noise has no SNR"
        )
    true = truth[mask]
    if not true.any():
        raise InputError("the truth is 0 in the whole region: take one with signal")
    fidelity = np.sum(np.real(np.conj(true) * series[mask])) / np.sum(np.abs(true) ** 2)
    return Region(float(np.mean(np.abs(series[mask]))), float(np.sqrt(np.mean(within**2))), float(fidelity))


def contrast_to_noise(one: Region, other: Region) -> float:
    """CNR, 2 (S_one - S_other) / (noise_one + noise_other)."""
    return 2 * (one.signal - other.signal) / (one.noise + other.noise)


def _of_frames(array: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    if array.shape not in (shape, shape[1:]):
        raise InputError(
            f"the {name} is {array.shape}, the series {shape}: give {shape} or {shape[1:]}, the same in every frame"
        )
    return np.broadcast_to(array, shape)
