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
    import jax

    from data_pipeline.sources import ShardSource
    from launch import evaluation
    from snraware_jax.errors import InputError
    from snraware_jax.training import configuration, loop
    from snraware_jax.training.run import assemble

    if CONFIG.value is None:
        raise InputError("which configuration? --config=configs/hrnet_cnnt.py:quick, for example")
    config = CONFIG.value
    configuration.validate(config, jax.device_count())
    workdir = Path(WORKDIR.value or default_workdir(program.config_text()))
    # given records are opened before the workdir is made: bad input leaves no trace
    sources = [ShardSource(config.data.path, split) for split in ("train", "validation")] if config.data.path else None
    configuration.keep(config, workdir)
    program.keep_compiled_programs(workdir / "compilation_cache")
    if sources is None:
        folder = simulated_data(config, workdir)
        sources = [ShardSource(folder, split) for split in ("train", "validation")]
    training, validation = sources

    run = assemble(config, len(training))
    print(
        f"train: {run.parameters:,} parameters, {len(training)} series, {run.steps} steps of {config.batch_size} patches "
        f"{'x'.join(map(str, config.data.patch))} on {jax.device_count()} {jax.default_backend()} device(s); workdir {workdir}",
        flush=True,
    )
    loop.train(config, run, training, validation, workdir)
    evaluation.evaluate(config, workdir, training.folder, "test", workdir / "evaluation")


def default_workdir(config_file: str) -> str:
    """runs/hrnet_cnnt-quick for configs/hrnet_cnnt.py:quick."""
    name, _, size = config_file.partition(":")
    return f"runs/{Path(name).stem}" + (f"-{size}" if size else "")


def simulated_data(config, workdir: Path) -> Path:
    """Simulates the records of a run that was given none, or finds them there from before."""
    from data_pipeline import prepare, simulator

    fields = dict(config.data.simulation)
    seed, subjects = fields.pop("seed"), fields.pop("subjects")
    folder = workdir / "data"
    print(f"train: no --config.data.path, so {sum(subjects)} subjects are simulated into {folder}", flush=True)
    prepare.simulate(folder, seed=seed, subjects=subjects, settings=simulator.Settings(**fields))
    return folder


if __name__ == "__main__":
    program.run(main)
