"""Cells: a layer and a mixer, each behind a norm and beside a skip; blocks are cells in sequence."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from snraware_jax.models.attention import TemporalAttention
from snraware_jax.models.layers import Conv, PReLU, make_norm, split_key, stochastic_depth
from snraware_jax.models.settings import ModelSettings


class ConvolutionModule(nnx.Module):
    """The layer of C2 and C3 cells: y = x + PReLU(norm(conv(x))), the convolution without bias."""

    def __init__(
        self, shape: tuple[int, int, int], taps: tuple[int, ...], norm: str, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
    ):
        channels = shape[-1]
        self.conv = Conv(channels, channels, taps, bias=False, dtype=dtype, rngs=rngs)
        self.norm = make_norm(norm, shape)
        self.activation = PReLU()

    def __call__(self, x: Array) -> Array:
        """`[B, T, H, W, C]` -> the same."""
        return x + self.activation(self.norm(self.conv(x)))


class Mixer(nnx.Module):
    """Two 3x3 convolutions, C -> ratio C -> C, with a PReLU between."""

    def __init__(self, channels: int, ratio: float, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        self.widen = Conv(channels, int(ratio * channels), dtype=dtype, rngs=rngs)
        self.activation = PReLU()
        self.narrow = Conv(int(ratio * channels), channels, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """`[B, T, H, W, C]` -> the same."""
        return self.narrow(self.activation(self.widen(x)))


class Cell(nnx.Module):
    """u = x + layer(norm(x)), y = u + mixer(norm(u)), for frames of `shape` (H, W, C).

    Without a mixer y = u; its norm is still there, because the parameter counts of the paper's Table 2 include it.
    """

    def __init__(
        self,
        kind: str,
        shape: tuple[int, int, int],
        settings: ModelSettings,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        channels = shape[-1]
        self.stochastic_depth = settings.stochastic_depth
        self.layer_norm = make_norm(settings.norm, shape)
        if kind == "T1":
            self.layer = TemporalAttention(channels, channels, settings.heads, dtype=dtype, rngs=rngs)
        else:
            taps = {"C2": (3, 3), "C3": (3, 3, 3)}[kind]
            self.layer = ConvolutionModule(shape, taps, settings.norm, dtype=dtype, rngs=rngs)
        self.mixer_norm = make_norm(settings.norm, shape)
        self.mixer = Mixer(channels, settings.mixer_ratio, dtype=dtype, rngs=rngs) if settings.mixer_ratio else None

    def __call__(self, x: Array, key: Array | None = None) -> Array:
        """`[B, T, H, W, C]` -> the same; `key` draws what stochastic depth drops, None drops nothing."""
        layer_key, mixer_key = split_key(key, 2)
        u = x + stochastic_depth(self.layer(self.layer_norm(x)), self.stochastic_depth, layer_key)
        if self.mixer is None:
            return u
        return u + stochastic_depth(self.mixer(self.mixer_norm(u)), self.stochastic_depth, mixer_key)


class Block(nnx.Module):
    """The cells of one level in sequence."""

    def __init__(self, level: int, settings: ModelSettings, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        shape = settings.shape_of_level(level)
        self.remat = settings.remat
        self.cells = nnx.List([Cell(kind, shape, settings, dtype=dtype, rngs=rngs) for kind in settings.cells_of_level(level)])

    def __call__(self, x: Array, key: Array | None = None) -> Array:
        """`[B, T, H, W, C]` -> the same."""
        for cell, cell_key in zip(self.cells, split_key(key, len(self.cells)), strict=True):
            x = _again_in_gradient(cell, x, cell_key) if self.remat else cell(x, cell_key)
        return x


def _again_in_gradient(cell: Cell, x: Array, key: Array | None) -> Array:
    graphdef, params = nnx.split(cell)
    return jax.checkpoint(lambda params, x, key: nnx.merge(graphdef, params)(x, key))(params, x, key)
