"""Records as a TFDS data set: ArrayRecord files, written and read without TensorFlow.

    TFDS/snraware_records/1.0.0/snraware_records-train.array_record-00000-of-00004

Needs the extra `tfds`. A part of it is a shard of HDF5 records, which is opened where it is written.
"""

import contextlib
import io
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_pipeline import heap, records
from data_pipeline.records import SPLITS, Record, Storage
from data_pipeline.sources import SHARDS, digest, twice
from snraware_jax.errors import InputError

try:
    import tensorflow_datasets as tfds  # pyright: ignore[reportMissingImports]
    from array_record.python.array_record_module import ArrayRecordWriter  # pyright: ignore[reportMissingImports]
    from tensorflow_datasets.core import file_adapters  # pyright: ignore[reportMissingImports]
except ModuleNotFoundError as absent:
    raise InputError("a TFDS data set needs tensorflow-datasets: pip install 'snraware-jax[tfds]'") from absent

NAME, VERSION = "snraware_records", "1.0.0"
# what TFDS and ArrayRecord raise for content that is not as it was written
DAMAGE = (OSError, ValueError, RuntimeError, KeyError, IndexError, TypeError, AssertionError)


@dataclass(frozen=True)
class Part:
    """A shard of the data set: records of an HDF5 shard; called by TFDS, perhaps on another machine, it gives (key, example) pairs.

    Attributes:
      path: of the HDF5 shard.
      sample_ids: which of its records.
      storage: of the images.
      count: told of every record (of this process: it does not travel).
    """

    path: Path
    sample_ids: tuple[int, ...]
    storage: Storage
    count: Callable[[], None] | None = None

    def __call__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        wanted = set(self.sample_ids)
        for record in records.read_shard(self.path):
            if record.sample_id in wanted:
                yield record.sample_id, records.to_fields(record, self.storage)
                if self.count:
                    self.count()


class Builder(tfds.core.ShardBasedBuilder):
    """Writes parts as a TFDS data set; a class because TFDS asks for one."""

    name = NAME
    VERSION = tfds.core.Version(VERSION)

    def __init__(self, folder: Path, parts: Mapping[str, Sequence[Part]], storage: Storage) -> None:
        self._parts, self._storage = parts, storage
        super().__init__(data_dir=str(folder), file_format="array_record")

    def _info(self) -> Any:
        image = np.float32 if self._storage == "complex64" else np.float16
        tensor = lambda shape, dtype: tfds.features.Tensor(shape=shape, dtype=dtype, encoding=tfds.features.Encoding.BYTES)
        features = {
            "sample_id": tfds.features.Scalar(np.int64),
            "image": tensor((None, None, None, 2), image),
            "gmaps": tensor((None, None, None), np.float32),
            "card": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _shard_iterators_per_split(self, dl_manager: Any) -> Mapping[str, Sequence[Part]]:
        # TFDS 4.9 runs the pipelines of the splits before each one again: the small splits first
        return {split: self._parts[split] for split in sorted(self._parts, key=lambda split: len(self._parts[split]))}


def folder_of(output: Path) -> Path:
    """Where the data set lies in a folder that `write` was given; it appears there whole or not at all."""
    return output / NAME / VERSION


def write(output: Path, parts: Mapping[str, Sequence[Part]], *, storage: Storage, beam_options: Any = None) -> Path:
    """Writes a TFDS data set below OUTPUT and returns its folder.

    Args:
      output: TFDS' `data_dir`.
      parts: its shards by split.
      storage: of the images.
      beam_options: of the pipeline that writes all shards at once; one after the other in this process if not given.
    """
    for unfinished in (output / NAME).glob("incomplete.*"):  # of a run that was killed
        shutil.rmtree(unfinished)
    config = tfds.download.DownloadConfig()
    if beam_options is not None:
        from apache_beam.options.pipeline_options import StandardOptions  # pyright: ignore[reportMissingImports]

        runner = beam_options.view_as(StandardOptions).runner
        config = replace(config, beam_runner=runner, beam_options=beam_options)
    used = {split: of_split for split, of_split in parts.items() if of_split}
    with _quiet(), _uncompressed(), contextlib.redirect_stdout(io.StringIO()):  # it tells of downloads, and there are none
        Builder(output, used, storage).download_and_prepare(download_config=config)
    return folder_of(output)


class Uncompressed(file_adapters.ArrayRecordFileAdapter):
    """TFDS compresses every example, which saves a sixth of a noisy series and doubles the time to read it."""

    @classmethod
    def write_examples(cls, path: Any, iterator: Iterable[Any]) -> None:
        writer = ArrayRecordWriter(os.fspath(path), "group_size:1,uncompressed")
        for _, example in iterator:
            writer.write(example)
        writer.close()


@contextlib.contextmanager
def _uncompressed() -> Iterator[None]:
    adapters, kind = file_adapters.ADAPTER_FOR_FORMAT, file_adapters.FileFormat.ARRAY_RECORD
    before, adapters[kind] = adapters[kind], Uncompressed
    try:
        yield
    finally:
        adapters[kind] = before


def parts_of(folder: Path, storage: Storage, count: Callable[[], None] | None = None) -> dict[str, list[Part]]:
    """The parts for the shards of a folder of HDF5 records, by split; every card is read; `count` as in `Part`.

    Raises:
      InputError: if there is no shard, or one is damaged.
    """
    shards = sorted(folder.glob(SHARDS))
    if not shards:
        raise InputError(f"{folder}: no shards (*.h5)")
    parts: dict[str, list[Part]] = {split: [] for split in SPLITS}
    for path in shards:
        ids: dict[str, list[int]] = {split: [] for split in SPLITS}
        with records.open_shard(path) as file:
            for name in map(str, file):
                card = records.read_card(records.node(file, name), f"{path}, record {name}")
                if card["split"] not in ids:
                    raise InputError(f"{path}, record {name}: its split is {card['split']!r}; prepare it again")
                ids[card["split"]].append(card["sample_id"])
        for split, some in ids.items():
            if some:
                parts[split].append(Part(path, tuple(some), storage, count))
    return parts


class TfdsSource:
    """The records of one split ("all": of every split) of a TFDS data set, in the order in which they were written.

    A class for the reasons of `sources.ShardSource`; readers are opened again in another process.
    """

    def __init__(self, folder: str | Path, split: str) -> None:
        self.folder, self.split = Path(folder), split
        heap.keep_freed_buffers()  # every record is read whole, into a buffer of its own
        try:
            with _quiet():
                builder = tfds.builder_from_directory(builder_dir=self.folder)
                counts = {name: info.num_examples for name, info in builder.info.splits.items()}
                if not (sum(counts.values()) if split == "all" else counts.get(split)):
                    raise InputError(f"{folder}: no records for {split!r}; it has {counts}: give prepare_data more subjects")
                those = [info for name, info in builder.info.splits.items() if split in ("all", name)]
                self._files = str([(info.name, info.shard_lengths, info.num_bytes) for info in those])
                self._records = builder.as_data_source(split)  # pyright: ignore[reportCallIssue] (hidden by a decorator of tfds)
        except DAMAGE as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{folder}: not a readable TFDS data set ({error}); make it again (launch/prepare_data.py)"
            ) from error

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, position: int) -> Record:
        return self.stored(position).read(records.WHOLE)

    def stored(self, position: int) -> records.Stored:
        """The record, of which only the part that is asked for is converted and checked."""
        if not 0 <= position < len(self):
            raise IndexError(f"{position} of {len(self)} records")
        where = f"{self.folder}, {self.split} record {position}"

        def fields() -> dict[str, Any]:
            try:
                return self._records[position]
            except DAMAGE as error:
                raise InputError(f"{where}: damaged ({error}); make the data set again (launch/prepare_data.py)") from error

        return records.in_parts(twice(fields), where)

    def fingerprint(self) -> str:
        """Number of the records and digest of the lengths and the size of their files."""
        return f"{len(self)} records {digest(self._files)}"

    def __repr__(self) -> str:  # grain names the data set by it
        return f"TfdsSource({self.folder}, {self.split}, {len(self)} records)"

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "split": self.split}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["folder"], state["split"])


def source(folder: str | Path, split: str) -> TfdsSource:
    """Random access to the records of one split ("all": of every split) in a TFDS data set; it pickles and takes many threads.

    Args:
      folder: with dataset_info.json in it.
      split: of the records.

    Raises:
      InputError: if there is no such data set or no record of that split, or, on access, for a damaged record.
    """
    return TfdsSource(folder, split)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings that TFDS draws from protobuf, which concern its own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
