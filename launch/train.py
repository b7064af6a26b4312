"""Trains a denoiser: the paper's sizes on accelerators, or minutes on two CPU cores with `:quick`.

    python launch/train.py --config=configs/hrnet_cnnt.py:quick
    python launch/train.py --config=configs/hrnet_cnnt.py --workdir=DIR --config.data.path=RECORDS

Without --config.data.path it simulates its data into WORKDIR/data. Killed and started again by the same command, it goes on from
its newest checkpoint and makes the same numbers. At the end it evaluates the best parameters on the test split.
"""

from pathlib import Path

from absl import flags
from ml_collections import config_flags

from launch import program

CONFIG = config_flags.DEFINE_config_file("config", None, "FILE.py or FILE.py:quick; --config.FIELD=value changes a field")
WORKDIR = flags.DEFINE_string("workdir", None, "folder of this run [runs/CONFIG]")


def main() -> None:
    from data_pipeline import heap

    heap.one_heap_of_huge_pages()  # before the threads of jax; a step on a CPU takes some three quarters of the time
    import jax

    from data_pipeline.records import SPLITS
    from data_pipeline.sources import open_source
    from launch import evaluation, training
    from snraware_jax.errors import InputError
    from snraware_jax.training import configuration

    if CONFIG.value is None:
        raise InputError("which configuration? --config=configs/hrnet_cnnt.py:quick, for example")
    config = CONFIG.value
    configuration.validate(config, jax.device_count())
    workdir = Path(WORKDIR.value or default_workdir(program.config_text()))
    # looked at before the workdir is made: bad input leaves no trace
    folder = Path(config.data.path or workdir / "data")
    training.simulator_settings(config)
    if config.data.path:
        for split in SPLITS:
            open_source(folder, split)
    configuration.keep(config, workdir)
    with configuration.lock(workdir):
        if not config.data.path:
            training.simulate(config, folder)
        training.train(config, workdir, folder)
        evaluation.evaluate(config, workdir, folder, "test", workdir / "evaluation")


def default_workdir(config_file: str) -> str:
    """runs/hrnet_cnnt-quick for configs/hrnet_cnnt.py:quick."""
    name, _, size = config_file.partition(":")
    return f"runs/{Path(name).stem}" + (f"-{size}" if size else "")


if __name__ == "__main__":
    program.run(main)
