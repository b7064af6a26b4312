"""A first series, before any client's: it compiles the network, and does everything else that a first time takes."""

import io
import time

import numpy as np
from ismrmrd.hdf5 import image_header_dtype

from snraware_jax.errors import InputError
from snraware_jax.serve import protocol
from snraware_jax.serve.protocol import Image, Limits
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
    stream, seconds = _stream((frames, height, width), complex_pixels=not task.magnitude), []
    for _ in range(2):
        sink, said, began = io.BytesIO(), [], time.perf_counter()
        limits = Limits(data=len(stream), text=len(stream), attributes=len(stream))
        converse(io.BytesIO(stream), sink, task._replace(units="snr", noise_sd=None), lambda do: do(), limits, said.append)
        seconds.append(time.perf_counter() - began)
        if refused := [line for line in said if line.startswith("NOT DENOISED")]:
            raise InputError(f"--warm {height}x{width}x{frames}: {refused[0]}")
    whole = "; tiles are whole along an axis, so that other sizes compile anew" if 0 in tile else ""
    return f"compiled in {seconds[0] - seconds[1]:.1f} s, {height}x{width}x{frames} takes {seconds[1]:.2f} s{whole}"


def _stream(size: Size, complex_pixels: bool) -> bytes:
    """A session of a client that sends noise of SD 1."""
    stream, rng = io.BytesIO(), np.random.default_rng(0)
    for frame in range(size[0]):
        noise = rng.normal(size=(2, 1, 1, *size[1:])).astype("<f4")
        pixels = (noise[0] + 1j * noise[1]).astype("<c8")
        head = np.zeros((), image_header_dtype)[()]
        head["phase"], head["image_series_index"] = frame, 1
        protocol.write_image(stream, Image(head, "", pixels if complex_pixels else np.abs(pixels)))
    protocol.write_close(stream)
    return stream.getvalue()
