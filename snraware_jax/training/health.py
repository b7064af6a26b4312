"""Ends a run well: signals that ask it to stop, a process that is stuck, another process that has failed."""

import faulthandler
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import FrameType, TracebackType
from typing import Self

from snraware_jax.errors import INTERRUPTED, STOPPED, STUCK
from snraware_jax.progress import say
from snraware_jax.training.clock import Clock

CODES = {signal.SIGTERM: STOPPED, signal.SIGINT: INTERRUPTED}
NOTHING_UNSAVED = ("start", "compile", "test")  # phases that may be left at once
INTERVAL = 1.0  # seconds between looks at the clock
BETWEEN_QUESTIONS = 1.0  # seconds, to the coordinator
PATIENCE = 2.0  # seconds without an answer until the log says so: before a heartbeat of 5 s ends the process


def limits(minutes: float) -> dict[str, float]:
    """Seconds that each phase may last: `minutes`, a compilation ten times as long; start and test have no limit."""
    return dict.fromkeys(("data", "step", "evaluation", "checkpoint", "log"), 60 * minutes) | {"compile": 600 * minutes}


class Watch(AbstractContextManager):
    """While it is open, SIGTERM and Ctrl-C are requests to stop, which the loop asks for with `requested`.

    A thread of its own ends the process where the loop cannot: at a signal while nothing is unsaved, at a second Ctrl-C, when a
    phase lasts longer than it may, and when another process has failed.

    Args:
      clock: that knows what goes on; the loop tells it.
      limits: seconds that a phase may last, of those that have a limit.
      name: of this process in messages, "" or "process 1 of 3: ".
      told: why another process is about to leave, and with which code; or None.
      tell: lets the others know that this one is, before its code.
      leave: ends the process with a code; for tests.
    """

    def __init__(
        self,
        clock: Clock,
        limits: Mapping[str, float],
        *,
        name: str = "",
        told: Callable[[], tuple[str, int] | None] = lambda: None,
        tell: Callable[[str, int], None] = lambda why, code: None,
        leave: Callable[[int], None] = os._exit,
    ) -> None:
        self.clock, self._limits, self._name, self._leave = clock, limits, name, leave
        self._told, self._tell = told, tell
        self._signals: list[int] = []
        self._closed = threading.Event()
        self._asking_since: float | None = None

    @property
    def requested(self) -> bool:
        """Whether this process was asked to stop."""
        return bool(self._signals)

    @property
    def code(self) -> int:
        """The exit code of a process that was asked to stop, or whose run was."""
        return CODES[signal.Signals(self._signals[0])] if self._signals else STOPPED

    def __enter__(self) -> Self:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        # Python's own handlers run between two lines of the main thread, so not during a compilation; the pipe is written at once
        self._former_pipe = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._former = {number: signal.signal(number, self._take) for number in CODES}
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
        self._thread.start()
        # apart, because a coordinator that is stopped does not answer
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._former_pipe)
        self._closed.set()
        os.write(self._write, b"\0")
        self._thread.join()
        os.close(self._read)
        os.close(self._write)

    def _take(self, number: int, frame: FrameType | None) -> None:
        """The handler does nothing: the thread has read the number from the pipe."""

    def _look(self) -> None:
        silent = False
        while True:
            ready, _, _ = select.select([self._read], [], [], INTERVAL)
            numbers = os.read(self._read, 64) if ready else b""
            if 0 in numbers:
                return
            for number in numbers:
                if number in CODES:
                    self._asked(number)
            self._stuck()
            if self._signals and self.clock.current()[0] in NOTHING_UNSAVED:  # asked when the loop had nothing more to ask
                self._stop("stopped")
            since = self._asking_since
            waiting = since is not None and time.monotonic() - since > PATIENCE
            if waiting and not silent:
                self._say(f"process 0, the coordinator, has not answered for {PATIENCE:.0f} s")
            silent = waiting

    def _listen(self) -> None:
        while not self._closed.wait(BETWEEN_QUESTIONS):
            self._asking_since = self._asking_since or time.monotonic()
            try:
                heard = self._told()
            except RuntimeError:  # no answer, which the log says after a while
                continue
            self._asking_since = None
            if heard:
                why, code = heard
                self._end(f"another process ended: {why}", code)

    def _asked(self, number: int) -> None:
        # SIGTERM may come twice, from a scheduler and from a loop that passes it on; Ctrl-C twice is meant
        again = number == signal.SIGINT and number in self._signals
        self._signals.append(number)
        phase, _ = self.clock.current()
        if again or phase in NOTHING_UNSAVED:
            self._stop(f"stopped by {signal.Signals(number).name}")
        else:
            self._say(f"{signal.Signals(number).name}: saving and leaving after this step")

    def _stop(self, why: str) -> None:
        """Leaves at once, and the others with this one: they may wait for it in an exchange, as in the first step."""
        self._tell(f"{self._name}{why}", self.code)
        self._end(f"{why}; the same command goes on from the newest checkpoint", self.code)

    def _stuck(self) -> None:
        phase, seconds = self.clock.current()
        if seconds > self._limits.get(phase, float("inf")):
            self._say(f"stuck: {phase} has lasted {seconds:.0f} s; where its threads are:")
            faulthandler.dump_traceback(all_threads=True)
            self._end("the same command goes on from the newest checkpoint", STUCK)

    def _say(self, text: str) -> None:
        say(f"train: {self._name}{text}", sys.stderr)

    def _end(self, text: str, code: int) -> None:
        self._say(text)
        self._leave(code)
