"""Writes simulated raw scans with their truth.

    python -m data_pipeline.simulator --output=DIR --subjects=3 --seed=0
    python -m data_pipeline.simulator --output=DIR --protocol=perfusion_stress

DIR/simulated-SEED-SUBJECT.h5 is raw ISMRMRD (noise scan, calibration lines, undersampled k-space; all slices of a study in one file)
for `snraware reconstruct`; the .truth.npz beside it holds the truth `[T, H, W]` in SNR units, the labels and the subject card, with
an axis of slices in front where there are several.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from data_pipeline.simulator import TABLE_1, Settings, study
from snraware_jax.errors import InputError, describe
from snraware_jax.formats.atomic import replacing
from snraware_jax.formats.mrd import write_scans
from snraware_jax.progress import Progress


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m data_pipeline.simulator", description="Writes simulated raw scans with their truth."
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for the scans")
    parser.add_argument("--subjects", type=int, default=1, help="how many, numbered from 0 [1]")
    parser.add_argument("--seed", type=int, default=0, help="of the population [0]")
    parser.add_argument(
        "--protocol", choices=["small", *TABLE_1], default="small", help="a small cine, or a scan of Table 1 [small]"
    )
    parser.add_argument("--templates", type=Path, help="folder of the MNI ICBM152 files, for mprage [the brain is drawn]")
    arguments = parser.parse_args()
    if arguments.subjects < 1 or arguments.seed < 0:
        parser.error("--subjects must be 1 or more, --seed 0 or more")
    settings = Settings() if arguments.protocol == "small" else TABLE_1[arguments.protocol]
    try:
        write(arguments.output, arguments.subjects, arguments.seed, settings, arguments.templates)
    except (InputError, OSError) as error:
        parser.error(describe(error))


def write(output: Path, subjects: int, seed: int, settings: Settings, templates: Path | None = None) -> None:
    """Simulates the subjects 0 to `subjects` - 1 of a population into a folder."""
    with Progress(subjects, "simulate", unit="subjects") as progress:
        for subject in range(subjects):
            made = study(seed, subject, settings, templates=templates)
            path = output / f"{made[0].scan.name}.h5"
            write_scans(path, [one.scan for one in made])
            with replacing(path.with_suffix(".truth.npz")) as temporary:
                truth, labels = np.stack([one.truth for one in made]), np.stack([one.labels for one in made])
                if len(made) == 1:
                    truth, labels = truth[0], labels[0]
                np.savez_compressed(temporary, truth=truth, labels=labels, card=json.dumps([one.card for one in made]))
            progress.update(subject + 1)
    print(f"simulate: {subjects} scan(s) in {output}; next: snraware reconstruct {output}/simulated-{seed}-0.h5 -o OUT.h5")


if __name__ == "__main__":
    main()
