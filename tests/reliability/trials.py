"""One fault each, done to a tiny training: what the tests do a few times and the sweep (`python -m tests.reliability`) often.

Each raises `Failed` where the training does something else than docs/reliability.md says.
"""

import re
import resource
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from snraware_jax.errors import BAD_INPUT, INTERRUPTED, STOPPED
from snraware_jax.training import checkpoint
from snraware_jax.training.logging import read_metrics
from tests.reliability.faults import Command, Failed, Training, differences, lines

TO_LEAVE = 10.0  # seconds after SIGTERM
AFTER_HEARTBEAT = 5.0  # seconds beyond the heartbeat, for a lost process
patience = 1.0  # times as long is waited: tests must pass on a busy machine too, the sweep measures


def rows(training: Training) -> int:
    """How many rows metrics.jsonl has."""
    return len(lines(training.workdir / "metrics.jsonl"))


def evaluating(training: Training) -> bool:
    """Whether the first evaluation goes on: its step is logged, its gain is not."""
    return rows(training) == 8 and "validation gain" not in training.output()


# what to wait for, and the seconds in which a fault then falls at random; "steps" counts steps instead, for machines of any speed
MOMENTS: dict[str, tuple[Callable[[Training], bool], float]] = {
    "start": (lambda training: True, 6.0),
    "watched": (lambda training: (training.workdir / "config.json").exists(), 0.3),
    "compilation": (lambda training: "parameters, " in training.output(), 0.3),
    "evaluation": (evaluating, 0.02),
    "save": (Training.saving, 0.02),
    "test": (lambda training: "evaluate: parameters" in training.output(), 0.5),
}
MOST_STEPS = 5  # before a fault "between steps"
NOTHING_UNSAVED = ("watched", "compilation", "test")


def reach(training: Training, moment: str, rng: np.random.Generator) -> bool:
    """Waits for a random instant of a moment; False if the training ends before."""
    count = int(rng.integers(1, MOST_STEPS + 1))
    steps: tuple[Callable[[Training], bool], float] = (lambda training: training.steps() >= count, 0.05)
    condition, seconds = steps if moment == "steps" else MOMENTS[moment]
    if not training.comes(lambda: condition(training)):
        return False
    time.sleep(rng.uniform(0, seconds))
    return training.running()


def killed_again_and_again(
    command: Command, expected: Path, rng: np.random.Generator, most: int, moments: Sequence[str] = ("start", "steps", "save")
) -> list[str]:
    """Kills a training at random instants and starts it again, until it is done; nothing tells the result from an undisturbed one.

    Args:
      command: in a new workdir.
      expected: the workdir of an undisturbed run.
      rng: chooses the instants.
      most: kills; then the training is left alone.
      moments: of which each instant is one.

    Returns:
      the moment of every kill.
    """
    done: list[str] = []
    while len(done) < most:
        with command.start() as training:
            moment = str(rng.choice(list(moments)))
            if not reach(training, moment, rng):
                if any(codes := training.wait()):
                    raise Failed(f"exit codes {codes} before a kill\n{training.tails()}")
                break
            training.send(signal.SIGKILL)
            done.append(moment)
    command.finish()
    alike(command, expected)
    return done


def told_to_stop(command: Command, moment: str, rng: np.random.Generator, *which: int) -> float:
    """SIGTERM to some processes, or to all: all save and leave with 75; returns the seconds that it took."""
    with command.start() as training:
        if not reach(training, moment, rng):
            raise Failed(f"over before {moment}\n{training.tails()}")
        sent = training.send(signal.SIGTERM, *which)
        codes = training.wait(patience * TO_LEAVE)
        seconds = time.monotonic() - sent
        if any(code != STOPPED for code in codes):
            raise Failed(f"SIGTERM in {moment}: exit codes {codes} after {seconds:.1f} s\n{training.tails()}")
        if moment in NOTHING_UNSAVED:
            return seconds
        said = re.search(r"stopped at step (\d+) of \d+, all saved", training.output())
        newest = checkpoint.steps(command.workdir / "checkpoints")[-1:]
        if said is None or newest != [int(said[1])]:
            raise Failed(f"SIGTERM in {moment}: newest checkpoint {newest}\n{training.tails()}")
        return seconds


def lost(training: Training, number: int, which: int, heartbeat: float) -> float:
    """One of several processes is killed or stopped: the others leave, and say which; returns the seconds that it took."""
    sent = training.send(number, which)
    others = [other for other in range(training.command.processes) if other != which]
    codes = training.wait(patience * (heartbeat + AFTER_HEARTBEAT), others)
    seconds = time.monotonic() - sent
    ends_the_loop = {0, BAD_INPUT, INTERRUPTED}
    if None in codes or ends_the_loop & set(codes):
        raise Failed(f"others of process {which}: exit codes {codes} after {seconds:.1f} s\n{training.tails()}")
    if number == signal.SIGSTOP and not any(names(training.output(other), which) for other in others):
        raise Failed(f"nobody names process {which}, which is stopped\n{training.tails()}")
    return seconds


def names(output: str, which: int) -> bool:
    """Whether a log says which process is the lost one: in our words, or in those of JAX's coordinator, with numbers on lines."""
    if which == 0 and "process 0, the coordinator, has not answered" in output:
        return True
    unhealthy = re.search(r"unhealthy \(stopped sending heartbeats\):\n((?:\d+\n)+)", output)
    return unhealthy is not None and str(which) in unhealthy[1].split()


def refused_saves(training: Training, which: int, most_bytes: int) -> float:
    """The system refuses large files until there is a message; the last checkpoint is whole, and the next save is a good one.

    Args:
      training: with several saves to come.
      which: process, to which the system refuses them.
      most_bytes: of a file.

    Returns:
      seconds until the message.
    """
    folder = training.workdir / "checkpoints"
    training.until(lambda: checkpoint.steps(folder), "a checkpoint")
    process = training.processes[which].pid
    allowed = resource.prlimit(process, resource.RLIMIT_FSIZE, (most_bytes, -1))
    began = time.monotonic()
    training.until(lambda: "was not saved" in training.output(), "the message")
    seconds = time.monotonic() - began
    whole(folder)
    newest = checkpoint.steps(folder)[-1]
    resource.prlimit(process, resource.RLIMIT_FSIZE, allowed)
    training.until(lambda: checkpoint.steps(folder)[-1:] > [newest], "the next save")
    whole(folder)
    return seconds


def whole(folder: Path) -> None:
    """Every checkpoint that has its name is as it was written, and there is one."""
    found = checkpoint.steps(folder)
    damage = [text for step in found if (text := checkpoint.damaged(folder / f"{step:08d}"))]
    # one that goes on meanwhile may have removed the oldest
    still_there = checkpoint.steps(folder)
    if not found or (damage and still_there[: len(found)] == found):
        raise Failed(f"{folder}: {found}, {damage}")


def bad_input(command: Command, message: str) -> float:
    """Every process leaves with 2 and says why; returns the seconds from the start."""
    began = time.monotonic()
    with command.start() as training:
        codes = training.wait()
        seconds = time.monotonic() - began
        silent = [number for number in range(command.processes) if message not in training.output(number)]
        if any(code != BAD_INPUT for code in codes) or silent:
            raise Failed(f"exit codes {codes}; {message!r} is missing in {silent}\n{training.tails()}")
    return seconds


def alike(command: Command, expected: Path) -> None:
    """The result of a training is that of an undisturbed one, bit for bit."""
    if found := differences(command.workdir, expected):
        raise Failed("; ".join(found))


def furthest(found: Path, expected: Path, name: str = "loss", first: int = 10**9) -> float:
    """The largest relative difference of a figure over the first steps of two trainings; later ones see rounding grow."""
    ours, theirs = (
        {row["step"]: row[name] for row in read_metrics(workdir / "metrics.jsonl") if name in row}
        for workdir in (found, expected)
    )
    if ours.keys() != theirs.keys():
        raise Failed(f"steps {sorted(ours.keys() ^ theirs.keys())} are in one of {found} and {expected} alone")
    return max(abs(ours[step] - theirs[step]) / abs(theirs[step]) for step in theirs if step <= first)
