"""Classical denoisers to beat: Gaussian filter, 3-D total variation and non-local means, given the same g-map as the network.

Each divides the series by g (unit noise everywhere), filters real and imaginary part as volumes over (T, H, W), and multiplies
by g again.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

from snraware_jax.metrics import gain_db

if TYPE_CHECKING:
    from snraware_jax.evaluation.in_distribution import Case

# (temporal, spatial) widths that `best_gaussian` chooses from, in frames and pixels
WIDTHS = tuple((temporal, spatial) for temporal in (0.0, 0.5, 1.0, 1.5) for spatial in (0.0, 0.5, 0.75, 1.0, 1.5))
# strengths that `best_nlm` chooses from, in units of the noise
STRENGTHS = (0.3, 0.5, 0.7, 0.9, 1.2, 1.6)


def _in_unit_noise(filter_part: Callable[[np.ndarray], np.ndarray], y: np.ndarray, g: np.ndarray) -> np.ndarray:
    """g * filter(y / g), the filter applied to real and imaginary part by themselves."""
    _require_positive(g)
    unit = y / g
    return ((filter_part(unit.real) + 1j * filter_part(unit.imag)) * g).astype(np.complex64)


def _require_positive(g: np.ndarray) -> None:
    if not np.all(g > 0):
        raise ValueError(
            f"g-map has {np.count_nonzero(~(g > 0))} values that are not positive: set them to 1 or crop them away"
        )


def gaussian(y: np.ndarray, g: np.ndarray, width: float | tuple[float, float]) -> np.ndarray:
    """Gaussian filter over time and space: `y [T, H, W]` complex, `g [H, W]` -> `[T, H, W]` complex64, in the units of `y`.

    `width` is the standard deviation of the kernel: one number for all axes, or (temporal, spatial), in frames and pixels; 0
    leaves an axis alone.

    Raises:
      ValueError: if `g` is not positive everywhere.
    """
    temporal, spatial = width if isinstance(width, tuple) else (width, width)
    return _in_unit_noise(partial(gaussian_filter, sigma=(temporal, spatial, spatial), mode="reflect"), y, g)


def tv3d(y: np.ndarray, g: np.ndarray, weight: float = 0.9) -> np.ndarray:
    """Total variation over (T, H, W): argmin_x |x - y/g|^2 / (2 weight) + sum |grad x|, times g, for real and imaginary part.

    `y [T, H, W]` complex, `g [H, W]` -> `[T, H, W]` complex64. `weight` 0.9 suits unit noise at any SNR. It stops by
    scikit-image's default (relative change of 2e-4, at most 200 iterations). Iterating to 1e-6 instead changed the mean gain on two
    slices of a real cine by +0.2, -0.1, +1.0 dB at peak SNR 4, 8, 16 with coloured noise, and by -0.6 to -0.3 dB with white noise.

    Raises:
      ValueError: if `g` is not positive everywhere.

    Source: Chambolle, J. Math. Imaging Vis. 2004 (scikit-image).
    """
    return _in_unit_noise(partial(denoise_tv_chambolle, weight=weight), y, g)


def nlm3d(y: np.ndarray, g: np.ndarray, strength: float = 0.9) -> np.ndarray:
    """Non-local means over (T, H, W), weights exp(-max(d^2 - 2, 0) / strength^2) of the mean complex difference of 3 x 3 x 3 patches.

    `y [T, H, W]` complex, `g [H, W]` -> `[T, H, W]` complex64; the search window is 7 x 7 x 7, and y / g has unit noise.

    Raises:
      ValueError: if `g` is not positive everywhere.

    Source: Buades et al., CVPR 2005 (scikit-image).
    """
    _require_positive(g)
    parts = np.stack([(y / g).real, (y / g).imag], axis=-1).astype(np.float32)
    smooth = denoise_nl_means(parts, patch_size=3, patch_distance=3, h=strength, sigma=1.0, fast_mode=True, channel_axis=-1)
    return ((smooth[..., 0] + 1j * smooth[..., 1]) * g).astype(np.complex64)


def best_nlm(cases: "Sequence[Case]", strengths: Sequence[float] = STRENGTHS) -> float:
    """The strength whose mean gain over every third of `cases` is largest: an oracle, as `best_gaussian`.

    Raises:
      ValueError: if there are no cases.
    """
    if not cases:
        raise ValueError("no cases to choose a strength on: give at least one")
    mean_gain = lambda h: np.mean([gain_db(c.noisy, nlm3d(c.noisy, c.g_map, h), c.clean) for c in cases[::3]])
    return max(strengths, key=mean_gain)


def best_gaussian(cases: "Sequence[Case]", widths: Sequence[tuple[float, float]] = WIDTHS) -> tuple[float, float]:
    """The (temporal, spatial) width whose mean gain over `cases` is largest.

    An oracle: it looks at the truth of the very cases that it is then judged on, which favours this baseline. A network that
    beats it beats any fixed Gaussian of the list.

    Raises:
      ValueError: if there are no cases.
    """
    if not cases:
        raise ValueError("no cases to choose a Gaussian width on: give at least one")
    mean_gain = lambda width: np.mean([gain_db(c.noisy, gaussian(c.noisy, c.g_map, width), c.clean) for c in cases])
    return max(widths, key=mean_gain)
