"""The CPU's ways of convolving equal XLA's own, in values and in derivatives of either mode, of second order and in a vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snraware_jax.models import convolution
from snraware_jax.models.convolution import reflect_pad

# (inputs, outputs): the native weight gradient, the one that unfolds the input, the one that unfolds the output
WIDTHS = [(4, 4), (16, 24), (24, 2)]
CONVOLUTIONS = {
    "2d": (convolution.conv2d, convolution._native2d, (3, 8, 7), (3, 3)),
    "3d": (convolution.conv3d, convolution._native3d, (2, 5, 6, 7), (3, 3, 3)),
}


@pytest.fixture(
    params=[(which, *widths) for which in CONVOLUTIONS for widths in WIDTHS], ids=lambda p: f"{p[0]}-{p[1]}to{p[2]}"
)
def case(request):
    which, inputs, outputs = request.param
    ours, native, frames, taps = CONVOLUTIONS[which]
    normal = lambda shape: jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    return ours, native, normal((*frames, inputs)), normal((*taps, inputs, outputs)) / 8


def objective(conv):
    return lambda x, kernel: jnp.sum(jnp.sin(conv(x, kernel)))


def assert_close(ours, theirs):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.max(np.abs(b))), ours, theirs)


def test_values_and_gradients(case):
    ours, native, x, kernel = case
    both = lambda conv: (conv(x, kernel), jax.grad(objective(conv), (0, 1))(x, kernel))
    assert_close(jax.jit(lambda: both(ours))(), jax.jit(lambda: both(native))())


def test_forward_mode_second_order_and_vmap(case):
    ours, native, x, kernel = case
    tangents = (jnp.cos(x), jnp.cos(kernel))

    def products(conv):
        push = lambda f: jax.jvp(f, (x, kernel), tangents)[1]
        in_x = jax.jvp(lambda x: conv(x, kernel), (x,), tangents[:1])[1]
        over_kernels = jax.vmap(jax.grad(objective(conv), 1), (None, 0))(x, jnp.stack([kernel, 2 * kernel]))
        return in_x, push(conv), push(jax.grad(objective(conv), (0, 1))), over_kernels

    assert_close(jax.jit(lambda: products(ours))(), jax.jit(lambda: products(native))())


@pytest.mark.parametrize("size", [2, 5])
def test_reflect_padding_is_that_of_numpy(size):
    x = np.arange(3.0 * size).reshape(3, size)
    np.testing.assert_array_equal(reflect_pad(jnp.asarray(x), (0, 1)), np.pad(x, 1, mode="reflect"))


def test_one_sample_is_repeated():
    np.testing.assert_array_equal(reflect_pad(jnp.ones((1, 2)), (0,)), np.ones((3, 2)))
