"""Turns raw scans into training records.

    python launch/prepare_data.py --input=meas1.h5 --input=study/ --output=RECORDS

Input: raw ISMRMRD with a noise scan and calibration lines (.h5), or magnitude anatomy as `images[slice, frame, y, x]` (.npz),
which is given phase, coils and noise by the simulator's acquisition. Output: HDF5 shards for --config.data.path. Data are split
by subject: each folder below a given folder is one subject, otherwise each file.
"""

from pathlib import Path

from absl import flags

from launch import program

INPUT = flags.DEFINE_multi_string("input", [], "raw scan, anatomy or folder; may be given several times")
OUTPUT = flags.DEFINE_string("output", None, "folder of the shards, new or empty")
SPLIT_BY = flags.DEFINE_enum("split_by", "subject", ["subject", "series"], "what train, validation and test must not share")
SEED = flags.DEFINE_integer("seed", 0, "of the acquisition that anatomy is given", lower_bound=0)


def main() -> None:
    from data_pipeline import prepare, simulator
    from snraware_jax.errors import InputError

    if not INPUT.value or not OUTPUT.value:
        raise InputError("which files, and where to? --input=RAW.h5 --output=RECORDS")
    inputs = [Path(path) for path in INPUT.value]
    count = prepare.prepare(inputs, Path(OUTPUT.value), split_by=SPLIT_BY.value, seed=SEED.value, settings=simulator.Settings())
    print(f"prepare: {count} records in {OUTPUT.value}; train on them with --config.data.path={OUTPUT.value}", flush=True)


if __name__ == "__main__":
    program.run(main)
