"""Time and memory of the whole train step (noise, network, losses, gradients, optimiser) of a configuration.

    python benchmarks/train_step.py --config=configs/hrnet_cnnt.py --batch_size=1 --steps=1 --json=OUT.json

Prints one JSON line: seconds per step (median), compile seconds, peak resident memory, on what.
"""

import json
import os
import platform
import resource
import statistics
import sys
import time
from pathlib import Path

from absl import app, flags
from ml_collections import config_flags

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

CONFIG = config_flags.DEFINE_config_file("config", "configs/hrnet_cnnt.py", "what to train")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 1, "patches in one step")
STEPS = flags.DEFINE_integer("steps", 3, "timed steps, after one that is not timed (the only one if this is 1)")
DTYPE = flags.DEFINE_string("dtype", "", "of the computation [the configuration's]")
JSON = flags.DEFINE_string("json", "", "file that the JSON line is also written to")


def main(_: list[str]) -> None:
    import jax
    import numpy as np

    from snraware_jax.training import mesh
    from snraware_jax.training.run import assemble

    config = CONFIG.value
    with config.unlocked():
        config.batch_size = BATCH_SIZE.value
        config.model.dtype = DTYPE.value or config.model.dtype
    run = assemble(config, samples=1000)
    rng = np.random.default_rng(0)
    (frames, height, width), margin = config.data.patch, run.noise.g_margin
    image = 50 * (rng.normal(size=(config.batch_size, frames, height, width, 2)) @ [1, 1j])
    host_batch = {
        "image": image.astype(np.complex64),
        "gmaps": np.ones((config.batch_size, 7, height + 2 * margin, width + 2 * margin), np.float32),
        "size": np.tile(np.array([30, 192, 144], np.int32), (config.batch_size, 1)),
        "native_noise": np.ones(config.batch_size, np.float32),
        "sample_id": np.arange(config.batch_size, dtype=np.int32),
        "epoch": np.zeros(config.batch_size, np.int32),
    }
    batch = mesh.global_batch(host_batch, run.mesh)
    state = run.initial_state()
    started = time.perf_counter()
    step = jax.jit(run.train_step, donate_argnums=0).lower(state, batch).compile()
    compile_s = time.perf_counter() - started
    memory = step.memory_analysis()

    seconds, losses = [], []
    for _step in range(STEPS.value + (STEPS.value > 1)):
        started = time.perf_counter()
        state, figures = step(state, batch)
        losses.append(float(figures["loss"]))
        seconds.append(time.perf_counter() - started)
    result = {
        "benchmark": "train_step",
        "command": " ".join(sys.argv),
        "parameters": run.parameters,
        "batch": [config.batch_size, frames, height, width],
        "dtype": config.model.dtype,
        "remat": config.model.remat,
        "step_s": round(statistics.median(seconds[STEPS.value > 1 :]), 4),
        "compile_s": round(compile_s, 1),
        "peak_rss_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "temporary_gb": round(memory.temp_size_in_bytes / 2**30, 2) if memory else None,
        "losses": losses,
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "jax": jax.__version__,
        "python": platform.python_version(),
    }
    print(json.dumps(result))
    if JSON.value:
        Path(JSON.value).write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    app.run(main)
