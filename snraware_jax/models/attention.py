"""Attention between frames, the layer of a CNNT cell."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from snraware_jax.models.layers import Conv


def cosine_similarity(queries: Array, keys: Array) -> Array:
    """Cosine of the angle between tokens, no temperature, float32: `[B, T, P, N, C]` x 2 -> `[B, N, T, T]`.

    q.k / (max(|q|, 1e-12) max(|k|, 1e-12)); a token is the P pixels and C channels of head N. The lengths divide the T x T
    products instead of the tokens, which are some hundred times as many numbers.
    """
    dot = lambda pattern, a, b: jnp.einsum(pattern, a, b, preferred_element_type=jnp.float32)
    inverse_length = lambda v: jax.lax.rsqrt(jnp.maximum(dot("btpnc,btpnc->bnt", v, v), 1e-24))
    product = dot("btpnc,bspnc->bnts", queries, keys)
    return product * inverse_length(queries)[..., :, None] * inverse_length(keys)[..., None, :]


class TemporalAttention(nnx.Module):
    """Every frame attends to every frame; a token is one head's channels over the whole frame.

    Args:
      inputs, outputs: channels; `heads` divides the outputs.
      heads: number of heads, each with `outputs / heads` channels.
      dtype: of the computation; the softmax runs in float32.

    Raises:
      ValueError: if `heads` does not divide `outputs`.
    """

    def __init__(self, inputs: int, outputs: int, heads: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        if outputs % heads:
            raise ValueError(f"{heads} heads do not divide {outputs} channels: choose a divisor of {outputs}")
        self.heads = heads
        # one convolution for queries, keys and values: a third of the launches, one read of the input
        self.project_in = Conv(inputs, 3 * outputs, dtype=dtype, rngs=rngs)
        self.project_out = Conv(outputs, outputs, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """`[B, T, H, W, inputs]` -> `[B, T, H, W, outputs]`."""
        b, t, h, w, _ = x.shape
        split = lambda v: v.reshape(b, t, h * w, self.heads, -1)
        q, k, v = (split(part) for part in jnp.split(self.project_in(x), 3, axis=-1))
        attention = jax.nn.softmax(cosine_similarity(q, k))  # [B, heads, T, T]
        mixed = jnp.einsum("bnts,bspnc->btpnc", attention.astype(v.dtype), v)
        return self.project_out(mixed.reshape(b, t, h, w, -1))
