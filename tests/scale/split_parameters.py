"""Steps with Sophia's estimates, on one device, and on eight with parameters split: `python -m tests.scale.estimates OUT.npz`.

To be started with XLA_FLAGS=--xla_force_host_platform_device_count=8.
"""

import sys

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from configs import base
from snraware_jax.optim.sophia import ESTIMATORS
from snraware_jax.training import mesh
from snraware_jax.training.run import assemble
from tests.scale.steps import PATCH, batch

STEPS = 3
MESHES = {"one": (1, 1), "split": (8, 4)}  # devices, of which so many share the parameters


def parameters(estimator: str, devices: int, fsdp: int) -> np.ndarray:
    """All of them behind each of the steps, `[STEPS, N]`; every step makes an estimate, of half of the batch."""
    config = base.get_config("quick")
    config.model.update(backbone="stack", channels=4, norm="none")
    config.data.patch = PATCH
    config.mesh.fsdp, config.train.accumulate = fsdp, 2
    config.optimizer.update(name="sophia", estimator=estimator, refresh_every=1, schedule="constant")
    config.batch_size = 16
    run = assemble(config, config.batch_size, jax.devices()[:devices])
    if fsdp > 1 and not any(any(a.sharding.spec) for a in jax.tree.leaves(run.abstract_state.params)):
        raise ValueError("no parameter is split")
    placed = mesh.global_batch(batch(config, run.noise.g_margin), run.mesh)
    places = jax.tree.map(lambda array: array.sharding, run.abstract_state)
    step = jax.jit(run.train_step, out_shardings=(places, mesh.replicated(run.mesh)))
    state, found = run.initial_state(), []
    for _ in range(STEPS):
        state, _ = step(state, placed)
        found.append(np.asarray(ravel_pytree(jax.device_get(state.params))[0]))
    return np.stack(found)


def main() -> None:
    mesh.LEAST_BYTES_TO_SPLIT = 0  # small tensors too
    np.savez(sys.argv[1], **{f"{one}-{name}": parameters(one, *shape) for one in ESTIMATORS for name, shape in MESHES.items()})


if __name__ == "__main__":
    main()
