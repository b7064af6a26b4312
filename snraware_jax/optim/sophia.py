"""Sophia: momentum divided by an estimate of the Hessian's diagonal, which is refreshed now and then, clipped element by element.

    m = beta1 m + (1 - beta1) g,   h = beta2 h + (1 - beta2) h' (every k-th step),   update = clip(m / max(rho h, epsilon), 1)

Neither average is corrected for its start at 0, as in the paper. `optax.contrib.sophia` is not equal: it corrects m, and refreshes h
behind the update, so that its first step has no h, and every step that refreshes goes by the estimate of k steps before.

Source: Liu et al., ICLR 2024, algorithm 3; estimators of section 2.3.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

ESTIMATORS = ("gnb", "hutchinson")
Curvature = Callable[[], Any]  # h', with the shapes of the parameters


class SophiaState(NamedTuple):
    """Steps taken, [] int32, and the averages m and h, each with the shapes of the parameters."""

    count: Array
    momentum: Any
    curvature: Any


def scale_by_sophia(
    beta1: float = 0.965, beta2: float = 0.99, rho: float = 0.05, epsilon: float = 1e-12, refresh_every: int = 10
) -> optax.GradientTransformationExtraArgs:
    """Sophia without learning rate and weight decay; `update` takes `curvature=`, which is called in the steps that refresh h.

    Elements of h' that are not finite leave theirs as they were. Where h is 0 or below, the update is the momentum's sign.
    """

    def init(params: Any) -> SophiaState:
        return SophiaState(jnp.zeros((), jnp.int32), optax.tree.zeros_like(params), optax.tree.zeros_like(params))

    def update(
        gradients: Any, state: SophiaState, params: Any = None, *, curvature: Curvature, **_: Any
    ) -> tuple[Any, SophiaState]:
        del params
        momentum = optax.tree.update_moment(gradients, state.momentum, beta1, 1)
        average = lambda new, old: jnp.where(jnp.isfinite(new), beta2 * old + (1 - beta2) * new, old)
        h = jax.lax.cond(
            state.count % refresh_every == 0,
            lambda: jax.tree.map(average, curvature(), state.curvature),
            lambda: state.curvature,
        )
        clipped = jax.tree.map(lambda m, h: jnp.clip(m / jnp.maximum(rho * h, epsilon), -1, 1), momentum, h)
        return clipped, SophiaState(state.count + 1, momentum, h)

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]


def gauss_newton_bartlett(pull: Callable[[Array], Any], noise: Array, count: int) -> Any:
    """Estimate of the Gauss-Newton diagonal of the mean of |output - target|^2 / 2: N ghat^2, ghat the gradient at sampled targets.

    For a Gaussian likelihood of unit SD (images are in units of the noise) a sampled target is the output plus white noise, whatever
    the data, so ghat is the noise pulled back through the network. It is never negative.

    Args:
      pull: the network's transposed derivative at the parameters, a function of what is pulled back; where devices share a batch, its
        mean over them.
      noise: white, of unit SD, with the shape of the network's output.
      count: N, the real numbers of the output, over all devices.
    """
    return jax.tree.map(lambda g: count * g**2, pull(noise / noise.size))


def hutchinson(gradient: Callable[[Any], Any], params: Any, key: Array) -> Any:
    """Estimate of the diagonal of the Hessian of any loss: u * (H u), u of random signs. It may be negative.

    Args:
      gradient: of the loss, a function of the parameters.
      params: where.
      key: of the signs.
    """
    u = optax.tree.random_like(key, params, jax.random.rademacher)
    return jax.tree.map(jnp.multiply, u, jax.jvp(gradient, (params,), (u,))[1])
