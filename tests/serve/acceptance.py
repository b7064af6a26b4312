"""What a server has to stand: many series over several connections, clients that are killed, damage; on a process of its own.

Everything is counted from outside, by clients on the serialisation of the ismrmrd package.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import snraware_jax
from snraware_jax import denoising
from snraware_jax.formats.images import Images
from snraware_jax.inference import bundle
from snraware_jax.models import ModelSettings, build
from tests.inference.test_units import scan
from tests.serve.clients import cine, exchange, fuzzed, huge_image, images_of, pieces_of, raw_of, stream_of, vanish

Address = tuple[str, int]
REPOSITORY = Path(__file__).resolve().parents[2]
WAIT = 120.0  # seconds for anything


class Server(NamedTuple):
    """A server that runs: its process, where it listens, its log, and the network that it serves."""

    process: subprocess.Popen
    address: Address
    log: Path
    model: Path


def write_model(folder: Path) -> Path:
    """A tiny network."""
    settings = ModelSettings(cells="C2", channels=2, levels=1, patch=(4, 8, 8), norm="channel")
    path = folder / "model.snr"
    bundle.save(path, settings, build(settings), {"imported_from": "nothing"}, bundle.Tiling((4, 32, 32), (2, 8, 8)))
    return path


def start(model: Path, *flags: str) -> Server:
    """`snraware serve`, once it is ready."""
    log = model.with_suffix(".log")
    command = [sys.executable, "-m", "snraware_jax.cli", "serve", "-m", str(model), "--port", "0", "--warm", "40x48x4", *flags]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.match(r"serve: ready on (\S+):(\d+), model model\.snr [0-9a-f]{12}\n", line)
    assert found, (line, log.read_text())
    return Server(process, (found[1], int(found[2])), log, model)


def stop(server: Server) -> int:
    """Its exit code after SIGTERM."""
    assert server.process.stdout is not None
    server.process.send_signal(signal.SIGTERM)
    code = server.process.wait(WAIT)
    server.process.stdout.close()
    return code


def resident(server: Server) -> float:
    """MiB of memory that the process has."""
    (line,) = (one for one in Path(f"/proc/{server.process.pid}/status").read_text().splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


class Cases(NamedTuple):
    """Cines, and what `denoising.denoise` makes of them."""

    noisy: list[np.ndarray]
    denoised: list[np.ndarray]


def cases(model: Path, count: int = 3) -> Cases:
    """Made in this process: the server's answers have to be the same, bit for bit."""
    network, noisy = snraware_jax.load(model), [cine(seed) for seed in range(count)]
    images = [Images(data[:, None], "mrd") for data in noisy]
    scales = [denoising.scale_of(one, "a cine", units="snr") for one in images]
    return Cases(noisy, [denoising.denoise(network, *pair).data[:, 0] for pair in zip(images, scales, strict=True)])


def first_images(server: Server, count: int) -> list[tuple[float, float]]:
    """Seconds from connecting to the first image back, of connections of one series each, and the server's seconds of CPU.

    Of another size than the server was started with, and long enough not to measure the scheduler of the system.
    """
    stream = stream_of(images_of(np.tile(scan(1.0, 20), (2, 2, 2)).astype(np.complex64)))
    found = []
    for _ in range(count):
        before = cpu_seconds(server)
        found.append((exchange(server.address, stream).first, cpu_seconds(server) - before))
    return found


def cpu_seconds(server: Server) -> float:
    """That the process has used."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def series_lost(server: Server, cases: Cases, connections: int, each: int, killed: int = 1) -> int:
    """Series that did not come back as they should, of `connections` at once with `each` series; beside them clients are killed."""
    chosen = [(connection + number) % len(cases.noisy) for connection in range(connections) for number in range(each)]
    lost = [0] * connections

    def client(number: int) -> None:
        mine = chosen[number * each : (number + 1) * each]
        replies = exchange(server.address, stream_of(pieces_of([cases.noisy[case] for case in mine])), WAIT)
        good = [
            any(image.image_series_index == 1001 + place for image in replies.images)
            and np.array_equal(replies.series(1001 + place), cases.denoised[case])
            for place, case in enumerate(mine)
        ]
        lost[number] = each - sum(good) if replies.closed else each

    def victim(number: int) -> None:
        stream = stream_of(pieces_of(cases.noisy))
        # in mid-stream; and when all was sent, while answers come
        vanish(server.address, stream[: len(stream) // 2] if number % 2 == 0 else stream, after=0.05)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(connections)]
    threads += [threading.Thread(target=victim, args=(number,)) for number in range(killed)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(lost)


def damaged(server: Server, cases: Cases, count: int, raw: Path | None = None, seed: int = 0) -> tuple[int, int]:
    """Sends damaged streams and oversized messages; how many were answered with CLOSE, and how many good series between were lost."""
    streams = [stream_of(pieces_of(cases.noisy[:1]))] + ([stream_of(raw_of(raw))] if raw else [])
    closed = lost = 0
    for number in range(seed, seed + count):
        if number % 10 == 9:
            stream = stream_of(images_of(cases.noisy[0])[:1], close=False) + huge_image()
        else:
            stream = fuzzed(streams[number // 6 % len(streams)], number)
        closed += exchange(server.address, stream, WAIT).closed
        if number % 50 == 49:
            lost += series_lost(server, cases, 1, 1, killed=0)
    return closed, lost


def median(values: Sequence[float]) -> float:
    return float(np.median(values))
