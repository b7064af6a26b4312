"""Optimisers and their schedule, as optax transformations."""

from snraware_jax.optim.builder import build, one_cycle

__all__ = ["build", "one_cycle"]
