"""Frequency responses along one axis of centred k-space, `[N]` float32 with DC at N//2; every parameter may be traced.

Source: spec of unit-noise filters in `docs/physics.md`; Kellman & McVeigh, MRM 2005, for the scaling.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike


def gaussian(size: int, sigma: ArrayLike) -> Array:
    """Symmetric Gaussian, f(x) = exp(-sigma^2 x^2 / 2) with x from -1 to 1; sigma 0 is all ones. `[N]`.

    An even axis has its extra sample at -N/2 set to 0, so that the maximum is at N//2.
    """
    x = np.linspace(-1, 1, size if size % 2 else size - 1, dtype=np.float32)
    response = jnp.exp(-0.5 * jnp.asarray(sigma, jnp.float32) ** 2 * x**2)
    if size % 2 == 0:
        response = jnp.concatenate([jnp.zeros(1, jnp.float32), response])
    return jnp.where(jnp.asarray(sigma) > 0, response, 1.0)


def partial_fourier(size: int, ratio: ArrayLike, cut_start: ArrayLike, taper: int) -> Array:
    """Keeps int(ratio N) + 1 samples from one end, with a Hann taper of `taper` samples at the cut; ratio 1 is all ones. `[N]`.

    Args:
      size: N.
      ratio: acquired share of the axis, (0, 1].
      cut_start: True if the missing samples are the first ones, False if the last.
      taper: samples of the edge, w_k = (1 - cos(2 pi k / (2 taper + 1))) / 2 for k = 1..taper, inside the kept part.
    """
    end = jnp.floor(jnp.asarray(ratio, jnp.float32) * size + 1e-4)  # 1e-4: float32 of 0.7 times 10 is below 7
    from_cut = end - jnp.arange(size) + 1  # 1 at the last kept sample, counted into the kept part
    edge = 0.5 * (1 - jnp.cos(2 * jnp.pi * from_cut / (2 * taper + 1)))
    response = jnp.where(from_cut <= 0, 0.0, jnp.where(from_cut <= taper, edge, 1.0))
    response = jnp.where(jnp.asarray(cut_start), response[::-1], response)
    return jnp.where(jnp.asarray(ratio) >= 1, 1.0, response)


def reduced_resolution(size: int, ratio: ArrayLike) -> Array:
    """Zero for the m = floor((N - ratio N) / 2) outer samples of both sides, one elsewhere. `[N]`."""
    cut = jnp.floor((size - jnp.asarray(ratio, jnp.float32) * size) / 2 + 1e-4)
    index = jnp.arange(size)
    return jnp.where((index >= cut) & (index < size - cut), 1.0, 0.0)


def unit_noise(response: Array) -> Array:
    """Scales a response so that white noise keeps its SD: f / sqrt(mean f^2). `[..., N]` -> `[..., N]`.

    Filters are multiplied first and scaled once: scaling each of them apart does not keep the SD of the product.
    """
    return response / jnp.sqrt(jnp.mean(response**2, axis=-1, keepdims=True))
