"""Convolutions of 3x3 and 3x3x3 taps: the native ones on GPU and TPU, quicker equals of the slow ones on CPU.

XLA's CPU backend is slow in two places: in the input gradient of 3-D convolutions, for which three summed 2-D ones are taken,
and in the weight gradient of 2-D ones whose input and output widths differ, for which one matrix product per frame is taken.
A convolution is linear in its input and in its kernel, so both are stated as derivative rules made of ordinary operations:
forward mode, reverse mode and their compositions all work.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero

# narrower inputs leave a matrix product per frame too little to do
LEAST_CHANNELS_BY_FRAME = 16


def reflect_pad(x: Array, axes: tuple[int, ...]) -> Array:
    """Adds one sample at both ends of `axes`, mirrored without repeating the edge; an axis of one sample repeats it."""
    for axis in axes:
        size = x.shape[axis]
        first = lax.slice_in_dim(x, min(1, size - 1), min(2, size), axis=axis)
        last = lax.slice_in_dim(x, max(size - 2, 0), max(size - 1, 1), axis=axis)
        x = jnp.concatenate([first, x, last], axis=axis)
    return x


@jax.custom_jvp
def conv2d(x: Array, kernel: Array) -> Array:
    """Correlation without padding, y(h, w) = sum_ij x(h+i, w+j) k(i, j): `[N, H+2, W+2, I]`, `[3, 3, I, O]` -> `[N, H, W, O]`."""
    return _native2d(x, kernel)


@jax.custom_jvp
def conv3d(x: Array, kernel: Array) -> Array:
    """Correlation without padding in T, H, W: `[B, T+2, H+2, W+2, I]`, `[3, 3, 3, I, O]` -> `[B, T, H, W, O]`."""
    return lax.platform_dependent(x, kernel, cpu=_three_taps, default=_native3d)


def _conv2d_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    return _product_rule(conv2d, _conv2d_in_kernel, primals, tangents)


def _conv3d_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    # without the checkpoint the gradient would keep three shifted copies of x
    return _product_rule(conv3d, jax.checkpoint(conv3d, prevent_cse=False), primals, tangents)


conv2d.defjvp(_conv2d_jvp, symbolic_zeros=True)
conv3d.defjvp(_conv3d_jvp, symbolic_zeros=True)


def _product_rule(conv, in_kernel, primals, tangents):
    """d conv(x, k) = conv(dx, k) + conv(x, dk), without the terms that are known to be zero."""
    (x, kernel), (dx, dkernel) = primals, tangents
    y = conv(x, kernel)
    terms = []
    if not isinstance(dx, SymbolicZero):
        terms.append(conv(dx, kernel))
    if not isinstance(dkernel, SymbolicZero):
        terms.append(in_kernel(x, dkernel))
    return y, sum(terms, start=jnp.zeros((), y.dtype)) if len(terms) != 1 else terms[0]


def _native2d(x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _native3d(x: Array, kernel: Array) -> Array:
    return lax.conv_general_dilated(x, kernel, (1, 1, 1), "VALID", dimension_numbers=("NDHWC", "DHWIO", "NDHWC"))


def _three_taps(x: Array, kernel: Array) -> Array:
    b, padded, *image, _ = x.shape
    frames = padded - 2

    def tap(k: int) -> Array:
        y = conv2d(x[:, k : k + frames].reshape(b * frames, *image, -1), kernel[k])
        return y.reshape(b, frames, *y.shape[1:])

    return tap(0) + tap(1) + tap(2)


def _conv2d_in_kernel(x: Array, kernel: Array) -> Array:
    """`conv2d` to be transposed in its kernel, which makes the weight gradient."""
    inputs, outputs = kernel.shape[-2:]
    if inputs == outputs or inputs < LEAST_CHANNELS_BY_FRAME:
        return _native2d(x, kernel)
    # without the checkpoint the gradient would keep nine shifted copies of x
    choose = lambda x, kernel: lax.platform_dependent(x, kernel, cpu=_by_frame, default=_native2d)
    return jax.checkpoint(choose, prevent_cse=False)(x, kernel)


def _by_frame(x: Array, kernel: Array) -> Array:
    """One matrix product per frame over all nine taps, so that what is unfolded stays in the cache: the narrower side."""
    taps_of_outputs = kernel.shape[-2] > kernel.shape[-1]
    weights = kernel.astype(jnp.float32)  # the gradient is summed over frames in float32
    inputs, outputs = kernel.shape[-2:]
    height, width = x.shape[1] - 2, x.shape[2] - 2
    offsets = [(i, j) for i in range(3) for j in range(3)]

    def of_frame(frame: Array) -> Array:
        frame = frame.astype(jnp.float32)
        if taps_of_outputs:
            y = jnp.einsum("hwi,kio->hwko", frame, weights.reshape(9, inputs, outputs))
            return sum((y[i : i + height, j : j + width, k] for k, (i, j) in enumerate(offsets)), start=jnp.zeros(()))
        columns = jnp.concatenate([frame[i : i + height, j : j + width] for i, j in offsets], axis=-1)
        return jnp.einsum("hwi,io->hwo", columns, weights.reshape(9 * inputs, outputs))

    return lax.map(jax.checkpoint(of_frame, prevent_cse=False), x).astype(x.dtype)
