"""One training record: a clean series with its g-maps, in HDF5 shards whose data sets are checksummed (fletcher32).

A record is a group named by its sample id: `image`, `gmaps`, and `card`, the other fields as JSON bytes (an HDF5 attribute would not be
checksummed). Whatever format holds a record, it holds what `to_fields` makes of it.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import h5py
import numpy as np

from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import replacing

# what h5py raises for content that is not as it was written
DAMAGE = (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError)
SPLITS = ("train", "validation", "test")

Storage = Literal["complex64", "float16"]
STORAGES = ("complex64", "float16")
FIELDS = ("sample_id", "image", "gmaps", "card")
CARD = {"sample_id": int, "native_noise": float, "subject": str, "split": str, "metadata": dict}
# the largest stored float16 lies below 2**15, where they end at 2**16; 2**-exponent has to be a float32 too
LARGEST_LOG2, LEAST_EXPONENT = 15, -126
# frames, lines and columns of a chunk: a patch of 16 x 64 x 64 then reads a fifth of a series
CHUNK = (8, 32, 32)

# the format of HDF5 1.10 has checksums over its own structures too: without them flipped bits changed records or crashed HDF5
LIBVER = ("v110", "v110")

Region = tuple[slice, slice, slice]  # frames, lines and columns of a series
WHOLE: Region = (slice(None), slice(None), slice(None))


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


class Stored(NamedTuple):
    """A record whose arrays are not read yet.

    Attributes:
      sample_id: of the record.
      shape: T, H, W of its image.
      read: the record with a part of its arrays, of which only that part is checked; `WHOLE` for all.
    """

    sample_id: int
    shape: tuple[int, int, int]
    read: Callable[[Region], Record]


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
        finite = np.isfinite(getattr(record, name))
        if not finite.all():
            first = tuple(int(i) for i in np.argwhere(~finite)[0])
            raise InputError(
                f"{where}: {name} has {int((~finite).sum())} NaN or Inf, the first at {first}; leave this series out"
            )
    if not 0 <= record.sample_id < 2**31 or not 0 <= record.native_noise < np.inf:
        raise InputError(
            f"{where}: sample id {record.sample_id} or native noise {record.native_noise} is out of range; prepare it again"
        )
    if (record.gmaps < 0).any():
        raise InputError(f"{where}: gmaps has negative values; g-factor maps are SDs, prepare the series again")
    if record.split not in SPLITS:
        raise InputError(f"{where}: split is {record.split!r}; it must be one of {', '.join(SPLITS)}")


# ---------------------------------------------------------------- the form that every file format stores


def to_fields(record: Record, storage: Storage = "complex64") -> dict[str, Any]:
    """A record in plain fields.

    float16 halves the size: image = 2^exponent * stored, where the exponent, kept in the card, makes the largest real or imaginary
    part m lie between 2^14 and 2^15. So nothing overflows; a part is off by 2^-11 of the power of two below it at most, parts below
    2^-28 m by 2^-39 m at most.

    Args:
      record: to store.
      storage: "complex64" (exact) or "float16".

    Returns:
      sample_id, image `[T, H, W, 2]` float32 or float16 (real and imaginary part), gmaps `[R, H, W]` float32, card (JSON text).

    Raises:
      InputError: for a record that `check` refuses, or an unknown storage.
    """
    check(record, f"record {record.sample_id} ({record.subject})")
    if storage not in STORAGES:
        raise InputError(f"storage {storage!r} is unknown; choose {' or '.join(STORAGES)}")
    card = {name: getattr(record, name) for name in ("subject", "split", "metadata")}
    card |= {"sample_id": int(record.sample_id), "native_noise": float(record.native_noise)}
    image = _parts(np.ascontiguousarray(record.image, np.complex64))
    if storage == "float16":
        mantissa, power = math.frexp(np.abs(image).max())
        power += int(np.float16(mantissa) == 1)  # it rounds up to the next power of two, and must be stored as that again
        exponent = max(power - LARGEST_LOG2, LEAST_EXPONENT)
        image = np.ldexp(image, -exponent).astype(np.float16)
        card["exponent"] = exponent
    gmaps = np.ascontiguousarray(record.gmaps, np.float32)
    return {"sample_id": card["sample_id"], "image": image, "gmaps": gmaps, "card": json.dumps(card)}


def of_fields(fields: Mapping[str, Any], where: str) -> Record:
    """The record that `to_fields` was given, checked; its image is complex64.

    Raises:
      InputError: naming `where`, if a field is missing, is of another kind, or has unusable values.
    """
    return in_parts(fields, where).read(WHOLE)


def in_parts(fields: Mapping[str, Any], where: str) -> Stored:
    """The record of fields whose arrays, numpy's or HDF5's, are cut before they are read or converted.

    Raises:
      InputError: as `of_fields`, some only when reading.
    """
    try:
        missing = [name for name in FIELDS if name not in fields]
        if missing:
            raise KeyError(f"{missing[0]} is missing")
        image, gmaps, sample_id = fields["image"], fields["gmaps"], int(fields["sample_id"])
        t, h, w = image.shape[:3]
        if gmaps.shape[1:] != (h, w):  # parts of them could fit all the same
            raise ValueError(f"image {image.shape} and gmaps {gmaps.shape} do not fit: need [T, H, W] and [R, H, W]")
    except DAMAGE as error:
        raise InputError(damaged(where, error)) from error

    def read(region: Region) -> Record:
        try:
            part, maps = image[region], gmaps[:, *region[1:]]
        except DAMAGE as error:
            raise InputError(damaged(where, error)) from error
        return _record(sample_id, part, maps, fields["card"], where)

    return Stored(sample_id, (t, h, w), read)


def _record(sample_id: int, image: np.ndarray, gmaps: np.ndarray, text: str | bytes, where: str) -> Record:
    card, exponent = parse_card(text, sample_id, where)
    parts = _parts(image) if image.dtype == np.complex64 else image
    stored = np.float32 if exponent is None else np.float16
    if parts.dtype != stored or parts.ndim != 4 or parts.shape[-1] != 2 or gmaps.dtype != np.float32:
        raise InputError(damaged(where, f"image is {image.dtype} {image.shape}, gmaps {gmaps.dtype}"))
    parts = np.ascontiguousarray(parts, np.float32)
    if exponent is not None:
        parts *= np.float32(2.0**exponent)
    record = Record(image=parts.view(np.complex64)[..., 0], gmaps=gmaps, **card)
    check(record, where)
    return record


def parse_card(text: str | bytes, sample_id: int, where: str) -> tuple[dict[str, Any], int | None]:
    """The fields of a record other than its arrays, and the exponent of a float16 image (None of a complex64 one).

    Raises:
      InputError: naming `where`, if they are not as `to_fields` wrote them.
    """
    try:
        card = dict(json.loads(text))
    except (ValueError, TypeError) as error:
        raise InputError(damaged(where, f"its card is not a JSON object: {error}")) from error
    exponent = card.pop("exponent", None)
    wrong = [name for name in CARD.keys() | card.keys() if not isinstance(card.get(name), CARD.get(name, ()))]
    if wrong:
        raise InputError(damaged(where, f"its {min(wrong)} is {card.get(min(wrong))!r}"))
    if not (exponent is None or (isinstance(exponent, int) and LEAST_EXPONENT <= exponent < 128)):
        raise InputError(damaged(where, f"its exponent is {exponent!r}"))
    if card["sample_id"] != sample_id:
        raise InputError(damaged(where, f"named {sample_id}, but its sample id is {card['sample_id']}"))
    return card, exponent


def _parts(image: np.ndarray) -> np.ndarray:
    """Real and imaginary parts `[..., 2]` of a contiguous complex64 array, without a copy."""
    return image.view(np.float32).reshape(*image.shape, 2)


def damaged(where: str, what: object) -> str:
    """The message about a record whose content is not as it was written."""
    return f"{where}: damaged ({what}); delete the shard and make it again (launch/prepare_data.py, or launch/train.py if simulated)"


# ---------------------------------------------------------------- HDF5


def write_shard(path: Path, records: Iterable[Record], storage: Storage = "complex64") -> int:
    """Writes records into one HDF5 file and returns their number; the file appears whole or not at all.

    Raises:
      InputError: naming file and record, for a record that `check` refuses; no file appears then.
    """
    count = 0
    with replacing(path) as temporary, h5py.File(temporary, "w", libver=LIBVER) as file:
        for record in records:
            check(record, f"{path.name}, record {record.sample_id} ({record.subject})")
            _write(file.create_group(f"{record.sample_id:08d}"), to_fields(record, storage))
            count += 1
    return count


def _write(group: h5py.Group, fields: dict[str, Any]) -> None:
    image, gmaps = fields["image"], fields["gmaps"]
    text = np.frombuffer(fields["card"].encode(), np.uint8)
    if image.dtype == np.float32:  # complex numbers, for whoever opens the file with other programs
        image = image.view(np.complex64)[..., 0]
    chunk = [_even_part(size, most) for size, most in zip(image.shape, CHUNK, strict=False)]
    options = {"fletcher32": True, "track_times": False}
    group.create_dataset("image", data=image, chunks=(*chunk, *image.shape[3:]), **options)
    group.create_dataset("gmaps", data=gmaps, chunks=(len(gmaps), *chunk[1:]), **options)
    group.create_dataset("card", data=text, chunks=text.shape, **options)


def _even_part(size: int, most: int) -> int:
    """Length of the parts if an axis is cut into as few as possible, none longer than `most`: the last is then nearly full."""
    return math.ceil(size / math.ceil(size / most))


def stored(group: Any, where: str) -> Stored:
    """One record of an open shard; `group` is an `h5py.Group` (typed loosely, as h5py's own types are unions).

    Raises:
      InputError: naming `where`, here or when reading, if a checksum does not match, a field is missing or a value is unusable.
    """
    try:
        fields: dict[str, Any] = {name: group[name] for name in FIELDS if name in group}
        fields["sample_id"] = _sample_id(group)
        if "card" in fields:
            fields["card"] = fields["card"][()].tobytes()
    except DAMAGE as error:
        raise InputError(damaged(where, error)) from error
    return in_parts(fields, where)


def read_card(group: Any, where: str) -> dict[str, Any]:
    """The fields of a record other than its arrays.

    Raises:
      InputError: naming `where`, if they are not as they were written.
    """
    try:
        if "card" not in group:
            raise KeyError("its card is missing; is this a folder of launch/prepare_data.py?")
        sample_id, text = _sample_id(group), group["card"][()].tobytes()
    except DAMAGE as error:
        raise InputError(damaged(where, error)) from error
    return parse_card(text, sample_id, where)[0]


def _sample_id(group: Any) -> int:
    return int(group.name.strip("/"))


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


def names(file: h5py.File) -> list[str]:
    """The names of a shard's records.

    Raises:
      InputError: naming the file, if its structure is damaged or it has no records.
    """
    try:
        found = [str(name) for name in file]
    except DAMAGE as error:
        raise InputError(damaged(file.filename, error)) from error
    if not found:
        raise InputError(f"{file.filename}: holds no records; delete it")
    return found


def node(file: h5py.File, name: str) -> Any:
    """The group of one record.

    Raises:
      InputError: naming the file, if the shard's own structure is damaged.
    """
    try:
        return file[name]
    except DAMAGE as error:
        raise InputError(damaged(f"{file.filename}, record {name}", error)) from error


def read(file: h5py.File, name: str) -> Record:
    """One record of an open shard.

    Raises:
      InputError: naming file and record, if it is damaged or unusable.
    """
    return stored(node(file, name), f"{file.filename}, record {name}").read(WHOLE)


def read_shard(path: Path) -> Iterator[Record]:
    """All records of a shard."""
    with open_shard(path) as file:
        for name in names(file):
            yield read(file, name)
