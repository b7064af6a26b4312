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
from snraware_jax.errors import describe
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
    if arguments.subjects < 1 or arguments.seed < 0:
        parser.error("--subjects must be 1 or more, --seed 0 or more")
    try:
        write(arguments.output, arguments.subjects, arguments.seed)
    except OSError as error:
        parser.error(describe(error))


def write(output: Path, subjects: int, seed: int) -> None:
    """Simulates the subjects 0 to `subjects` - 1 of a population into a folder."""
    with Progress(subjects, "simulate", unit="subjects") as progress:
        for subject in range(subjects):
            made = simulate(seed, subject, Settings())
            path = output / f"{made.scan.name}.h5"
            write_scan(path, made.scan)
            with replacing(path.with_suffix(".truth.npz")) as temporary:
                np.savez_compressed(temporary, truth=made.truth, labels=made.labels, card=json.dumps(made.card))
            progress.update(subject + 1)
    print(f"simulate: {subjects} scan(s) in {output}; next: snraware reconstruct {output}/simulated-{seed}-0.h5 -o OUT.h5")


if __name__ == "__main__":
    main()
