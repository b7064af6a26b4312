"""Turns raw scans into training records.

    python launch/prepare_data.py --input=meas1.h5 --input=study/ --output=RECORDS
    python launch/prepare_data.py --input=study/ --output=TFDS --format=tfds --engine=beam --beam_options=--direct_num_workers=4

Input, each series a record: raw ISMRMRD with a noise scan and calibration lines (.h5, any number of slices), series in SNR units
that `snraware reconstruct` wrote (.h5), or magnitude anatomy as `images[slice, frame, y, x]` (.npz), which is given phase, coils
and noise by the simulator's acquisition. A folder of records is converted (--format=tfds).

Data are split by subject: each folder below a given folder is one subject, otherwise each file; the splits are kept in
OUTPUT/splits.json. Killed, the same command continues. What cannot be used is listed at the end and in OUTPUT/failures.json.

Exit code: 0; 1 if some of the series failed; 2 for bad input.
"""

import sys
from pathlib import Path
from typing import Any

from absl import flags

from launch import program

INPUT = flags.DEFINE_multi_string("input", [], "raw scan, series, anatomy or folder; may be given several times")
OUTPUT = flags.DEFINE_string("output", None, "folder of the records: new, empty, or of the same command")
FORMAT = flags.DEFINE_enum("format", "hdf5", ["hdf5", "tfds"], "HDF5 shards, or a TFDS data set (ArrayRecord)")
STORAGE = flags.DEFINE_enum("storage", "complex64", ["complex64", "float16"], "of the images; float16 is half as large")
SPLIT_BY = flags.DEFINE_enum("split_by", "subject", ["subject", "series"], "what train, validation and test must not share")
SPLITS = flags.DEFINE_string("splits", None, "JSON file of subjects and their splits, such as splits.json of another output")
MATRIX = flags.DEFINE_string("matrix", "96x128", "KYxKX to which anatomy is brought: at most its own size")
SEED = flags.DEFINE_integer("seed", 0, "of the acquisition that anatomy is given", lower_bound=0)
ENGINE = flags.DEFINE_enum("engine", "local", ["local", "beam"], "processes of this machine, or Apache Beam")
PROCESSES = flags.DEFINE_integer(
    "processes", 1, "that work in parallel (engine local); leave 1 on an accelerator", lower_bound=1
)
BEAM_OPTIONS = flags.DEFINE_multi_string(
    "beam_options", [], "one option of the pipeline, such as --runner=FlinkRunner; repeatable"
)


def main() -> int:
    from data_pipeline import prepare, simulator
    from snraware_jax.cli.reconstruct import parse_matrix
    from snraware_jax.errors import InputError

    if not INPUT.value or not OUTPUT.value:
        raise InputError("which files, and where to? --input=RAW.h5 --output=RECORDS")
    if BEAM_OPTIONS.value and ENGINE.value != "beam":
        raise InputError("--beam_options are options of --engine=beam; add it, or leave them out")
    matrix: Any = parse_matrix(MATRIX.value)  # the settings refuse three sizes
    choices: dict[str, Any] = {"storage": STORAGE.value, "file_format": FORMAT.value, "engine": ENGINE.value}
    made = prepare.prepare(
        [Path(path) for path in INPUT.value],
        Path(OUTPUT.value),
        split_by=SPLIT_BY.value,
        seed=SEED.value,
        settings=simulator.Settings(matrix=matrix),
        splits=Path(SPLITS.value) if SPLITS.value else None,
        processes=PROCESSES.value,
        beam_options=BEAM_OPTIONS.value,
        **choices,
    )
    for failure in made.failures:
        print(f"  {failure}", file=sys.stderr)
    counts = ", ".join(f"{count} {split}" for split, count in made.counts.items())
    failed = f"; {len(made.failures)} series failed, see {OUTPUT.value}/failures.json" if made.failures else ""
    print(f"prepare: {sum(made.counts.values())} records ({counts}) in {OUTPUT.value}{failed}", flush=True)
    print(f"prepare: train on them with --config.data.path={OUTPUT.value}", flush=True)
    return 1 if made.failures else 0


if __name__ == "__main__":
    program.run(main)
