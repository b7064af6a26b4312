"""Time, memory and arithmetic of training for the networks of Table 2: forward, forward and gradient, the whole step.

    python benchmarks/train_step.py --json OUT.json                                    # all fourteen, the paper's sizes, one patch
    python benchmarks/train_step.py --configs=configs/hrnet_cnnt.py --parts=gradient --repeats=3
    python benchmarks/train_step.py --configs=configs/hrnet_cnnt.py:quick --batch_size=8

A step is noise, network, losses, gradients and optimiser. Every case is a process of its own, with a compilation of its own. The
arithmetic is that of products and convolutions, counted in the program, three times the forward's for a gradient; the machine's
limit is the fastest of some large float32 products. Prints a table; writes one JSON object of one line.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import networks
from tables import number, table

PARTS = {"forward": 1, "gradient": 3, "step": 3}  # and how often each does the forward's arithmetic


def part(config: str, name: str, batch_size: int, dtype: str, remat: bool, repeats: int) -> dict[str, Any]:
    """Seconds, memory and arithmetic of one part of training with a configuration."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from flax import nnx

    from snraware_jax import flops
    from snraware_jax.training import mesh
    from snraware_jax.training.run import assemble

    loaded = networks.load(config, dtype, remat=remat, batch_size=batch_size)
    run = assemble(loaded, samples=1000)
    frames, height, width = loaded.data.patch
    state = run.initial_state()
    x = jnp.asarray(np.random.default_rng(0).normal(size=(batch_size, frames, height, width, 3)), jnp.float32)
    network = lambda params, x: nnx.merge(run.graphdef, params)(x)
    tflop = PARTS[name] * flops.products(network, state.params, x) / 1e12

    if name == "step":
        batch = mesh.global_batch(networks.batch(loaded, run.noise.g_margin), run.mesh)
        program, arguments = run.train_step, (state, batch, run.vgg())
    elif name == "gradient":
        program, arguments = jax.grad(lambda params, x: jnp.sum(network(params, x) ** 2), argnums=(0, 1)), (state.params, x)
    else:
        program, arguments = network, (state.params, x)
    started = time.perf_counter()
    compiled = jax.jit(program).lower(*arguments).compile()
    compile_s = time.perf_counter() - started
    memory = compiled.memory_analysis()
    call = lambda: jax.block_until_ready(compiled(*arguments))
    if repeats > 1:
        call()
    seconds = machine.timed(call, repeats)
    return seconds | {
        "parameters": run.parameters,
        "compile_s": compile_s,
        "tflop": tflop,
        "gflop_per_s": 1e3 * tflop / seconds["wall_s"],
        "peak_gb": machine.peak_memory_gb(),
        "temporary_gb": memory.temp_size_in_bytes / 2**30 if memory else None,
    }


TASKS: dict[str, Callable[..., dict[str, Any]]] = {"machine": networks.limits, "part": part}


def show(report: dict[str, Any]) -> str:
    """The report as tables."""
    limit = report["machine"]["matmul_gflops"]
    rows = [
        [
            Path(case["config"]).name,
            case["name"],
            f"{case['parameters'] / 1e6:.1f}",
            *(number(case[field]) for field in ("wall_s", "cpu_s", "tflop", "gflop_per_s")),
            f"{100 * case['gflop_per_s'] / limit:.0f} %",
            *(number(case[field]) for field in ("compile_s", "peak_gb", "temporary_gb")),
        ]
        for case in report["part"]
    ]
    header = "configuration|part|M parameters|s|CPU s|TFLOP|GFLOP/s|of limit|compile s|peak GB|temporary GB"
    return networks.about(report) + table(f"Training, batch {report['batch_size']}, {report['dtype']}", header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    networks.add_options(parser)
    parser.add_argument("--parts", default=",".join(PARTS), help="of forward, gradient, step [all]")
    parser.add_argument("--batch_size", type=int, default=1, help="patches [1]")
    parser.add_argument("--remat", action="store_true", help="compute cells again in the gradient")
    options = parser.parse_args()
    if options.task:
        networks.answer(options, TASKS)
        return
    shared = {"batch_size": options.batch_size, "dtype": options.dtype, "remat": options.remat}
    tasks: list[dict[str, Any]] = [{"task": "machine"}]
    for config in options.configs.split(","):
        for name in options.parts.split(","):
            tasks.append({"task": "part", "config": config, "name": name, "repeats": options.repeats, **shared})
    report = {"benchmark": "train_step", "command": " ".join(sys.argv), **shared}
    report |= networks.run(__file__, tasks, options.threads)
    print(show(report))
    if options.json:
        Path(options.json).write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
