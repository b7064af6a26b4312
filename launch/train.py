"""Trains a denoiser: the paper's sizes on accelerators, or minutes on two CPU cores with `:quick`.

    python launch/train.py --config=configs/hrnet_cnnt.py:quick
    python launch/train.py --config=configs/hrnet_cnnt.py --workdir=DIR --config.data.path=RECORDS

Without --config.data.path it simulates its data into WORKDIR/data. Killed and started again by the same command, it goes on from
its newest checkpoint and makes the same numbers. At the end it evaluates the best parameters on the test split.
"""

import sys
from contextlib import ExitStack, suppress
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from launch import program
from snraware_jax.errors import BAD_INPUT, describe
from snraware_jax.progress import say

CONFIG = config_flags.DEFINE_config_file("config", None, "FILE.py or FILE.py:quick; --config.FIELD=value changes a field")
WORKDIR = flags.DEFINE_string("workdir", None, "folder of this run [runs/CONFIG]")


def main() -> None:
    from data_pipeline import heap

    heap.one_heap_of_huge_pages()  # before the threads of jax; a step on a CPU takes some three quarters of the time
    import jax

    from snraware_jax.errors import InputError
    from snraware_jax.training import processes

    if CONFIG.value is None:
        raise InputError("which configuration? --config=configs/hrnet_cnnt.py:quick, for example")
    processes.join(CONFIG.value.train.heartbeat_seconds)
    try:
        run(CONFIG.value, Path(WORKDIR.value or default_workdir(program.config_text())))
    except (InputError, OSError) as error:
        if processes.alone():
            raise
        say(f"train.py: {describe(error)}", sys.stderr)
        processes.tell(describe(error), BAD_INPUT)
        processes.leave(BAD_INPUT)
    except jax.errors.JaxRuntimeError:
        heard = None
        with suppress(jax.errors.JaxRuntimeError):  # process 0 may be gone
            heard = processes.told()
        if not heard:
            raise
        # an exchange with a process that has left before this one heard why
        why, code = heard
        say(f"train.py: {processes.name()}another process ended: {why}", sys.stderr)
        processes.leave(code)


def run(config: ConfigDict, workdir: Path) -> None:
    """Checks, simulates where there are no data, trains and evaluates: in every process, what is done once in process 0."""
    import jax

    from data_pipeline.records import SPLITS
    from data_pipeline.sources import open_source
    from launch import evaluation, training
    from snraware_jax.training import best, configuration, processes

    configuration.validate(config, jax.device_count())
    # looked at before the workdir is made: bad input leaves no trace
    folder = Path(config.data.path or workdir / "data")
    training.simulator_settings(config)
    if config.data.path:
        for split in SPLITS:
            open_source(folder, split)

    with ExitStack() as held:
        watch = held.enter_context(training.watched(config))
        # from here on every process takes a signal well, and hears of the others' faults
        processes.same_as_first("configuration", configuration.of_all_hosts(config))

        def prepare() -> None:
            configuration.check_workdir(config, workdir)
            held.enter_context(configuration.lock(workdir))
            configuration.keep(config, workdir)
            if not config.data.path:
                training.simulate(config, folder)

        processes.first_for_all("prepare", prepare)
        training.train(config, workdir, folder, watch)
        test = lambda: evaluation.evaluate(config, best.restore(config, workdir), folder, "test", workdir / "evaluation")
        with watch.clock("test"):
            processes.first_for_all("test", test)


def default_workdir(config_file: str) -> str:
    """runs/hrnet_cnnt-quick for configs/hrnet_cnnt.py:quick."""
    name, _, size = config_file.partition(":")
    return f"runs/{Path(name).stem}" + (f"-{size}" if size else "")


if __name__ == "__main__":
    program.run(main)
