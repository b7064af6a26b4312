"""Programs of the project, started one after another: simulated suites and records, trainings, evaluations; and their files."""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from data_pipeline.sources import digest
from snraware_jax.errors import INTERRUPTED, STOPPED, InputError
from snraware_jax.formats.atomic import write_json

PRESETS = ("small", "paper")


class Asked(NamedTuple):
    """What was asked for.

    Attributes:
      preset: of `PRESETS`, sizes of networks, data and budgets.
      output: folder of everything.
      data: folder of records to train on; None are simulated.
      models, modes: rows of Table 2, and modes of the others.
      model: of Table 3 and of the figures.
    """

    preset: str
    output: Path
    data: Path | None
    models: Sequence[str]
    modes: Sequence[str]
    model: str


def keep(asked: Asked) -> None:
    """Notes in OUTPUT what it is for, so that nothing made for something else is ever taken for it.

    Raises:
      InputError: if it was begun for something else.
    """
    path, now = asked.output / "asked.json", {"preset": asked.preset, "data": asked.data and str(asked.data.resolve())}
    if not path.exists():
        asked.output.mkdir(parents=True, exist_ok=True)
        write_json(path, now)
    elif (before := read(path)) != now:
        raise InputError(f"{asked.output}: begun with {_said(before)}, not with {_said(now)}; give another --output")


def _said(asked: Mapping[str, Any]) -> str:
    return f"--preset={asked.get('preset')}, " + (f"--data={asked['data']}" if asked.get("data") else "simulated records")


def suite(output: Path, name: str) -> Path:
    """The folder of a test suite, made if it is not there."""
    with _alone(output):
        _run([sys.executable, "-m", "data_pipeline.suites", f"--output={output / 'suites'}", f"--suites={name}"])
    return output / "suites" / name


def train(asked: Asked, model: str, mode: str) -> tuple[Path, str]:
    """Trains what is left of a run; its folder, and the command."""
    config = f"configs/table2.py:{model}-{mode}-{asked.preset}"
    data = asked.data or asked.output / "data"
    workdir = asked.output / "runs" / f"{model}-{mode}"
    flags = [f"--config={config}", f"--workdir={workdir}", f"--config.data.path={data}", "--config.evaluation.series=1"]
    command = [sys.executable, "launch/train.py", *flags]
    said = " ".join(["python", *command[1:]])
    done = workdir / "trained.json"
    if not done.exists():
        if asked.data is None:
            _simulate(config, asked.output)
        started = time.monotonic()
        _run(command)
        write_json(done, {"command": said, "seconds_of_last_start": round(time.monotonic() - started)})
    return workdir, said


def _simulate(config: str, output: Path) -> None:
    """Makes the records that all runs share."""
    from launch import program, training

    with _alone(output):
        training.simulate(program.load_config(config), output / "data")


@contextmanager
def _alone(output: Path) -> Iterator[None]:
    """What several of these commands in one folder share is made by one of them, for which the others wait."""
    with (output / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def evaluate(workdir: Path, suite: Path, output: Path, flags: Sequence[str]) -> dict[str, Any]:
    """Results of a run on a suite, made anew in a folder."""
    _run([sys.executable, *_evaluation(workdir, suite, output, flags)])
    return read(output / "results.json")


def _evaluation(workdir: Path, suite: Path, output: Path, flags: Sequence[str]) -> list[str]:
    return ["launch/evaluate.py", f"--workdir={workdir}", f"--suite={suite}", f"--output={output}", *flags]


def evaluated(workdir: Path, suite: Path, output: Path, flags: Sequence[str]) -> dict[str, Any]:
    """Results of a run on a suite in a folder, made if those of this command, configuration and version of the suite are not there."""
    path = output / "results.json"
    wanted = {
        "command": " ".join(_evaluation(workdir, suite, output, flags)),
        "configuration": digest((workdir / "config.json").read_text()),
        "version": version(suite),
    }
    found = read(path) if path.exists() else {}
    if {name: found.get(name) for name in wanted} == wanted:
        return found
    return evaluate(workdir, suite, output, flags)


def version(suite: Path) -> str:
    """Of a suite that is there."""
    return read(suite / "index.json")["version"]


def _run(command: Sequence[str]) -> None:
    """Runs a program to its end; it is told to stop when this one is.

    Raises:
      subprocess.CalledProcessError: if it fails.
    """
    with _ended(subprocess.Popen(command, env=os.environ | {"PYTHONUNBUFFERED": "1"})) as process:
        code = process.wait()
    if code in (INTERRUPTED, STOPPED):
        raise KeyboardInterrupt
    if code:
        raise subprocess.CalledProcessError(code, command)


@contextmanager
def _ended(process: subprocess.Popen) -> Iterator[subprocess.Popen]:
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); delete it, and it is made again") from error
