"""Backbones: HRNet keeps every resolution to the end, UNet goes down and up again. Both are loops over levels."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from snraware_jax.models.cells import Block
from snraware_jax.models.layers import Conv, Downsample, Upsample, split_keys
from snraware_jax.models.settings import ModelSettings
from snraware_jax.models.windows import Grid, keep_size, of_levels


class HRNet(nnx.Module):
    """Levels r = 0..L-1 of C 2^r channels and 1/2^r of H and W; level r begins at stage s = r.

    x(0, 0) = block(features); at every later stage and level

        x(r, s) = block( sum over r <= k < s of x(r, k) + sum over q < r of down(x(q, s-1)) )

    and at the end each level collects all others, y(r) = block( x(r, L-1) + sum of down(x(q, L-1)), q < r, + sum of
    up(x(q, L-1)), q > r ), and the levels are joined at full resolution as channels: y(0), up(y(1)), ...

    Args:
      settings: of the network.
      inputs: channels of the features, if not C.
      dtype: of the operands of products.

    Source: Wang et al., TPAMI 2021, as in the authors' code.
    """

    def __init__(self, settings: ModelSettings, inputs: int = 0, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        levels = range(settings.levels)
        grids = of_levels(settings.patch[1:], settings.window[1:], settings.window_patch, settings.levels)
        width = lambda level: settings.channels << level

        def block(level: int, inputs: int = 0) -> Block:
            return Block(level, inputs or width(level), width(level), grids[level], settings, dtype=dtype, rngs=rngs)

        down = lambda q, r: Downsample(width(q), width(r), r - q, dtype=dtype, rngs=rngs)
        up = lambda q, outputs, times: Upsample(width(q), outputs, times, dtype=dtype, rngs=rngs)

        self.levels = settings.levels
        self.out_channels = sum(width(r) for r in levels)
        self.blocks = nnx.Dict({_at(r, s): block(r, 0 if s else inputs) for s in levels for r in range(s + 1)})
        self.downs = nnx.Dict({_from(q, r, s): down(q, r) for s in levels for r in range(s + 1) for q in range(min(r, s))})
        self.out_blocks = nnx.Dict({_at(r): block(r) for r in levels})
        self.out_downs = nnx.Dict({_from(q, r): down(q, r) for r in levels for q in range(r)})
        self.out_ups = nnx.Dict({_from(q, r): up(q, width(r), q - r) for r in levels for q in range(r + 1, settings.levels)})
        self.joins = nnx.Dict({_at(r): up(r, width(r), r) for r in levels if r > 0})

    def __call__(self, x: Array, keys: Array | None = None) -> Array:
        """`[B, T, H, W, inputs]` -> `[B, T, H, W, C (2^L - 1)]`."""
        return self.outputs(x, keys)[-1]

    def outputs(self, x: Array, keys: Array | None = None) -> list[Array]:
        """The levels' outputs y(0), y(1), ..., and last all of them joined at full resolution."""
        levels = range(self.levels)
        branches = iter(split_keys(keys, len(self.blocks) + len(self.out_blocks)))

        # of every level: its newest output, and the sum of all its outputs so far
        newest = [self.blocks[_at(0, 0)](x, next(branches))]
        total = list(newest)
        for s in levels[1:]:
            before, newest = newest, []
            for r in range(s + 1):
                collected = [total[r]] if r < s else []
                collected += [self.downs[_from(q, r, s)](before[q]) for q in range(r)]
                newest.append(self.blocks[_at(r, s)](sum_of(collected), next(branches)))
            total = [old + new for old, new in zip(total, newest, strict=False)] + newest[s:]

        ys = []
        for r in levels:
            finer = [self.out_downs[_from(q, r)](newest[q]) for q in range(r)]
            coarser = [self.out_ups[_from(q, r)](newest[q]) for q in range(r + 1, self.levels)]
            ys.append(self.out_blocks[_at(r)](sum_of([newest[r], *finer, *coarser]), next(branches)))
        joined = [ys[0], *(self.joins[_at(r)](ys[r]) for r in levels[1:])]
        return [*ys, jnp.concatenate(joined, axis=-1)]


class UNet(nnx.Module):
    """Levels i = 0..L-1 down, a bridge, and up again, each with C 2^i channels at 1/2^i of H and W.

        x(i) = block(down(x(i-1))),  u(L) = bridge(down(x(L-1))),  u(i) = block( gate(up(u(i+1)), x(i)), up(u(i+1)) joined )

    where x(0) = block(features); level i goes up with C 2^(i-1) channels, level 0 with C. Without gates, gate(q, x) = x.

    Args:
      settings: of the network.
      inputs: channels of the features, if not C.
      dtype: of the operands of products.

    Source: Ronneberger et al., MICCAI 2015, and Oktay et al., MIDL 2018 (gates), as in the authors' code.
    """

    def __init__(self, settings: ModelSettings, inputs: int = 0, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        levels = range(settings.levels)
        width = lambda level: settings.channels << max(level, 0)
        grids = of_levels(settings.patch[1:], settings.window[1:], settings.window_patch, settings.levels)

        def block(level: int, inputs: int, outputs: int, grid: Grid) -> Block:
            fitting = keep_size(settings.size_of_level(level)[1:], grid)
            return Block(level, inputs, outputs, fitting, settings, dtype=dtype, rngs=rngs)

        last = width(settings.levels - 1)
        self.out_channels = settings.channels
        self.down_blocks = nnx.List([block(i, width(i - 1) if i else inputs or width(0), width(i), grids[i]) for i in levels])
        self.downs = nnx.List([Downsample(width(i), width(i), 1, dtype=dtype, rngs=rngs) for i in levels])
        self.bridge = block(settings.levels, last, last, grids[-1])
        self.ups = nnx.List([Upsample(width(i), width(i), 1, dtype=dtype, rngs=rngs) for i in levels])
        # on the way up a block takes the sizes of the level that it leads to
        self.up_blocks = nnx.List([block(i, 2 * width(i), width(i - 1), grids[max(i - 1, 0)]) for i in levels])
        gate = lambda i: Gate(width(i), dtype=dtype, rngs=rngs)
        self.gates = nnx.List([gate(i) for i in levels]) if settings.gates else None

    def __call__(self, x: Array, keys: Array | None = None) -> Array:
        """`[B, T, H, W, inputs]` -> `[B, T, H, W, C]`."""
        branches = iter(split_keys(keys, 2 * len(self.ups) + 1))
        skips = []
        for block, down in zip(self.down_blocks, self.downs, strict=True):
            skips.append(block(x, next(branches)))
            x = down(skips[-1])
        x = self.bridge(x, next(branches))
        for i in reversed(range(len(self.ups))):
            up = self.ups[i](x)
            skip = skips[i] if self.gates is None else self.gates[i](up, skips[i])
            x = self.up_blocks[i](jnp.concatenate([skip, up], axis=-1), next(branches))
        return x


class Gate(nnx.Module):
    """x * sigmoid(w relu(A q + B x)), pixel by pixel: one weight for all channels; 1x1 convolutions without bias."""

    def __init__(self, channels: int, *, query_channels: int = 0, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        pixelwise = lambda inputs, outputs: Conv(inputs, outputs, (1, 1), bias=False, dtype=dtype, rngs=rngs)
        self.of_query = pixelwise(query_channels or channels, channels)
        self.of_skip = pixelwise(channels, channels)
        self.weight = pixelwise(channels, 1)

    def __call__(self, query: Array, x: Array) -> Array:
        """`[B, T, H, W, C]` x 2 -> `[B, T, H, W, C]`."""
        return x * jax.nn.sigmoid(self.weight(jax.nn.relu(self.of_query(query) + self.of_skip(x))))


def sum_of(terms: list[Array]) -> Array:
    """The sum of one or more arrays."""
    total, *others = terms
    for term in others:
        total = total + term
    return total


def _at(level: int, stage: int | None = None) -> str:
    return f"level{level}" if stage is None else f"level{level}_stage{stage}"


def _from(source: int, level: int, stage: int | None = None) -> str:
    return f"level{source}_to_{_at(level, stage)}"
