"""The networks of Table 2 as cases of a benchmark; shared by train_step.py and inference.py."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import machine

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from data_pipeline import heap  # imports no JAX, which has to start behind it

if TYPE_CHECKING:
    from ml_collections import ConfigDict

CELLS = ("cnnt_large", "cnnt", "swin3d", "vit3d", "conv3d", "vit2d", "conv2d")
CONFIGS = [f"configs/{backbone}_{cells}.py" for backbone in ("hrnet", "unet") for cells in CELLS]
PACKAGES = ("jax", "jaxlib", "flax", "numpy")
PRODUCT = 2048  # rows of the matrices whose product is the machine's limit


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that both benchmarks have."""
    parser.add_argument("--configs", default=",".join(CONFIGS), help="configurations, with commas between [the fourteen]")
    parser.add_argument("--dtype", default="float32", help="of the operands of products [float32]")
    parser.add_argument(
        "--repeats", type=int, default=1, help="timed calls, after one that is not timed (the only one if 1) [1]"
    )
    parser.add_argument("--threads", type=int, default=machine.cores(), help="processors [all]")
    parser.add_argument("--json", help="file that the JSON line is written to")
    parser.add_argument("--task", help=argparse.SUPPRESS)


def answer(options: argparse.Namespace, tasks: dict[str, Callable[..., dict[str, Any]]]) -> None:
    """What a process of `run` does: its task, whose result it prints."""
    machine.pin(options.threads)
    heap.one_heap_of_huge_pages()  # as launch/train.py does
    task = json.loads(options.task)
    name = task.pop("task")
    print(json.dumps(task | tasks[name](**task)))


def run(program: str, tasks: list[dict[str, Any]], threads: int) -> dict[str, Any]:
    """Runs tasks one after another, each in a process of its own; results by the name of the task, that of the machine alone."""
    report: dict[str, Any] = {}
    started = time.monotonic()
    for position, task in enumerate(tasks, start=1):
        named = " ".join(str(task[name]) for name in ("config", "name") if name in task)
        seconds = time.monotonic() - started
        print(f"{position}/{len(tasks)} {task['task']} {named} ({seconds:.0f} s)", file=sys.stderr, flush=True)
        result = machine.run_apart(program, task, threads)
        if task["task"] == "machine":
            report["machine"] = result
        else:
            report.setdefault(task["task"], []).append(result)
    return report | {"total_s": time.monotonic() - started}


def limits() -> dict[str, Any]:
    """The machine, and GFLOP/s of the fastest of some float32 products by jax and by numpy."""
    import jax
    import numpy as np

    matrix = np.random.default_rng(0).normal(size=(PRODUCT, PRODUCT)).astype(np.float32)
    on_device, product = jax.device_put(matrix), jax.jit(lambda x: x @ x)
    calls = (lambda: product(on_device).block_until_ready(), lambda: matrix @ matrix)
    fastest = min(min(machine.timed(call, 1)["wall_s"] for _ in range(8)) for call in calls)
    return machine.describe(PACKAGES) | {"matmul_gflops": 2e-9 * PRODUCT**3 / fastest}


def about(report: dict[str, Any]) -> str:
    """A line on the machine."""
    found = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return (
        f"{found['cpu']}, {found['processors_used']} of {found['cores']} cores, {found['device']}, {found['date']}, Python "
        f"{found['python']}, {versions}; products of {PRODUCT} x {PRODUCT} float32: {found['matmul_gflops']:.0f} GFLOP/s"
    )


def load(config: str, dtype: str, *, remat: bool = False, batch_size: int = 1) -> "ConfigDict":
    """A configuration by its file, with what the benchmark changes."""
    from launch import program

    loaded = program.load_config(config)
    with loaded.unlocked():
        loaded.batch_size = batch_size
        loaded.model.update(dtype=dtype, remat=remat)
    return loaded


def batch(config: "ConfigDict", g_margin: int) -> dict[str, Any]:
    """A batch of noise as the loader would give it."""
    import numpy as np

    count, (frames, height, width) = config.batch_size, config.data.patch
    image = 50 * (np.random.default_rng(0).normal(size=(count, frames, height, width, 2)) @ [1, 1j])
    return {
        "image": image.astype(np.complex64),
        "gmaps": np.ones((count, 7, height + 2 * g_margin, width + 2 * g_margin), np.float32),
        "size": np.tile(np.array([30, 192, 144], np.int32), (count, 1)),
        "native_noise": np.ones(count, np.float32),
        "sample_id": np.arange(count, dtype=np.int32),
        "epoch": np.zeros(count, np.int32),
    }
