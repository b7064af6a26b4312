"""Layers on `[B, T, H, W, C]`: convolutions, norms, activation, resampling, stochastic depth.

Parameters, results and all between products are float32; `dtype` is that of the operands of products. Source: the authors' code.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from snraware_jax.models.convolution import Before, conv2d, conv3d, identity, shifted
from snraware_jax.models.products import product

EPSILON = 1e-5  # of the norms


class Conv(nnx.Module):
    """Convolution with reflect padding; weights and bias start as U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

    Args:
      inputs, outputs: channels.
      taps: (3, 3) acts on frames, (3, 3, 3) on T, H, W, (3, 1, 1) on T, (1, 1) on pixels.
      bias: whether there is one.
      dtype: of the operands of products.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        taps: tuple[int, ...] = (3, 3),
        *,
        bias: bool = True,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        bound = 1 / math.sqrt(inputs * math.prod(taps))
        uniform = lambda shape: jax.random.uniform(rngs.params(), shape, jnp.float32, -bound, bound)
        self.taps = taps
        self.dtype = jnp.dtype(dtype)
        self.kernel = nnx.Param(uniform((*taps, inputs, outputs)))
        self.bias = nnx.Param(uniform((outputs,))) if bias else None

    def __call__(self, x: Array, before: Before = identity) -> Array:
        """Convolves before(x) (see `convolution.conv2d`): `[B, T, H, W, inputs]` -> `[B, T, H, W, outputs]`.

        Raises:
          ValueError: for another number of channels.
        """
        if x.ndim != 5 or x.shape[-1] != self.kernel.shape[-2]:
            raise ValueError(f"x is {x.shape}, where [B, T, H, W, {self.kernel.shape[-2]}] is expected")
        y = _convolve(x, self.kernel[...].astype(self.dtype), before)
        return y if self.bias is None else y + self.bias[...]


def _convolve(x: Array, kernel: Array, before: Before) -> Array:
    mix = partial(jnp.einsum, "bthwi,io->bthwo")
    pixelwise = lambda x, kernel: product(mix, x.astype(kernel.dtype), kernel)
    match kernel.shape[:-2]:
        case (3, 3):
            return conv2d(x, kernel, before)
        case (3, 3, 3):
            return conv3d(x, kernel, before)
        case (3, 1, 1):
            first, second, third = kernel[:, 0, 0]
            x = before(x)
            return pixelwise(shifted(x, -1, 1), first) + pixelwise(x, second) + pixelwise(shifted(x, 1, 1), third)
        case (1, 1):
            return pixelwise(before(x), kernel[0, 0])
    raise ValueError(f"taps {kernel.shape[:-2]}: choose (3, 3), (3, 3, 3), (3, 1, 1) or (1, 1)")


def standardise(x: Array, axes: tuple[int, ...]) -> Array:
    """(x - mean) / sqrt(variance + 1e-5) over `axes`, with the biased variance, in float32."""
    x = x.astype(jnp.float32)
    centred = x - jnp.mean(x, axes, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.mean(centred**2, axes, keepdims=True) + EPSILON)


class LayerNorm(nnx.Module):
    """Standardises every frame over H, W, C, then scales and shifts every element: y = weight * x' + bias, each `[H, W, C]`.

    The affine map ties a network to the H, W that it was built for.
    """

    def __init__(self, shape: tuple[int, int, int]):
        self.shape = shape
        self.weight = nnx.Param(jnp.ones(shape, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(shape, jnp.float32))

    def __call__(self, x: Array) -> Array:
        """`[..., H, W, C]` -> the same, in the dtype of `x`.

        Raises:
          ValueError: if H, W, C are not those of the affine map.
        """
        if x.shape[-3:] != self.shape:
            raise ValueError(
                f"H, W, C are {x.shape[-3:]} but this layer norm was built for {self.shape}: "
                "use tiles of the patch that the network was built for, or norm='channel'"
            )
        return (standardise(x, (-3, -2, -1)) * self.weight[...] + self.bias[...]).astype(x.dtype)


class ChannelNorm(nnx.Module):
    """Standardises the channels of every voxel, then scales and shifts each channel. Not the paper's norm; takes any size."""

    def __init__(self, channels: int):
        self.weight = nnx.Param(jnp.ones((channels,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((channels,), jnp.float32))

    def __call__(self, x: Array) -> Array:
        """`[..., C]` -> the same, in the dtype of `x`."""
        return (standardise(x, (-1,)) * self.weight[...] + self.bias[...]).astype(x.dtype)


def instance_norm(x: Array) -> Array:
    """Standardises every channel of every frame over H, W; no parameters: `[..., H, W, C]` -> the same."""
    return standardise(x, (-3, -2)).astype(x.dtype)


def make_norm(kind: str, shape: tuple[int, int, int]) -> Before:
    """The norm called "layer", "channel", "instance2d" or "none", for frames of `shape` (H, W, C)."""
    match kind:
        case "layer":
            return LayerNorm(shape)
        case "channel":
            return ChannelNorm(shape[-1])
    return {"instance2d": instance_norm, "none": identity}[kind]


class PReLU(nnx.Module):
    """max(x, 0) + slope * min(x, 0) with one slope for all channels, 0.25 at the start."""

    def __init__(self):
        self.slope = nnx.Param(jnp.full((), 0.25, jnp.float32))

    def __call__(self, x: Array) -> Array:
        """Any shape."""
        return jnp.where(x >= 0, x, self.slope[...] * x)


class Downsample(nnx.Module):
    """Halves H and W `times` times: the four sub-images side by side as channels, mixed by a 1x1 convolution.

    Sub-images by (h, w) offset: (0, 0), (1, 0), (0, 1), (1, 1).
    """

    def __init__(self, inputs: int, outputs: int, times: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        widths = [inputs] + [outputs] * (times - 1)
        self.mix = nnx.List([Conv(4 * width, outputs, (1, 1), bias=False, dtype=dtype, rngs=rngs) for width in widths])

    def __call__(self, x: Array) -> Array:
        """`[B, T, H, W, inputs]` -> `[B, T, H / 2^times, W / 2^times, outputs]`."""
        for mix in self.mix:
            x = mix(pixel_unshuffle(x))
        return x


def pixel_unshuffle(x: Array) -> Array:
    """`[B, T, H, W, C]` -> `[B, T, H/2, W/2, 4C]`: sub-images by (h, w) offset in the order (0, 0), (1, 0), (0, 1), (1, 1).

    Raises:
      ValueError: if H or W is odd.
    """
    b, t, h, w, c = x.shape
    if h % 2 or w % 2:
        raise ValueError(
            f"H, W are {h}, {w} where a network halves them: give multiples of 2^(levels - 1), for a UNet of 2^levels"
        )
    blocks = x.reshape(b, t, h // 2, 2, w // 2, 2, c)
    return jnp.einsum("bthiwjc->bthwjic", blocks).reshape(b, t, h // 2, w // 2, 4 * c)


def pixel_shuffle(x: Array) -> Array:
    """The inverse of `pixel_unshuffle`: `[B, T, H, W, 4C]` -> `[B, T, 2H, 2W, C]`."""
    b, t, h, w, c = x.shape
    blocks = x.reshape(b, t, h, w, 2, 2, c // 4)
    return jnp.einsum("bthwjic->bthiwjc", blocks).reshape(b, t, 2 * h, 2 * w, c // 4)


class Upsample(nnx.Module):
    """Doubles H and W `times` times: bilinear, then a 3x3 convolution without bias."""

    def __init__(self, inputs: int, outputs: int, times: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        widths = [inputs] + [outputs] * (times - 1)
        self.mix = nnx.List([Conv(width, outputs, bias=False, dtype=dtype, rngs=rngs) for width in widths])

    def __call__(self, x: Array) -> Array:
        """`[B, T, H, W, inputs]` -> `[B, T, 2^times H, 2^times W, outputs]`."""
        for mix in self.mix:
            x = mix(double(double(x, -3), -2))
        return x


def double(x: Array, axis: int) -> Array:
    """Twice the samples along `axis`, linear, half-pixel centres, edges repeated.

    y(2i) = x(i-1)/4 + 3 x(i)/4 and y(2i+1) = 3 x(i)/4 + x(i+1)/4. By slices: the gradient of `jax.image.resize` is slow on CPU.
    """
    axis %= x.ndim
    size = x.shape[axis]
    part = lambda start, stop: jax.lax.slice_in_dim(x, start, stop, axis=axis)
    before = jnp.concatenate([part(0, 1), part(0, size - 1)], axis)
    after = jnp.concatenate([part(1, size), part(size - 1, size)], axis)
    pairs = jnp.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis + 1)
    return pairs.reshape(*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])


def stochastic_depth(branch: Array, rate: float, keys: Array | None) -> Array:
    """In training drops the branch of a sample with probability `rate`: branch * Bernoulli(1 - rate) / (1 - rate).

    Args:
      branch: `[B, ...]`.
      rate: in [0, 1).
      keys: `[B]`, of each sample's own draw, whatever lies beside it in the batch; None in inference, where the branch stays as it is,
        its expectation.
    """
    if keys is None or rate == 0:
        return branch
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate))(keys)
    return branch * (kept / (1 - rate)).astype(branch.dtype).reshape(-1, *[1] * (branch.ndim - 1))


def split_keys(keys: Array | None, count: int) -> list[Array | None]:
    """Of each sample's key `[B]` `count` new ones, or `count` times None in inference."""
    return [None] * count if keys is None else list(jax.vmap(lambda key: jax.random.split(key, count), out_axes=1)(keys))
