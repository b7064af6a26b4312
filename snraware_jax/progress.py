"""Progress of anything that takes more than a few seconds: a bar on a terminal, one plain line every 30 s in a log."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

LINE_INTERVAL = 30.0  # seconds between lines in a log
BAR_INTERVAL = 0.1  # seconds between redraws on a terminal


def say(line: str, stream: TextIO) -> None:
    """Prints a line. Where nobody can read it any more, a pipe that is closed or a disk that is full, that ends nothing."""
    try:
        print(line, file=stream, flush=True)
    except BrokenPipeError:  # as Ctrl-C leaves `... | tee log`; without this the end of the program would fail once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except OSError:
        pass


class Progress(AbstractContextManager):
    """Steps done out of a total, with the latest figures, the rate and the time that is left.

        with Progress(600, "train", enabled=jax.process_index() == 0) as progress:
            for step in range(1, 601):
                ...
                progress.update(step, loss=loss, lr=lr)

    A log (no terminal) gets the first and the last step and one line every 30 s in between, each flushed:
    `train 120/600 20% loss 0.412 lr 2.9e-03 3.1 steps/s ETA 2:35`. The rate counts from the first update, so the time that the
    first step took to compile is not in it. Figures are only converted to numbers when shown: passing a device array costs no
    synchronisation.

    Args:
      total: number of steps, including those done before.
      label: first word of the line.
      start: steps done before (a resumed run).
      unit: what is counted, plural.
      enabled: False makes it silent (all processes but the first).
      stream: where to write; standard error by default.
      clock: seconds from any origin; for tests.
    """

    def __init__(
        self,
        total: int,
        label: str,
        *,
        start: int = 0,
        unit: str = "steps",
        enabled: bool = True,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.total, self.label, self.start, self.unit, self.enabled = total, label, start, unit, enabled
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._first: tuple[int, float] | None = None  # step and time of the first update
        self._latest: tuple[int, float, dict[str, Any]] | None = None
        self._shown: tuple[int, float] | None = None  # step and time of the last line or redraw
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self.enabled and self._stream.isatty() and os.environ.get("TERM") != "dumb":
            self._bar, self._task = _start_bar(self._stream, self.label, self.start, self.total)
        return self

    def update(self, step: int, **figures: Any) -> None:
        """`step` of `total` are done; `figures` are shown in the order given: numbers (device arrays too) or text."""
        if not self.enabled:
            return
        now = self._clock()
        self._first = self._first or (step, now)
        self._latest = step, now, figures
        interval = LINE_INTERVAL if self._bar is None else BAR_INTERVAL
        if self._shown is None or step >= self.total or now - self._shown[1] >= interval:
            self._show()

    def note(self, text: str) -> None:
        """Write a line of its own, above the bar where there is one."""
        if not self.enabled:
            return
        if self._bar is None:
            say(text, self._stream)
        else:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # after an error the pending figures may be what failed: do not touch them
        if kind is None and self._latest is not None and self._shown is not None and self._latest[0] != self._shown[0]:
            self._show()
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self) -> None:
        assert self._latest is not None
        step, now, figures = self._latest
        self._shown = step, now
        status = self._status(step, now, figures)
        if self._bar is None:
            say(f"{self.label} {status}", self._stream)
        else:
            assert self._task is not None
            self._bar.update(self._task, completed=min(step, self.total), status=status)

    def _status(self, step: int, now: float, figures: dict[str, Any]) -> str:
        words = [f"{step}/{self.total}", f"{100 * step // self.total}%"]
        words += [f"{name} {format_figure(value)}" for name, value in figures.items()]
        assert self._first is not None
        first_step, first_time = self._first
        if step > first_step and now > first_time:
            rate = (step - first_step) / (now - first_time)
            words.append(f"{rate:.{1 if rate >= 1 else 3}f} {self.unit}/s")
            if step < self.total:
                words.append(f"ETA {format_duration((self.total - step) / rate)}")
        return " ".join(words)


def format_figure(value: Any) -> str:
    """A number in three digits, small and large ones with an exponent (0.412, 2.9e-03); whole numbers and text as they are."""
    if isinstance(value, str | int):
        return str(value)
    number = float(value)
    plain = number == 0 or 0.01 <= abs(number) < 1e5
    return f"{number:.{_decimals(number)}f}" if plain else f"{number:.1e}"


def _decimals(number: float) -> int:
    return 3 if abs(number) < 1 else 2 if abs(number) < 10 else 1


def format_duration(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any: 2:35, 1:02:35."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _start_bar(stream: TextIO, label: str, start: int, total: int) -> "tuple[Bar, TaskID]":
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[status]}", markup=False),
    )
    # what goes to a file or a pipe must not be drawn into for the bar's sake
    bar = Bar(*columns, console=Console(file=stream), redirect_stdout=sys.stdout.isatty())
    task = bar.add_task(label, completed=start, total=total, status="starting")
    bar.start()
    return bar, task
