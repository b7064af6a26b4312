"""Random access to the records of a folder: `len(source)`, `source[i]`, whatever holds them."""

import threading
from pathlib import Path
from typing import Protocol

import h5py

from data_pipeline import records
from snraware_jax.errors import InputError

MOST_OPEN = 32  # shards that one thread holds open


class Source(Protocol):
    """Records by position: the one interface of whatever holds them."""

    def __len__(self) -> int: ...
    def __getitem__(self, position: int, /) -> records.Record: ...


class ShardSource:
    """The records of one split ("all": of every split) in a folder of HDF5 shards, ordered by sample id.

    A class because grain asks for `__len__` and `__getitem__`, and because file handles must neither be shared between threads
    nor travel to another process.
    """

    def __init__(self, folder: str | Path, split: str) -> None:
        self.folder, self.split = Path(folder), split
        self._index = _index(self.folder, split)
        self._local = threading.local()

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, position: int) -> records.Record:
        path, name = self._index[position]
        return records.read(records.node(self._open(path), name), f"{path}, record {name}")

    def __repr__(self) -> str:  # grain names the data set by it
        return f"ShardSource({self.folder}, {self.split}, {len(self)} records)"

    def __getstate__(self) -> dict:
        return {"folder": self.folder, "split": self.split, "_index": self._index}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state, _local=threading.local())

    def _open(self, path: Path) -> h5py.File:
        handles = self._local.__dict__.setdefault("handles", {})
        if path not in handles:
            if len(handles) == MOST_OPEN:
                handles.pop(next(iter(handles))).close()
            handles[path] = records.open_shard(path)
        return handles[path]


def _index(folder: Path, split: str) -> list[tuple[Path, str]]:
    """Where every record of a split lies, by sample id."""
    shards = sorted(folder.glob("[!.]*.h5"))  # a name with a dot is a file that a crash left unfinished
    if not shards:
        raise InputError(f"{folder}: no shards (*.h5); make them with launch/prepare_data.py --input=RAW... --output={folder}")
    found: dict[str, Path] = {}
    for path in shards:
        with records.open_shard(path) as file:
            for name in _names(file, path):
                where = f"{path}, record {name}"
                if split not in ("all", records.read_card(records.node(file, name), where)["split"]):
                    continue
                if name in found:
                    raise InputError(f"{where}: this sample id is also in {found[name]}; prepare both in one run")
                found[name] = path
    if not found:
        raise InputError(
            f"{folder}: no records for {split!r}; give launch/prepare_data.py more subjects, or --split_by=series if there is only one"
        )
    return [(found[name], name) for name in sorted(found)]


def _names(file: h5py.File, path: Path) -> list[str]:
    try:
        return [str(name) for name in file]
    except records.DAMAGE as error:
        raise InputError(records.damaged(str(path), error)) from error
