"""One-cycle schedule and optimiser, from plain values."""

import jax
import optax

OPTIMIZERS = {"adamw": optax.adamw, "lion": optax.lion}


def one_cycle(steps: int, lr_peak: float, warmup: float = 0.3) -> optax.Schedule:
    """Cosine one-cycle: lr_peak / 25 up to lr_peak over `warmup` of the steps, then down to lr_peak / 250,000.

    Source: Smith & Topin 2018, with the factors of the authors' code (25 and 1e4).
    """
    return optax.cosine_onecycle_schedule(max(steps, 2), lr_peak, pct_start=warmup, div_factor=25.0, final_div_factor=1e4)


def build(
    name: str,
    schedule: optax.Schedule,
    *,
    beta1: float,
    beta2: float,
    weight_decay: float = 0.0,
    clip_norm: float = 1.0,
) -> optax.GradientTransformation:
    """Gradients clipped by their global norm, then "adamw" or "lion"; norms, biases and slopes are not decayed.

    Raises:
      ValueError: for a name that does not exist.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer.name is {name!r}: choose one of {', '.join(OPTIMIZERS)}")
    decay = lambda params: jax.tree.map_with_path(lambda path, _: path_name(path).endswith("kernel"), params)
    optimizer = OPTIMIZERS[name](schedule, b1=beta1, b2=beta2, weight_decay=weight_decay, mask=decay)
    return optax.chain(optax.clip_by_global_norm(clip_norm), optimizer)


def path_name(path: tuple) -> str:
    """A parameter's place in the tree as words, "backbone/blocks/0/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")
