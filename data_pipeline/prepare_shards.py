"""Making the shards of a plan: one by one, in several processes, or with Apache Beam; equal records whichever it is.

A finished shard has OUTPUT/outcomes/SHARD.json beside it: what was made, what failed. Started again, only shards without one, or
damaged ones, are made.
"""

import contextlib
import json
import multiprocessing
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import groupby
from multiprocessing import connection
from pathlib import Path
from typing import Any, NamedTuple

from data_pipeline import records, simulator
from data_pipeline.prepare_inputs import makers
from data_pipeline.prepare_plan import Item, Shard
from data_pipeline.records import Record, Storage
from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import write_json
from snraware_jax.progress import Progress


class Failure(NamedTuple):
    """A series that is no record, and why."""

    path: str
    number: int
    sample_id: int
    why: str

    def __str__(self) -> str:
        return self.why if self.path in self.why else f"{self.path}, series {self.number}: {self.why}"


@dataclass(frozen=True)
class Outcome:
    """What became of a shard: sample ids of its records, and failures."""

    made: tuple[int, ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class Task:
    """All that making a shard needs; it travels to other processes and machines.

    Attributes:
      folder: of the shards.
      outcomes: folder of the outcomes.
      shard: what to make.
      seed, acquisition: of the scan that anatomy is given.
      storage: of the images.
    """

    folder: Path
    outcomes: Path
    shard: Shard
    seed: int
    acquisition: simulator.Settings
    storage: Storage

    @property
    def path(self) -> Path:
        return self.folder / f"{self.shard.name}.h5"

    @property
    def outcome_path(self) -> Path:
        return self.outcomes / f"{self.shard.name}.json"


def make_shard(task: Task) -> Outcome:
    """Makes one shard, unless it is there and whole: every record is read again.

    Bad input becomes a failure of its series; the others are made. A shard of failures alone leaves no file of records.
    """
    outcome = read_outcome(task)
    if outcome and _is_whole(task, outcome):
        return outcome
    failures: list[Failure] = []
    made: list[int] = []

    def each() -> Iterator[Record]:
        for result in _records(task):
            if isinstance(result, Failure):
                failures.append(result)
            else:
                made.append(result.sample_id)
                yield result

    with system_errors(task.path):
        records.write_shard(task.path, each(), task.storage)
    if not made:
        task.path.unlink()
    outcome = Outcome(tuple(made), tuple(failures))
    write_json(task.outcome_path, {"made": outcome.made, "failures": outcome.failures})
    return outcome


@contextlib.contextmanager
def system_errors(path: Path) -> Iterator[None]:
    """Turns what h5py raises where the system refuses to write (RuntimeError if it notices while closing) into a short OSError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        number = re.search(r"errno = (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def _records(task: Task) -> Iterator[Record | Failure]:
    for path, of_file in groupby(task.shard.items, key=lambda item: item.path):
        items = list(of_file)
        try:
            series = makers(Path(path), task.seed, task.acquisition)
        except InputError as error:
            yield from (_failure(item, error) for item in items)
            continue
        for item in items:
            try:
                if item.number >= len(series):
                    raise InputError(f"{path}: {len(series)} series, not the {item.number + 1} or more that were planned")
                record = series[item.number](sample_id=item.sample_id, subject=item.subject, split=task.shard.split)
                records.check(record, f"{path}, series {item.number}")
            except InputError as error:
                yield _failure(item, error)
            else:
                yield record


def _failure(item: Item, error: InputError) -> Failure:
    return Failure(item.path, item.number, item.sample_id, str(error))


def made(outcomes: Path) -> set[int]:
    """The sample ids of all records of finished shards."""
    return {number for path in outcomes.glob("[!.]*.json") for number in _read(path)["made"]}


def read_outcome(task: Task) -> Outcome | None:
    """What became of a shard; None where it is not finished. Failures of series that are no longer planned are left out."""
    if not task.outcome_path.exists():
        return None
    planned = {item.sample_id for item in task.shard.items}
    content = _read(task.outcome_path)
    return Outcome(tuple(content["made"]), tuple(one for one in content["failures"] if one.sample_id in planned))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
        return {"made": [int(number) for number in content["made"]], "failures": [Failure(*one) for one in content["failures"]]}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); delete it, and its shard is made again") from error


def _is_whole(task: Task, outcome: Outcome) -> bool:
    """Whether a shard holds what was made and planned, every record readable; says so where it does not."""
    failed = {failure.sample_id for failure in outcome.failures}
    expected = [item.sample_id for item in task.shard.items if item.sample_id not in failed]
    if not expected:
        return not task.path.exists()
    try:
        found = [record.sample_id for record in records.read_shard(task.path)]
    except InputError as error:
        print(f"{task.path.name} is made again: {error}", file=sys.stderr, flush=True)
        return False
    if found != expected:
        print(f"{task.path.name} is made again: it does not hold the records that were planned", file=sys.stderr, flush=True)
    return found == expected


# ---------------------------------------------------------------- engines


def run_local(tasks: Sequence[Task], processes: int) -> None:
    """Makes the shards here: in this process, or in several others.

    Raises:
      InputError: if one of the processes was killed.
    """
    total = sum(len(task.shard.items) for task in tasks)
    done = failed = 0
    with Progress(total, "prepare", unit="series") as progress:
        for outcome, task in zip(_outcomes(tasks, processes), tasks, strict=True):
            done += len(task.shard.items)
            failed += len(outcome.failures)
            progress.update(done, failed=failed)


def _outcomes(tasks: Sequence[Task], processes: int) -> Iterator[Outcome]:
    if processes == 1:
        yield from map(make_shard, tasks)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn, initializer=end_with_parent) as pool:
        yield from results(lambda task: pool.submit(make_shard, task), tasks, ahead=4 * processes)


def results(start: Callable[[Any], Future], jobs: Iterable[Any], ahead: int) -> Iterator[Any]:
    """Starts every job and gives the results in order, at most `ahead` started and not yet given: results are large.

    Raises:
      InputError: if a process was killed.
    """
    running: deque[Future] = deque()
    try:
        for job in jobs:
            running.append(start(job))
            if len(running) == ahead:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    except BrokenProcessPool as error:
        raise InputError(
            "a process was killed, perhaps for want of memory: the same command, with fewer --processes if it has them, continues"
        ) from error


def end_with_parent() -> None:
    """Ends this process when the one that started it is gone: killed, that one cannot say so, and its pool would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def run_beam(tasks: Sequence[Task], options: Any) -> None:
    """Makes the shards with Apache Beam; all its workers must see inputs and output under the same paths.

    Args:
      tasks: of the plan.
      options: what `pipeline_options` made.
    """
    beam = _beam()
    with beam.Pipeline(options=options) as pipeline:
        _ = pipeline | beam.Create(tasks) | beam.Reshuffle() | beam.Map(make_shard)


def pipeline_options(options: Sequence[str]) -> Any:
    """Options of a Beam pipeline, for example ["--runner=FlinkRunner"]; the local runner unless they name one.

    Raises:
      InputError: if Beam is not installed.
    """
    _beam()
    from apache_beam.options.pipeline_options import PipelineOptions  # pyright: ignore[reportMissingImports]

    return PipelineOptions(["--runner=FnApiRunner", *options])


def _beam() -> Any:
    try:
        import apache_beam  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise InputError("--engine=beam needs Apache Beam: pip install 'snraware-jax[beam]'") from error
    return apache_beam
