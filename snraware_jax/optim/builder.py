"""Schedules and optimisers by name, from plain values."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import optax

from snraware_jax.optim.sophia import scale_by_sophia

LEAST_SHARE = 250_000  # of the peak, at the end of a schedule


class Options(NamedTuple):
    """Of an optimiser.

    Attributes:
      beta1, beta2: decay of the two averages; sign_momentum has the first alone.
      weight_decay: decoupled, times the learning rate.
      rho, refresh_every: Sophia's factor on the Hessian, and how many steps one estimate of it serves.
      cycled: in place of sign_momentum's beta1.
    """

    beta1: float
    beta2: float
    weight_decay: float = 0.0
    rho: float = 0.05
    refresh_every: int = 10
    cycled: optax.Schedule | None = None


def one_cycle(steps: int, peak: float, warmup: float = 0.3) -> optax.Schedule:
    """Cosine one-cycle: peak / 25 up to the peak over `warmup` of the steps, then down to peak / 250,000.

    Source: Smith & Topin 2018, with the factors of the authors' code (25 and 1e4).
    """
    return optax.cosine_onecycle_schedule(max(steps, 2), peak, pct_start=warmup, div_factor=25.0, final_div_factor=1e4)


def cosine(steps: int, peak: float, warmup: float = 0.3) -> optax.Schedule:
    """Linear from 0 to the peak over `warmup` of the steps, then half a period of a cosine down to peak / 250,000."""
    return optax.warmup_cosine_decay_schedule(0.0, peak, int(warmup * steps), max(steps, 2), peak / LEAST_SHARE)


def constant(steps: int, peak: float, warmup: float = 0.3) -> optax.Schedule:
    """Linear from 0 to the peak over `warmup` of the steps, then the peak."""
    rise = int(warmup * steps)
    return optax.warmup_constant_schedule(0.0 if rise else peak, peak, rise)  # over no steps, optax stays at where it starts


def cycled_momentum(steps: int, warmup: float = 0.3) -> optax.Schedule:
    """The decay of sign_momentum beside `one_cycle`, as the authors have it: 0.95, down to 0.85 over `warmup` of the steps, 0.95."""
    down = optax.cosine_onecycle_schedule(max(steps, 2), 0.10, pct_start=warmup, div_factor=1e9, final_div_factor=1.0)
    return lambda count: 0.95 - down(count)


SCHEDULES: Mapping[str, Callable[[int, float, float], optax.Schedule]] = {
    "one_cycle": one_cycle,
    "cosine": cosine,
    "constant": constant,
}


def decayed(params: Any) -> Any:
    """Which parameters weight decay acts on: kernels, not norms, biases, slopes and bias tables."""
    return jax.tree.map_with_path(lambda path, _: path_name(path).endswith("kernel"), params)


def _adamw(schedule: optax.Schedule, options: Options) -> optax.GradientTransformation:
    return optax.adamw(schedule, b1=options.beta1, b2=options.beta2, weight_decay=options.weight_decay, mask=decayed)


def _lion(schedule: optax.Schedule, options: Options) -> optax.GradientTransformation:
    return optax.lion(schedule, b1=options.beta1, b2=options.beta2, weight_decay=options.weight_decay, mask=decayed)


def _sign_momentum(schedule: optax.Schedule, options: Options) -> optax.GradientTransformation:
    """Lion with one decay: what the authors' Sophia comes to, because its Hessian is never refreshed."""
    if options.cycled is not None:
        return optax.chain(
            optax.inject_hyperparams(optax.scale_by_lion)(b1=options.cycled, b2=options.cycled),
            optax.add_decayed_weights(options.weight_decay, decayed),
            optax.scale_by_learning_rate(schedule),
        )
    return _lion(schedule, options._replace(beta2=options.beta1))


def _sophia(schedule: optax.Schedule, options: Options) -> optax.GradientTransformation:
    return optax.chain(
        scale_by_sophia(options.beta1, options.beta2, options.rho, refresh_every=options.refresh_every),
        optax.add_decayed_weights(options.weight_decay, decayed),
        optax.scale_by_learning_rate(schedule),
    )


OPTIMIZERS: Mapping[str, Callable[[optax.Schedule, Options], optax.GradientTransformation]] = {
    "adamw": _adamw,
    "lion": _lion,
    "sign_momentum": _sign_momentum,
    "sophia": _sophia,
}


def build(
    name: str, schedule: optax.Schedule, options: Options, clip_norm: float = 1.0
) -> optax.GradientTransformationExtraArgs:
    """Gradients clipped by their global norm, then an optimiser of `OPTIMIZERS`; `update` takes `curvature=` (Sophia's).

    Raises:
      ValueError: for a name that does not exist.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer.name is {name!r}: choose one of {', '.join(OPTIMIZERS)}")
    return optax.with_extra_args_support(optax.chain(optax.clip_by_global_norm(clip_norm), OPTIMIZERS[name](schedule, options)))


def path_name(path: tuple) -> str:
    """A parameter's place in the tree as words, "backbone/blocks/0/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")
