"""One training record: a clean series with its g-maps, in HDF5 shards whose every byte is checksummed (fletcher32)."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import replacing

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Record:
    """A clean series to which training adds noise.

    Attributes:
      sample_id: integer that no other record of the data set has; the noise of a sample is drawn from it.
      image: `[T, H, W]` complex64, SNR units.
      gmaps: `[R, H, W]` float32, g-factor maps from the scan's calibration lines.
      native_noise: noise SD of `image`: 1 for a reconstruction in SNR units, 0 for a noise-free simulated truth.
      subject: who was scanned; data are split by it.
      split: "train", "validation" or "test".
      metadata: where it came from: JSON values only.
    """

    sample_id: int
    image: np.ndarray
    gmaps: np.ndarray
    native_noise: float
    subject: str
    split: str
    metadata: dict = field(default_factory=dict)


def check(record: Record, where: str) -> None:
    """Refuses a record that would train a network on nonsense.

    Raises:
      InputError: naming `where`, for wrong shapes, values that are not finite, g-maps below 0, an unknown split.
    """
    if record.image.ndim != 3 or record.gmaps.ndim != 3 or record.image.shape[1:] != record.gmaps.shape[1:]:
        raise InputError(
            f"{where}: image {record.image.shape} and gmaps {record.gmaps.shape} do not fit: need [T, H, W] and [R, H, W]"
        )
    if 0 in record.image.shape or 0 in record.gmaps.shape:
        raise InputError(f"{where}: image {record.image.shape} or gmaps {record.gmaps.shape} is empty; prepare it again")
    for name in ("image", "gmaps"):
        bad = ~np.isfinite(getattr(record, name))
        if bad.any():
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            raise InputError(f"{where}: {name} has {int(bad.sum())} NaN or Inf, the first at {first}; leave this series out")
    if (record.gmaps < 0).any():
        raise InputError(f"{where}: gmaps has negative values; g-factor maps are SDs, prepare the series again")
    if record.split not in SPLITS:
        raise InputError(f"{where}: split is {record.split!r}; it must be one of {', '.join(SPLITS)}")


def write_shard(path: Path, records: Iterable[Record]) -> int:
    """Writes records into one HDF5 file and returns their number; the file appears whole or not at all."""
    count = 0
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for record in records:
            check(record, f"{path.name}, record {record.sample_id} ({record.subject})")
            _write(file.create_group(f"{record.sample_id:08d}"), record)
            count += 1
    return count


def _write(group: h5py.Group, record: Record) -> None:
    frames = min(record.image.shape[0], 16)
    options = {"fletcher32": True, "track_times": False}
    group.create_dataset("image", data=record.image.astype(np.complex64), chunks=(frames, *record.image.shape[1:]), **options)
    group.create_dataset("gmaps", data=record.gmaps.astype(np.float32), chunks=record.gmaps.shape, **options)
    group.attrs.update(
        native_noise=np.float32(record.native_noise),
        subject=record.subject,
        split=record.split,
        metadata=json.dumps(record.metadata),
    )


def read(group: Any, where: str) -> Record:
    """Reads and checks one record of an open shard; `group` is an `h5py.Group` (typed loosely, as h5py's own types are unions).

    Raises:
      InputError: naming `where`, if a checksum does not match, a field is missing or a value is unusable.
    """
    try:
        record = Record(
            sample_id=int(group.name.strip("/")),
            image=group["image"][()],
            gmaps=group["gmaps"][()],
            native_noise=float(group.attrs["native_noise"]),
            subject=str(group.attrs["subject"]),
            split=str(group.attrs["split"]),
            metadata=json.loads(group.attrs["metadata"]),
        )
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(f"{where}: damaged ({error}); prepare this shard again with launch/prepare_data.py") from error
    check(record, where)
    return record


def open_shard(path: Path) -> h5py.File:
    """Opens a shard for reading.

    Raises:
      InputError: if the file is not HDF5 or is truncated.
    """
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path}: not a readable HDF5 file ({error}); prepare it again with launch/prepare_data.py") from error


def read_shard(path: Path) -> Iterator[Record]:
    """All records of a shard, in order of their sample id."""
    with open_shard(path) as file:
        for name in file:
            yield read(file[name], f"{path}, record {name}")
