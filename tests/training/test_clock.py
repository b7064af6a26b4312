"""Every second of a run is counted once, for the phase that it went into."""

import pytest

from snraware_jax.training.clock import Clock, productive


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_phases_inside_others_are_not_counted_twice():
    now = Time()
    clock = Clock(now)
    now.seconds += 1
    with clock("step"):
        now.seconds += 2
        with clock("data"):
            now.seconds += 4
            assert clock.current() == ("data", 4)
            assert clock.spent("step", "data") == 6
        now.seconds += 8
        assert clock.current() == ("step", 8)
    assert {name: spent for name, spent in clock.seconds.items() if spent} == {"start": 1, "step": 10, "data": 4}
    assert clock.total() == sum(clock.seconds.values()) == 15


def test_a_phase_that_fails_is_counted_and_ends():
    now = Time()
    clock = Clock(now)

    def fail() -> None:
        with clock("checkpoint"):
            now.seconds += 3
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert clock.seconds["checkpoint"] == 3
    assert clock.current() == ("start", 0)


def row(start: int, from_step: int, step: int, seconds: float) -> dict:
    return {"start": start, "from_step": from_step, "step": step, "productive_s": seconds}


def test_steps_that_were_lost_are_not_productive():
    """The first start made 30 steps and saved at 20; the second made 20 to 40 and saved at 40, from where the third goes on."""
    rows = [
        row(0, 0, 10, 1.0),
        row(0, 0, 20, 2.0),
        row(0, 0, 30, 3.0),
        row(1, 20, 30, 5.0),
        row(1, 20, 40, 9.0),
        row(1, 20, 50, 12.0),
    ]
    assert productive(rows, 40) == 2.0 + 9.0
    assert productive(rows, 50) == 2.0 + 12.0
    assert productive(rows, 10) == 1.0
    assert productive([], 0) == 0.0
