"""Training pairs a second, of whole series and of patches, beside the same chain in NumPy and SciPy.

    python benchmarks/noise.py --json OUT.json          # --quick: fewer repeats; --threads: processors [all]

A pair is what training takes from a clean series of 30 x 192 x 144 with seven g-maps: the random choices, noise amplified and filtered
(the paper's settings), signal and noise divided by their level. The peer makes the noise of the whole series, as the authors' code
does, and cuts a patch of 16 x 64 x 64 out of it: float32 random numbers, `scipy.fft` in complex64 on all processors, and none of the
shifts that cancel. Then the share of noise in the train step of `hrnet_cnnt.py:quick`, and the memory of a batch of 16 series.
Prints a table; writes one JSON object of one line.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
from tables import number, table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

SERIES, PATCH, MAPS = (30, 192, 144), (16, 64, 64), 7
BATCHES = {"patches": (1, 4, 16), "series": (1, 4)}
GOALS = {"patches": 12, "series": 2}  # times the peer
PACKAGES = ("numpy", "scipy", "jax", "jaxlib")


# ---------------------------------------------------------------- the peer


def numpy_pair(rng: Any, clean: Any, g_maps: Any, workers: int, patch: tuple[int, int, int] | None) -> Any:
    """One pair with NumPy and SciPy: noise of the whole series, of which a patch is kept if asked."""
    import numpy as np
    from scipy import fft

    sigma = np.float32(rng.uniform(0, 32))
    g_map = g_maps[rng.integers(len(g_maps))]
    responses = [numpy_response(rng, size) for size in clean.shape[1:]]
    white = rng.standard_normal((*clean.shape[:-1], 2 * clean.shape[-1]), dtype=np.float32).view(np.complex64)
    white *= g_map
    kspace = fft.fft2(white, workers=workers, overwrite_x=True)
    kspace *= responses[0][:, None] * responses[1]
    noise: Any = fft.ifft2(kspace, workers=workers, overwrite_x=True)
    scale = 1 / np.sqrt(sigma**2 + 1)
    if patch is not None:
        t, h, w = (slice(first, first + size) for first, size in zip((7, 50, 40), patch, strict=True))
        clean, noise, g_map = clean[t, h, w], noise[t, h, w], g_map[h, w]
    noise = (clean + sigma * noise) * scale
    return noise, clean * scale, g_map, sigma


def numpy_response(rng: Any, size: int, taper: int = 10) -> Any:
    """The product of one axis' filters, scaled to unit noise, DC first; as snraware_jax/recon/filters.py defines them."""
    import numpy as np

    half, index = (size - 1) // 2, np.arange(size)
    x = (index - size // 2) / half
    response = np.exp(-0.5 * rng.choice((0.8, 1.0, 1.5, 2.0, 2.25)) ** 2 * x**2) * (np.abs(x) <= 1)
    ratio = rng.choice((1.0, 0.85, 0.7, 0.65, 0.55)) if rng.random() < 0.5 else 1.0
    if ratio < 1:
        position = int(ratio * size) - index + 1
        edge = 0.5 * (1 - np.cos(2 * np.pi * position / (2 * taper + 1)))
        partial = np.where(position <= 0, 0, np.where(position <= taper, edge, 1))
        response *= partial[::-1] if rng.random() < 0.5 else partial
    cut = int((size - rng.choice((1.0, 0.85, 0.7, 0.65, 0.55)) * size) // 2)
    response *= (index >= cut) & (index < size - cut)
    return np.fft.ifftshift(response / np.sqrt(np.mean(response**2))).astype(np.float32)


# ---------------------------------------------------------------- what is measured


def peer(kind: str, repeats: int) -> dict[str, Any]:
    """Seconds of a pair by NumPy and SciPy."""
    import numpy as np

    rng = np.random.default_rng(0)
    clean, g_maps = series(rng)
    call = lambda: numpy_pair(rng, clean, g_maps, machine.cores(), PATCH if kind == "patches" else None)
    call()
    return machine.timed(call, repeats)


def ours(kind: str, batch: int, repeats: int, preset: str = "paper") -> dict[str, Any]:
    """Seconds of a pair in batches of `batch`, compiled; data lie on the device, as in training."""
    import jax

    make, arguments = batched(kind, batch, preset)
    compiled = jax.jit(make).lower(*arguments).compile()
    call = lambda: jax.block_until_ready(compiled(*arguments))
    call()
    timed = machine.timed(call, repeats)
    for name in ("wall_s", "cpu_s"):
        timed[name] /= batch
    timed["wall_quartiles_s"] = [seconds / batch for seconds in timed["wall_quartiles_s"]]
    memory = compiled.memory_analysis()
    return timed | {"temporary_gb": memory.temp_size_in_bytes / 2**30 if memory else None}


def parts(repeats: int) -> dict[str, Any]:
    """Seconds of a patch in batches of 16, for the random numbers alone, and those of `jax.random.normal`."""
    import jax

    from snraware_jax.noise import PRESETS
    from snraware_jax.noise.normal import complex_normal

    shape = tuple(n + 2 * margin for n, margin in zip(PATCH, PRESETS["paper"].margins, strict=True))
    keys = jax.random.split(jax.random.key(0), 16)
    found = {}
    for name, draw in {
        "ours": lambda key: complex_normal(key, shape),
        "jax.random.normal": lambda key: jax.lax.complex(*jax.random.normal(key, (2, *shape))),
    }.items():
        compiled = jax.jit(jax.vmap(draw))
        jax.block_until_ready(compiled(keys))
        found[name] = machine.timed(lambda compiled=compiled: jax.block_until_ready(compiled(keys)), repeats)["wall_s"] / 16
    return {"random_numbers_s": found}


def share(repeats: int) -> dict[str, Any]:
    """Noise in the train step of hrnet_cnnt.py:quick: seconds of the step, and of its pairs alone."""
    import jax
    import numpy as np

    from configs import hrnet_cnnt
    from snraware_jax.training import mesh
    from snraware_jax.training.run import assemble
    from snraware_jax.training.step import noisy_pairs

    config = hrnet_cnnt.get_config("quick")
    run = assemble(config, 100)
    (frames, height, width), margin, count = config.data.patch, run.noise.g_margin, config.batch_size
    host = {
        "image": np.full((count, frames, height, width), 30 + 9j, np.complex64),
        "gmaps": np.ones((count, MAPS, height + 2 * margin, width + 2 * margin), np.float32),
        "size": np.tile(np.array([16, *config.data.simulation.matrix], np.int32), (count, 1)),
        "native_noise": np.zeros(count, np.float32),
        "sample_id": np.arange(count, dtype=np.int32),
        "epoch": np.zeros(count, np.int32),
    }
    batch = mesh.global_batch(host, run.mesh)
    state = run.initial_state()
    step, pairs = jax.jit(run.train_step), jax.jit(lambda batch: noisy_pairs(batch, run.noise, 0, run.mesh))
    seconds = {}
    for name, call in {"step_s": lambda: step(state, batch), "pairs_s": lambda: pairs(batch)}.items():
        jax.block_until_ready(call())
        seconds[name] = machine.timed(lambda call=call: jax.block_until_ready(call()), repeats)["wall_s"]
    return seconds | {"share": seconds["pairs_s"] / seconds["step_s"]}


def memory(batch: int) -> dict[str, Any]:
    """Memory of a batch of whole series: growth of this process while the pairs are made, and what XLA planned."""
    import jax

    make, arguments = batched("series", batch, "paper")
    compiled = jax.jit(make).lower(*arguments).compile()
    before = machine.peak_memory_gb()
    jax.block_until_ready(compiled(*arguments))
    plan = compiled.memory_analysis()
    return {
        "peak_gb": machine.peak_memory_gb(),
        "growth_gb": machine.peak_memory_gb() - before,
        "arguments_gb": plan.argument_size_in_bytes / 2**30 if plan else None,
        "output_gb": plan.output_size_in_bytes / 2**30 if plan else None,
        "temporary_gb": plan.temp_size_in_bytes / 2**30 if plan else None,
    }


def batched(kind: str, batch: int, preset: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A function that makes a batch of pairs, and its arguments."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from snraware_jax.noise import PRESETS, make_pair

    settings = PRESETS[preset]
    clean, g_maps = series(np.random.default_rng(0))
    size = None
    if kind == "patches":
        margin, (t, h, w) = settings.g_margin, PATCH
        clean, g_maps = (
            clean[:t, 50 : 50 + h, 40 : 40 + w],
            g_maps[:, 50 - margin : 50 + h + margin, 40 - margin : 40 + w + margin],
        )
        size = jnp.array([SERIES] * batch)
    repeated = lambda array: jnp.broadcast_to(jnp.asarray(array), (batch, *array.shape)) + 0
    keys = jax.random.split(jax.random.key(0), batch)
    make = jax.vmap(lambda key, c, g, s: make_pair(key, c, g, settings, 1.0, s), (0, 0, 0, None if size is None else 0))
    return make, (keys, repeated(clean), repeated(g_maps), size)


def series(rng: Any) -> tuple[Any, Any]:
    import numpy as np

    clean = rng.standard_normal((*SERIES, 2), dtype=np.float32).view(np.complex64)[..., 0]
    return clean, rng.uniform(1, 3, (MAPS, *SERIES[1:])).astype(np.float32)


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "machine": lambda: machine.describe(PACKAGES),
    "peer": peer,
    "ours": ours,
    "parts": parts,
    "share": share,
    "memory": memory,
}


# ---------------------------------------------------------------- the run


def plan(quick: bool) -> list[dict[str, Any]]:
    """All tasks in order; the peer comes before and after ours, since machines are shared."""
    repeats = 7 if quick else 41
    tasks: list[dict[str, Any]] = [{"task": "machine"}]
    for kind, batches in BATCHES.items():
        of_peer = {"task": "peer", "kind": kind, "repeats": repeats}
        mine = [{"task": "ours", "kind": kind, "batch": batch, "repeats": repeats} for batch in batches]
        tasks += [of_peer, *mine, of_peer]
    tasks.append({"task": "ours", "kind": "patches", "batch": 16, "repeats": repeats, "preset": "upstream"})
    tasks += [
        {"task": "parts", "repeats": repeats},
        {"task": "share", "repeats": max(repeats // 4, 3)},
        {"task": "memory", "batch": 16},
    ]
    return tasks


def run(tasks: list[dict[str, Any]], threads: int) -> dict[str, Any]:
    """Runs the tasks one after the other and collects their results by kind."""
    report: dict[str, Any] = {"load_before": os.getloadavg(), "peer": [], "ours": []}
    for position, task in enumerate(tasks, 1):
        print(f"{position}/{len(tasks)} {json.dumps(task)}", file=sys.stderr, flush=True)
        result = machine.run_apart(__file__, task, threads)
        if task["task"] in ("peer", "ours"):
            report[task["task"]].append(result)
        else:
            report[task["task"]] = result
    for row in (one for one in report["ours"] if one.get("preset", "paper") == "paper"):  # the peer has no filter along time
        of_kind = [one["wall_s"] for one in report["peer"] if one["kind"] == row["kind"]]
        row["times_the_peer"] = sum(of_kind) / len(of_kind) / row["wall_s"]
    return report | {"load_after": os.getloadavg()}


def show(report: dict[str, Any]) -> str:
    """All of it as text."""
    about = report["machine"]
    rows = [
        ["NumPy, SciPy", one["kind"], "1", number(1 / one["wall_s"]), number(1e3 * one["wall_s"]), ""] for one in report["peer"]
    ]
    rows += [
        [
            f"ours, {one.get('preset', 'paper')}",
            one["kind"],
            str(one["batch"]),
            number(1 / one["wall_s"]),
            number(1e3 * one["wall_s"]),
            f"{one['times_the_peer']:.1f}" if "times_the_peer" in one else "",
        ]
        for one in report["ours"]
    ]
    numbers, of_step, of_memory = report["parts"]["random_numbers_s"], report["share"], report["memory"]
    loads = f"load {report['load_before'][0]:.1f} before, {report['load_after'][0]:.1f} after"
    return "\n".join(
        [
            f"{about['cpu']}, {about['processors_used']} of {about['cores']} cores ({about['device']}), {loads}, {about['date']}",
            ", ".join(f"{name} {version}" for name, version in about["versions"].items()),
            table("Pairs", "chain|of|batch|pairs/s|ms a pair|times the peer", rows),
            f"goals: {GOALS['patches']} times the peer for patches, {GOALS['series']} times for series",
            "\nrandom numbers of a patch: " + ", ".join(f"{name} {1e3 * seconds:.2f} ms" for name, seconds in numbers.items()),
            f"train step of hrnet_cnnt.py:quick: {1e3 * of_step['step_s']:.0f} ms, its pairs {1e3 * of_step['pairs_s']:.1f} ms, "
            f"{100 * of_step['share']:.1f} %",
            f"16 whole series: process at its peak {of_memory['peak_gb']:.2f} GB; arguments {number(of_memory['arguments_gb'])}, "
            f"output {number(of_memory['output_gb'])}, temporary {number(of_memory['temporary_gb'])} GB",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="file that the JSON line is written to")
    parser.add_argument("--quick", action="store_true", help="7 repeats instead of 41")
    parser.add_argument("--threads", type=int, default=machine.cores(), help="processors [all]")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        machine.pin(options.threads)
        task = json.loads(options.task)
        name = task.pop("task")
        print(json.dumps(task | TASKS[name](**task)))
        return
    about = {"benchmark": "noise", "command": " ".join(sys.argv), "series": SERIES, "patch": PATCH, "goals": GOALS}
    report = about | run(plan(options.quick), options.threads)
    print(show(report))
    if options.json:
        Path(options.json).write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
