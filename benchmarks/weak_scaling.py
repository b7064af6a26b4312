"""What more processes, or more devices of one process, cost a training whose work for each of them stays the same.

    python benchmarks/weak_scaling.py --json OUT.json              # hrnet_cnnt.py:quick on its simulated subjects

Processes meet on this machine's loopback, each upon a core of its own while there are cores, and in turn upon them beyond; simulated
devices share one process and all cores. Each takes `--patches` patches a step, from the trainer's own input pipeline. Efficiency is
CPU time a patch of one, over that of several: waiting for a core that another has is no loss, work that one alone does not have is.
Read are the records of one host; sent is what loopback carried, for one process. Prints a table; writes one JSON object of one line.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
from tables import number, table

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

PACKAGES = ("jax", "jaxlib", "flax", "grain", "numpy")
PROCESSES, DEVICES = (1, 2, 4), (1, 2, 4, 8)
WARM_UP = 3  # steps


def measure(options: argparse.Namespace, records: Path, processes: int, devices: int, pinned: bool) -> dict[str, Any]:
    """One training over `processes` processes of `devices` devices each: the means, over processes, of what `work` measures.

    `pinned` processes have one core each.
    """
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        port = tried.getsockname()[1]
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "2"}
    started = []
    for process in range(processes):
        task = {name: getattr(options, name) for name in ("config", "patches", "steps")}
        task |= {"records": str(records), "core": process % machine.cores() if pinned else None}
        meeting = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}", "JAX_NUM_PROCESSES": str(processes)}
        mine = environment | (meeting | {"JAX_PROCESS_ID": str(process)} if processes > 1 else {})
        command = [sys.executable, __file__, f"--task={json.dumps(task)}"]
        started.append(subprocess.Popen(command, env=mine, stdout=subprocess.PIPE, text=True))
    answers = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit(f"weak_scaling: a process of {processes} x {devices} devices failed")
    found = [json.loads(answer.splitlines()[-1]) for answer in answers]
    return {"processes": processes, "devices": devices} | {
        name: statistics.fmean(one[name] for one in found) for name in found[0]
    }


def work(task: dict[str, Any]) -> dict[str, float]:
    """One process of a training, as JSON on the last line of its output."""
    if task["core"] is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[task["core"]]})
    from data_pipeline import heap

    heap.one_heap_of_huge_pages()
    import jax

    from data_pipeline.sources import open_source
    from launch import compilation, program
    from snraware_jax.training import loop, mesh, processes
    from snraware_jax.training.run import assemble

    processes.join(60)
    config = program.load_config(task["config"])
    config.batch_size = task["patches"] * jax.device_count()
    config.train.steps = WARM_UP + task["steps"]
    source = open_source(Path(task["records"]), "train")
    run = assemble(config, len(source))
    batches = loop.batches_of(config, run, source, 0)
    state, batch = run.initial_state(), next(batches)
    places = (jax.tree.map(lambda array: array.sharding, run.abstract_state), mesh.replicated(run.mesh))
    step = jax.jit(run.train_step, donate_argnums=0, out_shardings=places).lower(state, batch).compile()
    seconds, before = [], {}
    for number_of_step in range(WARM_UP + task["steps"]):
        if number_of_step == WARM_UP:
            before = {"cpu": time.process_time(), "read": bytes_read(), "loopback": bytes_of_loopback()}
        started = time.perf_counter()
        state, figures = step(state, batch)
        batch = next(batches)
        jax.block_until_ready(figures)
        seconds.append(time.perf_counter() - started)
    cpu, read = time.process_time() - before["cpu"], bytes_read() - before["read"]
    summed = compilation.summed(compilation.collectives(step.as_text() or ""), 1)
    patches = task["steps"] * task["patches"] * jax.local_device_count()  # of this process
    return {
        "step_s": statistics.median(seconds[WARM_UP:]),
        "cpu_s_a_patch": cpu / patches,
        "patches_a_s": config.batch_size / statistics.median(seconds[WARM_UP:]),
        "summed_bytes": sum(summed.values()),
        "parameters": run.parameters,
        "read_bytes_a_patch": read / patches,
        "sent_bytes_a_step": (bytes_of_loopback() - before["loopback"]) / task["steps"] / jax.process_count(),
    }


def bytes_read() -> int:
    """Bytes that this process has asked files for until now (Linux)."""
    return int(Path("/proc/self/io").read_text().split("rchar:")[1].split()[0])


def bytes_of_loopback() -> int:
    """Bytes that this machine's loopback has carried until now (Linux)."""
    return int(Path("/proc/net/dev").read_text().split("lo:")[1].split()[0])


def with_efficiency(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """CPU time a patch of the first case over that of each."""
    return [case | {"efficiency": cases[0]["cpu_s_a_patch"] / case["cpu_s_a_patch"]} for case in cases]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/hrnet_cnnt.py:quick")
    parser.add_argument("--patches", type=int, default=4, help="of a step, for each process or simulated device [4]")
    parser.add_argument("--steps", type=int, default=20, help="that are measured [20]")
    parser.add_argument("--json", help="file that the JSON line is written to")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        print(json.dumps(work(json.loads(options.task))))
        return

    from launch import program, training

    with tempfile.TemporaryDirectory() as folder:
        training.simulate(program.load_config(options.config), Path(folder))
        groups = {"processes": [], "devices": []}
        sizes = [("processes", count, 1) for count in PROCESSES] + [("devices", 1, count) for count in DEVICES]
        for name, processes, devices in sizes:
            groups[name].append(measure(options, Path(folder), processes, devices, pinned=name == "processes"))
            print(f"weak_scaling: {processes} process(es) of {devices} device(s) done", file=sys.stderr, flush=True)
    groups = {name: with_efficiency(cases) for name, cases in groups.items()}
    header = "processes x devices|s a step|patches/s|CPU-s a patch|efficiency|MB summed|MB sent|MB read a patch"
    for name, cases in groups.items():
        rows = []
        for case in cases:
            megabytes = [case[field] / 1e6 for field in ("summed_bytes", "sent_bytes_a_step", "read_bytes_a_patch")]
            figures = [case["step_s"], case["patches_a_s"], case["cpu_s_a_patch"], case["efficiency"], *megabytes]
            rows.append([f"{case['processes']} x {case['devices']}", *map(number, figures)])
        print(table(f"{options.config}, {options.patches} patches for each, {name}", header, rows))
    report = {"benchmark": "weak_scaling", "command": " ".join(sys.argv), "machine": machine.describe(PACKAGES), **groups}
    if options.json:
        Path(options.json).write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
