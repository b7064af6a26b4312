"""Messages of MRD streaming on a binary stream: read within limits, and written.

A message is its number (uint16), and what belongs to it; every number is little-endian. Sizes are checked before room is made.

Source: the streaming protocol of MRD (ISMRMRD), Inati et al., MRM 2017; sizes of headers of the ismrmrd package.
"""

import math
from collections.abc import Iterator
from enum import IntEnum
from typing import BinaryIO, NamedTuple

import ismrmrd
import numpy as np
from ismrmrd.hdf5 import acquisition_header_dtype, image_header_dtype, waveform_header_dtype

from snraware_jax.errors import InputError

CONFIG_FILE_BYTES = 1024
PIXEL_TYPES = {
    ismrmrd.DATATYPE_USHORT: np.dtype("<u2"),
    ismrmrd.DATATYPE_SHORT: np.dtype("<i2"),
    ismrmrd.DATATYPE_UINT: np.dtype("<u4"),
    ismrmrd.DATATYPE_INT: np.dtype("<i4"),
    ismrmrd.DATATYPE_FLOAT: np.dtype("<f4"),
    ismrmrd.DATATYPE_DOUBLE: np.dtype("<f8"),
    ismrmrd.DATATYPE_CXFLOAT: np.dtype("<c8"),
    ismrmrd.DATATYPE_CXDOUBLE: np.dtype("<c16"),
}
TYPE_NUMBERS = {dtype: number for number, dtype in PIXEL_TYPES.items()}
CHUNK = 1 << 20  # bytes that room is made for at a time, where a size is only claimed


class Kind(IntEnum):
    """Numbers of messages."""

    CONFIG_FILE = 1
    CONFIG_TEXT = 2
    METADATA = 3
    CLOSE = 4
    TEXT = 5
    ACQUISITION = 1008
    IMAGE = 1022
    WAVEFORM = 1026


KINDS = frozenset(Kind)


class Limits(NamedTuple):
    """Bytes that are accepted.

    Attributes:
      data: of one measurement: headers, attributes, samples and pixels of what is held at a time; no single message may exceed it.
      text: of one configuration, header or text.
      attributes: of one image.
    """

    data: int = 1 << 30
    text: int = 16 << 20
    attributes: int = 1 << 20


class Text(NamedTuple):
    """CONFIG_FILE, CONFIG_TEXT, METADATA or TEXT."""

    kind: Kind
    text: str


class Readout(NamedTuple):
    """A header of `acquisition_header_dtype`, and samples `[C, N]` complex64; a trajectory is not kept."""

    head: np.void
    samples: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.head.nbytes + self.samples.nbytes


class Image(NamedTuple):
    """A header of `image_header_dtype`, attributes (XML), and pixels `[channels, z, y, x]`."""

    head: np.void
    attributes: str
    pixels: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.head.nbytes + len(self.attributes) + self.pixels.nbytes


Message = Text | Readout | Image


class Damaged(InputError):
    """A stream that cannot be read any further."""


def messages(stream: BinaryIO, limits: Limits) -> Iterator[Message]:
    """Messages until CLOSE; waveforms are read and left out.

    Raises:
      Damaged: an unknown number, a size beyond the limits, an end without CLOSE.
    """
    while True:
        number = int.from_bytes(_exactly(stream, 2, "the number of a message"), "little")
        if number not in KINDS:
            raise Damaged(f"message {number}: there is none of this number; the stream is damaged, or no MRD stream.")
        kind = Kind(number)
        if kind is Kind.CLOSE:
            return
        if kind is Kind.ACQUISITION:
            yield _readout(stream, limits)
        elif kind is Kind.IMAGE:
            yield _image(stream, limits)
        elif kind is Kind.WAVEFORM:
            _skip_waveform(stream, limits)
        elif kind is Kind.CONFIG_FILE:
            yield Text(kind, _text(_exactly(stream, CONFIG_FILE_BYTES, "the name of a configuration")))
        else:
            yield Text(kind, _sized_text(stream, kind, limits))


def _exactly(stream: BinaryIO, size: int, what: str) -> bytes | bytearray:
    """`size` bytes; of many, room grows with what arrives."""
    if size <= CHUNK:
        found = stream.read(size)
        if len(found) != size:
            raise Damaged(f"the stream ends after {len(found)} of {size} bytes of {what}, without CLOSE.")
        return found
    whole = bytearray()
    while len(whole) < size:
        part = stream.read(min(CHUNK, size - len(whole)))
        if not part:
            raise Damaged(f"the stream ends after {len(whole)} of {size} bytes of {what}, without CLOSE.")
        whole += part
    return whole


def _text(stored: bytes | bytearray) -> str:
    """UTF-8 up to the first NUL; bytes that are none become question marks: texts are for people, and XML is parsed later."""
    return bytes(stored).split(b"\0", 1)[0].decode("utf-8", errors="replace")


def _sized_text(stream: BinaryIO, kind: Kind, limits: Limits) -> str:
    size = int.from_bytes(_exactly(stream, 4, f"the length of {kind.name}"), "little")
    _require(size, limits.text, f"{kind.name} of {size:,} bytes")
    return _text(_exactly(stream, size, kind.name))


def _require(size: int, most: int, what: str) -> None:
    if size > most:
        raise Damaged(f"{what}, where {most:,} are accepted: the stream is damaged, or the limit of the server too small.")


def _readout(stream: BinaryIO, limits: Limits) -> Readout:
    head = np.frombuffer(_exactly(stream, acquisition_header_dtype.itemsize, "a readout's header"), acquisition_header_dtype)[0]
    samples, coils = int(head["number_of_samples"]), int(head["active_channels"])
    along, size = 4 * samples * int(head["trajectory_dimensions"]), 8 * samples * coils
    _require(along + size, limits.data, f"a readout of {along + size:,} bytes ({coils} coils x {samples} samples)")
    _exactly(stream, along, "a trajectory")
    stored = _exactly(stream, size, "samples")
    return Readout(head, np.frombuffer(stored, "<c8").reshape(coils, samples))


def _image(stream: BinaryIO, limits: Limits) -> Image:
    head = np.frombuffer(_exactly(stream, image_header_dtype.itemsize, "an image's header"), image_header_dtype)[0]
    dtype = PIXEL_TYPES.get(int(head["data_type"]))
    if dtype is None:
        raise Damaged(f"an image of data type {head['data_type']}, which MRD does not have: the stream is damaged.")
    shape = (int(head["channels"]), *(int(size) for size in head["matrix_size"][::-1]))
    size = dtype.itemsize * math.prod(shape)
    _require(size, limits.data, f"an image of {size:,} bytes ({' x '.join(map(str, shape))} {dtype.name})")
    length = int.from_bytes(_exactly(stream, 8, "the length of attributes"), "little")
    _require(length, limits.attributes, f"attributes of {length:,} bytes")
    attributes = _text(_exactly(stream, length, "attributes"))
    return Image(head, attributes, np.frombuffer(_exactly(stream, size, "pixels"), dtype).reshape(shape))


def _skip_waveform(stream: BinaryIO, limits: Limits) -> None:
    head = np.frombuffer(_exactly(stream, waveform_header_dtype.itemsize, "a waveform's header"), waveform_header_dtype)[0]
    size = 4 * int(head["channels"]) * int(head["number_of_samples"])
    _require(size, limits.data, f"a waveform of {size:,} bytes")
    while size:
        size -= len(_exactly(stream, min(size, CHUNK), "a waveform"))


def write_text(stream: BinaryIO, kind: Kind, text: str) -> None:
    """CONFIG_FILE, CONFIG_TEXT, METADATA or TEXT; texts end with NUL, as clients expect.

    What is no UTF-8, as names of files may be, becomes question marks.

    Raises:
      ValueError: a name of a configuration that is too long.
    """
    stored = text.encode(errors="replace") + b"\0"
    stream.write(_number(kind))
    if kind is not Kind.CONFIG_FILE:
        stream.write(len(stored).to_bytes(4, "little") + stored)
        return
    if len(stored) > CONFIG_FILE_BYTES:
        raise ValueError(f"the name of a configuration has {len(stored)} bytes: {CONFIG_FILE_BYTES} are the most")
    stream.write(stored.ljust(CONFIG_FILE_BYTES, b"\0"))


def write_readout(stream: BinaryIO, readout: Readout) -> None:
    """ACQUISITION; the header says how many coils, samples, and no trajectory."""
    stream.write(_number(Kind.ACQUISITION) + readout.head.tobytes())
    stream.write(np.ascontiguousarray(readout.samples, "<c8").tobytes())


def write_image(stream: BinaryIO, image: Image) -> None:
    """IMAGE, with sizes, data type and length of attributes in its header those of what is written."""
    head, attributes = image.head.copy(), image.attributes.encode()
    head["data_type"] = TYPE_NUMBERS[image.pixels.dtype.newbyteorder("<")]
    head["channels"], head["matrix_size"] = image.pixels.shape[0], image.pixels.shape[:0:-1]
    head["attribute_string_len"] = len(attributes)
    stream.write(_number(Kind.IMAGE) + head.tobytes() + len(attributes).to_bytes(8, "little") + attributes)
    stream.write(np.ascontiguousarray(image.pixels).tobytes())


def write_close(stream: BinaryIO) -> None:
    """CLOSE."""
    stream.write(_number(Kind.CLOSE))


def _number(kind: Kind) -> bytes:
    return int(kind).to_bytes(2, "little")
