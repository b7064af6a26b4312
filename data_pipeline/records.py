"""One training record: a clean series with its g-maps, in HDF5 shards whose data sets are checksummed (fletcher32).

A record is a group named by its sample id: `image`, `gmaps`, and `card`, the other fields as JSON bytes (an HDF5 attribute would not be
checksummed).
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import replacing

# what h5py raises for content that is not as it was written
DAMAGE = (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError)
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
    if not 0 <= record.sample_id < 2**31 or not 0 <= record.native_noise < np.inf:
        raise InputError(
            f"{where}: sample id {record.sample_id} or native noise {record.native_noise} is out of range; prepare it again"
        )
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
    card = {name: getattr(record, name) for name in ("sample_id", "subject", "split", "metadata")}
    card["native_noise"] = float(record.native_noise)
    text = np.frombuffer(json.dumps(card).encode(), np.uint8)
    group.create_dataset("card", data=text, chunks=text.shape, **options)


def read(group: Any, where: str) -> Record:
    """Reads and checks one record of an open shard; `group` is an `h5py.Group` (typed loosely, as h5py's own types are unions).

    Raises:
      InputError: naming `where`, if a checksum does not match, a field is missing or a value is unusable.
    """
    card = read_card(group, where)
    try:
        record = Record(image=group["image"][()], gmaps=group["gmaps"][()], **card)
    except DAMAGE as error:
        raise InputError(damaged(where, error)) from error
    check(record, where)
    return record


def read_card(group: Any, where: str) -> dict[str, Any]:
    """The fields of a record other than its arrays.

    Raises:
      InputError: naming `where`, if they are not as they were written.
    """
    if "card" not in group:
        raise InputError(f"{where}: not a training record; is this a folder of launch/prepare_data.py?")
    try:
        card = json.loads(group["card"][()].tobytes())
        if int(group.name.strip("/")) != card["sample_id"]:
            raise ValueError(f"named {group.name}, but its sample id is {card['sample_id']}")
        kinds = {"sample_id": int, "native_noise": float, "subject": str, "split": str, "metadata": dict}
        wrong = [name for name in kinds.keys() | card.keys() if not isinstance(card.get(name), kinds.get(name, ()))]
        if wrong:
            raise ValueError(f"its {min(wrong)} is {card.get(min(wrong))!r}")
    except DAMAGE as error:
        raise InputError(damaged(where, error)) from error
    return card


def damaged(where: str, error: Exception) -> str:
    """The message about a shard whose content is not as it was written."""
    return f"{where}: damaged ({error}); delete the shard and make it again (launch/prepare_data.py, or launch/train.py if simulated)"


def open_shard(path: Path) -> h5py.File:
    """Opens a shard for reading.

    Raises:
      InputError: if the file is not HDF5 or is truncated.
    """
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            f"{path}: not a readable HDF5 file ({error}); delete it and make it again (launch/prepare_data.py, "
            "or launch/train.py if it simulates)"
        ) from error


def node(file: h5py.File, name: str) -> Any:
    """The group of one record.

    Raises:
      InputError: naming the file, if the shard's own structure is damaged.
    """
    try:
        return file[name]
    except DAMAGE as error:
        raise InputError(damaged(f"{file.filename}, record {name}", error)) from error


def read_shard(path: Path) -> Iterator[Record]:
    """All records of a shard, in order of their sample id."""
    with open_shard(path) as file:
        for name in map(str, file):
            yield read(node(file, name), f"{path}, record {name}")
