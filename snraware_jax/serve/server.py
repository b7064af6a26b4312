"""A listening socket, a thread for every connection, and one for the network, to which they all queue."""

import contextlib
import io
import ipaddress
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import Future
from functools import partial
from typing import BinaryIO, NamedTuple

from snraware_jax.errors import InputError
from snraware_jax.serve.protocol import Limits
from snraware_jax.serve.session import Say, converse
from snraware_jax.serve.work import Answer, Task

POLL = 0.2  # seconds between looks at whether to stop
LINGER = 5.0  # seconds in which a client may take what was sent, and go; and, at a stop, the network may end what it does
GIVING_BACK = 20.0  # seconds in which, at a stop, images go back as they came; LINGER is part of it
STOPPING = "the server is stopping: send it again once it runs."
BACKLOG = 64  # connections that wait for their turn


class Options(NamedTuple):
    """How many, how long, how much.

    Attributes:
      connections: served at a time; more wait.
      waiting: series that wait for the network; more go back as they came after `patience`.
      patience: seconds for a place among them.
      idle: seconds in which something must come, or be taken.
      grace: seconds that a stop leaves to measurements under way.
      limits: bytes of a measurement.
    """

    connections: int = 8
    waiting: int = 8
    patience: float = 300.0
    idle: float = 300.0
    grace: float = 30.0
    limits: Limits = Limits()


Job = tuple[Callable[[], Answer], "Future[Answer]"]


def bind(host: str, port: int) -> socket.socket:
    """A socket of this address that does not listen yet: until the server is ready, clients are refused.

    Raises:
      InputError: if the address cannot be had.
    """
    with _address_needed(f"{host}:{port}"), contextlib.ExitStack() as stack:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = stack.enter_context(socket.socket(family, kind, protocol))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        stack.pop_all()  # it is closed where binding fails
    return listener


def listen(listener: socket.socket) -> None:
    """Lets clients connect.

    Raises:
      InputError: if another program listens there.
    """
    with _address_needed(":".join(map(str, listener.getsockname()[:2]))):
        listener.listen(BACKLOG)


@contextlib.contextmanager
def _address_needed(address: str) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeError) as error:  # UnicodeError: of a name that no computer can have
        raise InputError(f"{address} cannot be listened on ({error}): give another --port, or --host.") from error


def is_loopback(host: str) -> bool:
    """Whether nothing but this computer reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(listener: socket.socket, task: Task, options: Options, stop: threading.Event, say: Say) -> bool:
    """Serves the connections of a socket that listens, until `stop` is set.

    Then what is under way has `grace` seconds; of what is not done by then, images go back as they came, whether they are still
    received, wait for the network, or are with it.

    Returns:
      Whether the network is at rest; where it is not, what it does can only end with the process.
    """
    jobs: queue.Queue[Job | None] = queue.Queue(options.waiting)
    worker = threading.Thread(target=_work, args=(jobs,), name="network", daemon=True)
    worker.start()
    ended, open_ones = threading.Event(), _Open()
    attend = partial(_attend, task=task, ask=partial(_ask, jobs, options.patience, ended), options=options, ended=ended)
    with listener:
        _accept(listener, options.connections, open_ones, attend, stop, say)
    say("stopping: no new connections")
    if not open_ones.wait(options.grace):
        ended.set()
        open_ones.wait(GIVING_BACK)
    with contextlib.suppress(queue.Full):  # of series that nobody waits for any more, behind the one that the network is at
        jobs.put(None, timeout=LINGER)
        worker.join(LINGER)
    say("stopped")
    return not worker.is_alive()


def _accept(
    listener: socket.socket, most: int, open_ones: "_Open", attend: Callable[..., None], stop: threading.Event, say: Say
) -> None:
    """Starts a thread for every connection, of `most` at a time, until `stop` is set."""
    free, number, told = threading.Semaphore(most), 0, ""
    listener.settimeout(POLL)
    while not stop.is_set():
        if not free.acquire(timeout=POLL):
            continue
        try:
            connection, _ = listener.accept()
            number += 1
            attend_this = partial(attend, connection, say=partial(_with_number, say, number))
            _start(attend_this, f"{number}", connection, open_ones, free)
            told = ""
        except TimeoutError:
            free.release()
        except (OSError, RuntimeError) as error:  # no file or no thread to be had, or this client's network: it passes
            free.release()
            if told != str(error):  # it may stay for hours
                told = str(error)
                say(f"a connection cannot be served ({told}): tried again every {POLL:g} s")
            stop.wait(POLL)


def _start(
    attend: Callable[[], None], name: str, connection: socket.socket, open_ones: "_Open", free: threading.Semaphore
) -> None:
    """Attends to a connection in a thread, which makes room for another one at its end.

    Raises:
      RuntimeError: if the system has no thread for it; the connection is closed then.
    """

    def run() -> None:
        try:
            attend()
        finally:
            open_ones.discard(connection)
            free.release()

    open_ones.add(connection)
    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError:
        open_ones.discard(connection)
        connection.close()
        raise


def _with_number(say: Say, number: int, line: str) -> None:
    # lines may quote what a client sent
    say(f"connection {number}: {''.join(letter if letter.isprintable() else ' ' for letter in line)}")


class _Open:
    """Connections that are open."""

    def __init__(self) -> None:
        self._those: set[socket.socket] = set()
        self._changed = threading.Condition()

    def add(self, connection: socket.socket) -> None:
        with self._changed:
            self._those.add(connection)

    def discard(self, connection: socket.socket) -> None:
        with self._changed:
            self._those.discard(connection)
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Whether none is left after at most so long."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._those, seconds)


class _Source(io.RawIOBase):
    """What a client sends, for `idle` seconds without a byte, and until `ended` is set.

    A socket's own file would have to be shut down to wake its reader: `_linger` could not read on then, and a client that sends
    faster than it is read would not be ended at all.
    """

    def __init__(self, connection: socket.socket, idle: float, ended: threading.Event) -> None:
        self._connection, self._idle, self._ended = connection, idle, ended

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        """As `io.RawIOBase` has it.

        Raises:
          InputError: if the server is stopping.
          TimeoutError: if nothing came.
        """
        until = time.monotonic() + self._idle
        try:
            while not self._ended.is_set():
                self._connection.settimeout(min(POLL, max(until - time.monotonic(), 0.001)))  # 0: one that does not wait
                try:
                    return self._connection.recv_into(buffer)
                except TimeoutError:
                    if time.monotonic() >= until:
                        raise
        finally:
            self._connection.settimeout(self._idle)  # of writing
        raise InputError(STOPPING)


def _attend(connection: socket.socket, task: Task, ask: Callable, options: Options, ended: threading.Event, say: Say) -> None:
    """One connection, from its first byte to its end."""
    began = time.perf_counter()
    try:
        with connection:
            connection.settimeout(options.idle)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with io.BufferedReader(_Source(connection, options.idle, ended)) as source, _sink(connection) as sink:
                converse(source, sink, task, ask, options.limits, say)
            connection.shutdown(socket.SHUT_WR)
            _linger(connection)
    except TimeoutError:
        say(f"the client took nothing for {options.idle:g} s: it has to read what is sent; or raise --idle")
    except OSError as error:
        say(f"the client is gone ({error or type(error).__name__})")
    say(f"closed after {time.perf_counter() - began:.2f} s")


@contextlib.contextmanager
def _sink(connection: socket.socket) -> Iterator[BinaryIO]:
    """What a client is sent; where that fails, what is left in a buffer is not tried once more, for as long again."""
    sink = connection.makefile("wb")
    try:
        yield sink
    except OSError:
        with contextlib.suppress(OSError):  # it is gone already
            connection.shutdown(socket.SHUT_RDWR)
        raise
    finally:
        with contextlib.suppress(OSError):  # that of before says more
            sink.close()


def _linger(connection: socket.socket) -> None:
    """Reads what is still coming: closed with unread bytes, TCP would take back what was sent."""
    until = time.monotonic() + LINGER
    with contextlib.suppress(TimeoutError):  # it has everything, and stays
        while (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(1 << 16):
                return


def _ask(jobs: "queue.Queue[Job | None]", patience: float, ended: threading.Event, do: Callable[[], Answer]) -> Answer:
    """What the network's thread answers.

    Raises:
      InputError: if too many wait already, or `ended` is set before it answers.
    """
    future: Future[Answer] = Future()
    _put(jobs, (do, future), patience, ended)
    while not future.done():
        if ended.is_set():
            future.cancel()  # not to be begun; what is begun nobody waits for
            raise InputError(STOPPING)
        futures.wait([future], POLL)
    return future.result()


def _put(jobs: "queue.Queue[Job | None]", job: Job, patience: float, ended: threading.Event) -> None:
    until = time.monotonic() + patience
    while not ended.is_set():
        try:
            return jobs.put(job, timeout=min(POLL, max(until - time.monotonic(), 0)))
        except queue.Full:
            if time.monotonic() >= until:
                raise InputError(
                    f"the server is busy: {jobs.maxsize} series were waiting for {patience:g} s; send it again."
                ) from None
    raise InputError(STOPPING)


def _work(jobs: "queue.Queue[Job | None]") -> None:
    """Does what is asked, one after the other: the network and its memory belong to this thread."""
    while (job := jobs.get()) is not None:
        do, future = job
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(do())
            except BaseException as error:  # the one who asked should not wait forever
                future.set_exception(error)
        del do, future, job  # a series is not kept until the next one comes
