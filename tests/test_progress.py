"""Progress with a fake clock: what a log gets, and that a terminal gets a bar."""

import contextlib
import io
import os
import subprocess
import sys

import numpy as np
import pytest

from snraware_jax.progress import Progress, format_duration, format_figure, say


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Log(io.StringIO):
    """A log file that counts how often it was flushed."""

    flushes = 0

    def flush(self) -> None:
        self.flushes += 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(stream, steps, seconds_per_step=1.0, **arguments):
    clock = Clock()
    with Progress(steps, "train", stream=stream, clock=clock, **arguments) as progress:
        for step in range(progress.start + 1, steps + 1):
            clock.now += seconds_per_step
            progress.update(step, loss=1 / step, lr=2.9e-3)
    return stream.getvalue()


def test_a_log_gets_the_first_the_last_and_a_line_every_30_s():
    log = Log()
    lines = run(log, 100).splitlines()
    assert lines == [
        "train 1/100 1% loss 1.00 lr 2.9e-03",
        "train 31/100 31% loss 0.032 lr 2.9e-03 1.0 steps/s ETA 1:09",
        "train 61/100 61% loss 0.016 lr 2.9e-03 1.0 steps/s ETA 0:39",
        "train 91/100 91% loss 0.011 lr 2.9e-03 1.0 steps/s ETA 0:09",
        "train 100/100 100% loss 0.010 lr 2.9e-03 1.0 steps/s",
    ]
    assert log.flushes >= len(lines)


def test_the_rate_does_not_count_the_first_step_and_what_was_done_before():
    clock, log = Clock(), io.StringIO()
    with Progress(1000, "train", start=500, stream=log, clock=clock) as progress:
        clock.now = 3600.0  # compiles
        progress.update(501)
        clock.now += 50
        progress.update(601)
    assert log.getvalue().splitlines()[-1] == "train 601/1000 60% 2.0 steps/s ETA 3:20"


def test_a_slow_rate_keeps_its_digits():
    assert "0.050 steps/s" in run(io.StringIO(), 4, seconds_per_step=20)


def test_the_last_state_is_shown_when_the_loop_stops_early():
    log = io.StringIO()
    with Progress(100, "train", stream=log, clock=Clock()) as progress:
        for step in range(1, 6):
            progress.update(step)
    assert [line.split()[1] for line in log.getvalue().splitlines()] == ["1/100", "5/100"]


def test_an_error_passes_and_pending_figures_are_left_alone():
    class Failed:
        def __float__(self):
            raise AssertionError("a figure that was not due was fetched")

    def interrupted():
        with Progress(9, "train", stream=log, clock=Clock()) as progress:
            progress.update(1)
            progress.update(2, loss=Failed())
            raise KeyboardInterrupt

    log = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert log.getvalue() == "train 1/9 11%\n"


def test_silent_when_not_enabled():
    assert run(io.StringIO(), 5, enabled=False) == ""
    log = io.StringIO()
    with Progress(5, "train", enabled=False, stream=log) as progress:
        progress.note("nothing")
    assert log.getvalue() == ""


def test_a_note_is_a_line_of_its_own():
    log = Log()
    with Progress(5, "train", stream=log) as progress:
        progress.note("checkpoint [5] saved")
    assert log.getvalue() == "checkpoint [5] saved\n"
    assert log.flushes >= 1


def test_a_terminal_gets_a_bar_and_notes_above_it(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal, clock = Terminal(), Clock()
    with Progress(10, "train", stream=terminal, clock=clock) as progress:
        progress.update(1, loss=0.5)
        progress.note("checkpoint [5] saved")
        clock.now = 9.0
        progress.update(10, loss=0.412)
    shown = terminal.getvalue()
    assert "\x1b[" in shown
    assert "━" in shown
    assert "checkpoint [5] saved" in shown
    assert "10/10 100% loss 0.412 1.0 steps/s" in shown


def test_a_dumb_terminal_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert run(Terminal(), 2).splitlines()[0] == "train 1/2 50% loss 1.00 lr 2.9e-03"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.4123, "0.412"), (2.9e-3, "2.9e-03"), (12.345, "12.3"), (0.0, "0.000"), (-3.14159, "-3.14"), (1e6, "1.0e+06"),
     (7, "7"), ("best", "best"), (np.float32(0.5), "0.500"), (float("nan"), "nan")],
)  # fmt: skip
def test_figures(value, text):
    assert format_figure(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (155.4, "2:35"), (3755, "1:02:35")])
def test_durations(seconds, text):
    assert format_duration(seconds) == text


PRINTS = """
import sys
from snraware_jax.progress import say

for _ in range(3):
    say("nobody reads this", sys.stdout)
sys.exit(75)
"""


def test_a_pipe_that_nobody_reads_changes_no_exit_code():
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run([sys.executable, "-c", PRINTS], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (process.returncode, process.stderr) == (75, "")


def test_a_full_disk_ends_nothing():
    full = open("/dev/full", "w")  # noqa: SIM115 (closing it fails: what could not be written is tried again)
    say("nowhere to go", full)
    with pytest.raises(OSError, match="No space left"):
        print("nowhere to go", file=full, flush=True)
    with contextlib.suppress(OSError):
        full.close()
