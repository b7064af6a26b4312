"""Optimisers and their schedules, as optax transformations."""

from snraware_jax.optim.builder import OPTIMIZERS, SCHEDULES, Options, build, cycled_momentum

__all__ = ["OPTIMIZERS", "SCHEDULES", "Options", "build", "cycled_momentum"]
