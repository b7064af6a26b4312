"""Writes simulated raw scans with their truth.

    python -m data_pipeline.simulator --output=DIR --subjects=3 --seed=0

DIR/simulated-SEED-SUBJECT.h5 is raw ISMRMRD (noise scan, calibration lines, undersampled k-space) for `snraware reconstruct`;
the .truth.npz beside it holds the truth `[T, H, W]` in SNR units, the labels and the subject card.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from data_pipeline.simulator import Settings, simulate
from snraware_jax.formats.atomic import replacing
from snraware_jax.formats.mrd import write_scan
from snraware_jax.progress import Progress


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m data_pipeline.simulator", description="Writes simulated raw scans with their truth."
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the scans")
    parser.add_argument("--subjects", type=int, default=1, help="how many, numbered from 0 [1]")
    parser.add_argument("--seed", type=int, default=0, help="of the population [0]")
    arguments = parser.parse_args()
    with Progress(arguments.subjects, "simulate", unit="subjects") as progress:
        for subject in range(arguments.subjects):
            made = simulate(arguments.seed, subject, Settings())
            path = arguments.output / f"{made.scan.name}.h5"
            write_scan(path, made.scan)
            with replacing(path.with_suffix(".truth.npz")) as temporary:
                np.savez_compressed(temporary, truth=made.truth, labels=made.labels, card=json.dumps(made.card))
            progress.update(subject + 1)
    print(f"simulate: {arguments.subjects} scan(s) in {arguments.output}; next: snraware reconstruct {path} -o OUT.h5")


if __name__ == "__main__":
    main()
