"""Convolutions of 3x3 and 3x3x3 taps with reflect padding: the native ones on GPU and TPU, Winograd's on CPU.

XLA's CPU backend is slow in most passes of a convolution (docs/decisions.md, 38). Products frame by frame are quick in all of them,
values and gradients alike, and keep what is transformed in the cache (of one sample; batches are for small networks).
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import Tracer

from snraware_jax.models.platforms import by_platform
from snraware_jax.models.products import convolved, result_dtype

Before = Callable[[Array], Array]

# three taps along an axis -> what the four products multiply by
_ALONG_AXIS = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_OF_TAPS = np.kron(_ALONG_AXIS, _ALONG_AXIS)  # [16, 9]


def identity(x: Array) -> Array:
    """x."""
    return x


def conv2d(x: Array, kernel: Array, before: Before = identity) -> Array:
    """y(h, w) = sum_ij z(h+i-1, w+j-1) k(i, j), z = before(x), mirrored at the edges.

    Args:
      x: `[B, T, H, W, I]`.
      kernel: `[3, 3, I, O]`, in the dtype that z is multiplied in.
      before: acts on every frame by itself, whatever axes lie in front of H, W, I. On CPU it is computed within the frames and its
        result is not kept for the gradient; elsewhere the compiler decides.

    Returns:
      `[B, T, H, W, O]`, float32 or wider.
    """
    return _convolve(_products2d, _native2d, _native2d, x, kernel, before)


def conv3d(x: Array, kernel: Array, before: Before = identity) -> Array:
    """The same in T, H, W: `[B, T, H, W, I]`, `[3, 3, 3, I, O]` -> `[B, T, H, W, O]`."""
    return _convolve(_products3d, _native3d, _native3d_by_frames, x, kernel, before)


def shifted(x: Array, step: int, axis: int) -> Array:
    """x(i + step) along `axis`, for a step of -1 or 1; mirrored at the edge without repeating it, but for an axis of one sample."""
    size = x.shape[axis]
    part = lambda start, stop: lax.slice_in_dim(x, start, stop, axis=axis)
    if size == 1:
        return x
    parts = [part(1, 2), part(0, size - 1)] if step < 0 else [part(1, size), part(size - 2, size - 1)]
    return jnp.concatenate(parts, axis=axis)


def _convolve(on_cpu: Callable, elsewhere: Callable, alone: Callable, x: Array, kernel: Array, before: Before) -> Array:
    if not isinstance(x, Tracer):  # compiled once, where the caller does not compile
        return _compiled(on_cpu, elsewhere, alone, before(x), kernel)
    return _by_platform(on_cpu, elsewhere, alone, x, kernel, before)


def _by_platform(
    on_cpu: Callable, elsewhere: Callable, alone: Callable, x: Array, kernel: Array, before: Before = identity
) -> Array:
    ways = {"cpu": on_cpu, "default": elsewhere, "alone": alone}
    choose = partial(by_platform, **{name: partial(way, before=before) for name, way in ways.items()})
    # without the checkpoint the gradient would keep what lies between x and the product
    return jax.checkpoint(choose, prevent_cse=False)(x, kernel)


_compiled = jax.jit(_by_platform, static_argnums=(0, 1, 2))


def _products2d(x: Array, kernel: Array, before: Before) -> Array:
    """Two by two results at a time from four by four samples, by sixteen products instead of 36.

    The minimal algorithm F(2 x 2, 3 x 3) of Winograd, for networks: Lavin and Gray, 2016, section 4.
    """
    height, width, inputs, outputs = *x.shape[2:4], *kernel.shape[-2:]
    accurate = result_dtype(kernel)  # in which the weight gradient is summed over frames
    weights = (_OF_TAPS.astype(accurate) @ kernel.astype(accurate).reshape(9, -1)).reshape(16, inputs, outputs)

    def of_frame(frame: Array) -> Array:  # [B, H, W, I]
        columns = _of_samples(before(frame).astype(kernel.dtype).astype(accurate), 2)  # along W: [4, B, H, W/2, I]
        samples = _of_samples(columns, 2)  # along H: [4, 4, B, H/2, W/2, I]
        # axes are joined by hand: XLA transposes the operands of a sum over several
        products = jnp.einsum("pnc,pco->pno", samples.reshape(16, -1, inputs), weights)
        columns = _results(products.reshape(*samples.shape[:-1], outputs), 2)  # along H: [4, B, H, W/2, O]
        return _results(columns, 2)[:, :height, :width]  # along W

    # frames one after another, the samples of a batch together: devices share those
    frames = lax.map(jax.checkpoint(of_frame, prevent_cse=False), jnp.moveaxis(x, 1, 0))
    return jnp.moveaxis(frames, 0, 1)


def _of_samples(x: Array, axis: int) -> Array:
    """n samples along an axis, mirrored -> `[4, ...]`: what the products of every two results multiply (`n/2`, rounded up)."""
    x = _padded(x, axis, x.shape[axis] % 2)  # the last may be anything: it enters a result that is cut off
    pairs = x.shape[axis] // 2
    # unstack, not indexing, whose transpose adds arrays of zeros
    even, odd = jnp.unstack(x.reshape(x.shape[:axis] + (pairs, 2) + x.shape[axis + 1 :]), axis=axis + 1)
    first, second, third, fourth = (
        lax.slice_in_dim(y, start, start + pairs - 1, axis=axis) for start in (0, 1) for y in (even, odd)
    )
    return jnp.stack([first - third, second + third, third - second, second - fourth])


def _results(products: Array, axis: int) -> Array:
    """The four products `[4, ...]`, of n along `axis` of each -> 2 n results."""
    first, second, third, fourth = jnp.unstack(products)
    pairs = jnp.stack([first + second + third, second - third - fourth], axis + 1)
    return pairs.reshape(first.shape[:axis] + (-1,) + first.shape[axis + 1 :])


def _frames3d(convolve2d: Callable, x: Array, kernel: Array, before: Before) -> Array:
    """A 2-D convolution of every frame with the kernel's three frames, whose results are shifted in T and added."""
    inputs, outputs = kernel.shape[-2:]
    side_by_side = jnp.einsum("thwio->hwito", kernel).reshape(3, 3, inputs, 3 * outputs)
    first, second, third = lax.split(convolve2d(x, side_by_side, before), (outputs,) * 3, axis=-1)
    return shifted(first, -1, 1) + second + shifted(third, 1, 1)


_products3d = partial(_frames3d, _products2d)


def _native2d(x: Array, kernel: Array, before: Before) -> Array:
    b, t, h, w, _ = x.shape
    z = before(x).astype(kernel.dtype)
    frames = _padded(_padded(z, 2), 3).reshape(b * t, h + 2, w + 2, -1)
    return convolved(_valid("NHWC", "HWIO"), frames, kernel).reshape(b, t, h, w, -1)


def _native3d(x: Array, kernel: Array, before: Before) -> Array:
    z = before(x).astype(kernel.dtype)
    return convolved(_valid("NDHWC", "DHWIO"), _padded(_padded(_padded(z, 1), 2), 3), kernel)


# for programs that know 2-D convolutions only
_native3d_by_frames = partial(_frames3d, _native2d)


def _valid(image: str, taps: str) -> Callable[..., Array]:
    strides = (1,) * (len(taps) - 2)
    return partial(lax.conv_general_dilated, window_strides=strides, padding="VALID", dimension_numbers=(image, taps, image))


def _padded(x: Array, axis: int, more: int = 0) -> Array:
    """One sample more at both ends of an axis, mirrored as in `shifted`, and `more` behind."""
    size = x.shape[axis]
    sample = lambda i: lax.slice_in_dim(x, i, i + 1, axis=axis)
    return jnp.concatenate([sample(min(1, size - 1)), x, *[sample(max(size - 2, 0))] * (1 + more)], axis=axis)
