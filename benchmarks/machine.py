"""What a benchmark runs on, and how it takes time, memory and threads; shared by the programs of this folder."""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

BLAS_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
LIMIT_S = 1800  # for one task


def cores() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_apart(program: str, task: dict[str, Any], threads: int, limit_s: float = LIMIT_S) -> dict[str, Any]:
    """Runs `python PROGRAM --task=JSON` as a process of its own, so that its peak memory and its threads are its own.

    The variables of the BLAS libraries are set before it starts; `pin` does the rest inside it. It starts with no cache of
    compiled programs. Its last line of output is its result.

    Raises:
      SystemExit: with the end of what it wrote, if it fails.
      subprocess.TimeoutExpired: after `limit_s` seconds.
    """
    environment = os.environ | dict.fromkeys(BLAS_THREAD_VARIABLES, str(threads)) | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    command = [sys.executable, program, f"--task={json.dumps(task)}", f"--threads={threads}"]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit_s)
    if finished.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{finished.stderr[-3000:]}")
    return json.loads(finished.stdout.splitlines()[-1])


def pin(threads: int) -> None:
    """Keeps this process on its first `threads` processors: XLA sizes its pool by them. To be called before jax is imported."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def timed(call: Callable[[], Any], repeats: int) -> dict[str, Any]:
    """Seconds of a call that returns when its work is done: median and quartiles by the clock, median of all threads' CPU time."""
    wall, cpu = [], []
    for _ in range(repeats):
        cpu_started, started = time.process_time(), time.perf_counter()
        call()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - cpu_started)
    quartiles = statistics.quantiles(wall, n=4, method="inclusive") if repeats > 1 else wall * 3
    return {
        "wall_s": statistics.median(wall),
        "wall_quartiles_s": [quartiles[0], quartiles[2]],
        "cpu_s": statistics.median(cpu),
        "repeats": repeats,
    }


def peak_memory_gb() -> float:
    """Largest resident memory of this process until now, GiB."""
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def complex_peak(size: int, libraries: Sequence[str] = ("jax", "numpy"), repeats: int = 3) -> dict[str, float]:
    """GFLOP/s of the fastest of some complex64 products of two `[size, size]` matrices, by jax and by numpy's BLAS."""
    import jax
    import numpy as np

    rng = np.random.default_rng(0)
    matrix = (rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size))).astype(np.complex64)
    on_device = jax.device_put(matrix)
    product = jax.jit(lambda x: jax.numpy.matmul(x, x, precision="highest"))
    calls = {"jax": lambda: product(on_device).block_until_ready(), "numpy": lambda: matrix @ matrix}
    rates = {}
    for name in libraries:
        call = calls[name]
        call()
        rates[name] = 8e-9 * size**3 / min(timed(call, 1)["wall_s"] for _ in range(repeats))
    return rates


def describe(packages: tuple[str, ...]) -> dict[str, Any]:
    """Processor, threads and versions, as this process finds them; imports numpy, scipy and jax."""
    import jax

    jax.numpy.zeros(1).block_until_ready()  # starts XLA's threads
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "processors_used": cores(),
        "device": jax.devices()[0].device_kind,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "blas": _blas(),
        "blas_variables": {name: os.environ.get(name) for name in BLAS_THREAD_VARIABLES},
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "xla_threads": _threads_named("XLAEigen"),
    }


def _cpu_model() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _blas() -> list[dict[str, Any]] | None:
    """Every BLAS that is loaded, with its threads; None without threadpoolctl."""
    import scipy.linalg  # noqa: F401 (jax takes its Cholesky from scipy's BLAS)

    try:
        from threadpoolctl import threadpool_info  # pyright: ignore[reportMissingImports] (an extra)
    except ImportError:
        return None
    keep = ("internal_api", "version", "num_threads", "architecture")
    return [
        {key: pool.get(key) for key in keep} | {"file": Path(pool["filepath"]).name}
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    ]


def _threads_named(part: str) -> int | None:
    """Threads of this process with `part` in their name (Linux)."""
    names = [task.read_text() for task in Path("/proc/self/task").glob("*/comm")]
    return sum(part in name for name in names) if names else None
