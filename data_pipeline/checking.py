"""Every shard and every record of a folder, looked at: what is wrong, and what there is."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from data_pipeline import records, sources
from data_pipeline.records import Record
from snraware_jax.errors import InputError
from snraware_jax.progress import Progress

Checked = tuple[str, Record | InputError]  # where, and what was found there


@dataclass
class Report:
    """What a folder of records holds.

    Attributes:
      faults: one line each, naming shard and record.
      splits: number of usable records of every split.
      subjects: the splits that every subject is in.
      shapes: number of records of every image shape T, H, W.
      places: where every sample id is.
      file_bytes: of everything in the folder.
    """

    faults: list[str] = field(default_factory=list)
    splits: Counter[str] = field(default_factory=Counter)
    subjects: dict[str, set[str]] = field(default_factory=dict)
    shapes: Counter[tuple[int, ...]] = field(default_factory=Counter)
    places: dict[int, str] = field(default_factory=dict)
    file_bytes: int = 0

    def add(self, where: str, found: Record | InputError) -> None:
        """Counts one record, or notes what is wrong with it."""
        if isinstance(found, InputError):
            self.faults.append(str(found))
            return
        first = self.places.setdefault(found.sample_id, where)
        if first != where:
            self.faults.append(f"{where}: sample id {found.sample_id} is also in {first}; prepare both in one run")
        self.splits[found.split] += 1
        self.shapes[found.image.shape] += 1
        self.subjects.setdefault(found.subject, set()).add(found.split)

    def lines(self) -> list[str]:
        """The report as text: counts, then faults."""
        shapes = ", ".join(f"{' x '.join(map(str, shape))} ({count})" for shape, count in self.shapes.most_common(5))
        more = f", {len(self.shapes) - 5} other shapes" if len(self.shapes) > 5 else ""
        splits = ", ".join(f"{split} {self.splits[split]}" for split in records.SPLITS)
        return [
            f"{self.splits.total()} records of {len(self.subjects)} subjects, {self.file_bytes / 1e6:.1f} MB: {splits}",
            *([f"T x H x W: {shapes}{more}"] if self.shapes else []),
            *(f"fault: {fault}" for fault in self.faults),
            f"{len(self.faults)} faults" if self.faults else "no faults",
        ]


def check_folder(folder: Path) -> Report:
    """Reads every record of a folder of HDF5 shards or of a TFDS data set; goes on after a fault.

    Faults are: a file or record that cannot be read or is refused (`records.check`), a sample id that is in two places, a subject
    in two splits.

    Raises:
      InputError: if the folder holds no records at all.
    """
    report = Report(file_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
    parts = _parts(folder)
    with Progress(len(parts), "check", unit="parts") as progress:
        for number, part in enumerate(parts, 1):
            for where, found in part():
                report.add(where, found)
            progress.update(number, records=report.splits.total(), faults=len(report.faults))
    for subject, splits in report.subjects.items():
        if len(splits) > 1:
            report.faults.append(
                f"{folder}: subject {subject} is in {' and '.join(sorted(splits))}; prepare all of its files in one run"
            )
    return report


def _parts(folder: Path) -> list[Callable[[], Iterator[Checked]]]:
    """The shards of a folder, or the records of its TFDS data set, to be read one after the other."""
    if sources.tfds_folder(folder) is None:
        return [partial(_of_shard, path) for path in sources.shard_paths(folder)]
    source = sources.open_source(folder, "all")
    return [partial(_of_source, source, position, folder) for position in range(len(source))]


def _of_shard(path: Path) -> Iterator[Checked]:
    try:
        with records.open_shard(path) as file:
            for name in records.names(file):
                yield f"{path}, record {name}", _attempt(partial(records.read, file, name))
    except InputError as error:
        yield str(path), error


def _of_source(source: sources.Source, position: int, folder: Path) -> Iterator[Checked]:
    yield f"{folder}, record number {position}", _attempt(partial(source.__getitem__, position))


def _attempt(read: Callable[[], Record]) -> Record | InputError:
    try:
        return read()
    except InputError as error:
        return error
