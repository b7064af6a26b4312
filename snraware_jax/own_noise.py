"""The noise of a user's own series: what a denoiser leaves of it, and how much of a denoiser is best, both without the truth.

Both rest on a model of the noise, `noise_of`: white over g within the lines of k-space that hold any. That is the noise of a scan that
was reconstructed without filters; after filters it is not, and the figures are then wrong without a sign of it.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

from snraware_jax.errors import InputError
from snraware_jax.evaluation import noise_maps
from snraware_jax.evaluation.noise_maps import mean_over
from snraware_jax.evaluation.sure import power
from snraware_jax.inference.support import support

Denoiser = Callable[[Array, Array], Array]  # `inference.denoiser.whole`: series and g-map -> series

PROBES = 16
MODEL = "white over g within the lines of k-space that hold noise"


def noise_of(image: np.ndarray, g_map: np.ndarray) -> Partial:
    """Realisations of the noise of a series in SNR units: key -> `[T, H, W]` complex64 of SD g in real and imaginary part.

    A series of zeros has none.

    Args:
      image: `[T, H, W]` complex64, whose empty lines of k-space the noise has too.
      g_map: `[H, W]` or `[T, H, W]`.
    """
    rows, columns = support(image, 1.0, g_map)
    kept = (rows[:, None] & columns).astype(np.float32)
    g_map = np.broadcast_to(g_map, image.shape).astype(np.float32)
    return Partial(_realisation, jnp.asarray(g_map), jnp.asarray(kept / np.sqrt(max(kept.mean(), 1 / kept.size))))


def _realisation(g_map: Array, kept: Array, key: Array) -> Array:
    real, imaginary = jax.random.normal(key, (2, *g_map.shape), jnp.float32)
    return jnp.fft.ifft2(jnp.fft.fft2(jax.lax.complex(real, imaginary)) * kept) * g_map


@partial(jax.jit, static_argnames="probes")
def noise_map(
    denoise: Denoiser, image: Array, g_map: Array, noise: noise_maps.Noise, key: Array, probes: int = PROBES
) -> Array:
    """Noise SD of the denoised series to first order, `[T, H, W]` float32 per real component.

    Args:
      denoise: the denoiser.
      image, g_map: in SNR units.
      noise: of `noise_of`.
      key, probes: as of `evaluation.noise_maps.from_derivative`.
    """
    return noise_maps.from_derivative(lambda y: denoise(y, g_map), image, noise, key, probes)


def best_strength(denoise: Denoiser, image: np.ndarray, g_map: np.ndarray, key: Array, probes: int = PROBES) -> float:
    """The s of y + s (f(y) - y) with the least mean squared error by Stein's estimate, from 0 to 1.

    The estimate is s^2 |f - y|^2 + 2 s (E[b . J b] - tr C) + tr C over probes b of the noise (`evaluation.sure`), a parabola of s.

    Args:
      denoise: the denoiser.
      image: `[T, H, W]` complex64 in SNR units, with its phase: of magnitudes the estimate does not hold.
      g_map: `[H, W]` or `[T, H, W]`.
      key: of the probes.
      probes: their number.

    Raises:
      InputError: if the image already has less noise than its g-map says, so that no strength above 0 is best.
    """
    squared, gained = _parabola(denoise, jnp.asarray(image), jnp.asarray(g_map), noise_of(image, g_map), key, probes)
    strength = float(gained / squared)
    if not strength > 0:
        raise InputError("by Stein's estimate no strength above 0 lowers the error: is the noise SD, or the g-map, too small?")
    return min(strength, 1.0)


@partial(jax.jit, static_argnums=5)
def _parabola(
    denoise: Denoiser, image: Array, g_map: Array, noise: noise_maps.Noise, key: Array, probes: int
) -> tuple[Array, Array]:
    """|f - y|^2 and tr C - E[b . J b], per point and component."""
    call = lambda y: denoise(y, g_map)
    difference = call(image) - image

    def of_probe(one: Array) -> Array:
        b = noise(one)
        return power(b, b) - power(b, jax.jvp(call, (image,), (b,))[1])

    return power(difference, difference), mean_over(of_probe, jax.random.split(key, probes))


def with_strength(denoise: Denoiser, strength: float) -> Partial:
    """y + strength (f(y) - y)."""
    return Partial(_blended, denoise, jnp.float32(strength))


def _blended(denoise: Denoiser, strength: Array, image: Array, g_map: Array) -> Array:
    return image + strength * (denoise(image, g_map) - image)
