"""Training patches a second from records on this machine, as the trainer gets them, and whether memory stays flat.

    python benchmarks/input_pipeline.py --json OUT.json   # all cases; --quick: few series and patches
    pip install 'snraware-jax[tfds]'                      # ArrayRecord; its rows are left out without it

Series of 30 frames of 256 x 144 pixels with seven g-maps, noise and all, in HDF5 shards and in a TFDS data set (ArrayRecord), stored
as complex64 and as float16. Every case is `loader.batches` in a process of its own, patches of 16 x 64 x 64. The files are in the
page cache: this measures the program, not a disk. Prints a table; writes one JSON object of one line.
"""

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import machine
from tables import number, table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from data_pipeline.records import Record, Storage

SHAPE, MAPS, PATCH = (30, 256, 144), 7, (16, 64, 64)
PATCH_BYTES = 8 * 16 * 64 * 64 + 4 * MAPS * 64 * 64
PER_SHARD = 16
STORAGES = ("complex64", "float16")
STUDIED = {"hdf5": "complex64", "array_record": "float16"}  # the storage whose threads, workers and memory are looked at
GOAL = 200  # patches a second
PACKAGES = ("numpy", "h5py", "grain", "array_record", "tensorflow_datasets")
NO_TFDS = "tensorflow-datasets is not installed, so ArrayRecord is left out: pip install 'snraware-jax[tfds]'"


# ---------------------------------------------------------------- data


def make_records(count: int) -> "Iterator[Record]":
    """Smooth series with unit noise, peak SNR 60."""
    import numpy as np

    from data_pipeline.records import Record

    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    gmaps = np.stack([1 + 0.2 * r * np.exp(-((x - 72) ** 2 + (y - 128) ** 2) / 4000) for r in range(MAPS)]).astype(np.float32)
    for sample_id in range(count):
        rng = np.random.default_rng(sample_id)
        signal = 60 * np.exp(-((y - 128) ** 2 + (x - 72) ** 2) / 3000 + 0.02j * x)
        image = signal + rng.normal(size=SHAPE) + 1j * rng.normal(size=SHAPE)
        yield Record(sample_id, image.astype(np.complex64), gmaps, 1.0, f"subject-{sample_id}", "train")


def write(folder: str, series: int, container: str, storage: "Storage") -> dict[str, Any]:
    """Writes the series as HDF5 shards, or turns the shards of the same storage into a TFDS data set."""
    started = time.perf_counter()
    to = Path(folder) / container / storage
    if container == "hdf5":
        from data_pipeline import records

        made = make_records(series)
        for shard in range(-(-series // PER_SHARD)):
            of_shard = (record for record, _ in zip(made, range(PER_SHARD), strict=False))
            records.write_shard(to / f"train-{shard:05d}.h5", of_shard, storage)
    else:
        from data_pipeline import tfds_builder

        tfds_builder.write(to, tfds_builder.parts_of(Path(folder) / "hdf5" / storage, storage), storage=storage)
    return {"file_bytes": sum(len_of(path) for path in files(to)), "write_s": time.perf_counter() - started}


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix == ".h5" or ".array_record" in path.name)


def len_of(path: Path) -> int:
    return path.stat().st_size


# ---------------------------------------------------------------- what is measured


def limits(folder: str, container: str, storage: str) -> dict[str, Any]:
    """What one core does at best: reading the files from end to end, and copying a patch."""
    import numpy as np

    buffer = bytearray(2**20)
    paths = files(Path(folder) / container / storage)

    def read() -> None:
        for path in paths:
            with path.open("rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass

    patch = np.ones(PATCH_BYTES, np.uint8)
    copies = 200
    read_s = machine.timed(read, 3)["wall_s"]
    copy_s = machine.timed(lambda: [patch.copy() for _ in range(copies)], 5)["wall_s"]
    return {
        "sequential_read_gb_s": sum(map(len_of, paths)) / read_s / 1e9,
        "copy_gb_s": copies * PATCH_BYTES / copy_s / 1e9,
    }


def throughput(
    folder: str, container: str, storage: str, preset: str, batch: int, patches: int, prefetch: int, workers: int
) -> dict[str, Any]:
    """Patches a second of the loader, with `prefetch` threads in each process, and the CPU time and bytes read for each."""
    stream = batches(folder, container, storage, preset, batch, prefetch, workers)
    for _ in range(4):
        next(stream)
    cpu, started, read = time.process_time(), time.perf_counter(), bytes_read()
    for _ in range(patches // batch):
        next(stream)
    wall, done = time.perf_counter() - started, patches // batch * batch
    cpu, read = time.process_time() - cpu, bytes_read() - read
    stream.close()
    alone = {} if workers else {"cpu_ms": 1e3 * cpu / done, "read_bytes": read / done}  # of this process alone
    return {"patches_per_s": done / wall, "wall_s": wall, "mb_per_s": done * PATCH_BYTES / wall / 1e6} | alone


def memory(folder: str, container: str, storage: str, batch: int, count: int, prefetch: int) -> dict[str, Any]:
    """Resident memory over `count` batches: twenty readings, and the growth from the fifth to the last by a straight line."""
    import numpy as np

    stream = batches(folder, container, storage, "paper", batch, prefetch, 0)
    at, resident = [], []
    started = time.perf_counter()
    for step in range(1, count + 1):
        next(stream)
        if step % max(count // 20, 1) == 0:
            at.append(step)
            resident.append(resident_mb())
    slope = np.polyfit(at[4:], resident[4:], 1)[0]
    return {
        "resident_mb": resident,
        "growth_mb_per_1000": float(1000 * slope),
        "patches_per_s": batch * count / (time.perf_counter() - started),
        "peak_gb": machine.peak_memory_gb(),
    }


def batches(folder: str, container: str, storage: str, preset: str, batch: int, prefetch: int, workers: int) -> Any:
    from absl import flags

    from data_pipeline import loader, patches, sources

    flags.FLAGS.mark_as_parsed()  # grain's worker processes ask for it
    source = sources.open_source(Path(folder) / container / storage, "train")
    # with the margin of g-maps that the noise of the same preset asks for (snraware_jax/noise/settings.py, which imports JAX)
    g_margin = {"paper": 8, "upstream": 0}[preset]
    how = {"augmentation": patches.PRESETS[preset], "threads": prefetch, "workers": workers, "g_margin": g_margin}
    return loader.batches(source, batch_size=batch, patch=PATCH, seed=0, **how)


def bytes_read() -> int:
    """Bytes that this process has asked files for (Linux)."""
    counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counts["rchar"])


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "machine": lambda: machine.describe(PACKAGES),
    "write": write,
    "limits": limits,
    "throughput": throughput,
    "memory": memory,
}


# ---------------------------------------------------------------- the run


def plan(quick: bool, folder: str, with_tfds: bool) -> list[dict[str, Any]]:
    """All tasks in order; `task` names the function, the rest it is given."""
    series, patches, count = (6, 64, 40) if quick else (48, 800, 20_000)
    tasks: list[dict[str, Any]] = [{"task": "machine"}]
    for container in ("hdf5", "array_record") if with_tfds else ("hdf5",):
        for storage in STORAGES:
            of = {"folder": folder, "container": container, "storage": storage}
            case = of | {"batch": 8, "patches": patches, "prefetch": 2, "workers": 0}
            tasks += [{"task": "write", "series": series, **of}, {"task": "limits", **of}]
            tasks += [
                {"task": "throughput", "preset": "paper", **case},
                {"task": "throughput", "preset": "upstream", **case, "patches": patches // 4},
            ]
            if storage == STUDIED[container]:
                tasks.append({"task": "throughput", "preset": "paper", **case, "prefetch": 1})
                tasks.append({"task": "throughput", "preset": "paper", **case, "prefetch": 1, "workers": 2})
                tasks.append({"task": "memory", **of, "batch": 1, "count": count, "prefetch": 2})
    return tasks


def run(tasks: list[dict[str, Any]], threads: int) -> dict[str, Any]:
    """Runs the tasks one after the other, a line of progress for each, and collects their results by kind."""
    report: dict[str, Any] = {"load_before": os.getloadavg(), "write": [], "limits": [], "throughput": [], "memory": []}
    started = time.monotonic()
    for position, task in enumerate(tasks, 1):
        sizes = " ".join(str(task[name]) for name in ("container", "storage", "preset") if name in task)
        print(
            f"{position}/{len(tasks)} {task['task']} {sizes} ({time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True
        )
        result = machine.run_apart(__file__, task, threads)
        result.pop("folder", None)
        if task["task"] == "machine":
            report["machine"] = result
        else:
            report[task["task"]].append(result)
    return report | {"load_after": os.getloadavg(), "total_s": time.monotonic() - started}


def share_of_limit(case: dict[str, Any], limit: dict[str, Any]) -> float:
    """Seconds to read a patch's bytes in sequence and to copy it once, over those that the loader took: 1 is the limit of one core."""
    best = case["read_bytes"] / limit["sequential_read_gb_s"] / 1e9 + PATCH_BYTES / limit["copy_gb_s"] / 1e9
    return best * case["patches_per_s"]


def show(report: dict[str, Any]) -> str:
    """All of it as text."""
    limit_of = {(one["container"], one["storage"]): one for one in report["limits"]}
    rows = []
    for case in report["throughput"]:
        limit = limit_of[case["container"], case["storage"]]
        alone = "cpu_ms" in case
        rows.append(
            [
                *(str(case[name]) for name in ("container", "storage", "preset", "prefetch", "workers")),
                number(case["patches_per_s"]),
                number(case["cpu_ms"]) if alone else "",
                number(case["read_bytes"] / 1e6) if alone else "",
                number(case["patches_per_s"] * case["read_bytes"] / 1e6) if alone else "",
                f"{100 * share_of_limit(case, limit):.0f} %" if alone else "",
            ]
        )
    about = report["machine"]
    written = [
        [
            one["container"],
            one["storage"],
            *map(number, (one["file_bytes"] / 1e6, best["sequential_read_gb_s"], best["copy_gb_s"])),
        ]
        for one, best in zip(report["write"], report["limits"], strict=True)
    ]
    flat = [
        [one["container"], one["storage"], str(one["count"]), number(one["resident_mb"][4]), number(one["resident_mb"][-1]),
         f"{one['growth_mb_per_1000']:.3f}", number(one["patches_per_s"])]
        for one in report["memory"]
    ]  # fmt: skip
    return "\n".join(
        [
            f"{about['cpu']}, {about['processors_used']} of {about['cores']} cores, load {report['load_before'][0]:.1f} before, "
            f"{report['load_after'][0]:.1f} after, {about['date']}",
            ", ".join(f"{name} {version or 'not installed'}" for name, version in about["versions"].items()),
            table("Files", "container|storage|MB|read GB/s|copy GB/s", written),
            table(
                f"Patches of 16 x 64 x 64 (goal: {GOAL} a second)",
                "container|storage|preset|threads|workers|patches/s|CPU ms|MB read|MB/s read|of limit",
                rows,
            ),
            table("Memory", "container|storage|batches|MB at 1/4|MB at end|MB per 1000|patches/s", flat),
            *([] if any(one["container"] == "array_record" for one in report["write"]) else [NO_TFDS]),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="file that the JSON line is written to")
    parser.add_argument("--quick", action="store_true", help="6 series, 64 patches, 40 batches")
    parser.add_argument("--folder", help="where the records are made and deleted again [of the system, for temporary files]")
    parser.add_argument("--threads", type=int, default=machine.cores(), help="processors [all]")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        machine.pin(options.threads)
        # as the programs set it: threads of OpenBLAS wait for a processor beside those of the loader
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        task = json.loads(options.task)
        name = task.pop("task")
        print(json.dumps(task | TASKS[name](**task)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        with_tfds = importlib.util.find_spec("tensorflow_datasets") is not None
        report = run(plan(options.quick, folder, with_tfds), options.threads)
    about = {
        "benchmark": "input_pipeline",
        "command": " ".join(sys.argv),
        "series": SHAPE,
        "maps": MAPS,
        "patch": PATCH,
        "goal": GOAL,
    }
    report = about | report
    print(show(report))
    if options.json:
        Path(options.json).write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
