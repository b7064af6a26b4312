"""A listening socket, a thread for every connection, and one for the network, to which they all queue."""

import contextlib
import ipaddress
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

from snraware_jax.errors import InputError
from snraware_jax.serve.protocol import Limits
from snraware_jax.serve.session import Say, converse
from snraware_jax.serve.work import Answer, Task

POLL = 0.2  # seconds between looks at whether to stop
LINGER = 5.0  # seconds in which a client may take what was sent, and go
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
    except OSError as error:
        raise InputError(f"{address} cannot be listened on ({error}): give another --port, or --host.") from error


def is_loopback(host: str) -> bool:
    """Whether nothing but this computer reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(listener: socket.socket, task: Task, options: Options, stop: threading.Event, say: Say) -> None:
    """Serves the connections of a socket that listens, until `stop` is set.

    Then what is under way has `grace` seconds; of what is not complete by then, images go back as they came.
    """
    jobs: queue.Queue[Job | None] = queue.Queue(options.waiting)
    worker = threading.Thread(target=_work, args=(jobs,), name="network", daemon=True)
    worker.start()
    ask = partial(_ask, jobs, options.patience)
    free, open_ones = threading.Semaphore(options.connections), _Open()
    listener.settimeout(POLL)
    number = 0
    with listener:
        while not stop.is_set():
            if not free.acquire(timeout=POLL):
                continue
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                free.release()
                continue
            number += 1
            open_ones.add(connection)
            attend = partial(_attend, connection, task, ask, options, partial(_with_number, say, number))
            threading.Thread(target=_then, args=(attend, connection, open_ones, free), name=f"{number}", daemon=True).start()
    say("stopping: no new connections")
    if not open_ones.wait(options.grace):
        open_ones.end_reading()
        open_ones.wait(LINGER)
    with contextlib.suppress(queue.Full):  # a series that takes longer than this ends with the process
        jobs.put(None, timeout=LINGER)
        worker.join(LINGER)
    say("stopped")


def _with_number(say: Say, number: int, line: str) -> None:
    # lines may quote what a client sent
    say(f"connection {number}: {''.join(letter if letter.isprintable() else ' ' for letter in line)}")


def _then(attend: Callable[[], None], connection: socket.socket, open_ones: "_Open", free: threading.Semaphore) -> None:
    try:
        attend()
    finally:
        open_ones.discard(connection)
        free.release()


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

    def end_reading(self) -> None:
        """As if every client had ended its stream."""
        with self._changed:
            for connection in self._those:
                with contextlib.suppress(OSError):  # it is gone already
                    connection.shutdown(socket.SHUT_RD)


def _attend(connection: socket.socket, task: Task, ask: Callable, options: Options, say: Say) -> None:
    """One connection, from its first byte to its end."""
    began = time.perf_counter()
    try:
        with connection:
            connection.settimeout(options.idle)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection.makefile("rb") as source, connection.makefile("wb") as sink:
                converse(source, sink, task, ask, options.limits, say)
            connection.shutdown(socket.SHUT_WR)
            _linger(connection)
    except OSError as error:
        say(f"the client is gone ({error or type(error).__name__})")
    say(f"closed after {time.perf_counter() - began:.2f} s")


def _linger(connection: socket.socket) -> None:
    """Reads what is still coming: closed with unread bytes, TCP would take back what was sent."""
    until = time.monotonic() + LINGER
    while (left := until - time.monotonic()) > 0:
        connection.settimeout(left)
        if not connection.recv(1 << 16):
            return


def _ask(jobs: "queue.Queue[Job | None]", patience: float, do: Callable[[], Answer]) -> Answer:
    """What the network's thread answers.

    Raises:
      InputError: if too many wait already.
    """
    future: Future[Answer] = Future()
    try:
        jobs.put((do, future), timeout=patience)
    except queue.Full:
        raise InputError(f"the server is busy: {jobs.maxsize} series were waiting for {patience:g} s; send it again.") from None
    return future.result()


def _work(jobs: "queue.Queue[Job | None]") -> None:
    """Does what is asked, one after the other: the network and its memory belong to this thread."""
    while (job := jobs.get()) is not None:
        do, future = job
        try:
            future.set_result(do())
        except BaseException as error:  # the one who asked should not wait forever
            future.set_exception(error)
        del do, future, job  # a series is not kept until the next one comes
