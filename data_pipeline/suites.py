"""The fixed test suites: reconstructed scans of simulated subjects with their truth, made from seeds.

    python -m data_pipeline.suites --output=suites                           # all: 4 to 40 s a scan on two cores, 1 GB
    python -m data_pipeline.suites --output=suites --suites=realtime_cine --subjects=2

Writes OUTPUT/SUITE/SUITE-NNN.npz (`snraware_jax.evaluation.scans`) and OUTPUT/SUITE/index.json with the command and a digest of every
file, whose own digest is the suite's version. What is there already is not made again.
"""

import argparse
import hashlib
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_pipeline.simulator import TABLE_1, Settings, study
from data_pipeline.sources import digest
from snraware_jax.errors import InputError, describe
from snraware_jax.evaluation import scans
from snraware_jax.formats.atomic import replacing
from snraware_jax.progress import Progress
from snraware_jax.recon import chain

INDEX = "index.json"
SEED = 2_000_000  # of populations that no training sees


class Suite(NamedTuple):
    """Settings of the scans, and how many subjects."""

    settings: Settings
    subjects: int


SUITES = {
    "realtime_cine": Suite(TABLE_1["realtime_cine"], 10),
    "perfusion_stress": Suite(replace(TABLE_1["perfusion_stress"], slices=1), 5),
    "perfusion_rest": Suite(replace(TABLE_1["perfusion_rest"], slices=1), 5),
    "mprage": Suite(TABLE_1["mprage"], 1),
    "spine": Suite(replace(TABLE_1["spine"], slices=1), 1),
    "phantom_r2": Suite(TABLE_1["phantom_r2"], 3),
    "phantom_r4": Suite(TABLE_1["phantom_r4"], 3),
}


def make(suite: str, subject: int, settings: Settings) -> scans.ScanCase:
    """Simulates and reconstructs one scan of one slice or volume.

    Its truth is the same k-space without noise in the same chain: what unmixing leaves of aliases is in both, so that `noisy - truth`
    is noise and nothing else. (Against the fully sampled image a cine at R = 2 differs by some 1.5 % of its peak.)
    """
    made = study(SEED, subject, settings)[0]
    plan = chain.calibrate(made.scan, (settings.acceleration,))
    g_map = np.asarray(plan.g_map)
    image, clean = (np.asarray(chain.apply(plan, k, made.scan.acquired)) * g_map for k in (made.scan.kspace, made.noise_free))
    shape = made.truth.shape
    return scans.ScanCase(
        name=f"{suite}-{subject:03d}",
        noisy=image.reshape(shape).astype(np.complex64),
        truth=clean.reshape(shape).astype(np.complex64),
        g_map=g_map,
        labels=made.labels,
        unmixing=np.asarray(plan.unmixing),
        acquired=made.scan.acquired,
        card=made.card,
    )


def build(name: str, folder: Path, subjects: int) -> str:
    """Makes what is missing of a suite in FOLDER/NAME; returns its version.

    Raises:
      InputError: if a file is there that the index knows with another content, or that was made with other settings.
    """
    home, settings = folder / name, SUITES[name].settings
    files = {file: known for file, known in _known(home / INDEX).items() if (home / file).exists()}
    with Progress(subjects, name, unit="scans") as progress:
        for subject in range(subjects):
            path = home / f"{name}-{subject:03d}.npz"
            if not path.exists():
                scans.write(path, make(name, subject, settings))
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            if files.setdefault(path.name, found) != found:
                raise InputError(f"{path}: not as {INDEX} knows it; delete both, and it is made again")
            if scans.read(path).card["settings"] != json.loads(json.dumps(asdict(settings))):
                raise InputError(f"{path}: made with other settings; delete {home}, and it is made again")
            progress.update(subject + 1)
    version = digest(json.dumps(files, sort_keys=True))
    index = {"suite": name, "version": version, "command": " ".join(sys.argv), "seed": SEED, "files": files}
    with replacing(home / INDEX) as temporary:
        temporary.write_text(json.dumps(index, indent=1) + "\n")
    return version


def _known(index: Path) -> dict[str, str]:
    try:
        return dict(json.loads(index.read_text())["files"]) if index.exists() else {}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{index}: damaged ({error}); delete it, and it is written again") from error


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m data_pipeline.suites", description="Makes the fixed test suites.")
    parser.add_argument("--output", type=Path, required=True, help="folder of the suites")
    parser.add_argument("--suites", default=",".join(SUITES), help="which, with commas between [all]")
    parser.add_argument("--subjects", type=int, help="how many of each [as many as the suite has]")
    options = parser.parse_args()
    names = options.suites.split(",")
    if unknown := [name for name in names if name not in SUITES]:
        parser.error(f"--suites: {unknown[0]} is none; choose from {', '.join(SUITES)}")
    if options.subjects is not None and options.subjects < 1:
        parser.error("--subjects must be 1 or more")
    try:
        for name in names:
            version = build(name, options.output, min(options.subjects or 10**6, SUITES[name].subjects))
            print(f"suites: {name}, version {version}, in {options.output / name}", flush=True)
    except (InputError, OSError) as error:
        parser.error(describe(error))


if __name__ == "__main__":
    main()
