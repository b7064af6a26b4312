"""Time and memory of denoising a series in tiles, for the networks of Table 2.

    python benchmarks/inference.py --json OUT.json                          # all fourteen, the paper's tiles of 16 x 64 x 64
    python benchmarks/inference.py --configs=configs/hrnet_cnnt.py:quick --series=16,64,64

Every case is a process of its own, with a compilation of its own. The arithmetic is that of products and convolutions of all tiles;
the machine's limit is the fastest of some large float32 products. Prints a table; writes one JSON object of one line.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import networks
from tables import number, table

SERIES = "30,192,144"


def series(config: str, dtype: str, batch: int, shape: tuple[int, int, int], repeats: int) -> dict[str, Any]:
    """Seconds, memory and arithmetic of one series; the first tile, which compiles, apart."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from flax import nnx

    from snraware_jax import flops
    from snraware_jax.inference.denoiser import make_denoiser
    from snraware_jax.models import build
    from snraware_jax.training.configuration import model_settings

    loaded = networks.load(config, dtype)
    tile, overlap = loaded.evaluation.tile, loaded.evaluation.overlap
    frames, height, width = (size or whole for size, whole in zip(tile, shape, strict=True))
    tile = (frames, height, width)
    graphdef, params = nnx.split(build(model_settings(loaded), dtype=jnp.dtype(dtype)))
    denoise = make_denoiser(graphdef, params, tile=tile, overlap=overlap, batch=batch)
    image = (np.random.default_rng(0).normal(size=(*shape, 2)) @ [1, 1j]).astype(np.complex64)
    g_map = np.ones(shape[1:], np.float32)
    started = time.perf_counter()
    denoise(image[:1, :1, :1], g_map[:1, :1])  # one tile, however small
    first_s = time.perf_counter() - started
    seconds = machine.timed(lambda: denoise(image, g_map), repeats)
    of_tile = flops.products(lambda x: nnx.merge(graphdef, params)(x), jax.ShapeDtypeStruct((1, *tile, 3), jnp.float32))
    count = math.prod(-(-size // (extent - shared)) for size, extent, shared in zip(shape, tile, overlap, strict=True))
    tflop = count * of_tile / 1e12
    return seconds | {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "tiles": count,
        "first_s": first_s,
        "tflop": tflop,
        "gflop_per_s": 1e3 * tflop / seconds["wall_s"],
        "peak_gb": machine.peak_memory_gb(),
    }


TASKS: dict[str, Callable[..., dict[str, Any]]] = {"machine": networks.limits, "series": series}


def show(report: dict[str, Any]) -> str:
    """The report as a table."""
    limit = report["machine"]["matmul_gflops"]
    rows = [
        [
            Path(case["config"]).name,
            f"{case['parameters'] / 1e6:.1f}",
            str(case["tiles"]),
            *(number(case[field]) for field in ("wall_s", "cpu_s", "tflop", "gflop_per_s")),
            f"{100 * case['gflop_per_s'] / limit:.0f} %",
            *(number(case[field]) for field in ("first_s", "peak_gb")),
        ]
        for case in report["series"]
    ]
    header = "configuration|M parameters|tiles|s|CPU s|TFLOP|GFLOP/s|of limit|first s|peak GB"
    title = f"A series of {' x '.join(map(str, report['shape']))}, {report['dtype']}, {report['batch']} tile(s) at once"
    return networks.about(report) + table(title, header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    networks.add_options(parser)
    parser.add_argument("--batch", type=int, default=1, help="tiles in one pass [1]")
    parser.add_argument("--series", default=SERIES, help=f"T,H,W [{SERIES}]")
    options = parser.parse_args()
    if options.task:
        networks.answer(options, TASKS)
        return
    shared = {"dtype": options.dtype, "batch": options.batch, "shape": [int(size) for size in options.series.split(",")]}
    tasks: list[dict[str, Any]] = [{"task": "machine"}]
    for config in options.configs.split(","):
        tasks.append({"task": "series", "config": config, "repeats": options.repeats, **shared})
    report = {"benchmark": "inference", "command": " ".join(sys.argv), **shared}
    report |= networks.run(__file__, tasks, options.threads)
    print(show(report))
    if options.json:
        Path(options.json).write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
