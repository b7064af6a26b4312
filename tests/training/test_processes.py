"""Processes that cannot find one another say which variable is wrong; one that is alone needs nobody."""

import json

import pytest

from snraware_jax.errors import BAD_INPUT, STOPPED, InputError
from snraware_jax.training import processes, profile


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            ("127.0.0.1:12345", "2", ""),
            "JAX_PROCESS_ID is not set; one of several processes needs all of JAX_COORDINATOR_ADDRESS",
        ),
        (("", "2", "0"), "JAX_COORDINATOR_ADDRESS is not set"),
        (("127.0.0.1", "2", "0"), "JAX_COORDINATOR_ADDRESS is '127.0.0.1': give HOST:PORT of process 0"),
        (("host:port", "2", "0"), "JAX_COORDINATOR_ADDRESS is 'host:port'"),
        (("127.0.0.1:12345", "2", "2"), "JAX_PROCESS_ID is 2 of JAX_NUM_PROCESSES 2: processes are numbered from 0"),
        (("127.0.0.1:12345", "two", "0"), "of JAX_NUM_PROCESSES two"),
        (("127.0.0.1:12345", "2", "-1"), "JAX_PROCESS_ID is -1"),
    ],
)
def test_wrong_variables_are_refused(monkeypatch, values, message):
    for name, value in zip(processes.VARIABLES, values, strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as error:
        processes.join(60)
    assert message in str(error.value)


def test_one_that_is_alone_needs_nobody():
    done = []
    processes.first_for_all("test", lambda: done.append(True))
    processes.barrier("test", 1)
    processes.tell("nobody", BAD_INPUT)
    with processes.Meeting("test", 1) as meeting:
        meeting()
    assert done == [True]
    assert processes.of_first(3) == 3
    assert (processes.name(), processes.told()) == ("", None)


@pytest.mark.parametrize(("text", "steps"), [("", None), ("10:13", (10, 13)), ("1:1", (1, 1))])
def test_the_steps_of_a_profile(text, steps):
    assert profile.window(text) == steps


@pytest.mark.parametrize("text", ["10", "13:10", "0:3", "a:b", "3:", ":3", "1:2:3", "-1:2"])
def test_no_steps_of_a_profile(text):
    with pytest.raises(ValueError, match="profile.steps=10:13"):
        profile.window(text)


def test_a_profile_is_of_its_steps_and_ends_with_the_run(monkeypatch, tmp_path):
    calls: list[str] = []
    monkeypatch.setattr(profile.jax.profiler, "start_trace", lambda folder: calls.append("start"))
    monkeypatch.setattr(profile.jax.profiler, "stop_trace", lambda: calls.append("stop"))
    for window, total, begun, ended in (("3:5", 9, 2, 5), ("3:50", 4, 2, 4)):
        between = profile.profiler(window, tmp_path, total)
        for done in range(total + 1):
            calls.clear()
            between(done)
            assert calls == (["start"] if done == begun else ["stop"] if done == ended else [])


class Coordinator:
    """The client of one of three processes, whose coordinator has left, or of which one never hears anything."""

    def __init__(self, gone: bool) -> None:
        self.gone, self.looks = gone, 0

    def key_value_set(self, *_, **__):
        if self.gone:
            raise RuntimeError("UNAVAILABLE")

    def key_value_dir_get(self, _):
        self.looks += 1
        return [("heard/0", ""), ("heard/1", "")]


@pytest.mark.parametrize("gone", [True, False])
def test_a_process_leaves_whatever_becomes_of_the_others(monkeypatch, gone):
    coordinator, codes = Coordinator(gone), []
    monkeypatch.setattr(processes, "alone", lambda: False)
    monkeypatch.setattr(processes, "_client", lambda: coordinator)
    monkeypatch.setattr(processes, "LONGEST_HEARING", 0.2)
    monkeypatch.setattr(processes, "HEAD_START", 0.0)
    monkeypatch.setattr(processes.jax, "process_count", lambda: 3)
    monkeypatch.setattr(processes.os, "_exit", codes.append)
    for code in (BAD_INPUT, STOPPED):
        processes.tell("a damaged record", code)
        processes.leave(code)
    assert codes == [BAD_INPUT, STOPPED]
    assert (coordinator.looks > 0) is not gone


def test_a_process_with_other_values_than_the_first_is_refused(monkeypatch):
    first = {"optimizer.lr_peak": 0.003, "train.steps": 8, "data.patch": (4, 16, 16)}
    processes.same_as_first("alone", first)
    monkeypatch.setattr(processes, "_text_of_first", lambda key, text: json.dumps(first))
    processes.same_as_first("same", {**first, "data.patch": [4, 16, 16]})
    with pytest.raises(
        InputError, match=r"^not as process 0 \(optimizer.lr_peak 0.01, there 0.003\); start all processes with"
    ):
        processes.same_as_first("other", first | {"optimizer.lr_peak": 0.01})
    with pytest.raises(InputError, match=r"seed 1, there None, train.steps None, there 8"):
        processes.same_as_first("more", {name: value for name, value in first.items() if name != "train.steps"} | {"seed": 1})
