"""Several processes of one run: how they find one another, wait for one another, and hear of one another's faults."""

import json
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any, TypeVar

import jax
from jax._src import distributed  # the coordinator's barriers and key-value store have no public names
from jax.experimental import multihost_utils

from snraware_jax.errors import BAD_INPUT, INTERRUPTED, STOPPED, InputError, describe

ADDRESS, COUNT, NUMBER = VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
LONGEST_WAIT = 24 * 3600.0  # seconds for work that one process does for all; a process that dies ends the wait by its heartbeat
Number = TypeVar("Number", int, float)
FAULTS, HEARD = "snraware/faults/", "snraware/heard/"
TOGETHER = (BAD_INPUT, STOPPED, INTERRUPTED)  # codes with which all leave
LONGEST_HEARING = 15.0  # seconds until a process no longer waits for the others to hear of a fault, which they ask for every 2
HEAD_START = 1.0  # seconds that the others have to leave before process 0


def join(heartbeat: float) -> None:
    """Makes this process one of several, if it was started as one: by Cloud TPU, SLURM or Open MPI, or by three variables.

    Elsewhere JAX_COORDINATOR_ADDRESS (HOST:PORT of process 0), JAX_NUM_PROCESSES and JAX_PROCESS_ID say so. To be called before
    anything else of JAX. A process that is alone stays so.

    Args:
      heartbeat: seconds of silence after which a process counts as lost, and the others leave.

    Raises:
      InputError: if the variables contradict one another.
    """
    seconds = max(1, round(heartbeat)) if math.isfinite(heartbeat) else 60  # which `validate` refuses afterwards
    jax.config.update("jax_enable_preemption_service", False)  # its handler of SIGTERM would take the signal from health.Watch
    options: dict[str, Any] = {"heartbeat_timeout_seconds": seconds, "shutdown_timeout_seconds": seconds}
    given = _given()
    if given is not None:
        address, count, number = given
        if address.rpartition(":")[0] in LOOPBACK:
            options["coordinator_bind_address"] = address  # and to no other network
        jax.distributed.initialize(address, count, number, **options)
        return
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Kubernetes environment detected")  # of no interest to a process that is alone
            jax.distributed.initialize(**options)
    except ValueError as error:
        if "coordinator_address" not in str(error):  # what JAX says where it finds no cluster
            raise


def _given() -> tuple[str, int, int] | None:
    """Address, number of processes and of this one by the variables, or None if there are none of them."""
    values = {name: os.environ.get(name, "") for name in VARIABLES}
    if not any(values.values()):
        return None
    missing = [name for name, value in values.items() if not value]
    if missing:
        raise InputError(f"{missing[0]} is not set; one of several processes needs all of {', '.join(VARIABLES)}")
    host, _, port = values[ADDRESS].rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"{ADDRESS} is {values[ADDRESS]!r}: give HOST:PORT of process 0, {ADDRESS}=127.0.0.1:12345")
    if not (values[COUNT].isdecimal() and values[NUMBER].isdecimal() and int(values[NUMBER]) < int(values[COUNT])):
        raise InputError(f"{NUMBER} is {values[NUMBER]} of {COUNT} {values[COUNT]}: processes are numbered from 0")
    return values[ADDRESS], int(values[COUNT]), int(values[NUMBER])


def alone() -> bool:
    """Whether the run has this process only."""
    return jax.process_count() == 1


def name() -> str:
    """What messages call this process: "" if it is alone."""
    return "" if alone() else f"process {jax.process_index()} of {jax.process_count()}: "


def barrier(key: str, seconds: float) -> None:
    """Waits until every process is here.

    Args:
      key: another one for every barrier of a run.
      seconds: after which a process that has not come is given up.

    Raises:
      jax.errors.JaxRuntimeError: naming the processes that did not come.
    """
    if not alone():
        _client().wait_at_barrier(f"snraware/{key}", round(1000 * seconds))


def first_for_all(key: str, work: Callable[[], None]) -> None:
    """Process 0 does `work` while the others wait; bad input that it meets is raised in all of them.

    Args:
      key: another one for every use in a run.
      work: of one process.

    Raises:
      InputError: as `work`.
    """
    if alone():
        work()
        return
    verdict = f"snraware/first/{key}"
    if jax.process_index() == 0:
        try:
            work()
        except (InputError, OSError) as error:
            _client().key_value_set(verdict, f"!{describe(error)}")
            raise
        _client().key_value_set(verdict, "done")
    elif (answer := _client().blocking_key_value_get(verdict, round(1000 * LONGEST_WAIT))).startswith("!"):
        raise InputError(answer[1:])


def of_first(number: Number) -> Number:
    """A number as process 0 has it, of 31 bits if whole, else in float32."""
    return number if alone() else type(number)(multihost_utils.broadcast_one_to_all(number))


def same_as_first(key: str, values: Mapping[str, Any]) -> None:
    """Refuses a process that has other values than process 0, and would train something else; waits until all have been looked at.

    Args:
      key: another one for every use in a run.
      values: JSON values by name.

    Raises:
      InputError: naming the process and what differs.
    """
    text = json.dumps(dict(values))
    mine, first = json.loads(text), json.loads(_text_of_first(key, text))
    different = [field for field in sorted(mine.keys() | first.keys()) if mine.get(field) != first.get(field)]
    if different:
        listed = ", ".join(f"{field} {mine.get(field)}, there {first.get(field)}" for field in different[:4])
        raise InputError(f"{name()}not as process 0 ({listed}); start all processes with the same command and records")
    barrier(f"same/{key}", LONGEST_WAIT)


def _text_of_first(key: str, text: str) -> str:
    if alone():
        return text
    if jax.process_index() == 0:
        _client().key_value_set(f"snraware/text/{key}", text)
        return text
    return _client().blocking_key_value_get(f"snraware/text/{key}", round(1000 * LONGEST_WAIT))


def tell(why: str, code: int) -> None:
    """Lets the others know why this one is about to leave, and with which code all shall, if there is a coordinator to tell."""
    if not alone():
        with suppress(RuntimeError):
            _client().key_value_set(f"{FAULTS}{jax.process_index()}", f"{code} {why}", allow_overwrite=True)


def told() -> tuple[str, int] | None:
    """Why another process is about to leave, and with which code; None if none has said so."""
    for key, told_by in [] if alone() else _client().key_value_dir_get(FAULTS):
        if not key.endswith(f"/{jax.process_index()}"):
            code, _, why = told_by.partition(" ")
            return why, int(code)
    return None


def leave(code: int) -> None:
    """Ends this process at once, without the barrier at which JAX waits for the others.

    The end of process 0, where the coordinator is, aborts all that are still there, so that it comes a little later. What one has told
    the others ends all at the same time, when the last has heard of it: whose peer is gone fails in its next exchange of data, or is
    aborted by the coordinator, before it has heard why.
    """
    with suppress(OSError):  # of a pipe that is gone
        sys.stdout.flush()
    if not alone():
        if code in TOGETHER:
            with suppress(RuntimeError):  # the coordinator has left before
                _wait_until_all_have_heard()
        if jax.process_index() == 0:
            time.sleep(HEAD_START)
    os._exit(code)


def _wait_until_all_have_heard() -> None:
    _client().key_value_set(f"{HEARD}{jax.process_index()}", "", allow_overwrite=True)
    end = time.monotonic() + LONGEST_HEARING
    while len(_client().key_value_dir_get(HEARD)) < jax.process_count() and time.monotonic() < end:
        time.sleep(0.05)


class Meeting(AbstractContextManager):
    """Barriers inside a piece of work of all processes: where one of them fails, the others are told instead of left waiting.

        with Meeting("save/3", seconds=600) as meeting:
            write(...)
            meeting()  # raises here in every process, if `write` failed in one

    Args:
      key: another one for every use in a run.
      seconds: that processes wait for one another.
    """

    def __init__(self, key: str, seconds: float) -> None:
        self._key, self._seconds, self._count, self._told = key, seconds, 0, False

    def __call__(self, **_: Any) -> None:
        """Waits for every process; its signature is that of Orbax's `barrier_sync_fn`.

        Raises:
          OSError: if the work of another process has failed.
        """
        if alone():
            return
        self._wait()
        if faults := _client().key_value_dir_get(f"snraware/failed/{self._key}/"):
            self._told = True
            raise OSError(faults[0][1])

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None and not self._told and not alone():
            text = " ".join(str(error).split())[:300]
            _client().key_value_set(f"snraware/failed/{self._key}/{jax.process_index()}", f"{name()}{text}")
            self._wait()  # where the others are, or will be

    def _wait(self) -> None:
        self._count += 1
        barrier(f"{self._key}/{self._count}", self._seconds)


def _client() -> Any:
    return distributed.global_state.client
