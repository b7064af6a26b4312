"""Tiny trainings that are started, hurt, and compared with undisturbed ones: what the tests and the sweep share."""

import ast
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import numpy as np
import orbax.checkpoint as ocp
from ml_collections import ConfigDict

from launch import program
from snraware_jax.training import checkpoint
from snraware_jax.training.logging import read_metrics
from snraware_jax.training.processes import VARIABLES
from tests.conftest import REPOSITORY
from tests.tiny import TINY

CONFIG = "configs/hrnet_cnnt.py:quick"
LONGEST = 300.0  # seconds that anything here may take
LOOK = 0.002  # seconds between looks at a file


class Failed(AssertionError):
    """A training did something else than it should; the message has its last lines."""


@dataclass(frozen=True)
class Command:
    """A tiny training, to be started once or, by the same command, again and again.

    Attributes:
      workdir: of the training; its output goes to files beside it.
      records: to train on.
      flags: beyond those of `tests.tiny`.
      steps: the budget.
      processes: of the run, on this machine.
      devices: of each process, simulated.
      environment: variables beyond those of this process.
      program: that trains, as Python is given it.
    """

    workdir: Path
    records: Path
    flags: tuple[str, ...] = ()
    steps: int = 12
    processes: int = 1
    devices: int = 1
    environment: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = ("launch/train.py",)

    def words(self) -> list[str]:
        """The command line."""
        fixed = [f"--config={CONFIG}", f"--workdir={self.workdir}", f"--config.data.path={self.records}"]
        return [sys.executable, *self.program, *fixed, f"--config.train.steps={self.steps}", *TINY, *self.flags]

    def variables(self, number: int, address: str) -> dict[str, str]:
        """The environment of a process: of one alone, or of one of several that meet at an address."""
        everything = os.environ | {
            "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={self.devices}",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": str(REPOSITORY),
        }
        together = dict(zip(VARIABLES, (address, str(self.processes), str(number)), strict=True))
        return everything | (together if self.processes > 1 else {}) | self.environment

    def start(self, *flags: str) -> "Training":
        """Starts every process; more flags are those that a run may change."""
        address = f"127.0.0.1:{free_port()}"
        running, outputs = [], []
        for number in range(self.processes):
            outputs.append(self.workdir.with_name(f"{self.workdir.name}.{number}.log"))
            with outputs[-1].open("w") as file:
                running.append(
                    subprocess.Popen(
                        [*self.words(), *flags],
                        cwd=REPOSITORY,
                        env=self.variables(number, address),
                        stdout=file,
                        stderr=subprocess.STDOUT,
                    )
                )
        return Training(self, running, outputs)

    def finish(self) -> None:
        """Runs to the end.

        Raises:
          Failed: if a process does not leave with 0.
        """
        with self.start() as training:
            codes = training.wait()
            if any(codes):
                raise Failed(f"exit codes {codes}\n{training.tails()}")


class Training(AbstractContextManager):
    """The running processes of a `Command`; those that are left at the end of the `with` are killed."""

    def __init__(self, command: Command, processes: list[subprocess.Popen], outputs: list[Path]) -> None:
        self.command, self.processes, self.outputs = command, processes, outputs
        self._started, self._earlier = time.time(), len(lines(command.workdir / "timing.jsonl"))

    @property
    def workdir(self) -> Path:
        return self.command.workdir

    def output(self, number: int = 0) -> str:
        """What a process has printed so far."""
        return self.outputs[number].read_text(errors="replace")

    def tails(self) -> str:
        """The last lines of every process."""
        return "\n".join(f"--- {path.name}: {path.read_text(errors='replace')[-1500:]}" for path in self.outputs)

    def running(self) -> bool:
        """Whether no process has ended."""
        return all(process.poll() is None for process in self.processes)

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Waits for a condition.

        Raises:
          Failed: if a process ends before, or `LONGEST` passes.
        """
        if not self.comes(condition):
            raise Failed(f"waited in vain for: {what}\n{self.tails()}")

    def comes(self, condition: Callable[[], Any]) -> bool:
        """Waits for a condition; False if a process ends before, or `LONGEST` passes."""
        deadline = time.monotonic() + LONGEST
        while not condition():
            if not self.running() or time.monotonic() > deadline:
                return False
            time.sleep(LOOK)
        return True

    def steps(self) -> int:
        """How many steps this start has logged, if it logs every step."""
        return len(lines(self.workdir / "timing.jsonl")) - self._earlier

    def saving(self) -> bool:
        """Whether a save goes on; what an earlier start has left does not count."""
        for path in self.workdir.glob("*/.*.unfinished"):
            with suppress(FileNotFoundError):  # it is done
                if path.stat().st_mtime > self._started:
                    return True
        return False

    def send(self, number: int, *which: int) -> float:
        """Sends a signal to some processes, or to all; returns the time."""
        sent = time.monotonic()
        for process in [self.processes[index] for index in which] or self.processes:
            process.send_signal(number)
        return sent

    def wait(self, timeout: float = LONGEST, which: Sequence[int] = ()) -> list[int | None]:
        """The exit codes of some processes, or of all, when they have ended; None of one that has not after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        waited_for = [self.processes[index] for index in which] or self.processes
        while any(process.poll() is None for process in waited_for) and time.monotonic() < deadline:
            time.sleep(LOOK)
        return [process.poll() for process in waited_for]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


def lines(path: Path) -> list[str]:
    """The lines of a file; none if there is no file."""
    return path.read_text().splitlines() if path.exists() else []


def free_port() -> int:
    """A port of the loopback that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Bench:
    """Where faults are tried: a folder, records, a seed, and undisturbed runs to compare with."""

    def __init__(self, folder: Path, records: Path, seed: int = 0) -> None:
        self.folder, self.records, self.seed = folder, records, seed
        self._references: list[Command] = []

    def command(self, name: str, **fields: Any) -> Command:
        """A training in a new folder of this name."""
        workdir = self.folder / name
        shutil.rmtree(workdir, ignore_errors=True)
        return Command(workdir, self.records, **fields)

    def reference(self, of: Command) -> Path:
        """The workdir of an undisturbed run of a command, made once."""
        for made in self._references:
            if replace(made, workdir=of.workdir) == of:
                return made.workdir
        made = replace(of, workdir=self.folder / f"undisturbed-{len(self._references)}")
        shutil.rmtree(made.workdir, ignore_errors=True)
        made.finish()
        self._references.append(made)
        return made.workdir

    def random(self, *name: int) -> np.random.Generator:
        """Random numbers of one part of a sweep."""
        return np.random.default_rng([self.seed, *name])


def differences(found: Path, expected: Path) -> list[str]:
    """What two workdirs differ in: rows of metrics.jsonl, the newest checkpoint and the best parameters, bit for bit."""
    lines = []
    rows, others = read_metrics(found / "metrics.jsonl"), read_metrics(expected / "metrics.jsonl")
    if rows != others:
        first = next((i for i, (a, b) in enumerate(zip(rows, others, strict=False)) if a != b), min(len(rows), len(others)))
        lines.append(f"metrics.jsonl differs from row {first} on ({len(rows)} and {len(others)} rows)")
    for folder in ("checkpoints", "best"):
        steps = [checkpoint.steps(workdir / folder)[-1:] for workdir in (found, expected)]
        if steps[0] != steps[1] or not steps[1]:
            lines.append(f"{folder}: newest is of step {steps[0]}, not {steps[1]}")
            continue
        ours, theirs = (arrays(workdir / folder / f"{steps[1][0]:08d}") for workdir in (found, expected))
        unequal = [name for name in ours.keys() | theirs.keys() if not same(ours.get(name), theirs.get(name))]
        lines += [f"{folder}: {len(unequal)} arrays differ, {min(unequal)} for one"] if unequal else []
        damage = checkpoint.damaged(found / folder / f"{steps[1][0]:08d}")
        lines += [f"{folder}: {damage}"] if damage else []
    return lines


def same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    """Whether two arrays are of the same bits."""
    return one is not None and other is not None and (one.shape, one.dtype) == (other.shape, other.dtype) and (
        one.tobytes() == other.tobytes()
    )  # fmt: skip


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of a checkpoint by its name, whatever devices saved it."""
    with ocp.PyTreeCheckpointer() as checkpointer:
        tree = checkpointer.metadata((path / "state").resolve()).item_metadata.tree
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        state = checkpointer.restore((path / "state").resolve(), restore_args=as_numpy)
    return {jax.tree_util.keystr(name): np.asarray(leaf) for name, leaf in jax.tree_util.tree_leaves_with_path(state)}


def configuration(command: Command, **fields: Any) -> ConfigDict:
    """The configuration of a command, for a training in this process."""
    config = program.load_config(CONFIG).copy_and_resolve_references()
    given = [word.removeprefix("--config.").partition("=") for word in command.words() if word.startswith("--config.")]
    config.update_from_flattened_dict({name: _value(text) for name, _, text in given} | fields)
    return config


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
