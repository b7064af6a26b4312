"""What a denoiser does to small structures and to symmetries of the noise: lesions, points, global phase, errors of the g-map.

A denoiser is a function of JAX, series `[T, H, W]` -> `[T, H, W]`, complex64 in SNR units (`noise_maps`).
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from snraware_jax.evaluation.noise_maps import Denoiser


def blob(shape: tuple[int, int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    """A disc with a soft edge (one pixel from 1 to 0) in every frame: `[T, H, W]` float32."""
    frames, height, width = shape
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(y - centre[0], x - centre[1])
    return np.broadcast_to(np.clip(radius + 0.5 - distance, 0, 1).astype(np.float32), (frames, height, width))


def contrast_recovery(denoise: Denoiser, noisy: Array, lesion: Array, contrasts: Sequence[float]) -> Array:
    """The share of an inserted lesion's contrast that the output has, for each contrast: `[len(contrasts)]`.

    The output with the lesion minus that without, in the same noise, is projected on the lesion: 1 keeps it, 0 removes it.

    Args:
      denoise: the denoiser.
      noisy: `[T, H, W]` complex64, without the lesion.
      lesion: `[T, H, W]` of height 1, real or with the phase that it shall have.
      contrasts: heights to insert, SNR units.
    """
    without = denoise(noisy)

    def share(contrast: Array) -> Array:
        difference = denoise(noisy + contrast * lesion) - without
        return jnp.sum((jnp.conj(lesion) * difference).real) / (contrast * jnp.sum(jnp.abs(lesion) ** 2))

    return jax.lax.map(share, jnp.asarray(contrasts, jnp.float32))


def impulse_response(denoise: Denoiser, noisy: Array, point: tuple[int, int, int]) -> Array:
    """The output's change for a small change of one point (t, y, x), per unit: `[T, H, W]` complex64, the derivative there."""
    impulse = jnp.zeros_like(noisy).at[point].set(1)
    return jax.jvp(denoise, (noisy,), (impulse,))[1]


def width_at_half_maximum(response: Array, axis: int) -> float:
    """Full width at half maximum of |response| along an axis through its peak, in samples, between samples by straight lines.

    Args:
      response: `[T, H, W]`.
      axis: 0, 1 or 2.

    Raises:
      ValueError: if it is 0, or does not fall to a half on both sides.
    """
    magnitude = np.abs(np.asarray(response))
    if not magnitude.any():
        raise ValueError("the response is 0 everywhere: the output does not depend on this point")
    peak = np.unravel_index(np.argmax(magnitude), magnitude.shape)
    line = np.moveaxis(magnitude, axis, -1)[tuple(np.delete(peak, axis))] / magnitude[peak]
    above = line[peak[axis] :], line[peak[axis] :: -1]
    return float(sum(_fall_to_half(side) for side in above))


def _fall_to_half(side: np.ndarray) -> float:
    below = np.flatnonzero(side < 0.5)
    if not below.size:
        raise ValueError("the response does not fall to half of its peak within the image; take a point farther from the edge")
    first = below[0]
    return first - 1 + (side[first - 1] - 0.5) / (side[first - 1] - side[first])


def phase_error(denoise: Denoiser, noisy: Array, phases: int = 8) -> Array:
    """RMS of f(e^(i phi) y) - e^(i phi) f(y) over `phases` angles, over the RMS of what f removes from y: [].

    Complex Gaussian noise has no preferred phase, so that an ideal denoiser has none: 0.
    """
    output = denoise(noisy)
    turns = jnp.exp(2j * jnp.pi * jnp.arange(1, phases + 1) / (phases + 1)).astype(jnp.complex64)
    power = jax.lax.map(lambda turn: jnp.mean(jnp.abs(denoise(turn * noisy) - turn * output) ** 2), turns)
    return jnp.sqrt(jnp.mean(power) / jnp.mean(jnp.abs(noisy - output) ** 2))


def g_map_sensitivity(denoise: Callable[[Array, Array], Array], noisy: Array, g_map: Array, clean: Array) -> Array:
    """Loss in dB of a g-map that is 10 % too small and of one that is 10 % too large: `[2]`, above 0 is worse.

    Args:
      denoise: of a series `[T, H, W]` and a g-map `[H, W]`.
      noisy, clean: `[T, H, W]`.
      g_map: the right one, `[H, W]`.
    """
    error = jnp.stack([jnp.mean(jnp.abs(denoise(noisy, factor * g_map) - clean) ** 2) for factor in (0.9, 1.1, 1.0)])
    return 10 * jnp.log10(error[:2] / error[2])
