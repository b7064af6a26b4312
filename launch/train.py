"""Trains a denoiser: the paper's sizes on accelerators, or minutes on two CPU cores with `:quick`.

    python launch/train.py --config=configs/hrnet_cnnt.py:quick
    python launch/train.py --config=configs/hrnet_cnnt.py --workdir=DIR --config.data.path=RECORDS

Without --config.data.path it simulates its data into WORKDIR/data. Killed and started again by the same command, it goes on from
its newest checkpoint and makes the same numbers. At the end it evaluates the best parameters on the test split.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags
from ml_collections import ConfigDict, config_flags

from launch import program

if TYPE_CHECKING:
    from data_pipeline import simulator

CONFIG = config_flags.DEFINE_config_file("config", None, "FILE.py or FILE.py:quick; --config.FIELD=value changes a field")
WORKDIR = flags.DEFINE_string("workdir", None, "folder of this run [runs/CONFIG]")


def main() -> None:
    import jax

    from data_pipeline.records import SPLITS
    from data_pipeline.sources import open_source
    from snraware_jax.errors import InputError
    from snraware_jax.training import configuration

    if CONFIG.value is None:
        raise InputError("which configuration? --config=configs/hrnet_cnnt.py:quick, for example")
    config = CONFIG.value
    configuration.validate(config, jax.device_count())
    workdir = Path(WORKDIR.value or default_workdir(program.config_text()))
    # looked at before the workdir is made: bad input leaves no trace
    folder, settings = Path(config.data.path or workdir / "data"), simulator_settings(config)
    if config.data.path:
        for split in SPLITS:
            open_source(folder, split)
    configuration.keep(config, workdir)
    with configuration.lock(workdir):
        simulate_train_evaluate(config, workdir, folder, settings)


def simulate_train_evaluate(config: ConfigDict, workdir: Path, folder: Path, settings: "simulator.Settings") -> None:
    """The work of the program, once its input has been looked at; it simulates only if it was given no records."""
    import jax

    from data_pipeline import prepare
    from data_pipeline.sources import open_source
    from launch import evaluation
    from snraware_jax.training import loop
    from snraware_jax.training.run import assemble

    program.keep_compiled_programs(workdir / "compilation_cache")
    if not config.data.path:
        subjects = config.data.simulation.subjects
        print(f"train: no --config.data.path, so {sum(subjects)} subjects are simulated into {folder}", flush=True)
        prepare.simulate(
            folder, seed=config.data.simulation.seed, subjects=subjects, settings=settings, raw=config.data.simulation.raw
        )
    training, validation = open_source(folder, "train"), open_source(folder, "validation")

    run = assemble(config, len(training))
    print(
        f"train: {run.parameters:,} parameters, {len(training)} series, {run.steps} steps of {config.batch_size} patches "
        f"{'x'.join(map(str, config.data.patch))} on {jax.device_count()} {jax.default_backend()} device(s); workdir {workdir}",
        flush=True,
    )
    loop.train(config, run, training, validation, workdir)
    evaluation.evaluate(config, workdir, folder, "test", workdir / "evaluation")


def default_workdir(config_file: str) -> str:
    """runs/hrnet_cnnt-quick for configs/hrnet_cnnt.py:quick."""
    name, _, size = config_file.partition(":")
    return f"runs/{Path(name).stem}" + (f"-{size}" if size else "")


def simulator_settings(config: ConfigDict) -> "simulator.Settings":
    """The simulator's settings of a run.

    Raises:
      InputError: for impossible ones.
    """
    from data_pipeline import simulator

    fields = {name: value for name, value in config.data.simulation.items() if name not in ("seed", "subjects", "raw")}
    return simulator.Settings(**fields)


if __name__ == "__main__":
    program.run(main)
