"""Clients of the server, on the serialisation of the ismrmrd package: what others speak."""

import io
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from types import SimpleNamespace
from typing import NamedTuple

import h5py
import ismrmrd
import numpy as np
from ismrmrd.serialization import ConfigFile, ProtocolDeserializer, ProtocolSerializer
from jax.tree_util import Partial

from tests.inference.test_units import scan

Pieces = Iterable[object]


class Halving:
    """In place of a network: half of what comes."""

    bundle = SimpleNamespace(settings=SimpleNamespace(magnitude=False), sha256="f" * 64, tiling=SimpleNamespace(tile=(2, 8, 8)))

    whole = Partial(lambda image, g_map: image / 2)

    def __call__(self, image, g_map):
        return image / 2


class Replies(NamedTuple):
    """What came back until CLOSE, or until the server hung up.

    Attributes:
      images: in order.
      texts: likewise.
      closed: whether CLOSE came.
      first: seconds from connecting to the first image.
    """

    images: list[ismrmrd.Image]
    texts: list[str]
    closed: bool
    first: float = float("nan")

    def series(self, number: int) -> np.ndarray:
        """`[N, H, W]` of the images of one series."""
        return np.stack([image.data[0, 0] for image in self.images if image.image_series_index == number])


def cine(seed: int = 0, shape: tuple[int, int] = (40, 48)) -> np.ndarray:
    """A cine in SNR units, `[T, H, W]` complex64."""
    return scan(1.0, 20, seed=seed).astype(np.complex64)[:4, 12 : 12 + shape[0], 21 : 21 + shape[1]]


def images_of(data: np.ndarray, index: int = 1, axis: str = "phase", **meta: str) -> list[ismrmrd.Image]:
    """Images of one series of `[N, H, W]`, told apart by `axis`."""
    kind = ismrmrd.IMTYPE_COMPLEX if np.iscomplexobj(data) else ismrmrd.IMTYPE_MAGNITUDE
    made = []
    for number, pixels in enumerate(data):
        image = ismrmrd.Image.from_array(
            pixels[None, None],
            image_series_index=index,
            image_index=number + 1,
            image_type=kind,
            field_of_view=(240, 200, 8),
            **{axis: number},
        )
        image.meta = meta
        made.append(image)
    return made


def g_maps_of(data: np.ndarray, index: int = 7) -> list[ismrmrd.Image]:
    """Gadgetron's: 100 times the g-map `[N, H, W]`, as it says."""
    return images_of(100 * data.astype(np.float32), index, "slice", GADGETRON_DataRole="GFACTOR", GADGETRON_ScaleRatio="100")


def raw_of(path) -> list[object]:
    """Header and readouts of a raw file."""
    with h5py.File(path) as file:
        rows, xml = file["dataset/data"][()], file["dataset/xml"][0]
    pieces: list[object] = [ismrmrd.xsd.CreateFromDocument(xml)]
    for row in rows:
        head = ismrmrd.AcquisitionHeader.from_buffer_copy(row["head"].tobytes())
        data = row["data"].view(np.complex64).reshape(head.active_channels, head.number_of_samples)
        pieces.append(ismrmrd.Acquisition(head, data, np.zeros((head.number_of_samples, 0), np.float32)))
    return pieces


def stream_of(pieces: Pieces, close: bool = True, config: str = "snraware") -> bytes:
    """A client's side of a session."""
    stream = io.BytesIO()
    writer = ProtocolSerializer(stream)
    writer.serialize(ConfigFile(config))
    for piece in pieces:
        writer.serialize(piece)
    if close:
        writer.close()
    return stream.getvalue()


def read_replies(stream, began: float = 0.0) -> Replies:
    """What a server's side of a session holds."""
    images, texts, first = [], [], float("nan")
    reader = ProtocolDeserializer(stream)
    try:
        for piece in reader.deserialize():
            if isinstance(piece, ismrmrd.Image):
                first = time.perf_counter() - began if not images else first
                images.append(piece)
            elif isinstance(piece, str):
                texts.append(piece.rstrip("\0"))
            else:
                raise AssertionError(f"a server sends images and texts, not {type(piece)}")
    except (EOFError, ConnectionError):
        return Replies(images, texts, False, first)
    return Replies(images, texts, True, first)


def exchange(address: tuple[str, int], stream: bytes, seconds: float = 120.0) -> Replies:
    """Sends all of a stream, then reads all replies."""
    began = time.perf_counter()
    with socket.create_connection(address, timeout=seconds) as connection, connection.makefile("rb") as source:
        try:
            connection.sendall(stream)
            connection.shutdown(socket.SHUT_WR)
        except ConnectionError:
            pass  # the server has seen enough
        return read_replies(source, began)


def vanish(address: tuple[str, int], stream: bytes, after: float = 0.0) -> None:
    """Sends a stream, waits, and is gone as a killed process is: the connection is reset."""
    connection = socket.create_connection(address, timeout=30)
    connection.sendall(stream)
    time.sleep(after)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def fuzzed(stream: bytes, number: int) -> bytes:
    """A stream damaged in one of many ways."""
    rng = np.random.default_rng(number)
    damaged = bytearray(stream)
    kind = number % 6
    if kind == 0:  # cut
        del damaged[int(rng.integers(len(damaged))) :]
    elif kind == 1:  # bits flipped anywhere
        for place in rng.integers(len(damaged), size=8):
            damaged[place] ^= 1 << int(rng.integers(8))
    elif kind == 2:  # bits flipped where headers and sizes are
        for place in rng.integers(min(len(damaged), 1500), size=4):
            damaged[place] ^= 1 << int(rng.integers(8))
    elif kind == 3:  # bytes lost
        place = int(rng.integers(len(damaged)))
        del damaged[place : place + int(rng.integers(1, 200))]
    elif kind == 4:  # noise from some place on
        place = int(rng.integers(len(damaged)))
        damaged[place:] = rng.bytes(min(len(damaged) - place, 4096))
    else:  # noise alone
        damaged = bytearray(rng.bytes(int(rng.integers(1, 4096))))
    return bytes(damaged)


def huge_image() -> bytes:
    """The header of an image of 65,535 x 65,535 pixels, and nothing behind it."""
    head = ismrmrd.ImageHeader()
    head.data_type, head.channels, head.matrix_size = ismrmrd.DATATYPE_CXFLOAT, 1, (65535, 65535, 1)
    return struct.pack("<H", 1022) + bytes(head) + struct.pack("<Q", 0)


def pieces_of(series: Sequence[np.ndarray]) -> list[ismrmrd.Image]:
    """Cines as series 1, 2, ..."""
    return [image for index, data in enumerate(series, 1) for image in images_of(data, index)]
