"""What computing in bfloat16 changes in the output of trained networks.

    python benchmarks/precision.py --workdirs=runs/hrnet_cnnt-quick,runs/unet_conv3d-quick --json OUT.json

Denoises a workdir's own test cases with its best parameters in float32 and in bfloat16. Prints the norm of the difference over the
norm of the float32 output (median and largest of the cases) and the gain of both; writes one JSON object of one line.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import machine
from tables import number, table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def compare(workdir: Path) -> dict[str, Any]:
    """Differences and gains of one run's cases."""
    import numpy as np

    from configs import base
    from data_pipeline.sources import open_source
    from snraware_jax.evaluation.cases import noisy_cases
    from snraware_jax.metrics import gain_db
    from snraware_jax.training import best, configuration

    config = configuration.restore(workdir, base.get_config())
    source = open_source(Path(config.data.path or workdir / "data"), "test")
    series = [source[i] for i in range(min(len(source), config.evaluation.series))]
    denoisers = {}
    for dtype in ("float32", "bfloat16"):
        config.model.dtype = dtype
        found = best.restore(config, workdir)
        denoisers[dtype] = found.denoiser()
    cases = noisy_cases(series, config.evaluation.peak_snr, found.noise, magnitude=found.magnitude)
    differences, gains = [], {dtype: [] for dtype in denoisers}
    for case in cases:
        outputs = {dtype: denoise(case.noisy, case.g_map) for dtype, denoise in denoisers.items()}
        exact = outputs["float32"]
        differences.append(float(np.linalg.norm(outputs["bfloat16"] - exact) / np.linalg.norm(exact)))
        for dtype, output in outputs.items():
            gains[dtype].append(float(gain_db(case.noisy[None], output[None], case.clean[None])[0]))
    return {
        "workdir": str(workdir),
        "parameters": found.parameters,
        "cases": len(cases),
        "median_difference": float(np.median(differences)),
        "largest_difference": max(differences),
        **{f"gain_{dtype}_db": float(np.mean(values)) for dtype, values in gains.items()},
    }


def show(report: dict[str, Any]) -> str:
    """The report as a table."""
    rows = [
        [
            Path(run["workdir"]).name,
            f"{run['parameters']:,}",
            str(run["cases"]),
            *(f"{100 * run[name]:.2f} %" for name in ("median_difference", "largest_difference")),
            *(number(run[name]) for name in ("gain_float32_db", "gain_bfloat16_db")),
        ]
        for run in report["runs"]
    ]
    header = "run|parameters|cases|median difference|largest|gain in float32, dB|in bfloat16"
    return table("bfloat16 against float32", header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdirs", required=True, help="folders of launch/train.py, with commas between")
    parser.add_argument("--json", help="file that the JSON line is written to")
    options = parser.parse_args()
    report: dict[str, Any] = {"benchmark": "precision", "command": " ".join(sys.argv)}
    report["runs"] = [compare(Path(workdir)) for workdir in options.workdirs.split(",")]
    report["machine"] = machine.describe(("jax", "jaxlib", "flax", "numpy"))
    print(show(report))
    if options.json:
        Path(options.json).write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
