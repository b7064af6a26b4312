"""Steps with Sophia's estimates on one device and on eight that share parameters, and checkpoints from the one to the other.

    python -m tests.scale.split_parameters OUT.npz

To be started with XLA_FLAGS=--xla_force_host_platform_device_count=8.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from configs import base
from snraware_jax.optim.sophia import ESTIMATORS
from snraware_jax.training import checkpoint, mesh
from snraware_jax.training.run import Run, assemble
from snraware_jax.training.state import TrainState
from tests.scale.steps import PATCH, batch

STEPS, BATCH = 3, 16
MESHES = {"one": (1, 1), "split": (8, 4)}  # devices, of which so many share the parameters


def small_run(estimator: str, devices: int, fsdp: int) -> Run:
    """A training in which every step makes an estimate, of half of the batch."""
    config = base.get_config("quick")
    config.model.update(backbone="stack", channels=4, norm="none")
    config.data.patch, config.batch_size = PATCH, BATCH
    config.mesh.fsdp, config.train.accumulate = fsdp, 2
    config.optimizer.update(name="sophia", estimator=estimator, refresh_every=1, schedule="constant")
    run = assemble(config, BATCH, jax.devices()[:devices])
    if is_split(run.abstract_state) != (fsdp > 1):
        raise ValueError("parameters are split otherwise than asked for")
    return run


def is_split(state: TrainState) -> bool:
    """Whether devices share some array."""
    return any("fsdp" in array.sharding.spec for array in jax.tree.leaves(state))


def states(run: Run) -> list[TrainState]:
    """Those behind each of the steps."""
    placed = mesh.global_batch(batch(BATCH, run.noise.g_margin), run.mesh)
    places = jax.tree.map(lambda array: array.sharding, run.abstract_state)
    step = jax.jit(run.train_step, out_shardings=(places, mesh.replicated(run.mesh)))
    found = [run.initial_state()]
    for _ in range(STEPS):
        found.append(step(found[-1], placed)[0])
    return found[1:]


def flat(tree: Any) -> np.ndarray:
    """All numbers of a tree, one behind another."""
    return np.asarray(ravel_pytree(jax.device_get(tree))[0])


def moved(state: TrainState, run: Run) -> np.ndarray:
    """All numbers of a state that was saved and is restored in another run."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Path(folder), STEPS, state)
        _, restored, _ = checkpoint.restore(Path(folder), run.abstract_state)
    if is_split(restored) == is_split(state):
        raise ValueError("nothing was moved")
    return flat(restored)


def main() -> None:
    mesh.LEAST_BYTES_TO_SPLIT = 0  # small tensors too
    found = {}
    for estimator in ESTIMATORS:
        runs = {name: small_run(estimator, *shape) for name, shape in MESHES.items()}
        made = {name: states(run) for name, run in runs.items()}
        found |= {f"{estimator}-{name}": np.stack([flat(state.params) for state in some]) for name, some in made.items()}
    last = {name: some[-1] for name, some in made.items()}
    found |= {f"state-{name}": flat(state) for name, state in last.items()}
    found |= {"state-one-moved": moved(last["one"], runs["split"]), "state-split-moved": moved(last["split"], runs["one"])}
    np.savez(sys.argv[1], **found)


if __name__ == "__main__":
    main()
