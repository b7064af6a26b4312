"""A run that cannot go on ends, with the code that says why."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from snraware_jax.errors import BAD_INPUT, INTERRUPTED, STOPPED, STUCK
from snraware_jax.training import health
from snraware_jax.training.clock import Clock


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name in ("INTERVAL", "BETWEEN_QUESTIONS", "PATIENCE"):
        monkeypatch.setattr(health, name, 0.02)


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_sigterm_in_training_is_a_request_and_comes_twice(capfd):
    clock, left = Clock(), []
    with health.Watch(clock, {}, name="process 1 of 3: ", leave=left.append) as watch, clock("step"):
        assert not watch.requested
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for(lambda: watch.requested)
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for(lambda: capfd.readouterr().err.count("process 1 of 3: SIGTERM: saving and leaving after this step"))
        assert (watch.code, left) == (STOPPED, [])


@pytest.mark.parametrize("phase", ["start", "compile", "test"])
def test_sigterm_while_nothing_is_unsaved_ends_at_once(phase):
    clock, left, told = Clock(), [], []
    watch = health.Watch(clock, {}, name="process 1 of 3: ", tell=lambda *what: told.append(what), leave=left.append)
    with watch, clock(phase):
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for(lambda: left)
    assert set(left) == {STOPPED}
    assert told[0] == ("process 1 of 3: stopped by SIGTERM", STOPPED)


def test_a_second_interrupt_ends_at_once():
    clock, left = Clock(), []
    with health.Watch(clock, {}, leave=left.append) as watch, clock("checkpoint"):
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(lambda: watch.requested)
        assert left == []
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(lambda: left)
    assert left == [INTERRUPTED]


def test_what_is_stuck_ends_with_its_threads(capfd):
    now, left = Time(), []
    clock = Clock(now)
    with health.Watch(clock, health.limits(minutes=1), leave=left.append):
        now.seconds = 1e6  # the start has no limit
        with clock("compile"):
            now.seconds += 599
            time.sleep(0.1)
            assert left == []
        with clock("step"):
            now.seconds += 61
            wait_for(lambda: left)
    assert left[0] == STUCK
    error = capfd.readouterr().err
    assert "stuck: step has lasted 61 s" in error
    assert "test_what_is_stuck" in error  # where its threads are


@pytest.mark.parametrize("code", [BAD_INPUT, STOPPED])
def test_the_end_of_another_process_ends_this_one(capfd, code):
    left = []
    with health.Watch(Clock(), {}, told=lambda: ("train.h5: damaged", code), leave=left.append):
        wait_for(lambda: left)
    assert left[0] == code
    assert "another process ended: train.h5: damaged" in capfd.readouterr().err


def test_a_coordinator_that_does_not_answer_is_named(capfd):
    answers = []

    def told() -> None:
        wait_for(lambda: answers)

    said: list[str] = []
    with health.Watch(Clock(), {}, told=told, leave=lambda code: None):
        wait_for(lambda: said.append(capfd.readouterr().err) or "process 0, the coordinator, has not answered" in said[-1])
        answers.append(True)


def test_handlers_of_before_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with health.Watch(Clock(), {}):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
