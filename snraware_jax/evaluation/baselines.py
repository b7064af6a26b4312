"""Classical denoisers to beat, given the same g-map as the network: Gaussian, total variation, non-local means, MP-PCA, BM4D.

Each divides the series by g (unit noise everywhere), filters real and imaginary part, and multiplies by g again. MP-PCA and BM4D
come from packages that are loaded when they are asked for.
"""

import importlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

from snraware_jax.errors import InputError
from snraware_jax.metrics import gain_db
from snraware_jax.progress import Progress

if TYPE_CHECKING:
    from snraware_jax.evaluation.in_distribution import Case

# (temporal, spatial) widths that `best_gaussian` chooses from, in frames and pixels
WIDTHS = tuple((temporal, spatial) for temporal in (0.0, 0.5, 1.0, 1.5) for spatial in (0.0, 0.5, 0.75, 1.0, 1.5))
# what `best_strength` chooses from, in units of the noise
STRENGTHS = (0.3, 0.5, 0.7, 0.9, 1.2, 1.6)  # of non-local means
WEIGHTS = (0.5, 0.7, 0.9, 1.2, 1.6)  # of total variation
CONVERGED = 1e-5  # relative change of the objective at which total variation is stopped
DIPY = "dipy: pip install 'snraware-jax[baselines]', or -e '.[baselines]' in a clone"
# the module behind a baseline, and how to get it; BM4D's licence allows non-commercial use only, so it is no extra of this project
PACKAGES = {
    "mp_pca": ("dipy.denoise.localpca", DIPY),
    "local_pca": ("dipy.denoise.localpca", DIPY),
    "bm4d": ("bm4d", "bm4d: pip install bm4d (its licence: non-commercial use only)"),
}


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


def tv3d(y: np.ndarray, g: np.ndarray, weight: float = 0.9, tolerance: float = 2e-4) -> np.ndarray:
    """Total variation over (T, H, W): argmin_x |x - y/g|^2 / (2 weight) + sum |grad x|, times g, for real and imaginary part.

    `y [T, H, W]` complex, `g [H, W]` -> `[T, H, W]` complex64. `weight` 0.9 suits unit noise at any SNR. By default it
    stops as scikit-image's does (relative change of 2e-4, at most 200 iterations), before it has converged. Iterating to 1e-6 instead
    changed the mean gain on two slices of a real cine by +0.2, -0.1, +1.0 dB at peak SNR 4, 8, 16 with coloured noise, and by -0.6 to
    -0.3 dB with white noise: who is to be beaten with nothing left to say gets `CONVERGED` and the best weight (`--others=tv`).

    Raises:
      ValueError: if `g` is not positive everywhere.

    Source: Chambolle, J. Math. Imaging Vis. 2004 (scikit-image).
    """
    iterations = 200 if tolerance > CONVERGED else 1000
    return _in_unit_noise(partial(denoise_tv_chambolle, weight=weight, eps=tolerance, max_num_iter=iterations), y, g)


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


def mp_pca(y: np.ndarray, g: np.ndarray, radius: int = 1) -> np.ndarray:
    """MP-PCA: keeps, patch by patch, the temporal components above the noise that the Marchenko-Pastur law finds among them.

    `y [T, H, W]` complex, `g [H, W]` -> `[T, H, W]` complex64. Frames are the measurements, of real and imaginary part: a matrix of
    (2 radius + 1)^2 pixels by 2 T. The law is one of independent samples. Where noise is coloured in space neighbours are not
    independent, and its components pass for signal, the more of them the larger the patch: 3 x 3 pixels suit it best
    (docs/benchmarks.md), white noise 9 x 9 and more.

    Raises:
      InputError: for a single frame, an image smaller than a patch, or if dipy is missing.
      ValueError: if `g` is not positive everywhere.

    Source: Veraart et al., NeuroImage 2016 (dipy).
    """
    require_frames(y)
    _require_positive(g)
    pca = partial(load("mp_pca").mppca, suppress_warning=True)  # of more measurements than samples, which it handles
    unit = y / g
    if not np.any(unit.imag):  # of magnitudes; measurements without noise would pass for the noise floor
        return (_of_any_sign(pca, unit.real, radius) * g).astype(np.complex64)
    real, imaginary = np.split(_of_any_sign(pca, np.concatenate([unit.real, unit.imag]), radius), 2)
    return ((real + 1j * imaginary) * g).astype(np.complex64)


def local_pca(y: np.ndarray, g: np.ndarray, radius: int = 7, threshold: float = 1.8) -> np.ndarray:
    """Local PCA in noise of known SD: keeps, patch by patch, the temporal components whose SD is above `threshold` times that of y / g.

    `y [T, H, W]` complex, `g [H, W]` -> `[T, H, W]` complex64, real and imaginary part by themselves. It takes the noise from the
    g-map, as a network does, and not from the series, as `mp_pca` does, which coloured noise misleads. Patches of 15 x 15 pixels
    and the threshold were the best of those tried on two slices of a real cine (docs/benchmarks.md).

    Raises:
      InputError: for a single frame, an image smaller than a patch, or if dipy is missing.
      ValueError: if `g` is not positive everywhere.

    Source: Manjon et al., PLoS ONE 2013 (dipy).
    """
    require_frames(y)
    pca = partial(load("local_pca").localpca, sigma=1.0, tau_factor=threshold, suppress_warning=True)
    return _in_unit_noise(lambda part: _of_any_sign(pca, part, radius), y, g)


def require_frames(y: np.ndarray) -> None:
    """Refuses a series without temporal components.

    Raises:
      InputError: for a single frame.
    """
    if len(y) < 2:
        raise InputError("a single frame has no temporal components for PCA to choose from: give a series of 2 frames or more")


def _of_any_sign(pca: Callable[..., np.ndarray], series: np.ndarray, radius: int) -> np.ndarray:
    """PCA of the frames `[T, H, W]` in patches; dipy would set negative values to 0, but takes means of patches out, so add some."""
    side, (height, width) = 2 * radius + 1, series.shape[1:]
    if min(height, width) < side:
        raise InputError(f"an image of {height} x {width} is smaller than a patch, {side} x {side}: give a larger one")
    offset = 10 * np.abs(series).max() + 1
    measurements = np.moveaxis(series, 0, -1)[:, :, None].astype(np.float64)  # [H, W, 1, T]
    smooth = pca(measurements + offset, patch_radius=radius) - offset
    return np.moveaxis(smooth[:, :, 0], -1, 0)


def bm4d(y: np.ndarray, g: np.ndarray, psd: np.ndarray) -> np.ndarray:
    """BM4D with the power spectral density of the noise, over (T, H, W), for real and imaginary part.

    `y [T, H, W]` complex, `g [H, W]` -> `[T, H, W]` complex64. `psd` `[T, H, W]` is the mean of |FFT|^2 of one part of the noise over
    g, DC first (T H W for white noise of SD 1; `others.noise_psd`).

    Raises:
      InputError: for series too short for its blocks, or if bm4d is missing.
      ValueError: if `g` is not positive everywhere.

    Source: Maggioni et al., IEEE Trans. Image Process. 2013; Makinen et al., 2020 (package bm4d).
    """
    require_blocks(y)
    last = lambda series: np.moveaxis(series, 0, -1)  # the axis that may have one point: a frame is filtered as an image
    denoise = lambda part: np.moveaxis(load("bm4d").bm4d(last(part), last(psd)).reshape(last(part).shape), -1, 0)
    # bm4d 4.2.5 calls numpy.trapz, which numpy 2.4 has under its new name only
    with mock.patch.object(np, "trapz", np.trapezoid, create=True):
        return _in_unit_noise(denoise, y, g)


def require_blocks(y: np.ndarray) -> None:
    """Refuses what is smaller than the blocks of BM4D.

    Raises:
      InputError: for 2 to 4 frames, or an image below 8 x 8.
    """
    frames, height, width = y.shape
    if 1 < frames < 5 or min(height, width) < 8:
        raise InputError(
            f"BM4D: a series of {frames} x {height} x {width} is smaller than its blocks: 5 frames (or 1) of 8 x 8"
        )


def load(name: str) -> Any:
    """The module behind a baseline of `PACKAGES`.

    Raises:
      InputError: if it is not installed, with how to get it.
    """
    module, remedy = PACKAGES[name]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as absent:
        raise InputError(f"{name} needs the package {remedy} ({absent})") from absent


def best_strength(denoise: Callable, strengths: Sequence[float], cases: "Sequence[Case]", label: str = "") -> float:
    """The third argument of `nlm3d` or `tv3d` whose mean gain over every third of `cases` is largest: an oracle, as `best_gaussian`.

    Args:
      denoise: `(y, g, strength) -> series`.
      strengths: to choose from.
      cases: of one level.
      label: of the progress, which is silent without.

    Raises:
      ValueError: if there are no cases.
    """
    if not cases:
        raise ValueError("no cases to choose a strength on: give at least one")
    tried = [(strength, case) for strength in strengths for case in cases[::3]]
    gains: dict[float, list[float]] = {strength: [] for strength in strengths}
    with Progress(len(tried), label, unit="series", enabled=bool(label)) as progress:
        for number, (strength, case) in enumerate(tried, 1):
            gains[strength].append(float(gain_db(case.noisy, denoise(case.noisy, case.g_map, strength), case.clean)))
            progress.update(number, strength=strength, gain=f"{gains[strength][-1]:.1f} dB")
    return max(strengths, key=lambda strength: np.mean(gains[strength]))


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
