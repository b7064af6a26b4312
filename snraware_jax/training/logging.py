"""Figures of a run, for programs and for TensorBoard: of steps in WORKDIR/metrics.jsonl, of its time in WORKDIR/timing.jsonl.

metrics.jsonl depends on what is computed alone: a run that was killed and went on has the same rows as one that was not.
"""

import errno
import json
import math
import os
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax
from tensorboardX import SummaryWriter

from snraware_jax.errors import InputError
from snraware_jax.formats.atomic import replacing
from snraware_jax.training.clock import Clock, productive

# dense bfloat16 TFLOP/s of a chip by its maker's data sheet, for the share of it that a training uses (MFU)
PEAK_TFLOPS = {
    "TPU v4": 275.0,
    "TPU v5 lite": 197.0,
    "TPU v5": 459.0,
    "TPU v6 lite": 918.0,
    "NVIDIA A100": 312.0,
    "NVIDIA H100": 989.0,
    "NVIDIA H200": 989.0,
}
NOT_DRAWN = ("step", "start", "from_step", "time", "age")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All rows of a metrics file; a last line cut off by a crash is left out.

    Raises:
      InputError: if the file holds anything else.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_text().splitlines()
        rows = [json.loads(line) for line in lines[:-1]]
        with suppress(json.JSONDecodeError):  # cut off
            rows += [json.loads(line) for line in lines[-1:]]
        if not all(isinstance(row["step"], int) for row in rows):
            raise ValueError("a step is not a number")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); delete it to go on without the figures of earlier steps") from error
    return rows


class MetricsWriter:
    """Appends rows to WORKDIR/metrics.jsonl and to WORKDIR/tensorboard; on a restart drops the rows after `step`."""

    def __init__(self, workdir: Path, step: int) -> None:
        self.path = workdir / "metrics.jsonl"
        timing = workdir / "timing.jsonl"
        _write(timing, read_metrics(timing))  # a line that was cut off must not be appended to
        self._timing = timing.open("a")
        self._open(step)

    def _open(self, step: int) -> None:
        _write(self.path, [row for row in read_metrics(self.path) if row["step"] <= step])
        self._file = self.path.open("a")
        self._board = SummaryWriter(str(self.path.with_name("tensorboard")), purge_step=step + 1)
        self._scalars: list[tuple[str, float, int]] = []

    def go_back(self, step: int) -> None:
        """Drops the rows after `step`."""
        self._file.close()
        self._board.close()
        self._open(step)

    def write(self, row: dict[str, Any]) -> None:
        """One row; it must have `step`."""
        self._append(self._file, row)

    def write_timing(self, row: dict[str, Any]) -> None:
        """One row of `Timing`."""
        self._append(self._timing, row)

    def _append(self, file: Any, row: dict[str, Any]) -> None:
        # JSON has no numbers that are not finite
        plain = {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()}
        with self._told():
            file.write(json.dumps(plain) + "\n")
        phases = {f"seconds/{phase}": spent for phase, spent in row.get("seconds", {}).items()}
        for name, value in (plain | phases).items():
            if name not in NOT_DRAWN and isinstance(value, (int, float)):
                self._scalars.append((name, value, row["step"]))

    def flush(self, *, to_disk: bool = False) -> None:
        """Makes what was written visible to other programs; `to_disk`, for what a checkpoint relies on, so that it outlives a crash.

        Raises:
          InputError: if it cannot be written.
        """
        with self._told():
            for file in (self._file, self._timing):
                file.flush()
                if to_disk:
                    os.fsync(file.fileno())
            for name, value, step in self._scalars:
                self._check_board()
                self._board.add_scalar(name, value, step)
            self._scalars.clear()
            self._check_board()
            self._board.flush()

    def close(self) -> None:
        """Closes all files."""
        for file in (self._file, self._timing):
            with suppress(OSError):  # `flush` has said so
                file.close()
        with suppress(OSError):
            self._check_board()
            self._board.close()

    def _check_board(self) -> None:
        # its thread ends at the first error, and who then writes to it waits for ever
        writer: Any = self._board.file_writer
        if writer is not None and not writer.event_writer._worker.is_alive():
            raise OSError(errno.EIO, "the thread that writes them for TensorBoard has ended; see the lines before")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            again = "make room, then give the same command again"
            raise InputError(f"{self.path.parent}: figures cannot be written ({error.strerror}); {again}") from error


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))


class Timing:
    """How fast a run is, since the last row and since its first start.

    Args:
      rows: of timing.jsonl, written by earlier starts.
      step: that this start goes on from.
      images: in a step, over all devices.
      flops: of a step's products, over all devices.
      clock: of this start.
    """

    def __init__(self, rows: Sequence[dict[str, Any]], step: int, *, images: int, flops: float, clock: Clock) -> None:
        self._clock, self._images, self._flops, self._from_step = clock, images, flops, step
        self._start = 1 + max((row["start"] for row in rows), default=-1)
        self._before = productive(rows, step)
        started_ago = clock.total()
        self._first_time = min((row["time"] - row["age"] for row in rows), default=time.time() - started_ago)
        self._ends: list[float] = []
        self._marks: list[tuple[int, float]] = [(step, 0.0)]  # steps, and seconds in steps until then
        self._lost = 0.0  # seconds of steps that were gone back behind
        peak = next((tflops for kind, tflops in PEAK_TFLOPS.items() if jax.devices()[0].device_kind.startswith(kind)), None)
        self._peak = None if peak is None else 1e12 * peak * jax.device_count()

    def step_done(self) -> None:
        """To be called at the end of every step."""
        self._ends.append(self._clock.spent("step", "data"))  # not what lies between steps: evaluation, saves, logs

    def went_back(self, step: int) -> None:
        """The steps behind `step` were for nothing."""
        now = self._clock.spent("step")
        self._marks = [mark for mark in self._marks if mark[0] <= step] or [(step, 0.0)]  # behind where this start began
        self._lost += now - self._marks[-1][1]
        self._marks.append((step, now))
        self._ends.clear()

    def row(self, step: int) -> dict[str, Any]:
        """Figures of the steps since the last row, and of the run.

        Of steps: seconds (median, 99th percentile), images and TFLOP of products a second, their share of the chips' peak (mfu).
        Of the run: seconds of each phase since this start, goodput (share of the time since the first start that went into steps
        which the run still has), peak memory in GB.
        """
        lengths = sorted(b - a for a, b in zip(self._ends, self._ends[1:], strict=False))
        self._ends = self._ends[-1:]
        seconds = {phase: round(spent, 3) for phase, spent in self._clock.seconds.items()}
        age = time.time() - self._first_time
        row: dict[str, Any] = {
            "step": step,
            "start": self._start,
            "from_step": self._from_step,
            "time": time.time(),
            "age": age,
        }
        self._marks.append((step, self._clock.spent("step")))
        row |= {"productive_s": self._marks[-1][1] - self._lost, "seconds": seconds, "memory_gb": memory_gb()}
        row |= {"goodput": (self._before + row["productive_s"]) / age}
        if lengths:
            rate = len(lengths) / sum(lengths)
            row |= {"step_s": statistics.median(lengths), "step_p99_s": lengths[int(0.99 * (len(lengths) - 1))]}
            row |= {"images_per_s": rate * self._images, "tflop_per_s": rate * self._flops / 1e12}
            if self._peak is not None:
                row["mfu"] = rate * self._flops / self._peak
        return row


def memory_gb() -> float:
    """The most memory in use so far: of the first device where it is known, else of this process."""
    statistics_ = jax.local_devices()[0].memory_stats()
    if statistics_ is not None and "peak_bytes_in_use" in statistics_:
        return statistics_["peak_bytes_in_use"] / 2**30
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
