"""Training losses: pure functions (output, target) -> scalar, of complex64 images `[B, T, H, W]` in SNR units.

All are means over the elements, so none depends on the size of a batch or patch. Magnitudes are smoothed,
|x|_s = sqrt(|x|^2 + 1e-6), so that values and gradients are finite where an image is 0; the smoothing of 1e-3 is far below
the unit noise. `models.channels.to_complex` makes an image of a network's two channels.

Source: the paper, Methods (loss), as the authors' code does it.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax import Array

SMOOTHING = 1e-6  # added to squared magnitudes


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


Loss = Callable[[Array, Array], Array]
LOSSES: Mapping[str, Loss] = {
    "charbonnier": charbonnier,
    "perpendicular": perpendicular,
    "gradient": gradient,
    "mse": mse,
    "l1": l1,
}


def weighted_sum(weights: Mapping[str, float]) -> Callable[[Array, Array], tuple[Array, dict[str, Array]]]:
    """The loss sum_i w_i loss_i, as a function (output, target) -> (total, each loss by name without its weight).

    A loss of weight 0 is not computed.

    Raises:
      ValueError: if a name is none of `LOSSES`, or all weights are 0.
    """
    unknown = [name for name in weights if name not in LOSSES]
    if unknown:
        raise ValueError(f"no loss is called {unknown[0]!r}: choose from {', '.join(LOSSES)}")
    used = {name: weight for name, weight in weights.items() if weight}
    if not used:
        raise ValueError(f"loss weights {dict(weights)} leave nothing to minimise: give one of them a weight")

    def total(output: Array, target: Array) -> tuple[Array, dict[str, Array]]:
        terms = {name: LOSSES[name](output, target) for name in used}
        weighted = jax.tree.map(lambda weight, term: weight * term, used, terms)
        return jnp.sum(jnp.stack(list(weighted.values()))), terms

    return total
