"""Operands may be bfloat16, results are float32: values, derivatives, and what other platforms' programs multiply."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from snraware_jax.models.products import convolved, product

MATRICES = (product, partial(jnp.einsum, "nk,km->nm"), (5, 64), (64, 3))
VALID = partial(lax.conv_general_dilated, window_strides=(1, 1), padding="VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
IMAGES = (convolved, VALID, (1, 6, 7, 8), (3, 3, 8, 4))


def operands(shapes, dtype):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes]


def objective(multiply, bilinear):
    return lambda a, b: jnp.sum(jnp.sin(multiply(bilinear, a, b)))


def multiplied(function, arguments, platform):
    """(operand, operand, result) dtypes of all products in the program for a platform, and its text."""
    text = jax.jit(function).trace(*arguments).lower(lowering_platforms=(platform,)).as_text()
    lines = [line for line in text.splitlines() if re.search(r"stablehlo\.(dot_general|convolution)", line)]
    return [tuple(re.findall(r"x([a-z]+\d+)>", line.rsplit(" : ", 1)[1])) for line in lines], text


@pytest.mark.parametrize("case", [MATRICES, IMAGES], ids=["matrices", "images"])
def test_results_are_exact_and_derivatives_those_of_rounded_operands(case):
    multiply, bilinear, *shapes = case
    rounded = operands(shapes, jnp.bfloat16)
    exact = [operand.astype(jnp.float32) for operand in rounded]
    result = multiply(bilinear, *rounded)
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, multiply(bilinear, *exact), atol=1e-5)
    gradients = jax.grad(objective(multiply, bilinear), (0, 1))
    for found, expected in zip(gradients(*rounded), gradients(*exact), strict=True):
        assert found.dtype == jnp.bfloat16
        np.testing.assert_allclose(found.astype(jnp.float32), expected, atol=0.02 * np.max(np.abs(expected)))
    push = lambda at: jax.jvp(partial(multiply, bilinear), at, at)[1]
    np.testing.assert_allclose(push(rounded), push(exact), atol=0.01 * np.max(np.abs(push(exact))))


@pytest.mark.parametrize("case", [MATRICES, IMAGES], ids=["matrices", "images"])
def test_no_product_of_bfloat16_is_made_wider_in_a_gradient(case):
    multiply, bilinear, *shapes = case
    gradients = jax.grad(objective(multiply, bilinear), (0, 1))
    forward, *backward = multiplied(gradients, operands(shapes, jnp.bfloat16), "tpu")[0]
    assert forward == ("bf16", "bf16", "f32")
    assert backward == 2 * [("bf16", "bf16", "bf16")]


def test_gpus_get_convolutions_of_one_dtype():
    multiply, bilinear, *shapes = IMAGES
    forward, *_ = multiplied(partial(multiply, bilinear), operands(shapes, jnp.bfloat16), "cuda")[0]
    assert forward == ("bf16", "bf16", "bf16")


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
@pytest.mark.parametrize("case", [MATRICES, IMAGES], ids=["matrices", "images"])
def test_float32_is_multiplied_in_float32(case, platform):
    multiply, bilinear, *shapes = case
    gradients = jax.grad(objective(multiply, bilinear), (0, 1))
    dtypes, text = multiplied(gradients, operands(shapes, jnp.float32), platform)
    assert dtypes == 3 * [("f32", "f32", "f32")]
    assert len(re.findall(r"precision = \[HIGHEST, HIGHEST\]|HIGHEST>, #stablehlo<precision HIGHEST>", text)) == 3
