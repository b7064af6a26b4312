"""Training pairs: a clean series and its g-maps in, a noisy series and its target out."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snraware_jax.noise.sampling import Draw, draw
from snraware_jax.noise.settings import NoiseSettings
from snraware_jax.noise.synthesis import noise_scale, synthesise

# the least sigma for a clean series without noise of its own: below it the division by the noise level loses its meaning
SIGMA_FLOOR = 0.1


def sample_key(seed: int, epoch: ArrayLike, sample_id: ArrayLike) -> Array:
    """The key of one sample's noise: of (seed, epoch, sample id) alone, so equal on any number of hosts and after any restart."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), epoch), sample_id)


def make_pair(
    key: Array, clean: Array, g_maps: Array, settings: NoiseSettings, native_noise: ArrayLike = 1.0
) -> tuple[Array, Array, Array, Array]:
    """Adds synthetic noise to a clean series: noisy = (S + n) / s, target = S / s, s = sqrt(sigma^2 + native_noise^2).

    Both keep the same signal, and the noise of the first has SD 1 before the g-map (design decision 3).

    Args:
      key: key of this sample, see `sample_key`.
      clean: `[T, H, W]` complex64 in SNR units.
      g_maps: `[R, H, W]` float32 g-factor maps to choose from.
      settings: ranges of the random choices.
      native_noise: noise SD of `clean` itself: 1 for a reconstruction in SNR units, 0 for a simulated truth.

    Returns:
      noisy `[T, H, W]`, target `[T, H, W]`, the g-map that was used `[H, W]`, sigma [].

    Source: SNRAware, Methods, "Training data generation with g-factor augmentation".
    """
    of_choices, of_noise = jax.random.split(key)
    return realise(of_noise, clean, g_maps, draw(of_choices, settings, g_maps.shape[0]), settings, native_noise)


def realise(
    key: Array, clean: Array, g_maps: Array, choices: Draw, settings: NoiseSettings, native_noise: ArrayLike = 1.0
) -> tuple[Array, Array, Array, Array]:
    """`make_pair` with the choices already drawn (or set by hand, as a fixed test set does)."""
    native_noise = jnp.asarray(native_noise, jnp.float32)
    sigma = jnp.where(native_noise > 0, choices.sigma, jnp.maximum(choices.sigma, SIGMA_FLOOR))
    g_maps = jnp.asarray(g_maps)
    g_map = g_maps[choices.g_index] if settings.g_maps == "random" else jnp.ones_like(g_maps[0])
    noise = synthesise(key, g_map, choices._replace(sigma=sigma), settings, clean.shape[0])
    scale = noise_scale(sigma, native_noise)
    return (clean + noise) / scale, clean / scale, g_map, sigma
