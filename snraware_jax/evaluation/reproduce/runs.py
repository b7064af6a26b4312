"""Programs of the project, started one after another: simulated suites and records, trainings, evaluations; and their files."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from snraware_jax.errors import INTERRUPTED, STOPPED, InputError
from snraware_jax.formats.atomic import replacing

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


def suite(output: Path, name: str) -> Path:
    """The folder of a test suite, made if it is not there."""
    _run([sys.executable, "-m", "data_pipeline.suites", f"--output={output / 'suites'}", f"--suites={name}"])
    return output / "suites" / name


def train(asked: Asked, model: str, mode: str) -> tuple[Path, str]:
    """Trains what is left of a run; its folder, and the command."""
    config = f"configs/table2.py:{model}-{mode}-{asked.preset}"
    data = asked.data or _records(asked.output, config)
    workdir = asked.output / "runs" / f"{model}-{mode}"
    flags = [f"--config={config}", f"--workdir={workdir}", f"--config.data.path={data}", "--config.evaluation.series=1"]
    command = [sys.executable, "launch/train.py", *flags]
    said = " ".join(["python", *command[1:]])
    done = workdir / "trained.json"
    if not done.exists():
        started = time.monotonic()
        _run(command)
        write_json(done, {"command": said, "seconds_of_last_start": round(time.monotonic() - started)})
    return workdir, said


def _records(output: Path, config: str) -> Path:
    """Simulated records that all runs share."""
    from launch import program, training

    folder = output / "data"
    training.simulate(program.load_config(config), folder)
    return folder


def evaluate(workdir: Path, suite: Path, output: Path, flags: Sequence[str]) -> dict[str, Any]:
    """Results of a run on a suite, made anew in a folder."""
    command = ["launch/evaluate.py", f"--workdir={workdir}", f"--suite={suite}", f"--output={output}", *flags]
    _run([sys.executable, *command])
    return read(output / "results.json")


def evaluated(workdir: Path, suite: Path, output: Path, flags: Sequence[str]) -> dict[str, Any]:
    """Results of a run on a suite in a folder, made if they are not there or of another version of the suite."""
    path = output / "results.json"
    if path.exists() and (found := read(path)).get("version") == version(suite):
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


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)


def write_json(path: Path, value: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n")
