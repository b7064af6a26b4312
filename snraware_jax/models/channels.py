"""Between complex images and the real channels that networks work on."""

import jax
import jax.numpy as jnp
from jax import Array


def network_input(noisy: Array, g_map: Array) -> Array:
    """Channels of a network: real part, imaginary part, g-map; `[B, T, H, W]` and `[B, H, W]` -> `[B, T, H, W, 3]` float32."""
    g = jnp.broadcast_to(g_map[:, None], noisy.shape)
    return jnp.stack([noisy.real, noisy.imag, g], axis=-1)


def to_complex(output: Array) -> Array:
    """The two channels of a network's output as a complex64 image; `[B, T, H, W, 2]` -> `[B, T, H, W]`."""
    return jax.lax.complex(output[..., 0].astype(jnp.float32), output[..., 1].astype(jnp.float32))
