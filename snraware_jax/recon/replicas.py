"""Noise of a reconstruction, drawn anew: for pseudo-replicas of a scan, with the correlations that unmixing gives it."""

import jax
import jax.numpy as jnp
from jax import Array

from snraware_jax.recon import grappa
from snraware_jax.recon.fourier import ifft2c


def noise(key: Array, unmixing: Array, acquired: Array) -> Array:
    """What white noise in the coils becomes: n = sum_c u_c sqrt(f) IFFT2(white samples on the acquired lines), f = lines / acquired.

    That is `chain.apply` times its g-map for noise alone, of a scan whose readouts are whole and that was not zero-filled.

    Args:
      key: of this realisation.
      unmixing: `[C, (kz,) ky, kx]` complex64, of `chain.calibrate`.
      acquired: `[T, (kz,) ky]` bool, the lines of every frame.

    Returns:
      `[T, (kz,) ky, kx]` complex64, SD g in real and imaginary part.

    Raises:
      ValueError: if the lines are not those of the unmixing, as after zero-filling.

    Source: Robson et al., Magn. Reson. Med. 2008.
    """
    if acquired.shape[1:] != unmixing.shape[1:-1]:
        raise ValueError(f"lines {acquired.shape[1:]} and unmixing {unmixing.shape}: only scans that were not zero-filled")
    axes = tuple(range(-acquired.ndim, 0))

    def of_frame(frame: tuple[Array, Array]) -> Array:
        one, lines = frame
        parts = jax.random.normal(one, (2, *unmixing.shape), jnp.float32)
        white = jnp.where(lines[..., None], jax.lax.complex(parts[0], parts[1]), 0)
        boost = jnp.sqrt(lines.size / jnp.sum(lines)).astype(jnp.float32)
        return grappa.unmix(boost * ifft2c(white, axes), unmixing)

    return jax.lax.map(of_frame, (jax.random.split(key, len(acquired)), acquired))
