"""Noise covariance of the coils and the matrix that turns their noise into unit noise."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from snraware_jax.recon import hermitian


@jax.jit
def noise_covariance(noise: ArrayLike) -> Array:
    """Covariance of the coils' noise, Psi = 1/(M-1) sum_m n_m n_m^H, Psi_ij = <n_i n_j*>; `[C, M]` -> `[C, C]`.

    The mean is not removed: that of thermal noise is 0. Source: Kellman & McVeigh, MRM 2005; docs/physics.md.
    """
    noise = jnp.asarray(noise)
    return jnp.einsum("im,jm->ij", noise, noise.conj(), precision="highest") / (noise.shape[-1] - 1)


@jax.jit
def whitening_matrix(covariance: ArrayLike, dwell_ratio: ArrayLike = 1.0, bandwidth: ArrayLike = 1.0) -> Array:
    """Whitening of imaging samples, W = sqrt(2 t_d/t_n b) L^-1 with Psi = L L^H; `[C, C]` -> `[C, C]`.

    W s has noise SD 1 in the real and 1 in the imaginary part (complex variance 2), independent between coils.

    Args:
      covariance: `[C, C]` Hermitian, of the noise scan.
      dwell_ratio: t_d/t_n, dwell time of the imaging samples over that of the noise scan, both as stored.
      bandwidth: b, receiver noise bandwidth relative to the nominal one, in the noise scan.

    A covariance that is not positive definite gives NaN. Source: docs/physics.md.
    """
    return jnp.sqrt(2.0 * dwell_ratio * bandwidth) * hermitian.inverse_cholesky(jnp.asarray(covariance))
