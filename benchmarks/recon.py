"""Time and memory of calibration and g-maps, beside pygrappa on the same data in the same run.

    python benchmarks/recon.py --json OUT.json            # all cases; --quick: 8 coils, 48 lines, twice
    pip install 'snraware-jax[baselines]'                 # pygrappa, the peer; its columns stay empty without it

Ours: coil maps (Inati) and the seven g-maps R = 2..8 of one series, from its calibration lines, in one jitted program. The peer
reconstructs one frame and gives no g-map, so there is a second comparison of equals: coil maps, unmixing and image of one frame.
Every case runs in a process of its own, ours and the peer's on the same processors with the same number of BLAS threads.
Prints a table; writes one JSON object of one line.
"""

import argparse
import importlib.util
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import machine
from tables import number, table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    import numpy as np
    from jax import Array
    from jax.typing import ArrayLike

KY, KX = 144, 256
COILS, LINES = (8, 16, 32), (48, 144)
ACCELERATIONS = tuple(range(2, 9))
FRAMES = (2, 3, 4)  # accelerations of the comparison of one frame
PEER_REPEATS = 2  # it takes up to minutes
KERNEL = (4, 5)
SCALING_COILS, SERIES, SCALING_LINES = 16, (1, 2, 4), (32, 48, 96, 144)
PEAK_SNR = 60.0
PACKAGES = ("jax", "jaxlib", "numpy", "scipy", "pygrappa")
QUOTED = "ismrmrd-python-tools: about 125 CPU-seconds for the seven g-maps of 32 coils and 48 lines, and 6 s for its Walsh maps"
NO_PEER = "pygrappa is not installed, so its columns are empty: pip install 'snraware-jax[baselines]'"
BUSY = "The machine was busy: threads of OpenBLAS that wait for a processor stall both programs, by seconds. Repeat on an idle one."
HOW = {
    "low_resolution": "measured alone",
    "coil_maps": "measured alone",
    "solve": "measured alone: the seven systems of equations in their sizes, random",
    "line_products": "difference: g_maps of a matrix of one line, less solve; assembling the equations included",
    "image_domain": "difference: the whole, less all others",
}


# ---------------------------------------------------------------- data


class Scan(NamedTuple):
    """A phantom seen by smooth coils: `kspace` `[C, ky, kx]` with unit noise, all lines; `image` is the truth `[ky, kx]`."""

    image: "np.ndarray"
    coil_maps: "np.ndarray"
    kspace: "np.ndarray"
    start: int
    calibration: "np.ndarray"


def make_scan(coils: int, lines: int, seed: int = 0) -> Scan:
    """Ellipses of peak `PEAK_SNR` times the noise SD, coils on two rings around them; the central `lines` calibrate."""
    import numpy as np

    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(np.linspace(-1, 1, KY, False), np.linspace(-1, 1, KX, False), indexing="ij")
    ellipses = [(0, 0, 0.8, 0.7, 0.5), (0.1, -0.3, 0.3, 0.2, 0.5), (-0.3, 0.3, 0.2, 0.25, -0.3), (0.35, 0.2, 0.1, 0.15, 0.4)]
    image = sum(v * (((y - b) / h) ** 2 + ((x - a) / w) ** 2 < 1) for b, a, h, w, v in ellipses) * np.exp(1j * (x - 0.5 * y))
    number = np.arange(coils)[:, None, None]
    angle, distance = 2 * np.pi * (number // 2 * 2 + number % 2 * 0.5) / coils, 1.2 + 0.3 * (number % 2)
    away = (y - distance * np.sin(angle)) ** 2 + (x - distance * np.cos(angle)) ** 2
    maps = np.exp(-away / (0.5 + 0.2 * rng.random((coils, 1, 1))) + 1j * (angle + x * np.cos(2 * angle) - y * np.sin(angle)))
    maps /= np.linalg.norm(maps, axis=0)
    axes = (-2, -1)
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(PEAK_SNR * image * maps, axes), norm="ortho"), axes)
    kspace = (kspace + rng.normal(size=kspace.shape) + 1j * rng.normal(size=kspace.shape)).astype(np.complex64)
    start = KY // 2 - lines // 2
    return Scan(PEAK_SNR * image, maps, kspace, start, kspace[:, start : start + lines].copy())


def zero_filled(scan: Scan, acceleration: int) -> "np.ndarray":
    """Every R-th line, the line of DC among them; exact zeros elsewhere."""
    import numpy as np

    acquired = (np.arange(KY) - KY // 2) % acceleration == 0
    return np.where(acquired[:, None], scan.kspace, 0).astype(np.complex64)


def relative_error(image: Any, scan: Scan) -> float:
    """|magnitude - truth| / |truth|, over all pixels."""
    import numpy as np

    truth = np.abs(scan.image)
    return float(np.linalg.norm(np.abs(image) - truth) / np.linalg.norm(truth))


# ---------------------------------------------------------------- tasks, each in a process of its own


def seven_g_maps(calibration: "ArrayLike", start: int) -> "Array":
    """What is timed: coil maps and g-maps from calibration lines; `[C, lines, kx]` -> `[7, ky, kx]`."""
    from snraware_jax.recon import coils, grappa

    coil_maps = coils.inati(low_resolution(calibration, start))
    return grappa.g_maps(calibration, coil_maps, ACCELERATIONS, KERNEL)


def low_resolution(calibration: "ArrayLike", start: int) -> "Array":
    from snraware_jax.recon import coils

    return coils.low_resolution_images(calibration, (start, 0), (KY, KX))


def one_frame(calibration: "ArrayLike", kspace: "ArrayLike", start: int, acceleration: int) -> "Array":
    """Image of one frame, from its calibration lines and its zero-filled k-space; the signal is that of the truth."""
    from snraware_jax.recon import coils, fourier, grappa

    coil_maps = coils.inati(low_resolution(calibration, start))
    unmixing = grappa.unmixing(calibration, coil_maps, acceleration, KERNEL)
    return acceleration * grappa.unmix(fourier.ifft2c(kspace), unmixing)


def ready(function: Callable[..., Any], *arguments: Any) -> tuple[Callable[[], Any], float]:
    """The compiled function as a call that waits for its result, run once; and the seconds of the compilation."""
    import jax

    arguments = tuple(jax.device_put(argument) for argument in arguments)
    started = time.perf_counter()
    compiled = jax.jit(function).lower(*arguments).compile()
    seconds = time.perf_counter() - started
    call = lambda: jax.block_until_ready(compiled(*arguments))
    call()
    return call, seconds


def measure_ours(coils: int, lines: int, repeats: int, frames: Sequence[int], peak_size: int) -> dict[str, Any]:
    """Seven g-maps: seconds, stages, memory; then single frames; then the matmul peak, as it was at that moment."""
    import jax

    import snraware_jax.recon.grappa  # noqa: F401 (it belongs to the first figure of memory)

    jax.devices()
    memory = {"imports_gb": machine.peak_memory_gb()}
    scan = make_scan(coils, lines)
    memory["data_gb"] = machine.peak_memory_gb()
    call, compile_s = ready(partial(seven_g_maps, start=scan.start), scan.calibration)
    whole = machine.timed(call, repeats) | {"compile_s": compile_s}
    memory["peak_gb"] = machine.peak_memory_gb()
    result = {"g_maps": whole, "memory": memory, "stages_s": stages(scan, whole["wall_s"], repeats)}
    result["frames"] = {r: measure_frame(scan, r, repeats) for r in frames}
    result["matmul_peak_gflops"] = machine.complex_peak(peak_size, ("jax",), repeats=2)["jax"]
    work = work_gflop(coils, lines)
    result["work_gflop"] = work
    result["effective_gflops"] = sum(work.values()) / whole["wall_s"]
    return result


def measure_frame(scan: Scan, acceleration: int, repeats: int) -> dict[str, Any]:
    arguments = scan.calibration, zero_filled(scan, acceleration)
    call, compile_s = ready(partial(one_frame, start=scan.start, acceleration=acceleration), *arguments)
    return machine.timed(call, repeats) | {"compile_s": compile_s, "relative_error": relative_error(call(), scan)}


def stages(scan: Scan, whole_s: float, repeats: int) -> dict[str, float]:
    """Seconds by stage; `HOW` says how each was found. They add up to the whole; small ones by difference may come out below 0."""
    from snraware_jax.recon import coils, grappa

    images = low_resolution(scan.calibration, scan.start)
    one_line = partial(grappa.g_maps, accelerations=ACCELERATIONS, kernel=KERNEL)
    calls = {
        "low_resolution": ready(partial(low_resolution, start=scan.start), scan.calibration),
        "coil_maps": ready(coils.inati, images),
        "solve": ready(solve_all, *random_equations(len(images))),
        "fit": ready(one_line, scan.calibration, scan.coil_maps[:, :1].astype("complex64")),
    }
    seconds = {name: machine.timed(call, repeats)["wall_s"] for name, (call, _) in calls.items()}
    seconds["line_products"] = seconds.pop("fit") - seconds["solve"]
    return seconds | {"image_domain": whole_s - sum(seconds.values())}


def solve_all(matrices: "Array", rights: Sequence["Array"]) -> list["Array"]:
    from snraware_jax.recon import hermitian

    return [hermitian.solve(matrix, right) for matrix, right in zip(matrices, rights, strict=True)]


def random_equations(coils: int) -> tuple["np.ndarray", list["np.ndarray"]]:
    """Seven Hermitian matrices and right-hand sides, of the sizes of the fits R = 2..8."""
    import numpy as np

    rng = np.random.default_rng(0)
    normal = lambda *shape: (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    size = coils * KERNEL[0] * KERNEL[1]
    factor = normal(size, size)
    matrix = factor @ factor.conj().T / size + np.eye(size, dtype=np.complex64)
    scales = np.arange(1, 1 + len(ACCELERATIONS), dtype=np.float32)[:, None, None]
    return scales * matrix, [normal(size, coils * (r - 1)) for r in ACCELERATIONS]


def work_gflop(coils: int, lines: int) -> dict[str, float]:
    """Operations of the plain way, 1e9: every pair of lines at distance 0..3R, Cholesky, transforms along x, then y.

    A program that finds a shorter way can be faster than this count over the matmul peak allows.
    """
    pixels, size = KY * KX, coils * KERNEL[0] * KERNEL[1]
    targets = sum(r - 1 for r in ACCELERATIONS)
    pairs = sum(lines - distance for distance in range(min(lines, 3 * max(ACCELERATIONS) + 1)))
    taps = KERNEL[0] * targets
    return {
        "coil_maps": 8e-9 * 49 * 2 * 3 * coils * pixels,
        "line_products": 8e-9 * pairs * (KX - KERNEL[1] + 1) * (coils * KERNEL[1]) ** 2,
        "solve": 1e-9 * (len(ACCELERATIONS) * 4 / 3 * size**3 + 8 * size**2 * coils * targets),
        "image_domain": 8e-9 * coils**2 * (taps * (KERNEL[1] * KX + pixels) + len(ACCELERATIONS) * pixels),
    }


def measure_peer(coils: int, lines: int, repeats: int, frames: Sequence[int]) -> dict[str, Any]:
    """pygrappa's `grappa` on single frames: calibration and missing lines, for the edges of k-space by kernels of their own.

    The fastest of its functions here: `mdgrappa` took 2.5 times as long, and `cgrappa` refuses complex64 and overflows beyond
    windows of 31 samples. It is given windows of 4R - 1 lines, where every missing line finds the four acquired ones of our kernel.
    """
    import numpy as np
    from pygrappa import grappa  # pyright: ignore[reportMissingImports] (an extra)

    # numpy 2.4.6 unravels `[n, 1]` indices wrongly from the 8193rd on, and grappa would put its lines in the wrong places
    unravel = np.unravel_index
    np.unravel_index = lambda indices, shape: unravel(np.ravel(indices), shape)
    memory = {"imports_gb": machine.peak_memory_gb()}
    scan = make_scan(coils, lines)
    result: dict[str, Any] = {"memory": memory, "frames": {}}
    for r in frames:
        call = partial(grappa, zero_filled(scan, r), scan.calibration, (4 * r - 1, KERNEL[1]), coil_axis=0)
        filled: list[Any] = []
        seconds = machine.timed(lambda call=call, filled=filled: filled.append(call()), repeats)
        images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(filled[-1], (-2, -1)), norm="ortho"), (-2, -1))
        error = relative_error(np.sum(scan.coil_maps.conj() * images, axis=0), scan)
        result["frames"][r] = seconds | {"relative_error": error}
    memory["peak_gb"] = machine.peak_memory_gb()
    return result


def measure_series(coils: int, lines: int, repeats: int, series: Sequence[int]) -> dict[str, Any]:
    """Seven g-maps of several series in one program: one after the other on a CPU, all at once (vmap) elsewhere.

    On a CPU jaxlib 0.10.2 would hang: batched Choleskys that run at the same time fill XLA's threads and each waits for a free one.
    """
    import jax
    import numpy as np

    scans = [make_scan(coils, lines, seed) for seed in range(max(series))]
    of_one = partial(seven_g_maps, start=scans[0].start)
    batched = partial(jax.lax.map, of_one) if jax.default_backend() == "cpu" else jax.vmap(of_one)
    batch = lambda size: np.stack([scan.calibration for scan in scans[:size]])
    return {"rows": [{"series": size} | machine.timed(ready(batched, batch(size))[0], repeats) for size in series]}


def measure_lines(coils: int, lines: Sequence[int], repeats: int) -> dict[str, Any]:
    """Seven g-maps against the number of calibration lines, and the straight line through the seconds."""
    import numpy as np

    rows = []
    for count in lines:
        scan = make_scan(coils, count)
        rows.append(
            {"lines": count} | machine.timed(ready(partial(seven_g_maps, start=scan.start), scan.calibration)[0], repeats)
        )
    seconds = np.array([row["wall_s"] for row in rows])
    slope, constant = np.polyfit(lines, seconds, 1)
    off = np.abs(constant + slope * np.array(lines) - seconds) / seconds
    return {"rows": rows, "seconds_a_line": float(slope), "constant_s": float(constant), "largest_departure": float(off.max())}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "machine": lambda peak_size: machine.describe(PACKAGES) | {"matmul_peak_gflops": machine.complex_peak(peak_size)},
    "ours": measure_ours,
    "peer": measure_peer,
    "series": measure_series,
    "lines": measure_lines,
}


# ---------------------------------------------------------------- the run


def plan(quick: bool, repeats: int, with_peer: bool) -> list[dict[str, Any]]:
    """All tasks in order, ours and the peer's of one case one after the other; `task` names the function, the rest it is given."""
    frames = FRAMES[:1] if quick else FRAMES
    peak = {"peak_size": 1024 if quick else 2048}
    tasks: list[dict[str, Any]] = [{"task": "machine", **peak}]
    for coils, lines in itertools.product(COILS[:1], LINES[:1]) if quick else itertools.product(COILS, LINES):
        case = {"coils": coils, "lines": lines, "frames": frames}
        tasks.append({"task": "ours", "repeats": repeats, **case, **peak})
        if with_peer:
            tasks.append({"task": "peer", "repeats": min(repeats, PEER_REPEATS), **case})
    coils = COILS[0] if quick else SCALING_COILS
    series, lines = (SERIES[:1], SCALING_LINES[:2]) if quick else (SERIES, SCALING_LINES)
    tasks.append({"task": "series", "coils": coils, "lines": LINES[0], "repeats": repeats, "series": series})
    tasks.append({"task": "lines", "coils": coils, "lines": lines, "repeats": repeats})
    return tasks


def run(tasks: list[dict[str, Any]], threads: int) -> dict[str, Any]:
    """Runs the tasks one after the other, a line of progress for each, and puts their results together."""
    started = time.monotonic()
    report: dict[str, Any] = {"load_before": os.getloadavg(), "cases": []}
    for place, task in enumerate(tasks, 1):
        kind = task["task"]
        sizes = ", ".join(f"{task[name]} {name}" for name in ("coils", "lines") if name in task)
        print(f"{place}/{len(tasks)} {kind} {sizes} ({time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True)
        result = machine.run_apart(__file__, task, threads)
        if kind == "ours":
            report["cases"].append({"coils": task["coils"], "lines": task["lines"], "ours": result, "peer": None})
        elif kind == "peer":
            report["cases"][-1] |= {"peer": result, "ratios": ratios(report["cases"][-1]["ours"], result)}
        else:
            report[kind] = result
    return report | {"load_after": os.getloadavg(), "total_s": time.monotonic() - started}


def ratios(ours: dict[str, Any], peer: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The peer's seconds over ours, by R: for the same work (one frame), and one frame of the peer over our seven g-maps."""
    over = lambda theirs, mine: {f"{kind}": theirs[f"{kind}_s"] / mine[f"{kind}_s"] for kind in ("wall", "cpu")}
    return {
        r: {
            **over(theirs, ours["frames"][r]),
            **{f"{kind}_over_g_maps": value for kind, value in over(theirs, ours["g_maps"]).items()},
        }
        for r, theirs in peer["frames"].items()
    }


# ---------------------------------------------------------------- the table


def g_map_rows(cases: list[dict[str, Any]]) -> Iterator[list[str]]:
    for case in cases:
        ours = case["ours"]
        whole, memory, peak = ours["g_maps"], ours["memory"], ours["matmul_peak_gflops"]
        low, high = whole["wall_quartiles_s"]
        yield [
            str(case["coils"]),
            str(case["lines"]),
            number(whole["wall_s"]),
            f"{number(low)}-{number(high)}",
            number(whole["cpu_s"]),
            number(whole["compile_s"]),
            number(memory["peak_gb"]),
            number(memory["imports_gb"]),
            number(ours["effective_gflops"]),
            f"{100 * ours['effective_gflops'] / peak:.0f} %",
            *(number(ours["stages_s"][name]) for name in HOW),
        ]


def frame_rows(cases: list[dict[str, Any]]) -> Iterator[list[str]]:
    for case in cases:
        for r, ours in case["ours"]["frames"].items():
            peer = case["peer"]["frames"][r] if case["peer"] else {}
            ratio = case["ratios"][r] if case["peer"] else {}
            yield [
                str(case["coils"]),
                str(case["lines"]),
                r,
                *(number(ours[name]) for name in ("wall_s", "cpu_s")),
                *(number(peer.get(name)) for name in ("wall_s", "cpu_s")),
                *(number(ratio.get(name)) for name in ("wall", "cpu", "wall_over_g_maps", "cpu_over_g_maps")),
                *(f"{100 * errors['relative_error']:.1f} %" if errors else "" for errors in (ours, peer)),
                number(case["peer"]["memory"]["peak_gb"]) if case["peer"] else "",
            ]


def heading(report: dict[str, Any]) -> list[str]:
    about = report["machine"]
    before, after = (f"{report[name][0]:.1f}" for name in ("load_before", "load_after"))
    versions = ", ".join(f"{name} {version or 'not installed'}" for name, version in about["versions"].items())
    blas = ", ".join(f"{one['internal_api']} {one['version']} x{one['num_threads']}" for one in about["blas"] or [])
    peaks = ", ".join(f"{name} {number(rate)}" for name, rate in about["matmul_peak_gflops"].items())
    return [
        f"{about['cpu']}, {about['processors_used']} of {about['cores']} cores, load {before} before, {after} after, {about['date']}",
        f"Python {about['python']}, {versions}",
        f"BLAS: {blas or 'unknown (pip install threadpoolctl)'}; XLA: {about['xla_threads']} threads on {about['device']}",
        *([BUSY] if report["load_before"][0] > 0.5 else []),
        f"complex64 matmul of {about['peak_size']} x {about['peak_size']}, GFLOP/s: {peaks}",
    ]


def scaling(series: dict[str, Any], lines: dict[str, Any]) -> list[str]:
    """Two tables: seconds against the series in a batch, and against the calibration lines."""
    a_series = [row["wall_s"] / row["series"] for row in series["rows"]]
    batches = [
        [str(row["series"]), number(row["wall_s"]), number(each), f"{each / a_series[0]:.2f}"]
        for row, each in zip(series["rows"], a_series, strict=True)
    ]
    line = f"{number(lines['constant_s'])} s + {number(1e3 * lines['seconds_a_line'])} ms a line"
    return [
        table(
            f"Series in one batch, {series['coils']} coils, {series['lines']} lines", "series|wall s|a series|of one", batches
        ),
        table(
            f"Calibration lines, {lines['coils']} coils: {line}, at most {100 * lines['largest_departure']:.0f} % off",
            "lines|wall s|CPU s",
            ([str(row["lines"]), number(row["wall_s"]), number(row["cpu_s"])] for row in lines["rows"]),
        ),
    ]


def show(report: dict[str, Any]) -> str:
    """All of it as text."""
    cases = report["cases"]
    lines = [
        *heading(report),
        table(
            f"Ours: coil maps and seven g-maps R = 2..8, {KX} x {KY}, kernel 4 x 5",
            "coils|lines|wall s|quartiles|CPU s|compile s|peak GB|imports GB|GFLOP/s*|of peak|low-res|maps|solve|lines|image",
            g_map_rows(cases),
        ),
        "* operations of the plain way over seconds; against the matmul peak of the same process. Stages, seconds:",
        *(f"  {name}: {how}" for name, how in HOW.items()),
        f"Quoted, not measured here: {QUOTED}.",
        table(
            "One frame, the same data: ours (coil maps, calibration, image), pygrappa's grappa (calibration, k-space)",
            "coils|lines|R|ours s|CPU s|peer s|CPU s|peer/ours|CPU|peer/7 maps|CPU|our error|its error|its GB",
            frame_rows(cases),
        ),
        *([] if any(case["peer"] for case in cases) else [NO_PEER]),
        *scaling(report["series"], report["lines"]),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="file that the JSON line is written to")
    parser.add_argument("--quick", action="store_true", help="8 coils, 48 lines, two repeats")
    parser.add_argument("--repeats", type=int, default=5, help="timed calls of ours; at most 2 of the peer's [5]")
    parser.add_argument("--threads", type=int, default=machine.cores(), help="processors and BLAS threads [all]")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        machine.pin(options.threads)
        task = json.loads(options.task)
        name = task.pop("task")
        print(json.dumps(task | TASKS[name](**task)))
        return
    peer = importlib.util.find_spec("pygrappa") is not None
    report = {
        "benchmark": "recon",
        "command": " ".join(sys.argv),
        "matrix": [KX, KY],
        "accelerations": ACCELERATIONS,
        "kernel": KERNEL,
        "threads": options.threads,
        "quoted": QUOTED,
        "stages_how": HOW,
    } | run(plan(options.quick, 2 if options.quick else options.repeats, peer), options.threads)
    print(show(report))
    if options.json:
        Path(options.json).write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
