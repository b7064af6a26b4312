"""The HRNet backbone: every resolution is kept from where it begins to the end, and all exchange what they have."""

import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from snraware_jax.models.cells import Block
from snraware_jax.models.layers import Downsample, Upsample, split_key
from snraware_jax.models.settings import ModelSettings


class HRNet(nnx.Module):
    """Levels r = 0..L-1 of C 2^r channels and 1/2^r of H and W; level r begins at stage s = r.

    x(0, 0) = block(features); at every later stage and level

        x(r, s) = block( sum over r <= k < s of x(r, k) + sum over q < r of down(x(q, s-1)) )

    and at the end each level collects all others, y(r) = block( x(r, L-1) + sum of down(x(q, L-1)), q < r, + sum of
    up(x(q, L-1)), q > r ), and the levels are joined at full resolution as channels: y(0), up(y(1)), ...

    Source: Wang et al., TPAMI 2021, as in the authors' code.
    """

    def __init__(self, settings: ModelSettings, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        levels = range(settings.levels)
        width = lambda level: settings.channels << level
        block = lambda level: Block(level, settings, dtype=dtype, rngs=rngs)
        down = lambda q, r: Downsample(width(q), width(r), r - q, dtype=dtype, rngs=rngs)
        up = lambda q, outputs, times: Upsample(width(q), outputs, times, dtype=dtype, rngs=rngs)

        self.levels = settings.levels
        self.out_channels = sum(width(r) for r in levels)
        self.blocks = nnx.Dict({_at(r, s): block(r) for s in levels for r in range(s + 1)})
        self.downs = nnx.Dict({_from(q, r, s): down(q, r) for s in levels for r in range(s + 1) for q in range(min(r, s))})
        self.out_blocks = nnx.Dict({_at(r): block(r) for r in levels})
        self.out_downs = nnx.Dict({_from(q, r): down(q, r) for r in levels for q in range(r)})
        self.out_ups = nnx.Dict({_from(q, r): up(q, width(r), q - r) for r in levels for q in range(r + 1, settings.levels)})
        self.joins = nnx.Dict({_at(r): up(r, width(r), r) for r in levels if r > 0})

    def __call__(self, x: Array, key: Array | None = None) -> Array:
        """`[B, T, H, W, C]` -> `[B, T, H, W, C (2^L - 1)]`."""
        return self.outputs(x, key)[-1]

    def outputs(self, x: Array, key: Array | None = None) -> list[Array]:
        """The levels' outputs y(0), y(1), ..., and last all of them joined at full resolution."""
        levels = range(self.levels)
        keys = iter(split_key(key, len(self.blocks) + len(self.out_blocks)))

        # of every level: its newest output, and the sum of all its outputs so far
        newest = [self.blocks[_at(0, 0)](x, next(keys))]
        total = list(newest)
        for s in levels[1:]:
            before, newest = newest, []
            for r in range(s + 1):
                collected = [total[r]] if r < s else []
                collected += [self.downs[_from(q, r, s)](before[q]) for q in range(r)]
                newest.append(self.blocks[_at(r, s)](sum_of(collected), next(keys)))
            total = [old + new for old, new in zip(total, newest, strict=False)] + newest[s:]

        ys = []
        for r in levels:
            finer = [self.out_downs[_from(q, r)](newest[q]) for q in range(r)]
            coarser = [self.out_ups[_from(q, r)](newest[q]) for q in range(r + 1, self.levels)]
            ys.append(self.out_blocks[_at(r)](sum_of([newest[r], *finer, *coarser]), next(keys)))
        joined = [ys[0], *(self.joins[_at(r)](ys[r]) for r in levels[1:])]
        return [*ys, jnp.concatenate(joined, axis=-1)]


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
