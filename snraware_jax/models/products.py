"""Products whose operands may be bfloat16 and whose results are float32: of tokens, of pixels, convolutions.

What a network adds up stays in float32; rounding it to bfloat16 was most of the error of bfloat16 (docs/decisions.md, 41).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

from snraware_jax.models.platforms import by_platform

# bilinear(a, b, precision=..., preferred_element_type=...), as `jnp.einsum` and `lax.conv_general_dilated` are
Bilinear = Callable[..., Array]


def product(bilinear: Bilinear, a: Array, b: Array) -> Array:
    """bilinear(a, b) with a result of float32 or wider; a and b have one dtype.

    Operands of float32 are multiplied in float32 on every platform: left to itself XLA rounds them to bfloat16 on TPU, to TF32 on GPU.
    Operands of bfloat16 have derivatives whose products are of bfloat16 too: JAX's own would multiply the wider of two dtypes.
    """
    if a.dtype == result_dtype(a):
        return bilinear(a, b, precision=lax.Precision.HIGHEST)
    return _widened(bilinear, lambda a, b: bilinear(a, b, preferred_element_type=result_dtype(a)), a, b)


def convolved(convolution: Bilinear, a: Array, b: Array) -> Array:
    """The same for convolutions, whose bfloat16 results are rounded on GPU: XLA has none there of two dtypes."""
    if a.dtype == result_dtype(a):
        return product(convolution, a, b)
    rounded = lambda a, b: convolution(a, b).astype(result_dtype(a))
    exact = lambda a, b: product(convolution, a, b)
    return by_platform(a, b, cuda=rounded, rocm=rounded, default=exact)


def result_dtype(operand: Array) -> jnp.dtype:
    """float32, or the operand's if that is wider."""
    return jnp.promote_types(operand.dtype, jnp.float32)


def _widened(narrow: Bilinear, wide: Bilinear, a: Array, b: Array) -> Array:
    call = jax.custom_jvp(wide)

    @call.defjvp
    def derivative(primals, tangents):
        _, tangent = jax.jvp(narrow, primals, tangents)
        return call(*primals), tangent.astype(result_dtype(a))

    return call(a, b)
