"""A small network for small budgets: a stack of residual blocks at half resolution. Not one of the paper's."""

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from snraware_jax.models.channels import check_input
from snraware_jax.models.layers import Conv, PReLU, pixel_shuffle, pixel_unshuffle
from snraware_jax.models.settings import ModelSettings

BLOCKS = 6


class ResidualBlock(nnx.Module):
    """x + temporal(PReLU(spatial(PReLU(x)))): 3x3 taps in H, W, then 3 taps in T."""

    def __init__(self, channels: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        self.first_activation = PReLU()
        self.spatial = Conv(channels, channels, dtype=dtype, rngs=rngs)
        self.second_activation = PReLU()
        self.temporal = Conv(channels, channels, (3, 1, 1), dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """`[B, T, H, W, C]` -> the same."""
        return x + self.temporal(self.second_activation(self.spatial(x, before=self.first_activation)))


class Stack(nnx.Module):
    """Pixel-unshuffle by 2, a convolution, six residual blocks, a convolution, pixel-shuffle; no norm, no attention.

    Args:
      settings: of which `channels` is used.
      inputs, outputs: channels; 3 (real, imaginary, g-map) and 2 (real, imaginary) without a head.
    """

    def __init__(
        self, settings: ModelSettings, inputs: int = 3, outputs: int = 2, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
    ):
        width = settings.channels
        self.inputs = inputs
        self.pre = Conv(4 * inputs, width, rngs=rngs)  # float32, as `post`: image and result stay exact
        self.blocks = nnx.List([ResidualBlock(width, dtype=dtype, rngs=rngs) for _ in range(BLOCKS)])
        self.post = Conv(width, 4 * outputs, rngs=rngs)

    def __call__(self, x: Array, keys: Array | None = None) -> Array:
        """`[B, T, H, W, inputs]` -> `[B, T, H, W, outputs]` float32, of any size; nothing is random, so `keys` are not used."""
        del keys
        check_input(x, self.inputs)
        h, w = x.shape[2:4]
        if h % 2 or w % 2:
            x = jnp.pad(x, ((0, 0), (0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode="edge")
        features = self.pre(pixel_unshuffle(x))
        for block in self.blocks:
            features = block(features)
        return pixel_shuffle(self.post(features))[:, :, :h, :w]
