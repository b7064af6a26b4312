"""The CPU's ways of convolving equal XLA's own, in values and in derivatives of either mode, of second order and in a vmap."""

import os
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from snraware_jax.models import convolution
from tests.conftest import REPOSITORY

# (inputs, outputs)
WIDTHS = [(4, 4), (24, 2)]
CONVOLUTIONS = {
    "2d": (convolution.conv2d, convolution._native2d, (2, 3, 6, 7), (3, 3)),
    "3d": (convolution.conv3d, convolution._native3d, (2, 5, 6, 7), (3, 3, 3)),
    "3d, one frame": (convolution.conv3d, convolution._native3d, (2, 1, 7, 5), (3, 3, 3)),
}


def normalised(x, weight):
    """Something in front of a convolution: of every frame, with a parameter."""
    return weight * (x - jnp.mean(x, (-3, -2), keepdims=True))


@pytest.fixture(
    params=[(which, *widths) for which in CONVOLUTIONS for widths in WIDTHS], ids=lambda p: f"{p[0]}-{p[1]}to{p[2]}"
)
def case(request):
    which, inputs, outputs = request.param
    ours, native, frames, taps = CONVOLUTIONS[which]
    normal = lambda shape: jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)
    plain = partial(native, before=convolution.identity)
    return ours, plain, normal((*frames, inputs)), normal((*taps, inputs, outputs)) / 8


@pytest.mark.parametrize("which", ["2d", "3d"])
def test_what_lies_before_is_computed_and_gets_gradients(which):
    ours, native, frames, taps = CONVOLUTIONS[which]
    keys = jax.random.split(jax.random.key(0), 3)
    shapes = ((*frames, 4), (*taps, 4, 3), (6, 7, 4))
    x, kernel, weight = (jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True))
    plain = partial(native, before=convolution.identity)
    inside = lambda x, kernel, weight: jnp.sum(jnp.sin(ours(x, kernel, before=lambda x: normalised(x, weight))))
    native_inside = lambda x, kernel, weight: jnp.sum(jnp.sin(native(x, kernel, before=lambda x: normalised(x, weight))))
    outside = lambda x, kernel, weight: jnp.sum(jnp.sin(plain(normalised(x, weight), kernel)))
    expected = jax.jit(jax.value_and_grad(outside, (0, 1, 2)))(x, kernel, weight)
    for found in (inside, native_inside):
        assert_close(jax.jit(jax.value_and_grad(found, (0, 1, 2)))(x, kernel, weight), expected)
    assert_close(inside(x, kernel, weight), expected[0])  # without jit


@pytest.mark.parametrize(("which", "most"), [("2d", 2.5), ("3d", 4.5)])
def test_a_layer_keeps_little_for_the_gradient(which, most):
    """Arrays of the size of x that each further layer x + conv(tanh(x)) adds to what a gradient needs."""
    ours, _, _, taps = CONVOLUTIONS[which]
    x, kernel = jnp.zeros((1, 8, 16, 16, 8)), jnp.zeros((*taps, 8, 8))

    def memory(layers):
        def network(x, kernel):
            for _ in range(layers):
                x = x + ours(x, kernel, before=jnp.tanh)
            return jnp.sum(x**2)

        compiled = jax.jit(jax.grad(network, (0, 1))).lower(x, kernel).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert (memory(12) - memory(6)) / 6 / x.nbytes < most


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


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("axis", [0, -1])
def test_samples_beside_the_edge_are_mirrored(size, axis):
    x = np.moveaxis(np.arange(3.0 * size).reshape(3, size), 1, axis)
    width = [(0, 0), (0, 0)]
    width[axis] = (1, 1)
    padded = np.moveaxis(np.pad(x, width, mode="reflect" if size > 1 else "edge"), axis, 0)
    for step, expected in ((-1, padded[:-2]), (1, padded[2:])):
        np.testing.assert_array_equal(convolution.shifted(jnp.asarray(x), step, axis), np.moveaxis(expected, 0, axis))


@pytest.mark.parametrize(("height", "width"), [(5, 6), (5, 7), (1, 2), (3, 1), (2, 3)])
@pytest.mark.parametrize(("conv", "taps"), [(convolution.conv2d, 2), (convolution.conv3d, 3)])
def test_against_scipy(conv, taps, height, width):
    """Mirrored edges, no flip of the kernel."""
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(1, 4, height, width, 2)), rng.normal(size=(3,) * taps + (2, 1))
    summed = sum(
        ndimage.correlate(x[0, ..., i], kernel[..., i, 0].reshape((1,) * (3 - taps) + (3,) * taps), mode="mirror")
        for i in range(2)
    )
    convolved = conv(jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32))
    np.testing.assert_allclose(convolved[0, ..., 0], summed, atol=1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-6), ("bfloat16", 2e-6)])
def test_accuracy(dtype, tolerance):
    """Sums over 64 channels, of values with an offset: only operands are rounded to bfloat16."""
    rng = np.random.default_rng(0)
    rounded = lambda values: values.astype(dtype).astype(float)
    x, kernel = rounded(3 + rng.normal(size=(1, 1, 9, 9, 64))), rounded(rng.normal(size=(3, 3, 64, 1)) / 24)
    expected = sum(ndimage.correlate(x[0, 0, ..., i], kernel[..., i, 0], mode="mirror") for i in range(64))
    with jax.enable_x64(True):
        convolved = convolution.conv2d(jnp.asarray(x), jnp.asarray(kernel, dtype))
        assert convolved.dtype == ("float64" if dtype == "float64" else "float32")
        np.testing.assert_allclose(convolved[0, 0, ..., 0], expected, atol=tolerance * np.max(np.abs(expected)))


ON_TWO_DEVICES = """
import jax
import jax.numpy as jnp
from snraware_jax.models.convolution import conv2d
from snraware_jax.training import mesh

devices = mesh.make_mesh()
placed = mesh.batch_sharding(devices), mesh.replicated(devices)
gradients = jax.grad(lambda x, kernel: jnp.sum(jnp.sin(conv2d(x, kernel))), (0, 1))
gradients = jax.jit(gradients, in_shardings=placed, out_shardings=placed)
print(gradients.lower(jnp.zeros((2, 2, 6, 6, 8)), jnp.zeros((3, 3, 8, 8))).compile().as_text())
"""


def test_devices_exchange_weight_gradients_alone():
    """Joined axes keep the batch in front, so that no device asks for another's samples."""
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2"
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", ON_TWO_DEVICES]
    program = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    assert "all-reduce" in program
    assert not any(name in program for name in ("all-gather", "all-to-all", "collective-permute"))
