"""Convolutions of 3x3 and 3x3x3 taps with reflect padding: the native ones on GPU and TPU, matrix products on CPU.

XLA's CPU backend is slow in most passes of a convolution (docs/decisions.md, 38). One product per frame is as quick as the machine's
matrix products in all of them, values and gradients alike, and keeps what is unfolded in the cache.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

Layer = Callable[[Array], Array]


def conv2d(x: Array, kernel: Array, before: Layer = lambda x: x) -> Array:
    """y(h, w) = sum_ij z(h+i-1, w+j-1) k(i, j), z = before(x), mirrored at the edges.

    Args:
      x: `[B, T, H, W, I]`.
      kernel: `[3, 3, I, O]`.
      before: acts on every frame by itself, whatever axes lie in front of H, W, I; its result is not kept for the gradient.

    Returns:
      `[B, T, H, W, O]`.
    """
    return _on_platform(partial(_products2d, before=before), lambda x, kernel: _native2d(before(x), kernel), x, kernel)


def conv3d(x: Array, kernel: Array, before: Layer = lambda x: x) -> Array:
    """The same in T, H, W: `[B, T, H, W, I]`, `[3, 3, 3, I, O]` -> `[B, T, H, W, O]`."""
    on = lambda conv: lambda x, kernel: conv(before(x), kernel)
    return _on_platform(on(_products3d), on(_native3d), x, kernel)


def shifted(x: Array, step: int, axis: int) -> Array:
    """x(i + step) along `axis`, for a step of -1 or 1; mirrored at the edge without repeating it, but for an axis of one sample."""
    size = x.shape[axis]
    part = lambda start, stop: lax.slice_in_dim(x, start, stop, axis=axis)
    if size == 1:
        return x
    parts = [part(1, 2), part(0, size - 1)] if step < 0 else [part(1, size), part(size - 2, size - 1)]
    return jnp.concatenate(parts, axis=axis)


def around(x: Array, axis: int) -> Array:
    """Every sample between its neighbours along `axis`, as channels: `[..., C]` -> `[..., 3 C]`."""
    return jnp.concatenate([shifted(x, -1, axis), x, shifted(x, 1, axis)], axis=-1)


def _on_platform(on_cpu: Callable, elsewhere: Callable, x: Array, kernel: Array) -> Array:
    # without the checkpoint the gradient would keep what lies between x and the product
    choose = lambda x, kernel: lax.platform_dependent(x, kernel, cpu=on_cpu, default=elsewhere)
    return jax.checkpoint(choose, prevent_cse=False)(x, kernel)


def _products2d(x: Array, kernel: Array, before: Layer = lambda x: x) -> Array:
    """Unfolds rows threefold before the product, and adds shifted columns behind it: six copies, not the nine of all taps."""
    inputs, outputs = kernel.shape[-2:]
    # [rows x inputs, columns x outputs]; the weight gradient is summed over frames in float32
    weights = jnp.einsum("hwio->hiwo", kernel.astype(jnp.float32)).reshape(3 * inputs, 3 * outputs)

    def of_frame(frame: Array) -> Array:  # [B, H, W, I]
        products = around(before(frame).astype(jnp.float32), 1) @ weights
        left, middle, right = lax.split(products, (outputs,) * 3, axis=-1)  # whose transpose joins; that of slices adds
        return shifted(left, -1, 2) + middle + shifted(right, 1, 2)

    # frames one after another, the samples of a batch together: devices share those
    frames = lax.map(jax.checkpoint(of_frame, prevent_cse=False), jnp.moveaxis(x, 1, 0))
    return jnp.moveaxis(frames, 0, 1).astype(x.dtype)


def _products3d(x: Array, kernel: Array) -> Array:
    """Unfolds frames threefold for a 2-D convolution."""
    outputs = kernel.shape[-1]
    return _products2d(around(x, 1), jnp.einsum("thwio->hwtio", kernel).reshape(3, 3, -1, outputs))


def _native2d(x: Array, kernel: Array) -> Array:
    b, t, h, w, _ = x.shape
    frames = _padded(x, (2, 3)).reshape(b * t, h + 2, w + 2, -1)
    y = lax.conv_general_dilated(frames, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y.reshape(b, t, h, w, -1)


def _native3d(x: Array, kernel: Array) -> Array:
    dimensions = ("NDHWC", "DHWIO", "NDHWC")
    return lax.conv_general_dilated(_padded(x, (1, 2, 3)), kernel, (1, 1, 1), "VALID", dimension_numbers=dimensions)


def _padded(x: Array, axes: tuple[int, ...]) -> Array:
    """One sample more at both ends of `axes`, mirrored as in `shifted`."""
    for axis in axes:
        first = lax.slice_in_dim(shifted(x, -1, axis), 0, 1, axis=axis)
        last = lax.slice_in_dim(shifted(x, 1, axis), -1, None, axis=axis)
        x = jnp.concatenate([first, x, last], axis=axis)
    return x
