"""What the time of a run goes into: seconds of each phase, and what is going on now."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

PHASES = ("start", "compile", "data", "step", "evaluation", "checkpoint", "log", "test")


class Clock:
    """Seconds of each phase since the clock was made.

        clock = Clock()
        with clock("compile"):
            ...
        clock.seconds["compile"], clock.current()

    Args:
      now: seconds from any origin; for tests.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.began = now()
        self.seconds: dict[str, float] = dict.fromkeys(PHASES, 0.0)
        self._going_on = "start", self.began  # one value: other threads read it

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Counts the time inside for `phase`, and what follows for the phase around it."""
        around, _ = self.current()
        self._switch(phase)
        try:
            yield
        finally:
            self._switch(around)

    def current(self) -> tuple[str, float]:
        """The phase that goes on, and for how many seconds it has."""
        phase, since = self._going_on
        return phase, self._now() - since

    def total(self) -> float:
        """Seconds since the clock was made."""
        return self._now() - self.began

    def spent(self, *phases: str) -> float:
        """Seconds in some phases so far, the one that goes on included."""
        phase, for_seconds = self.current()
        return sum(self.seconds[name] for name in phases) + (for_seconds if phase in phases else 0.0)

    def _switch(self, phase: str) -> None:
        now = self._now()
        former, since = self._going_on
        self.seconds[former] += now - since
        self._going_on = phase, now


def productive(rows: Iterable[Mapping[str, Any]], first_step: int) -> float:
    """Seconds of earlier starts that went into steps which the run still has.

    Args:
      rows: of timing.jsonl, each with `start` (which start of the run wrote it), `from_step` (where that went on from), `step`, and
        `productive_s`, the seconds of steps since that start which were not gone back behind.
      first_step: the step that this start goes on from; what was done beyond it is lost.
    """
    starts: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        starts.setdefault(row["start"], []).append(row)
    kept, limit = 0.0, first_step
    for number in sorted(starts, reverse=True):
        counted = [row for row in starts[number] if row["step"] <= limit]
        kept += counted[-1]["productive_s"] if counted else 0.0
        limit = min(limit, starts[number][0]["from_step"])
    return kept
