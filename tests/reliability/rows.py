"""The rows of the table of faults: each does its fault again and again, and says how it went.

A row is a generator of `Outcome`; a fault that is not survived is one that failed, not the end of the row.
"""

import functools
import itertools
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy import stats

from snraware_jax.errors import BAD_INPUT, InputError
from snraware_jax.formats.atomic import write_json
from snraware_jax.training import checkpoint
from snraware_jax.training import configuration as keep
from snraware_jax.training.run import assemble
from tests.conftest import REPOSITORY
from tests.reliability import trials
from tests.reliability.faults import Bench, Command, Failed, Training, arrays, configuration, same
from tests.reliability.test_shards import replace_array

HEARTBEAT = 5.0
OF_SEVERAL = (f"--config.train.heartbeat_seconds={HEARTBEAT}",)
OF_THREE = (*OF_SEVERAL, "--config.batch_size=6")
STEPS = 48


class Outcome(NamedTuple):
    """Of a fault, or of several that were checked together.

    Attributes:
      case: what was done.
      fault: what went wrong, or "".
      count: of faults.
      figures: measured.
    """

    case: str
    fault: str = ""
    count: int = 1
    figures: Mapping[str, float] = MappingProxyType({})


Row = Callable[[Bench, int], Iterator[Outcome]]


def tried(case: str, trial: Callable[[], Any], name: str = "seconds") -> Outcome:
    """The outcome of a trial, whose result, if it is a number, is a figure."""
    try:
        found = trial()
    except Failed as failed:
        return Outcome(case, str(failed))
    return Outcome(case, figures={name: float(found)} if isinstance(found, float) else {})


def kills(bench: Bench, count: int) -> Iterator[Outcome]:
    """SIGKILL at random instants: in the start, between steps, in evaluations, saves and the test at the end."""
    moments = ("start", "compilation", "steps", "steps", "steps", "evaluation", "save", "save", "save", "test")
    done = 0
    for number in itertools.count():
        if done >= count:
            return
        command = bench.command("killed", steps=STEPS)
        expected, rng = bench.reference(command), bench.random(1, number)
        most = min(20, count - done)
        try:
            found = trials.killed_again_and_again(command, expected, rng, most, moments)
        except Failed as failed:
            yield Outcome(f"a run, from kill {done + 1} on", str(failed), count=most)
            done += most
            continue
        if found:
            yield Outcome(f"a run killed in {', '.join(found)}", count=len(found))
        done += len(found)


def told_to_stop(bench: Bench, count: int, processes: int = 1) -> Iterator[Outcome]:
    """SIGTERM at every moment, to all processes or to one; then the same command to the end."""
    moments = ("steps", "evaluation", "save", "compilation", "watched")
    flags = OF_THREE if processes > 1 else ()
    for number in range(count):
        moment = moments[number % len(moments)]
        command = bench.command(f"told-{processes}", steps=STEPS, processes=processes, flags=flags)
        rng = bench.random(2, processes, number)
        to_one = processes > 1 and (moment not in trials.NOTHING_UNSAVED or number // len(moments) % 2 == 1)
        which = (number % processes,) if to_one else ()
        case = f"{moment}, to {which[0] if which else 'all'}"
        outcome = tried(case, functools.partial(trials.told_to_stop, command, moment, rng, *which))
        yield outcome if outcome.fault else goes_on(bench, command, outcome)


def goes_on(bench: Bench, command: Command, outcome: Outcome) -> Outcome:
    """The outcome, if the same command then ends in the bits of an undisturbed run."""

    def finish() -> None:
        command.finish()
        trials.alike(command, bench.reference(command))

    after = tried(outcome.case, finish)
    return outcome._replace(fault=after.fault)


def lost(bench: Bench, count: int) -> Iterator[Outcome]:
    """One of three processes is killed (-9) or stopped: each in turn, the coordinator among them."""
    cases = [(number, which) for which in (1, 0) for number in (signal.SIGSTOP, signal.SIGKILL)]
    for index in range(count):
        number, which = cases[index % len(cases)]
        command = bench.command("lost", steps=STEPS, processes=3, flags=OF_THREE)
        trial = functools.partial(loses, command, number, which, bench.random(3, index))
        outcome = tried(f"{signal.Signals(number).name} to process {which} of 3", trial)
        yield outcome if outcome.fault else goes_on(bench, command, outcome)


def loses(command: Command, number: int, which: int, rng: np.random.Generator) -> float:
    """A signal to one process between steps; returns the seconds until the others have left."""
    with command.start() as training:
        if not trials.reach(training, "steps", rng):
            raise Failed(f"over before\n{training.tails()}")
        return trials.lost(training, number, which, HEARTBEAT)


def damaged(bench: Bench, count: int) -> Iterator[Outcome]:
    """Files of the newest checkpoint, one after another: deleted, cut off, one bit flipped, each at a random place."""
    command = bench.command("damaged", steps=12)
    folder = bench.reference(command) / "checkpoints"
    like = assemble(configuration(command), 12).abstract_state
    before, newest = checkpoint.steps(folder)
    expected, path = arrays(folder / f"{before:08d}"), folder / f"{newest:08d}"
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.stat().st_size)
    kinds = ("deleted", "cut off", "one bit flipped")
    for number in range(count):
        file, kind = files[number // len(kinds) % len(files)], kinds[number % len(kinds)]
        content = file.read_bytes()
        hurt(file, kind, bench.random(4, number))
        case = f"{file.relative_to(path)} {kind}"
        try:
            step, state, lines = checkpoint.restore(folder, like)
            fault = restored_wrongly(step, state, before, expected, lines)
        except InputError as error:
            fault = str(error)
        file.write_bytes(content)
        yield Outcome(case, fault)


def hurt(file: Path, kind: str, rng: np.random.Generator) -> None:
    """Deletes a file, cuts it off at a random place, or flips a random bit."""
    content = bytearray(file.read_bytes())
    if kind == "deleted":
        file.unlink()
    elif kind == "cut off":
        file.write_bytes(content[: int(rng.integers(len(content)))])
    else:
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        file.write_bytes(content)


def restored_wrongly(step: int, state: Any, before: int, expected: dict[str, np.ndarray], lines: list[str]) -> str:
    """What is wrong with a state that should be that of the checkpoint before, or ""."""
    if step != before:
        return f"restored step {step}, whose files are damaged"
    if not lines or "falling back" not in lines[0]:
        return "no line says so"
    named = dict(zip(state._fields, state, strict=True))  # as Orbax names the parts of a named tuple
    found = {jax.tree_util.keystr(name): np.asarray(leaf) for name, leaf in jax.tree_util.tree_leaves_with_path(named)}
    scalars = "['step']"
    return "" if same(found.get(scalars), expected.get(scalars)) and total(found) == total(expected) else "other numbers"


def total(tree: dict[str, np.ndarray]) -> list[bytes]:
    """The bits of all arrays, whatever they are called."""
    return sorted(array.tobytes() for array in tree.values())


def refused(bench: Bench, count: int) -> Iterator[Outcome]:
    """The system refuses large files (as a full disk does) for some saves of a run, in one process alone or in one of two."""
    for number in range(count):
        processes, which, most = ((1, 0, 60_000), (2, 1, 1_500))[number % 2]
        flags = OF_SEVERAL if processes > 1 else ()
        command = bench.command("refused", steps=STEPS, processes=processes, flags=flags)
        trial = functools.partial(refuses_saves, bench, command, which, most)
        yield tried(f"process {which} of {processes}", trial)


def refuses_saves(bench: Bench, command: Command, which: int, most: int) -> float:
    """A run with saves refused in between; returns the seconds until it says so."""
    with command.start() as training:
        seconds = trials.refused_saves(training, which, most)
        ends_well(training)
    trials.alike(command, bench.reference(command))
    return seconds


def ends_well(training: Training) -> None:
    """Waits until all processes have left with 0."""
    if any(codes := training.wait()):
        raise Failed(f"exit codes {codes}\n{training.tails()}")


def full_disk(bench: Bench, count: int) -> Iterator[Outcome]:
    """A disk for the checkpoints, full or read-only for some saves, and one for all, full; needs to be allowed to mount one."""
    kinds: dict[str, Callable[[Bench, Command], float]] = {
        "full": functools.partial(on_small_disk, kind="full"),
        "read-only": functools.partial(on_small_disk, kind="read-only"),
        "full, of the whole workdir": in_full_workdir,
    }
    for kind, trial in itertools.islice(itertools.cycle(kinds.items()), count):
        yield tried(kind, functools.partial(trial, bench, bench.command("disk", steps=STEPS)))


def on_small_disk(bench: Bench, command: Command, kind: str) -> float:
    """A training whose disk takes nothing for a while; returns the seconds until it says so."""
    folder = command.workdir / "checkpoints"
    folder.mkdir(parents=True)
    write_json(command.workdir / "config.json", keep.flatten(configuration(command)))
    with disk(folder, "6m"):
        with command.start() as training:
            training.until(lambda: checkpoint.steps(folder), "a checkpoint")
            began = time.monotonic()
            undo = block(folder, kind)
            training.until(lambda: "was not saved" in training.output(), "the message")
            seconds = time.monotonic() - began
            trials.whole(folder)
            undo()
            ends_well(training)
        trials.alike(command, bench.reference(command))
    return seconds


def in_full_workdir(bench: Bench, command: Command) -> float:
    """A training whose figures cannot be written either: it leaves with 2; returns the seconds until then."""
    command.workdir.mkdir()
    with disk(command.workdir, "64m"):
        folder = command.workdir / "checkpoints"
        with command.start() as training:
            training.until(lambda: checkpoint.steps(folder), "a checkpoint")
            began = time.monotonic()
            undo = block(command.workdir, "full")
            codes = training.wait()
            seconds = time.monotonic() - began
            if codes != [BAD_INPUT] or "make room, then give the same command again" not in training.output():
                raise Failed(f"exit codes {codes}\n{training.tails()}")
        trials.whole(folder)
        undo()
        command.finish()
        trials.alike(command, bench.reference(command))
    return seconds


@contextmanager
def disk(folder: Path, size: str) -> Iterator[None]:
    """A disk of its own for a folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def block(folder: Path, kind: str) -> Callable[[], object]:
    """Fills a disk, or makes it read-only as soon as nothing is open on it; returns what undoes it."""
    if kind == "read-only":
        remount = lambda mode: subprocess.run(["mount", "-o", f"remount,{mode}", str(folder)], capture_output=True).returncode
        while remount("ro"):
            time.sleep(0.01)  # a save goes on
        return lambda: remount("rw")
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass  # full
    return ballast.unlink


def shards(bench: Bench, count: int) -> Iterator[Outcome]:
    """Six kinds of damage to a shard, fifty times each: the tests of tests/reliability/test_shards.py."""
    command = [sys.executable, "-m", "pytest", "-n1", "-q", "tests/reliability/test_shards.py", "-k", "every_faulty_shard"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    passed = re.search(r"(\d+) passed", done.stdout)
    whole = done.returncode == 0 and passed is not None and int(passed[1]) == 6
    yield Outcome("6 kinds x 50", "" if whole else done.stdout[-1500:], count=300)


def bad_record(bench: Bench, count: int) -> Iterator[Outcome]:
    """One of three processes reads a damaged record: all leave with 2 and name it."""
    records = bench.folder / "bad-records"
    shutil.rmtree(records, ignore_errors=True)
    shutil.copytree(bench.records, records)

    def with_nan(image: np.ndarray) -> np.ndarray:
        image.flat[5] = np.nan
        return image

    replace_array(records / "train.h5", "00000009/image", with_nan)
    for _ in range(count):
        command = replace(bench.command("bad-record", processes=3, flags=OF_THREE), records=records)
        yield tried("NaN in a record", functools.partial(trials.bad_input, command, "train.h5, record 00000009"))


def not_finite(bench: Bench, count: int) -> Iterator[Outcome]:
    """Gradients that are not finite: the tests of tests/reliability/test_not_finite.py."""
    command = [sys.executable, "-m", "pytest", "-n1", "-q", "tests/reliability/test_not_finite.py"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    passed = re.search(r"^(\d+) passed in", done.stdout, re.MULTILINE)  # and none skipped
    whole = done.returncode == 0 and passed is not None
    yield Outcome(
        "one, a streak that heals, for ever", "" if whole else done.stdout[-1500:], int(passed[1]) if passed else count
    )


def meshes(bench: Bench, count: int) -> Iterator[Outcome]:
    """A run that goes on upon 8, 4, 1 and 2 x 4 devices, told to stop in between; losses beside those of one device."""
    expected = bench.reference(bench.command("one", steps=STEPS))
    for number in range(count):
        command = bench.command("meshes", steps=STEPS)
        rng = bench.random(5, number)
        trial = functools.partial(changes_devices, command, expected, rng)
        outcome = tried("8 -> 4 -> 1 -> 2 x 4", trial, "loss, relative")
        too_far = outcome.figures.get("loss, relative", 0.0) > 1e-6
        yield outcome._replace(fault="losses differ by more than 1e-6") if too_far else outcome


def changes_devices(command: Command, expected: Path, rng: np.random.Generator) -> float:
    """A run upon one mesh after another; returns the largest relative difference of a loss."""
    for devices in (8, 4, 1):
        trials.told_to_stop(replace(command, devices=devices), "steps", rng)
    with replace(command, devices=8).start("--config.mesh.fsdp=4") as training:
        ends_well(training)
    return trials.furthest(command.workdir, expected)


def long(bench: Bench, count: int) -> Iterator[Outcome]:
    """2,000 steps: how often the step is compiled, and how memory grows from step 1,000 on."""
    rare = ("--config.train.log_every=10", "--config.train.evaluate_every=2000", "--config.train.checkpoint_every=1000")
    memory = bench.folder / "bytes-in-use"
    memory.write_text("inf")
    program = ("-m", "tests.reliability.allocated", str(memory))
    for _ in range(count):
        environment = {"JAX_LOG_COMPILES": "1", "PYTHONMALLOC": "malloc"}
        command = bench.command("long", steps=2000, flags=rare, environment=environment, program=program)
        found: dict[str, float] = {}
        outcome = tried("2,000 steps", functools.partial(grows, command, memory, found))._replace(figures=found)
        kept = outcome.fault or (found["compilations of the step"] == 1 and found["MB per 1,000 steps"] < 1)
        yield outcome if kept else outcome._replace(fault="more compilations or memory than it should take")


def grows(command: Command, memory: Path, found: dict[str, float]) -> None:
    """Counts compilations, and takes the median slope of the least memory in use of every fifty steps."""
    least: dict[int, float] = {}
    with command.start() as training:
        while training.running():
            fifty = trials.rows(training) // 50
            least[fifty] = min(float(memory.read_text()), least.get(fifty, float("inf")))
            time.sleep(0.05)
        ends_well(training)
        found["compilations of the step"] = training.output().count("Finished XLA compilation of jit(train_step)")
    in_use = np.array([(50 * fifty, 1e-6 * bytes_) for fifty, bytes_ in least.items() if 21 <= fifty < 40])
    found["MB per 1,000 steps"] = float(1000 * stats.theilslopes(in_use[:, 1], in_use[:, 0]).slope)
    found["MB of spread"] = float(np.ptp(in_use[:, 1]))


def wrong_use(bench: Bench, count: int) -> Iterator[Outcome]:
    """A misspelt flag, a batch that does not divide, two writers in a workdir, a workdir of another configuration."""
    running = bench.command("writer", steps=1000)
    with running.start() as writer:
        writer.until(lambda: (running.workdir / "config.json").exists(), "the lock")
        new, other = bench.command("wrong", devices=1), replace(running, steps=STEPS)
        cases = {
            "typo in a flag": (replace(new, flags=("--config.train.lr_peek=1",)), "did you mean optimizer.lr_peak?"),
            "batch not divisible": (replace(new, devices=3), "--config.batch_size=9"),
            "two writers in one workdir": (running, "another training is running in it"),
            "workdir of another configuration": (other, "made by another configuration (train.steps 1000 -> 48)"),
            "not enough variables": (
                replace(new, environment={"JAX_NUM_PROCESSES": "2"}),
                "JAX_COORDINATOR_ADDRESS is not set; one of several processes needs all of",
            ),
        }
        for case, (command, message) in list(cases.items())[:count]:
            yield tried(case, functools.partial(refuses, command, message))


def refuses(command: Command, message: str) -> float:
    """As `trials.bad_input`, in a log of its own: the workdir may be that of a running training."""
    began = time.monotonic()
    done = subprocess.run(
        command.words(), cwd=REPOSITORY, env=command.variables(0, "127.0.0.1:1"), capture_output=True, text=True
    )
    seconds = time.monotonic() - began
    if done.returncode != BAD_INPUT or message not in done.stderr or done.stderr.count("\n") != 1:
        raise Failed(f"exit code {done.returncode}, {done.stderr[-1000:]}")
    return seconds
