"""Floating-point operations of the matrix products and convolutions of a function, counted in its jaxpr."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax


def products(function: Callable[..., Any], *arguments: Any) -> float:
    """2 x multiplications in all products and convolutions of one call; arguments may be shapes.

    Of a choice by platform or condition the largest branch counts; a loop as often as it runs. So convolutions count as they are
    defined: on CPU they need fewer (models/convolution.py), and a rate computed from this may exceed the machine's.
    """
    return _of_jaxpr(jax.make_jaxpr(function)(*arguments).jaxpr)


def _of_jaxpr(jaxpr: Any) -> float:
    return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: Any) -> float:
    output = math.prod(equation.outvars[0].aval.shape) if equation.outvars else 0
    match equation.primitive.name:
        case "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            return 2.0 * output * math.prod(left[axis] for axis in contracted)
        case "conv_general_dilated":
            kernel, numbers = equation.invars[1].aval.shape, equation.params["dimension_numbers"]
            outputs, *_ = numbers.rhs_spec
            return 2.0 * output * math.prod(kernel) / kernel[outputs]
        case "cond":
            return max(_of_jaxpr(branch.jaxpr) for branch in equation.params["branches"])
        case "shard_map":  # whose shapes are those of one device
            return equation.params["mesh"].size * _of_jaxpr(equation.params["jaxpr"])
        case "scan":
            return equation.params["length"] * _of_jaxpr(equation.params["jaxpr"].jaxpr)
    return sum(_of_jaxpr(inner) for inner in _inside(equation.params))


def _inside(parameters: dict[str, Any]) -> Iterator[Any]:
    """The jaxprs of a call: jit, checkpoint, a custom derivative."""
    for name in ("jaxpr", "call_jaxpr"):
        if name in parameters:
            yield getattr(parameters[name], "jaxpr", parameters[name])
