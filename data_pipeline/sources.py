"""Random access to records: `len(source)`, `source[i]`, whatever holds them: HDF5 shards, a TFDS folder, the simulator."""

import hashlib
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

import h5py

from data_pipeline import records
from snraware_jax.errors import InputError
from snraware_jax.progress import say

if TYPE_CHECKING:
    from data_pipeline import simulator

T = TypeVar("T")
MOST_OPEN = 32  # shards that one thread holds open
AGAIN_S = 1.0  # before what could not be read is read again
SHARDS = "[!.]*.h5"  # a name that starts with a dot is a file that a crash left unfinished
TFDS_INFO = "dataset_info.json"
# simulated subjects of the three splits are numbered apart, so that no setting of one can reach into another
MOST_SUBJECTS = 10_000_000
FIRST_SUBJECT = {split: number * MOST_SUBJECTS for number, split in enumerate(records.SPLITS)}


class Source(Protocol):
    """Records by position: the one interface of whatever holds them."""

    def __len__(self) -> int: ...
    def __getitem__(self, position: int, /) -> records.Record: ...


@runtime_checkable
class StoredSource(Source, Protocol):
    """A source that can read a part of a record."""

    def stored(self, position: int, /) -> records.Stored: ...
    def fingerprint(self) -> str: ...


def fingerprint(source: Source) -> str:
    """What tells the records of a source from others without reading them: their number and, where stored, a digest of names."""
    return source.fingerprint() if isinstance(source, StoredSource) else f"{len(source)} records"


def stored(source: Source, position: int) -> records.Stored:
    """A record of any source, of which a part can be asked for; whether only that part is read is up to the source."""
    if isinstance(source, StoredSource):
        return source.stored(position)
    record = source[position]
    part = lambda region: replace(record, image=record.image[region], gmaps=record.gmaps[:, *region[1:]])
    return records.Stored(record.sample_id, record.image.shape, part)


def open_source(folder: str | Path, split: str) -> Source:
    """The records of one split ("all": of every split) in a folder of HDF5 shards or of a TFDS data set.

    Raises:
      InputError: if the folder holds neither or both, or no record of this split.
    """
    tfds = tfds_folder(Path(folder))
    if tfds is None:
        return ShardSource(folder, split)
    from data_pipeline import tfds_builder  # needs tensorflow-datasets, an extra

    return tfds_builder.source(tfds, split)


def tfds_folder(folder: Path) -> Path | None:
    """Where a folder's TFDS data set lies (FOLDER, or FOLDER/name/configuration/version); None if it holds HDF5 shards.

    Raises:
      InputError: if there is no such folder, or it holds both or two data sets.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; make records with launch/prepare_data.py --input=RAW... --output={folder}")
    found = [path.parent for depth in range(4) for path in folder.glob("*/" * depth + TFDS_INFO)]
    if len(found) > 1 or (found and any(folder.glob(SHARDS))):
        others = [str(path.relative_to(folder)) for path in found] + [path.name for path in folder.glob(SHARDS)]
        raise InputError(f"{folder}: holds several data sets ({', '.join(sorted(others)[:4])}); give each a folder of its own")
    return found[0] if found else None


def shard_paths(folder: Path) -> list[Path]:
    """The HDF5 shards of a folder.

    Raises:
      InputError: if there are none.
    """
    found = sorted(folder.glob(SHARDS))
    if not found:
        raise InputError(f"{folder}: no shards (*.h5); make them with launch/prepare_data.py --input=RAW... --output={folder}")
    return found


class SimulatorSource:
    """Records that are simulated when they are asked for: training data without a file.

    Record i is of subject FIRST_SUBJECT[split] + i, which is its sample id too. It pickles, so worker processes can simulate.

    Raises:
      InputError: for an unknown split or a number of subjects that would reach into another split.
    """

    def __init__(self, settings: "simulator.Settings", *, seed: int, subjects: int, split: str = "train") -> None:
        if split not in records.SPLITS or not 1 <= subjects <= MOST_SUBJECTS:
            allowed = f"need 1 to {MOST_SUBJECTS}, of {', '.join(records.SPLITS)}"
            raise InputError(f"{subjects} simulated subjects of split {split!r}: {allowed}")
        self.settings, self.seed, self.subjects, self.split = settings, seed, subjects, split

    def __len__(self) -> int:
        return self.subjects

    def __getitem__(self, position: int) -> records.Record:
        if not 0 <= position < self.subjects:
            raise IndexError(f"{position} of {self.subjects} subjects")
        from data_pipeline import simulator  # slow to import, and whoever reads files does not need it

        number = FIRST_SUBJECT[self.split] + position
        made = simulator.training_sample(self.seed, number, self.settings)
        subject = f"simulated-{number:08d}"
        record = records.Record(number, made.image, made.gmaps, 0.0, subject, self.split, {"card": made.card})
        records.check(record, f"simulated subject {number}, seed {self.seed}")
        return record

    def __repr__(self) -> str:  # grain names the data set by it
        return f"SimulatorSource({self.split}, {self.subjects} subjects, seed {self.seed})"


class ShardSource:
    """The records of one split ("all": of every split) in a folder of HDF5 shards, ordered by sample id.

    A class because grain asks for `__len__` and `__getitem__`, and because file handles must neither be shared between threads
    nor travel to another process.
    """

    def __init__(self, folder: str | Path, split: str) -> None:
        self.folder, self.split = Path(folder), split
        self._index, self._fingerprint = _index(self.folder, split)
        self._local = threading.local()

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, position: int) -> records.Record:
        path, name = self._index[position]
        return twice(lambda: records.read(self._open(path), name))

    def stored(self, position: int) -> records.Stored:
        path, name = self._index[position]
        found = twice(lambda: records.stored(records.node(self._open(path), name), f"{path}, record {name}"))
        return found._replace(read=lambda region: twice(lambda: found.read(region)))

    def fingerprint(self) -> str:
        """Number of the records and digest of their sample ids, subjects and noise, wherever they lie."""
        return self._fingerprint

    def __repr__(self) -> str:  # grain names the data set by it
        return f"ShardSource({self.folder}, {self.split}, {len(self)} records)"

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "_local"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state, _local=threading.local())

    def _open(self, path: Path) -> h5py.File:
        handles = self._local.__dict__.setdefault("handles", {})
        if path not in handles:
            if len(handles) == MOST_OPEN:
                handles.pop(next(iter(handles))).close()
            handles[path] = records.open_shard(path)
        return handles[path]


def digest(text: str) -> str:
    """Sixteen hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def twice(read: Callable[[], T]) -> T:
    """A record is damaged if it cannot be read twice: an error of a file system over a network may pass within a second.

    The file stays open: one whose handle has become stale for good (replaced on its server) is not read again.
    """
    try:
        return read()
    except InputError as error:
        say(f"reading again, after: {error}", sys.stderr)
        time.sleep(AGAIN_S)
        return read()


def _index(folder: Path, split: str) -> tuple[list[tuple[Path, str]], str]:
    """Where every record of a split lies, by sample id, and what tells these records from others."""
    found: dict[str, Path] = {}
    cards: dict[str, str] = {}
    for path in shard_paths(folder):
        with records.open_shard(path) as file:
            for name in records.names(file):
                where = f"{path}, record {name}"
                card = {} if split == "all" else records.read_card(records.node(file, name), where)
                if split not in ("all", card.get("split")):
                    continue
                if name in found:
                    raise InputError(f"{where}: this sample id is also in {found[name]}; prepare both in one run")
                found[name], cards[name] = path, f"{name} {card.get('subject')} {card.get('native_noise')}"
    if not found:
        raise InputError(
            f"{folder}: no records for {split!r}; give launch/prepare_data.py more subjects, or --split_by=series if there is only one"
        )
    names = sorted(found, key=int)
    fingerprint = f"{len(names)} records {digest(' '.join(cards[name] for name in names))}"
    return [(found[name], name) for name in names], fingerprint
