"""Training losses: pure functions (output, target) -> scalar, of complex64 images `[B, T, H, W]` in SNR units.

All are means over the elements, so none but `ssim` depends on the size of a batch. Magnitudes are smoothed,
|x|_s = sqrt(|x|^2 + 1e-6), so that values and gradients are finite where an image is 0; the smoothing of 1e-3 is far below
the unit noise. `models.channels.to_complex` makes an image of a network's two channels.

Source: the paper, Methods (loss), as the authors' code does it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from snraware_jax.perceptual import Weights, distance

SMOOTHING = 1e-6  # added to squared magnitudes
SCALES = ((0.25, 0.25), (0.5, 0.5), (1.0, 0.5))  # SD of Gaussians in pixels (H, W) and frames


def _power(x: Array) -> Array:
    return x.real**2 + x.imag**2


def smooth_magnitude(x: Array) -> Array:
    """|x|_s = sqrt(re^2 + im^2 + 1e-6): complex, any shape -> real, the same shape."""
    return jnp.sqrt(_power(x) + SMOOTHING)


def mse(output: Array, target: Array) -> Array:
    """mean |output - target|^2: complex, so twice the mean over real and imaginary part (`metrics.mse`)."""
    return jnp.mean(_power(output - target))


def l1(output: Array, target: Array) -> Array:
    """mean (|re(output - target)| + |im(output - target)|)."""
    difference = output - target
    return jnp.mean(jnp.abs(difference.real) + jnp.abs(difference.imag))


def charbonnier(output: Array, target: Array) -> Array:
    """mean sqrt(|output - target|^2 + 1e-6)."""
    return jnp.mean(smooth_magnitude(output - target))


def perpendicular(output: Array, target: Array) -> Array:
    """How far the output lies beside the line through 0 and the target in the complex plane.

    p = |re X im Y - im X re Y| / |X|_s for output X and target Y is |Y| sin of the angle between them; the loss is the mean of p
    where the angle is at most 90 degrees and of 2 |Y|_s - p beyond, so that it grows with the angle.

    Source: Terpstra et al., Med. Image Anal. 2022, without its magnitude term, as in the paper's code.
    """
    across = jnp.abs(output.real * target.imag - output.imag * target.real) / smooth_magnitude(output)
    along = output.real * target.real + output.imag * target.imag
    return jnp.mean(jnp.where(along >= 0, across, 2 * smooth_magnitude(target) - across))


def gradient(output: Array, target: Array) -> Array:
    """L1 of intensity gradients: sum over H, W and (if T > 1) T of mean |d |output|_s - d |target|_s|, d the forward difference.

    An axis of one sample has no gradient and adds nothing.
    """
    difference = smooth_magnitude(output) - smooth_magnitude(target)
    axes = [axis for axis in (-3, -2, -1) if difference.shape[axis] > 1]
    return sum((jnp.mean(jnp.abs(jnp.diff(difference, axis=axis))) for axis in axes), start=jnp.zeros((), difference.dtype))


def ssim(output: Array, target: Array) -> Array:
    """1 - mean SSIM of magnitude frames: windows of 7 x 7, K = 0.01 and 0.03, biased variances, mirrored edges.

    The data range is that of all samples given, the larger of output's and target's, as in the authors' code: in training those that
    a device computes at once.

    Source: Wang et al., IEEE Trans. Image Process. 2004.
    """
    x, y = smooth_magnitude(output), smooth_magnitude(target)
    data_range = jnp.maximum(jnp.ptp(x), jnp.ptp(y)) + SMOOTHING
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    box = [np.full(7, 1 / 7)] * 2
    mean = lambda image: _correlate(image, box, mode="reflect")
    mean_x, mean_y = mean(x), mean(y)
    variance = lambda image, of: jnp.maximum(mean(image**2) - of**2, 0)
    covariance = mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance(x, mean_x) + variance(y, mean_y) + c2)
    return 1 - jnp.mean(luminance * structure)


def gaussian3d(output: Array, target: Array) -> Array:
    """Mean |D |output|_s - D |target|_s| over three scales, D the mixed derivative d/dT d/dH d/dW of a Gaussian.

    Kernels are products of first derivatives along each axis, with absolute values that add to 1, zeros outside the image.
    Source: the authors' code, whose default loss has this term in the place of the paper's intensity gradients.
    """
    difference = smooth_magnitude(output) - smooth_magnitude(target)
    of_scale = [[gaussian_derivative(sigma) for sigma in (in_time, in_plane, in_plane)] for in_plane, in_time in SCALES]
    return jnp.mean(jnp.stack([jnp.mean(jnp.abs(_correlate(difference, taps))) for taps in of_scale]))


def gaussian_derivative(sigma: float) -> np.ndarray:
    """Samples of a Gaussian's first derivative at -r..r, r = 3 sigma rounded, with absolute values that add to 1."""
    reach = round(3 * sigma)
    at = np.arange(-reach, reach + 1)
    taps = -at * np.exp(-(at**2) / (2 * sigma**2))
    return taps / np.sum(np.abs(taps))


def _correlate(image: Array, taps: Sequence[np.ndarray], mode: str = "constant") -> Array:
    """Correlates the last axes of an image with taps of odd length, one array an axis; the size stays."""
    for axis, along in enumerate(taps, start=image.ndim - len(taps)):
        reach, size = len(along) // 2, image.shape[axis]
        padded = jnp.pad(image, [(reach, reach) if i == axis else (0, 0) for i in range(image.ndim)], mode=mode)
        parts = [float(tap) * jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i, tap in enumerate(along) if tap]
        image = reduce(jnp.add, parts)
    return image


Loss = Callable[[Array, Array], Array]
LOSSES: Mapping[str, Loss] = {
    "charbonnier": charbonnier,
    "perpendicular": perpendicular,
    "gradient": gradient,
    "mse": mse,
    "l1": l1,
    "ssim": ssim,
    "gaussian3d": gaussian3d,
}
NAMES = (*LOSSES, "perceptual")


def perceptual(output: Array, target: Array, vgg: Weights) -> Array:
    """Distance of |output|_s and |target|_s in the features of VGG-16 with these weights (`interop.vgg_weights.load`)."""
    return distance(vgg, smooth_magnitude(output), smooth_magnitude(target))


def weighted_sum(weights: Mapping[str, float]) -> Callable[[Array, Array, Weights], tuple[Array, dict[str, Array]]]:
    """The loss sum_i w_i loss_i, as a function (output, target, VGG's weights) -> (total, each loss by name without its weight).

    A loss of weight 0 is not computed; VGG's weights are used by "perceptual" alone, and may be () without it.

    Raises:
      ValueError: if a name is none of `NAMES`, or all weights are 0.
    """
    unknown = [name for name in weights if name not in NAMES]
    if unknown:
        raise ValueError(f"no loss is called {unknown[0]!r}: choose from {', '.join(NAMES)}")
    used = {name: weight for name, weight in weights.items() if weight}
    if not used:
        raise ValueError(f"loss weights {dict(weights)} leave nothing to minimise: give one of them a weight")

    def total(output: Array, target: Array, vgg: Weights) -> tuple[Array, dict[str, Array]]:
        of = lambda name: perceptual(output, target, vgg) if name == "perceptual" else LOSSES[name](output, target)
        terms = {name: of(name) for name in used}
        weighted = jax.tree.map(lambda weight, term: weight * term, used, terms)
        return jnp.sum(jnp.stack(list(weighted.values()))), terms

    return total
