"""Losses of a few steps of the networks of Table 2 in small: `python -m tests.scale.steps OUT.json --devices=8 --dtypes=float32`.

One of several processes is started with the variables of `snraware_jax.training.processes`; the first one writes OUT.json.
"""

import argparse
import json
import math
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from launch import program
from snraware_jax.models import table2
from snraware_jax.training import mesh, processes
from snraware_jax.training.run import assemble
from snraware_jax.training.step import abstract_batch

STEPS, BATCH, PATCH = 3, 8, (4, 16, 16)


def small(name: str, dtype: str) -> ConfigDict:
    """One of the fourteen with its kinds of cells, as small as they allow."""
    config = program.load_config(f"configs/{name}.py:quick")
    config.batch_size, config.data.patch = BATCH, PATCH
    config.model.update(channels=4, heads=4, window_heads=2, window=(2, 4, 4), window_patch=(2, 2), stochastic_depth=0.2)
    config.model.update(levels=1, dtype=dtype)
    return config


def batch(count: int, g_margin: int) -> dict[str, np.ndarray]:
    """Samples of the whole batch, the same in every process: blobs of another size and phase each."""
    made = {name: np.zeros(one.shape, one.dtype) for name, one in abstract_batch(count, PATCH, g_margin).items()}
    t, y, x = np.mgrid[: PATCH[0], : PATCH[1], : PATCH[2]]
    for sample in range(count):
        made["image"][sample] = 60 * (np.hypot(y - 8, x - 8) < 4 + np.cos(t + sample)) * np.exp(1j * sample) + 20
        made["gmaps"][sample] = 1 + np.arange(7).reshape(7, 1, 1) / 7
        made["size"][sample] = (8, 32, 32)
        made["sample_id"][sample] = sample
    return made


def losses(name: str, dtype: str, devices: int) -> list[float]:
    """Of `STEPS` steps from the start."""
    config = small(name, dtype)
    run = assemble(config, BATCH, jax.devices()[:devices])
    share = BATCH // jax.process_count()
    mine = slice(jax.process_index() * share, (jax.process_index() + 1) * share)
    placed = mesh.global_batch({name: x[mine] for name, x in batch(BATCH, run.noise.g_margin).items()}, run.mesh)
    places = jax.tree.map(lambda array: array.sharding, run.abstract_state)
    step = jax.jit(run.train_step, out_shardings=(places, mesh.replicated(run.mesh)))
    state, found = run.initial_state(), []
    for _ in range(STEPS):
        state, figures = step(state, placed)
        found.append(float(figures["loss"]))
    if not all(map(math.isfinite, found)):
        raise ValueError(f"{name} {dtype}: losses {found}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--devices", type=int, default=1, help="of all processes")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--networks", default=",".join(table2.NETWORKS))
    options = parser.parse_args()
    processes.join(60)
    found = {}
    for name in options.networks.split(","):
        for dtype in options.dtypes.split(","):
            found[f"{name} {dtype}"] = losses(name, dtype, options.devices)
            print(f"{processes.name()}{name} {dtype} {found[f'{name} {dtype}']}", flush=True)
    if jax.process_index() == 0:
        options.output.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
