"""Self-attention of every kind: one core; `tokens.py` says what a token is and which see each other."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array
from jax.typing import DTypeLike

from snraware_jax.models import tokens, windows
from snraware_jax.models.convolution import Before, identity
from snraware_jax.models.layers import Conv
from snraware_jax.models.products import product
from snraware_jax.models.settings import ModelSettings

MOST_SCORES = 2**23  # of one sample at once: float32, 32 MiB
MANY = 16  # products of a token, for each number in it
HIDDEN = -100.0  # added to the score of tokens that must not see each other
BIAS_SD = 0.02  # of a bias table at the start
WINDOW_KINDS = ("V2", "V3", "S3", "Sh")  # whose heads are settings.window_heads


def many_products(tokens: Array) -> bool:
    """Whether products of tokens far outnumber the numbers in them, `[..., N, D]`: then what can be is done to the tokens."""
    count, numbers = tokens.shape[-2:]
    return count > MANY * numbers


def similarity(queries: Array, keys: Array, *, cosine: bool = True) -> Array:
    """Scores of tokens, float32: `[B, G, heads, N, D]` x 2 -> `[B, G, heads, N, N]`.

    Cosine of the angle, without temperature: q.k / (max(|q|, 1e-12) max(|k|, 1e-12)); or q.k / sqrt(D). The lengths divide what is
    smaller, tokens or products: in windows there are a hundred times as many products, between frames as many fewer.
    """
    dot = lambda pattern, a, b: product(partial(jnp.einsum, pattern), a, b)
    scores_of = lambda a, b: dot("bghnd,bghmd->bghnm", a, b)
    if not cosine:
        return scores_of(queries, keys) / math.sqrt(queries.shape[-1])
    inverse_length = lambda v: jax.lax.rsqrt(jnp.maximum(dot("bghnd,bghnd->bghn", v, v), 1e-24))
    if many_products(queries):
        unit = lambda v: (v * inverse_length(v)[..., None]).astype(v.dtype)
        return scores_of(unit(queries), unit(keys))
    return scores_of(queries, keys) * inverse_length(queries)[..., :, None] * inverse_length(keys)[..., None, :]


def attend(
    queries: Array,
    keys: Array,
    values: Array,
    *,
    cosine: bool = True,
    regions: np.ndarray | None = None,
    bias: Array | None = None,
) -> Array:
    """y = (softmax(similarity(q, k)) + bias) v, all `[B, G, heads, N, D]`.

    Where the scores of all groups together would be large (Swin: 2 GiB a sample), groups go one after another, and their scores are
    computed again in the gradient.

    Args:
      queries, keys, values: tokens.
      cosine: which similarity.
      regions: `[G, N]`, tokens see those with the same number; None: all of their group.
      bias: `[heads, N, N]`, added behind the softmax, as the released weights have it.
    """
    _, groups, heads, count, _ = queries.shape
    at_once = max(1, MOST_SCORES // (heads * count**2))
    if at_once >= groups:
        return _attend(queries, keys, values, regions, cosine=cosine, bias=bias)
    at_once = max(n for n in range(1, at_once + 1) if groups % n == 0)

    # handed in part by part: the gradient of slices taken inside would add arrays of zeros as large as the whole, once a part
    in_parts = lambda x: jnp.moveaxis(
        x.reshape(x.shape[0], -1, at_once, *x.shape[2:]), 1, 0
    )  # [parts, B, at_once, heads, N, D]
    apart = None if regions is None else jnp.asarray(regions).reshape(-1, at_once, count)

    @jax.checkpoint
    def of_part(part: tuple[Array, Array, Array, Array | None]) -> Array:
        return _attend(*part, cosine=cosine, bias=bias)

    mixed = jax.lax.map(of_part, (in_parts(queries), in_parts(keys), in_parts(values), apart))
    return jnp.moveaxis(mixed, 0, 1).reshape(values.shape)


def _attend(
    queries: Array, keys: Array, values: Array, regions: Array | np.ndarray | None, *, cosine: bool, bias: Array | None
) -> Array:
    scores = similarity(queries, keys, cosine=cosine)
    if regions is not None:
        apart = regions[:, None, :, None] != regions[:, None, None, :]  # [G, 1, N, N]
        scores = jnp.where(apart, scores + HIDDEN, scores)
    mix = lambda pattern, w: product(partial(jnp.einsum, pattern), w.astype(values.dtype), values)
    if many_products(values):  # the softmax, whose sum divides the mixed values instead of the weights
        weights = jnp.exp(scores - jax.lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True)))
        mixed = mix("bghnm,bghmd->bghnd", weights) / jnp.sum(weights, axis=-1)[..., None]
        return (mixed if bias is None else mixed + mix("hnm,bghmd->bghnd", bias)).astype(values.dtype)
    weights = jax.nn.softmax(scores)
    return mix("bghnm,bghmd->bghnd", weights if bias is None else weights + bias).astype(values.dtype)


class Attention(nnx.Module):
    """Convolutions make queries, keys and values, tokens attend to tokens, a convolution mixes the result.

    Args:
      inputs, outputs: channels.
      cutting: what a token is.
      taps: of the convolutions, (3, 3) or (3, 3, 3).
      bias_of: how many tokens of a group lie along (H, W) or (T, H, W), for a relative position bias; None for none.
      heads: of the bias.
      cosine: which similarity.
      dtype: of the operands of products; similarity, softmax and bias are float32.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        cutting: tokens.Tokens,
        *,
        taps: tuple[int, ...] = (3, 3),
        bias_of: tuple[int, ...] | None = None,
        heads: int = 1,
        cosine: bool = True,
        dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.cutting, self.bias_of, self.cosine, self.dtype = cutting, bias_of, cosine, jnp.dtype(dtype)
        # one convolution for queries, keys and values: a third of the launches, one read of the input
        self.project_in = Conv(inputs, 3 * outputs, taps, dtype=dtype, rngs=rngs)
        self.project_out = Conv(outputs, outputs, taps, dtype=dtype, rngs=rngs)
        self.bias_table = None if bias_of is None else nnx.Param(_bias_table(bias_of, heads, rngs))

    def __call__(self, x: Array, before: Before = identity) -> Array:
        """Of before(x): `[B, T, H, W, inputs]` -> `[B, T, H, W, outputs]`."""
        parts = jnp.split(self.project_in(x, before).astype(self.dtype), 3, axis=-1)
        q, k, v = (self.cutting.cut(part) for part in parts)
        bias = None
        if self.bias_table is not None and self.bias_of is not None:
            bias = jnp.moveaxis(self.bias_table[...][tokens.position_index(self.bias_of)], -1, 0)  # [heads, N, N]
        mixed = attend(q, k, v, cosine=self.cosine, regions=self.cutting.regions(parts[0].shape), bias=bias)
        return self.project_out(self.cutting.join(mixed, parts[0].shape))


def _bias_table(counts: tuple[int, ...], heads: int, rngs: nnx.Rngs) -> Array:
    """An entry for each relative position of two tokens, `[prod(2 n - 1), heads]`: normal, SD 0.02, cut off at 2."""
    shape = (math.prod(2 * n - 1 for n in counts), heads)
    return BIAS_SD * jax.random.truncated_normal(rngs.params(), -2 / BIAS_SD, 2 / BIAS_SD, shape)


def make_attention(
    kind: str,
    inputs: int,
    outputs: int,
    size: tuple[int, int, int],
    grid: windows.Grid,
    settings: ModelSettings,
    *,
    dtype: DTypeLike = jnp.float32,
    rngs: nnx.Rngs,
) -> Attention:
    """The attention of a cell of this kind for series of `size` (T, H, W), cut as `grid` says.

    Raises:
      ValueError: if windows do not fill the image, or heads do not divide a token.
    """
    frames, height, width = size
    heads = settings.window_heads if kind in WINDOW_KINDS else settings.heads
    taps = (3, 3, 3) if kind in ("V3", "S3", "Sh") and frames > 1 else (3, 3)
    cutting, bias_of = cut_of(kind, heads, frames, (height, width), grid, settings.window[0])
    try:
        jax.eval_shape(cutting.cut, jax.ShapeDtypeStruct((1, *size, outputs), dtype))
    except ValueError as error:
        fields = f"model.window {settings.window}, {'model.window_heads' if kind in WINDOW_KINDS else 'model.heads'} {heads}"
        raise ValueError(
            f"{kind} cells of {outputs} channels at {frames} x {height} x {width} with {fields}: {error}"
        ) from error
    return Attention(
        inputs,
        outputs,
        cutting,
        taps=taps,
        bias_of=bias_of if settings.relative_bias else None,
        heads=heads,
        cosine=settings.cosine,
        dtype=dtype,
        rngs=rngs,
    )


def cut_of(
    kind: str, heads: int, frames: int, image: windows.Area, grid: windows.Grid, window_frames: int
) -> tuple[tokens.Tokens, tuple[int, ...] | None]:
    """What the tokens of a kind are, and along how many of them a relative position bias runs; None where it has none.

    Raises:
      ValueError: if windows do not fill the image.
    """
    every_frame = (None, 1, 1)  # is a window of its own
    patches_of = lambda *axes, across=False: tokens.Patches(heads, axes, across)
    match kind:
        case "T1":
            return tokens.Frames(heads), None
        case "S3" | "Sh":
            return tokens.ShiftedWindows(heads, (window_frames, *grid.window), kind == "Sh"), None
        case "L1":  # another size has more windows of the same size
            _, patches, pixels = windows.divide(image, grid)
            return patches_of(every_frame, *((None, n, p) for n, p in zip(patches, pixels, strict=True))), patches
        case "G1":  # another size has as many windows, of more patches
            many, _, pixels = windows.divide(image, grid, finer=True)
            across = [(n, None, p) for n, p in zip(many, pixels, strict=True)]
            return patches_of((1, None, 1), *across, across=True), many
        case "V2" | "V3":  # windows are the patches of one image; another size has as many, larger ones
            many, _, _ = windows.divide(image, grid)
            of_image = [(1, n, None) for n in many]
            if kind == "V2":
                return patches_of(every_frame, *of_image), many
            long = max(frames // window_frames, 1)
            return patches_of((1, long, None), *of_image), (long, *many)
    raise ValueError(f"{kind} is not a kind of attention")
