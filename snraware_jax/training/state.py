"""Everything that a training run carries from step to step."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array


class TrainState(NamedTuple):
    """The state after `step` steps.

    Attributes:
      step: steps taken, [] int32.
      params: parameters of the network.
      optimizer: state of the optimiser.
      ema: moving average of `params`, which is evaluated and exported.
      skipped: steps in a row whose gradients were not finite, [] int32.
    """

    step: Array
    params: Any
    optimizer: Any
    ema: Any
    skipped: Array


def create(params: Any, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step."""
    # `ema` starts as a copy of its own: the step donates the state, and a buffer can only be donated once
    copy = jax.tree.map(jnp.copy, params)
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params), copy, jnp.zeros((), jnp.int32))
