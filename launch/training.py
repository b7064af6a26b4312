"""The work of a training run: data that are simulated where there are none, and the training itself."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from launch import program
from snraware_jax.errors import InputError

if TYPE_CHECKING:
    from data_pipeline import simulator
    from data_pipeline.sources import Source
    from snraware_jax.training import health


def simulate(config: ConfigDict, folder: Path) -> None:
    """Simulates the records of a configuration into `folder`, unless they are there."""
    from data_pipeline import prepare

    made = config.data.simulation
    print(f"train: no --config.data.path, so data are {sum(made.subjects)} simulated subjects, in {folder}", flush=True)
    prepare.simulate(folder, seed=made.seed, subjects=made.subjects, settings=simulator_settings(config), raw=made.raw)


def watched(config: ConfigDict) -> "health.Watch":
    """What looks after the processes of a run, to be opened around it."""
    from snraware_jax.training import clock, health, processes

    limits = health.limits(config.train.stuck_minutes)
    return health.Watch(
        clock.Clock(), limits, name=processes.name(), told=processes.told, tell=processes.tell, leave=processes.leave
    )


def train(config: ConfigDict, workdir: Path, folder: Path, watch: "health.Watch") -> None:
    """Trains on the records in `folder`."""
    import jax

    from data_pipeline.sources import fingerprint, open_source
    from snraware_jax.training import configuration, loop, processes
    from snraware_jax.training.run import assemble

    program.keep_compiled_programs(workdir / "compilation_cache")
    training, validation = open_source(folder, "train"), open_source(folder, "validation")
    records = {"train": fingerprint(training), "validation": fingerprint(validation)}
    processes.same_as_first("records", records)
    processes.first_for_all("records", lambda: configuration.keep_records(workdir, records))
    if config.train.minutes:
        config = _with_steps(config, training, workdir)
    run = assemble(config, len(training))
    say = print if jax.process_index() == 0 else lambda *_, **__: None
    devices = f"{jax.device_count()} {jax.default_backend()} device(s)"
    devices += "" if processes.alone() else f" of {jax.process_count()} processes"
    say(
        f"train: {run.parameters:,} parameters, {len(training)} series, {run.steps} steps of {config.batch_size} patches "
        f"{'x'.join(map(str, config.data.patch))} on {devices}; workdir {workdir}",
        flush=True,
    )
    if config.loss.get("perceptual") and not config.vgg_weights:
        say("train: no --config.vgg_weights (torchvision's vgg16 file), so the perceptual loss is off", flush=True)
    loop.train(config, run, training, validation, workdir, watch)


def _with_steps(config: ConfigDict, training: "Source", workdir: Path) -> ConfigDict:
    """The configuration with steps for its minutes: as many as were measured to fit at the first start, by WORKDIR/budget.json."""
    import jax

    from snraware_jax.formats.atomic import write_json
    from snraware_jax.training import loop, processes
    from snraware_jax.training.run import assemble

    path = workdir / "budget.json"
    steps = processes.of_first(_steps_kept(path) if jax.process_index() == 0 else 0)
    if not steps:
        seconds = loop.seconds_of_a_step(config, assemble(config, len(training)), training)
        steps = processes.of_first(max(1, round(60 * config.train.minutes / seconds)))
        if jax.process_index() == 0:
            print(f"train: {seconds:.2f} s a step, so {steps} steps in {config.train.minutes:g} minutes", flush=True)
            write_json(path, {"steps": steps})
    config = config.copy_and_resolve_references()
    config.train.update(steps=steps, minutes=0.0)
    return config


def _steps_kept(path: Path) -> int:
    """What budget.json says; 0 if there is none."""
    try:
        return int(json.loads(path.read_text())["steps"]) if path.exists() else 0
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged; delete it, and the steps are measured again") from error


def simulator_settings(config: ConfigDict) -> "simulator.Settings":
    """The simulator's settings of a run.

    Raises:
      InputError: for impossible ones.
    """
    from data_pipeline import simulator

    fields = {name: value for name, value in config.data.simulation.items() if name not in ("seed", "subjects", "raw")}
    settings = simulator.Settings(**fields)
    if not config.data.simulation.raw:
        simulator.check_training(settings)
    return settings
