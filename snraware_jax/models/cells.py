"""Cells: a layer and a mixer, each behind a norm and beside a skip; blocks are cells in sequence."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from snraware_jax.models.attention import make_attention
from snraware_jax.models.convolution import Before, identity
from snraware_jax.models.layers import Conv, PReLU, make_norm, split_keys, stochastic_depth
from snraware_jax.models.settings import ModelSettings
from snraware_jax.models.windows import Grid

Size = tuple[int, int, int]
CONVOLUTIONS = {"C2": (3, 3), "C3": (3, 3, 3)}  # taps


class ConvolutionModule(nnx.Module):
    """The layer of C2 and C3 cells: y = PReLU(norm(conv(x))), the convolution without bias, and + x where channels agree."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        taps: tuple[int, ...],
        norm: str,
        size: Size,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.skip = inputs == outputs
        self.conv = Conv(inputs, outputs, taps, bias=False, dtype=dtype, rngs=rngs)
        self.norm = make_norm(norm, (*size[1:], outputs))
        self.activation = PReLU()

    def __call__(self, x: Array, before: Before = identity) -> Array:
        """Of before(x): `[B, T, H, W, inputs]` -> `[B, T, H, W, outputs]`."""
        x = before(x)
        y = self.activation(self.norm(self.conv(x)))
        return x + y if self.skip else y


class Mixer(nnx.Module):
    """Two 3x3 convolutions, C -> ratio C -> C, with a PReLU between."""

    def __init__(self, channels: int, ratio: float, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        self.widen = Conv(channels, int(ratio * channels), dtype=dtype, rngs=rngs)
        self.activation = PReLU()
        self.narrow = Conv(int(ratio * channels), channels, dtype=dtype, rngs=rngs)

    def __call__(self, x: Array, before: Before = identity) -> Array:
        """Of before(x): `[B, T, H, W, C]` -> the same."""
        return self.narrow(self.widen(x, before), before=self.activation)


class Cell(nnx.Module):
    """u = P(x) + layer(norm(x)), y = u + mixer(norm(u)); P is the identity where channels agree, else a 3x3 convolution.

    Without a mixer y = u; its norm is still there, because the parameter counts of the paper's Table 2 include it.

    Args:
      kind: one of `settings.CELLS`.
      inputs, outputs: channels.
      size: T, H, W that the cell is built for.
      grid: of attention, in pixels of this size.
      settings: of the whole network.
      dtype: of the operands of products.
    """

    def __init__(
        self,
        kind: str,
        inputs: int,
        outputs: int,
        size: Size,
        grid: Grid,
        settings: ModelSettings,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.stochastic_depth = settings.stochastic_depth
        self.project = Conv(inputs, outputs, dtype=dtype, rngs=rngs) if inputs != outputs else None
        self.layer_norm = make_norm(settings.norm, (*size[1:], inputs))
        if kind in CONVOLUTIONS:
            self.layer = ConvolutionModule(inputs, outputs, CONVOLUTIONS[kind], settings.norm, size, dtype=dtype, rngs=rngs)
        else:
            self.layer = make_attention(kind, inputs, outputs, size, grid, settings, dtype=dtype, rngs=rngs)
        self.mixer_norm = make_norm(settings.norm, (*size[1:], outputs))
        self.mixer = Mixer(outputs, settings.mixer_ratio, dtype=dtype, rngs=rngs) if settings.mixer_ratio else None

    def __call__(self, x: Array, keys: Array | None = None) -> Array:
        """`[B, T, H, W, inputs]` -> `[B, T, H, W, outputs]`; `keys` `[B]` draw what stochastic depth drops, None drops nothing."""
        layer_keys, mixer_keys = split_keys(keys, 2)
        skip = x if self.project is None else self.project(x)
        u = skip + stochastic_depth(self.layer(x, before=self.layer_norm), self.stochastic_depth, layer_keys)
        if self.mixer is None:
            return u
        return u + stochastic_depth(self.mixer(u, before=self.mixer_norm), self.stochastic_depth, mixer_keys)


class Block(nnx.Module):
    """The cells of one level in sequence, the first of which changes the number of channels.

    Args:
      level: whose cells and size they have.
      inputs, outputs: channels.
      grid: of attention at this level.
      settings: of the whole network.
      dtype: of the operands of products.
    """

    def __init__(
        self,
        level: int,
        inputs: int,
        outputs: int,
        grid: Grid,
        settings: ModelSettings,
        *,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.remat = settings.remat
        self.cells = nnx.List()
        for kind in settings.cells_of_level(level):
            self.cells.append(
                Cell(kind, inputs, outputs, settings.size_of_level(level), grid, settings, dtype=dtype, rngs=rngs)
            )
            inputs = outputs

    def __call__(self, x: Array, keys: Array | None = None) -> Array:
        """`[B, T, H, W, inputs]` -> `[B, T, H, W, outputs]`."""
        for cell, cell_keys in zip(self.cells, split_keys(keys, len(self.cells)), strict=True):
            x = _again_in_gradient(cell, x, cell_keys) if self.remat else cell(x, cell_keys)
        return x


def _again_in_gradient(cell: Cell, x: Array, keys: Array | None) -> Array:
    graphdef, params = nnx.split(cell)
    return jax.checkpoint(lambda params, x, keys: nnx.merge(graphdef, params)(x, keys))(params, x, keys)
