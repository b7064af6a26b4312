"""From scans to training records: plan, make the shards, tell what failed; and records of simulated scans."""

import contextlib
import fcntl
import itertools
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import jax

from data_pipeline import prepare_inputs, prepare_plan, prepare_shards, records, simulator
from data_pipeline.prepare_inputs import Input, record_of_simulation
from data_pipeline.prepare_plan import RECORDS_PER_SHARD, Plan
from data_pipeline.prepare_shards import Failure, Task
from data_pipeline.records import SPLITS, Storage
from data_pipeline.sources import FIRST_SUBJECT, MOST_SUBJECTS, SHARDS, SimulatorSource
from snraware_jax import files
from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import write_json
from snraware_jax.progress import Progress

Format = Literal["hdf5", "tfds"]
Engine = Literal["local", "beam"]


@dataclass(frozen=True)
class Prepared:
    """What a preparation made: the number of records by split, and the series that failed."""

    counts: dict[str, int]
    failures: tuple[Failure, ...]


def prepare(
    inputs: Sequence[Path],
    output: Path,
    *,
    split_by: str,
    seed: int,
    settings: simulator.Settings,
    splits: Path | None = None,
    storage: Storage = "complex64",
    file_format: Format = "hdf5",
    engine: Engine = "local",
    processes: int = 1,
    beam_options: Sequence[str] = (),
) -> Prepared:
    """Turns raw MRD scans, series in SNR units (.h5) and magnitude anatomy (.npz) into records in OUTPUT.

    Every series is a record: every slice of a raw file with several. Called again with the same arguments it continues: shards
    that are there are verified and kept, files that were added are appended. What cannot be used is listed in
    OUTPUT/failures.json. One folder of records as input is converted to the other format.

    Args:
      inputs: files, or folders that are searched for them.
      output: folder of the records.
      split_by: "subject" (in a folder of folders each of these is one subject, otherwise each file), or "series" (every
        slice apart: only where one subject is all there is).
      seed: of the acquisition given to anatomy.
      settings: of that acquisition.
      splits: file of subjects whose split is settled: splits.json of another output.
      storage: of the images.
      file_format: "hdf5", or "tfds", for which HDF5 shards are made first, in OUTPUT/shards, and deleted at the end.
      engine: "local", or "beam".
      processes: that work in parallel here; the engine "beam" has its own option for it.
      beam_options: of the pipeline.

    Raises:
      InputError: for input of which no record can be made, and where OUTPUT is of another command; OUTPUT is left as it was.
    """
    pipeline = prepare_shards.pipeline_options(beam_options) if engine == "beam" else None
    finished = file_format == "tfds" and _tfds_folder(output).exists()
    if _are_records(inputs):
        return _convert(inputs[0], output, storage, file_format, pipeline)
    kept = prepare_plan.read_splits(splits) if splits else {}
    said = {
        "inputs": sorted(str(path.resolve()) for path in inputs),
        "split_by": split_by,
        "splits": files.digest(splits) if splits else None,
        "seed": seed,
        "acquisition": asdict(settings),
        "storage": storage,
        "format": file_format,
    }
    found = prepare_inputs.find(inputs, without=output)
    with _taken(output):
        plan = _plan(output, json.loads(json.dumps(said)), found, kept, finished)  # tuples as lists, as they are read back
        shards = output / "shards" if file_format == "tfds" else output
        tasks = [Task(shards, output / "outcomes", shard, seed, settings, storage) for shard in plan.shards]
        if not finished:
            _make(tasks, output, pipeline, processes)
        prepared = _tell(tasks, output)
        if file_format == "tfds":
            if not finished:
                _write_tfds(shards, output, storage, pipeline)
            shutil.rmtree(shards, ignore_errors=True)
        return prepared


@contextlib.contextmanager
def _taken(output: Path) -> Iterator[None]:
    """Makes OUTPUT and holds it for this process; takes it away again if nothing came into it.

    Raises:
      InputError: if it holds something else, or another process has it.
    """
    names = {path.name for path in output.iterdir()} if output.exists() else set()
    if names - {".lock"} and not {"plan.json", "splits.json"} & names:
        raise InputError(f"{output}: not empty; give another --output, or delete it")
    output.mkdir(parents=True, exist_ok=True)
    with (output / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"{output}: another prepare_data is at work in it; wait for it, or give another --output"
            ) from error
        try:
            yield
        finally:
            if [path.name for path in output.iterdir()] == [".lock"]:
                shutil.rmtree(output)


def _plan(output: Path, said: dict[str, Any], found: Sequence[Input], kept: dict[str, str], finished: bool) -> Plan:
    """The plan of OUTPUT, made or brought up to date, and kept there."""
    if not (output / "plan.json").exists():
        plan, splits = prepare_plan.make(said, found, kept)
        prepare_plan.write(plan, splits, output)
        return plan
    before = prepare_plan.read(output)
    made = prepare_shards.made(output / "outcomes")
    kept = kept | prepare_plan.read_splits(output / "splits.json")
    plan, splits = prepare_plan.update(before, said, found, kept, made, output)
    if plan != before:
        if finished:
            raise InputError(
                f"{output}: its TFDS data set is finished, and the inputs have changed; give another --output, with "
                f"--splits={output / 'splits.json'}"
            )
        new = {one.path for one in plan.inputs} - {one.path for one in before.inputs}
        print(f"prepare: {len(new)} file(s) since the last time; subjects keep their splits", flush=True)
        prepare_plan.write(plan, splits, output)
    return plan


def _make(tasks: Sequence[Task], output: Path, pipeline: Any, processes: int) -> None:
    for folder in {task.path.parent for task in tasks}:
        _clear_unfinished(folder)
    finished = sum(task.outcome_path.exists() for task in tasks)
    if finished:
        print(f"prepare: {finished} of {len(tasks)} shards are there; they are verified", flush=True)
    try:
        if pipeline is None:
            prepare_shards.run_local(tasks, processes)
        else:
            prepare_shards.run_beam(tasks, pipeline)
    except OSError as error:
        raise InputError(
            f"{output}: cannot be written ({error}); the shards made so far are good: make room, and the same command continues"
        ) from error


def _clear_unfinished(folder: Path) -> None:
    """Deletes the half-written shards of a run that was killed."""
    for unfinished in folder.glob(".*.h5"):
        unfinished.unlink()


def _tell(tasks: Sequence[Task], output: Path) -> Prepared:
    """Counts what was made and keeps the failures in OUTPUT/failures.json; a preparation of failures alone leaves nothing."""
    outcomes = [(task.shard.split, outcome) for task in tasks if (outcome := prepare_shards.read_outcome(task))]
    failures = tuple(sorted(failure for _, outcome in outcomes for failure in outcome.failures))
    counts: dict[str, int] = {split: sum(len(outcome.made) for of, outcome in outcomes if of == split) for split in SPLITS}
    if not sum(counts.values()):
        shutil.rmtree(output / "outcomes", ignore_errors=True)
        for name in ("plan.json", "splits.json", "failures.json"):
            (output / name).unlink(missing_ok=True)
        raise InputError(f"{failures[0]} (no record could be made of {len(failures)} series)")
    if failures:
        listed = [{"file": one.path, "series": one.number, "why": one.why} for one in failures]
        write_json(output / "failures.json", listed)
    else:
        (output / "failures.json").unlink(missing_ok=True)
    return Prepared(counts, failures)


# ---------------------------------------------------------------- TFDS


def _tfds_folder(output: Path) -> Path:
    """Where the TFDS data set of an output lies; it is there whole or not at all."""
    from data_pipeline import tfds_builder  # needs an extra; that it is absent is said before the work begins

    return tfds_builder.folder_of(output)


def _write_tfds(shards: Path, output: Path, storage: Storage, pipeline: Any) -> dict[str, int]:
    from data_pipeline import tfds_builder

    done = itertools.count(1)
    counts = {split: sum(len(part.sample_ids) for part in of) for split, of in tfds_builder.parts_of(shards, storage).items()}
    with Progress(sum(counts.values()), "write TFDS", unit="records", enabled=pipeline is None) as progress:
        count = (lambda: progress.update(next(done))) if pipeline is None else None  # does not travel to Beam's workers
        tfds_builder.write(output, tfds_builder.parts_of(shards, storage, count), storage=storage, beam_options=pipeline)
    return counts


def _are_records(inputs: Sequence[Path]) -> bool:
    """Whether the input is a folder of HDF5 shards, by the first file that can be read."""
    for path in sorted(inputs[0].glob(SHARDS)) if len(inputs) == 1 and inputs[0].is_dir() else []:
        with contextlib.suppress(InputError):
            return prepare_inputs.kind(path) == "records"
    return False


def _convert(folder: Path, output: Path, storage: Storage, file_format: Format, pipeline: Any) -> Prepared:
    """A folder of HDF5 shards as a TFDS data set: the same records, splits and sample ids."""
    if file_format != "tfds":
        raise InputError(f"{folder}: holds records already; train on them (--config.data.path={folder}), or give --format=tfds")
    if _tfds_folder(output).exists():
        raise InputError(f"{output}: holds a finished TFDS data set; give another --output, or delete it")
    if output.exists() and {path.name for path in output.iterdir()} - {_tfds_folder(output).parent.name}:
        raise InputError(f"{output}: not empty; give another --output, or delete it")
    return Prepared(_write_tfds(folder, output, storage, pipeline), ())


# ---------------------------------------------------------------- simulated scans


def simulate(
    folder: Path, *, seed: int, subjects: Sequence[int], settings: simulator.Settings, raw: bool = False, processes: int = 2
) -> None:
    """Fills FOLDER with simulated records; shards that are there already are kept, so it can be called again after a crash.

    Args:
      folder: of the shards.
      seed: of the simulator.
      subjects: how many for train, validation and test.
      settings: of the simulator.
      raw: whether every series goes through a raw scan, whose undersampling leaves aliasing in it; several times as slow.
      processes: that simulate, on CPUs.
    """
    _clear_unfinished(folder)
    shards = [
        (path, split, numbers)
        for split, count in zip(SPLITS, subjects, strict=True)
        for path, numbers in _simulated_shards(folder, split, count)
        if not path.exists()
    ]
    total = sum(len(numbers) for *_, numbers in shards)
    if not total:
        return
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_to_simulate)
    with Progress(total, "simulate") as progress, pool:
        done = 0
        for path, split, numbers in shards:
            made = []
            start = lambda number, split=split: pool.submit(_simulated, seed, number, split, settings, raw)
            for record in prepare_shards.results(start, numbers, ahead=2 * processes):
                made.append(record)
                done += 1
                progress.update(done)
            with prepare_shards.system_errors(path):
                records.write_shard(path, made)


def _to_simulate() -> None:
    """Keeps a process that only simulates away from the accelerators, and ends it with the one that started it."""
    prepare_shards.end_with_parent()
    jax.config.update("jax_platforms", "cpu")


def _simulated(seed: int, number: int, split: str, settings: simulator.Settings, raw: bool) -> records.Record:
    if not raw:
        return SimulatorSource(settings, seed=seed, subjects=MOST_SUBJECTS, split=split)[number - FIRST_SUBJECT[split]]
    made = simulator.simulate(seed, number, settings)
    of = {"sample_id": number, "subject": f"simulated-{number:08d}", "split": split}
    return record_of_simulation(made.scan, made.noise_free, metadata={"card": made.card}, **of)


def _simulated_shards(folder: Path, split: str, count: int) -> Iterable[tuple[Path, list[int]]]:
    first = FIRST_SUBJECT[split]
    for start in range(0, count, RECORDS_PER_SHARD):
        numbers = list(range(first + start, first + min(start + RECORDS_PER_SHARD, count)))
        yield folder / f"{split}-{start // RECORDS_PER_SHARD:05d}.h5", numbers
