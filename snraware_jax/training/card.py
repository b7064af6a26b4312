"""What a bundle says of its network: how it was trained, on what, and what it reached."""

import csv
import json
from pathlib import Path
from statistics import fmean
from typing import Any

from ml_collections import ConfigDict

from data_pipeline.sources import digest
from snraware_jax.errors import InputError
from snraware_jax.training import configuration
from snraware_jax.training.best import Best
from snraware_jax.training.logging import read_metrics


def of_run(config: ConfigDict, workdir: Path, step: int | None) -> dict[str, Any]:
    """What a user may want to know of a network: how it was trained, on what, and what it reached."""
    tested = workdir / "evaluation" / "table.csv"
    gains = {
        row["step"]: row["validation_gain_db"] for row in read_metrics(workdir / "metrics.jsonl") if "validation_gain_db" in row
    }
    return {
        "step": step,
        "validation_gain_db": None if step is None else gains.get(step),
        "tested": list(csv.DictReader(tested.open())) if tested.is_file() else [],
        "configuration": configuration.flatten(config),
        "configuration_digest": digest((workdir / "config.json").read_text()),
        "versions": configuration.versions(),
    }


def of_suite(home: Path, found: Best) -> dict[str, Any]:
    """What the network reached on a suite, from HOME/results.json of `launch/evaluate.py`.

    Raises:
      InputError: if there is none, or it is of another network.
    """
    path = home / "results.json"
    if not path.is_file():
        raise InputError(f"{path}: not there; run launch/evaluate.py --suite=SUITE --output={home}")
    results = json.loads(path.read_text())
    if (results["configuration"], results["step"]) != (found.configuration, found.step):
        raise InputError(f"{path}: of other parameters than those exported; run launch/evaluate.py --suite again")
    kept = ("suite", "version", "command", "options")
    mean = lambda values: round(fmean(values), 3)
    cases = results["cases"]
    if "raw" in cases[0]:
        snr = lambda region: region["signal"] / region["noise"]
        figures = {
            region: {
                "snr_before": mean(snr(case["raw"]["regions"][region]) for case in cases),
                "snr_after": mean(snr(case["denoised"]["regions"][region]) for case in cases),
                "fidelity": mean(case["denoised"]["regions"][region]["fidelity"] for case in cases),
            }
            for region in cases[0]["raw"]["regions"]
        }
    else:
        cases = [case for case in cases if case["input_snr"] is None]  # without those of the curve
        kind = "magnitude" if found.magnitude else "complex"
        figures = {name: mean(case[kind][name] for case in cases) for name in cases[0][kind]}
    return {name: results[name] for name in kept} | {"cases": len(cases), "figures": figures}
