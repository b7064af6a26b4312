"""Is it in SNR units? Noise measured beside the object, in the presence of what an object leaves there."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

PATCH = 9
MARGIN = 8
EDGE = 0.05


class BackgroundNoise(NamedTuple):
    """SD of the real and of the imaginary part, and over how many pixels (those of all frames counted)."""

    real: float
    imaginary: float
    count: int


def readout_detail(image: np.ndarray) -> np.ndarray:
    """d(x) = (S(x-1) - 2 S(x) + S(x+1))/sqrt(6) along the last axis: noise of the same SD, smooth content removed.

    A readout is fully sampled, so the noise of neighbouring pixels along it is independent (along ky it is not: lines beyond
    the acquired range are zero). Ringing and residual aliasing, which fill the background of an accelerated scan at some tenths of
    an SNR unit, vary slowly along the readout.
    """
    return (np.roll(image, 1, -1) - 2 * image + np.roll(image, -1, -1)) / np.sqrt(6)


def background(image: np.ndarray) -> np.ndarray:
    """Pixels that hold no object, `[T, H, W]` -> `[H, W]` bool.

    The local power p (mean of |S|^2 over the frames and a patch) has a floor, its 5th percentile. Background is p < 2 floor,
    more than `MARGIN` pixels from p > 10 floor (where edges ring), and not within the fraction `EDGE` of the readout's ends,
    where the receiver's anti-alias filter may roll off. All limits are relative: the choice does not lean towards any noise level.

    Where the object fills the field of view there is no background, and what is returned is its darkest part.
    """
    local = ndimage.uniform_filter(np.mean(np.abs(image) ** 2, axis=0, dtype=np.float64), 7, mode="wrap")
    floor = np.percentile(local, 5)
    beyond = np.asarray(ndimage.distance_transform_edt(local <= 10 * floor)) > MARGIN
    ends = int(np.ceil(EDGE * image.shape[-1]))
    inside = np.zeros(image.shape[-1], bool)
    inside[ends : image.shape[-1] - ends] = True
    return (local < 2 * floor) & beyond & inside


def noise_beside_object(image: np.ndarray) -> BackgroundNoise:
    """Noise SD of a `[T, H, W]` series beside the object: 1 and 1 in SNR units; NaN and 0 pixels where there is no background.

    The median over patches of the SD of `readout_detail` in the `background`: a minority of patches with structure does not
    count. Needs a readout that was neither interpolated nor filtered.
    """
    image = np.asarray(image)
    mask = background(image)
    fraction = ndimage.uniform_filter(mask.astype(float), PATCH, mode="constant")
    dense = mask & (fraction > 0.5)
    if not dense.any():
        return BackgroundNoise(float("nan"), float("nan"), 0)
    detail = readout_detail(image)

    def typical(part: np.ndarray) -> float:
        power = np.where(mask, np.mean(part**2, axis=0, dtype=np.float64), 0)
        patches = ndimage.uniform_filter(power, PATCH, mode="constant")[dense] / fraction[dense]
        return float(np.sqrt(np.median(patches)))

    return BackgroundNoise(typical(np.real(detail)), typical(np.imag(detail)), int(mask.sum()) * len(image))
