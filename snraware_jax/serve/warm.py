"""A first series, before any client's: it compiles the network, and does everything else that a first time takes."""

import io
import time
from pathlib import Path

import numpy as np
from ismrmrd.hdf5 import image_header_dtype

from snraware_jax.errors import InputError
from snraware_jax.formats import mrd
from snraware_jax.serve import protocol
from snraware_jax.serve.protocol import Image, Kind, Limits, Readout
from snraware_jax.serve.session import converse
from snraware_jax.serve.work import Task

Size = tuple[int, int, int]


def warm(task: Task, size: Size | None) -> str:
    """Has a session of a series `[T, H, W]` of noise, and another one; says what they took.

    Tiles have one size, so that one series compiles for all; one of exactly a tile would be a program of its own.

    Args:
      task: what the server does.
      size: T, H, W; None: just larger than a tile.

    Raises:
      InputError: if the network does not denoise it.
    """
    tile = task.network.bundle.tiling.tile
    frames, height, width = size or (max(tile[0], 1), tile[1] + 1, tile[2] + 1)
    images = lambda frames: _images((frames, height, width), complex_pixels=not task.magnitude)
    whole = "; tiles are whole along an axis, so that other sizes compile anew" if 0 in tile else ""
    task = task._replace(units="snr", noise_sd=None)
    if frames > 1:  # single frames have tiles of one frame, a program of their own
        _twice(task, images(1), f"{height}x{width}")
    return _twice(task, images(frames), f"{height}x{width}x{frames}") + whole


def warm_raw(task: Task, path: Path) -> str:
    """The same with the raw data of a file: the reconstruction of its geometry is compiled too.

    Raises:
      InputError: if it cannot be reconstructed and denoised.
    """
    xml, rows = mrd.stored(path)
    stream = io.BytesIO()
    protocol.write_text(stream, Kind.METADATA, xml.decode(errors="replace"))
    for row in rows:
        head = row["head"].copy()
        head["trajectory_dimensions"] = 0
        samples = row["data"].view(np.complex64).reshape(int(head["active_channels"]), int(head["number_of_samples"]))
        protocol.write_readout(stream, Readout(head, samples))
    protocol.write_close(stream)
    return _twice(task, stream.getvalue(), str(path))


def _twice(task: Task, stream: bytes, name: str) -> str:
    """Has a session twice, and says what was compiled in the first."""
    seconds = []
    for _ in range(2):
        said, began = [], time.perf_counter()
        limits = Limits(data=8 * len(stream), text=len(stream))
        converse(io.BytesIO(stream), io.BytesIO(), task, lambda do: do(), limits, said.append)
        seconds.append(time.perf_counter() - began)
        if refused := [line for line in said if line.startswith("NOT DENOISED")]:
            raise InputError(f"--warm {name}: {refused[0]}")
    return f"compiled in {seconds[0] - seconds[1]:.1f} s, {name} takes {seconds[1]:.2f} s"


def _images(size: Size, complex_pixels: bool) -> bytes:
    """A session of a client that sends noise of SD 1."""
    stream, rng = io.BytesIO(), np.random.default_rng(0)
    for frame in range(size[0]):
        noise = rng.normal(size=(2, 1, 1, *size[1:])).astype("<f4")
        pixels = (noise[0] + 1j * noise[1]).astype("<c8")
        head = np.zeros(1, image_header_dtype)[0]
        head["phase"], head["image_series_index"] = frame, 1
        protocol.write_image(stream, Image(head, "", pixels if complex_pixels else np.abs(pixels)))
    protocol.write_close(stream)
    return stream.getvalue()
