"""Training pairs: a clean series and its g-maps in, a noisy series and its target out."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from snraware_jax.noise.response import LONGEST
from snraware_jax.noise.sampling import Draw, draw
from snraware_jax.noise.settings import NoiseSettings
from snraware_jax.noise.synthesis import noise_scale, scaled, synthesise

# the least sigma for a clean series without noise of its own: below it the division by the noise level loses its meaning
SIGMA_FLOOR = 0.1


class Pair(NamedTuple):
    """A training pair.

    Attributes:
      noisy, target: `[T, H, W]` complex64, the same signal with and without the added noise, whose SD is 1 before the g-map.
      g_map: the g-map that was used, `[H, W]` float32, of a volume `[D, H, W]`.
      sigma: noise SD that was added before the division, [].
    """

    noisy: Array
    target: Array
    g_map: Array
    sigma: Array


def sample_key(seed: int, epoch: ArrayLike, sample_id: ArrayLike) -> Array:
    """The key of one sample's noise: of (seed, epoch, sample id) alone, so equal on any number of hosts and after any restart."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), epoch), sample_id)


def make_pair(
    key: Array,
    clean: ArrayLike,
    g_maps: ArrayLike,
    settings: NoiseSettings,
    native_noise: ArrayLike = 1.0,
    size: ArrayLike | None = None,
) -> Pair:
    """Adds synthetic noise to a clean series: noisy = (S + n) / s, target = S / s, s = sqrt(sigma^2 + native_noise^2).

    Both keep the same signal, and the noise of the first has SD 1 before the g-map (design decision 3).

    Args:
      key: key of this sample, see `sample_key`.
      clean: `[T, H, W]` complex64 in SNR units, or a patch of such a series; of a volume `[D, H, W]`.
      g_maps: `[R, H, W]` float32 g-factor maps to choose from, of a volume `[R, D, H, W]`; for a patch with `settings.g_margin` points
        more on every side.
      settings: ranges of the random choices.
      native_noise: noise SD of `clean` itself: 1 for a reconstruction in SNR units, 0 for a simulated truth.
      size: `[3]` T, H, W of the whole series if `clean` is a patch of it. The noise is then made for the patch alone, with the
        statistics that noise of the whole series has there.

    Raises:
      ValueError: for shapes that do not fit, and outside of `jit` for values that are not finite, g-factors of 0 or below, and
        sizes above 2048.

    Source: SNRAware, Methods, "Training data generation with g-factor augmentation".
    """
    check(clean, g_maps, native_noise, size)
    of_choices, of_noise = jax.random.split(key)
    choices = draw(of_choices, settings, jnp.shape(g_maps)[0], jnp.ndim(g_maps) - 1)
    return realise(of_noise, clean, g_maps, choices, settings, native_noise, size)


def realise(
    key: Array,
    clean: ArrayLike,
    g_maps: ArrayLike,
    choices: Draw,
    settings: NoiseSettings,
    native_noise: ArrayLike = 1.0,
    size: ArrayLike | None = None,
) -> Pair:
    """`make_pair` with the choices already drawn (or set by hand, as a fixed test set does)."""
    frames, height, width = jnp.shape(clean)
    clean, g_maps, native_noise = jnp.asarray(clean), jnp.asarray(g_maps, jnp.float32), jnp.asarray(native_noise, jnp.float32)
    sigma = jnp.where(native_noise > 0, choices.sigma, jnp.maximum(choices.sigma, SIGMA_FLOOR))
    g_map = chosen_map(g_maps, choices, settings)
    noise = synthesise(key, g_map, choices._replace(sigma=sigma), settings, (frames, height, width), size)
    to_unit_noise = 1 / noise_scale(sigma, native_noise)
    margin = settings.g_margin if size is not None else 0
    inside = tuple(slice(margin, n - margin) for n in g_map.shape)
    return Pair(scaled(to_unit_noise, clean + noise), scaled(to_unit_noise, clean), g_map[inside], sigma)


def chosen_map(g_maps: Array, choices: Draw, settings: NoiseSettings) -> Array:
    """The g-map that was drawn, of `[R, ...]`."""
    if settings.g_maps == "ones":
        return jnp.ones_like(g_maps[0])
    one = g_maps[jnp.minimum(choices.g_index, len(g_maps) - 1)]
    return jnp.where(choices.g_index < len(g_maps), one, 1.0) if settings.g_maps == "random_or_ones" else one


def magnitude(pair: Pair) -> Pair:
    """What is left of a pair without knowledge of the reconstruction: magnitudes, as complex64 whose imaginary part is 0."""
    absolute = lambda image: jax.lax.complex(jnp.abs(image), jnp.zeros_like(image.real))
    return pair._replace(noisy=absolute(pair.noisy), target=absolute(pair.target))


def check(clean: ArrayLike, g_maps: ArrayLike, native_noise: ArrayLike = 1.0, size: ArrayLike | None = None) -> None:
    """Refuses arrays from which no pair can be made.

    Raises:
      ValueError: as `make_pair`; the values of traced arrays are not known and not looked at.
    """
    if np.ndim(clean) != 3 or np.ndim(g_maps) not in (3, 4) or 0 in np.shape(clean) + np.shape(g_maps):
        raise ValueError(
            f"clean series {np.shape(clean)} and g-maps {np.shape(g_maps)}: need [T, H, W] and [R, H, W], or [R, D, H, W] of a volume"
        )
    known = lambda array: not isinstance(array, Tracer)
    for name, array in (("clean series", clean), ("g-maps", g_maps)):
        if known(array) and not np.isfinite(array).all():
            raise ValueError(f"{name}: {int((~np.isfinite(array)).sum())} values are NaN or Inf; leave this series out")
    if np.ndim(native_noise) != 0:
        raise ValueError(f"native_noise is {np.shape(native_noise)}: give one number")
    if known(native_noise) and not np.all(0 <= np.asarray(native_noise) < np.inf):
        raise ValueError(f"native_noise is {native_noise}: the noise SD of the clean series is 0 or more")
    if size is not None and np.shape(size) != (3,):
        raise ValueError(f"size is {size}: give T, H, W of the whole series")
    if size is not None and known(size):
        filtered = np.asarray(size)[1 - np.ndim(g_maps) :]  # H, W; of a volume D too
        if not (np.min(size) >= 1 and np.max(filtered) <= LONGEST):
            raise ValueError(f"size is {size}: give T, H, W of the whole series, H and W (of a volume D) up to {LONGEST}")
    if known(g_maps) and not (np.asarray(g_maps) > 0).all():
        count = int((np.asarray(g_maps) <= 0).sum())
        raise ValueError(f"g-maps: {count} values are 0 or below, but they scale a noise SD; put 1 where nothing was measured")
