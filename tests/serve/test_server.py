"""The server as a process: readiness, several clients, killed ones, damage, its end; and its bounds, on a network that waits."""

import errno
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from snraware_jax import cli
from snraware_jax.cli.serve import parse_size
from snraware_jax.errors import InputError
from snraware_jax.serve import server as servers
from snraware_jax.serve.protocol import Limits
from snraware_jax.serve.work import Task
from tests.serve import acceptance
from tests.serve.clients import Halving, cine, exchange, huge_image, images_of, read_replies, stream_of, vanish

pytestmark = pytest.mark.xdist_group("serve")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return acceptance.write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def cases(model):
    return acceptance.cases(model)


@pytest.fixture(scope="module")
def server(model):
    """A process; its end is tested too."""
    running = acceptance.start(model, "--units", "snr", "--max-mb", "8", "--idle", "30", "--connections", "6")
    yield running
    assert acceptance.stop(running) == 0
    log = running.log.read_text()
    assert "Traceback" not in log
    assert log.endswith("serve: stopping: no new connections\nserve: stopped\n")


def test_loopback_and_compiled_before_it_is_ready(server):
    assert server.address[0] == "127.0.0.1"
    assert "compiled in" in server.log.read_text()
    assert "40x48x4 takes" in server.log.read_text()


def test_several_connections_and_killed_clients(server, cases):
    """Every series of 4 connections comes back as `denoising.denoise` makes it, bit for bit."""
    assert acceptance.series_lost(server, cases, connections=4, each=3, killed=2) == 0


def test_damaged_and_oversized(server, cases):
    closed, lost = acceptance.damaged(server, cases, 100)
    assert closed == 100
    assert lost == 0
    assert server.process.poll() is None


def test_oversized_gives_back_what_came(server):
    replies = exchange(server.address, stream_of(images_of(cine()), close=False) + huge_image())
    assert replies.closed
    np.testing.assert_array_equal(replies.series(2001), cine())
    assert "NOT DENOISED: an image of 34,358,689,800 bytes" in replies.texts[0]


class Running:
    """A server in this process, on a network that waits until it is told."""

    def __init__(self, **options):
        self.log, self.stop, self.go, self.begun = [], threading.Event(), threading.Event(), threading.Event()
        self.calls = 0

        class Waiting(Halving):
            def __call__(_, image, g_map):
                self.calls += 1
                self.begun.set()
                assert self.go.wait(30)
                return image / 2

        listener = servers.bind("localhost", 0)
        servers.listen(listener)
        self.address = listener.getsockname()[:2]
        arguments = (listener, Task(Waiting(), units="snr"), servers.Options(**options), self.stop, self.log.append)
        self.thread = threading.Thread(target=servers.serve, args=arguments)
        self.thread.start()

    def end(self) -> None:
        self.go.set()
        self.stop.set()
        self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.fixture
def running():
    started = []

    def run(**options) -> Running:
        started.append(Running(**options))
        return started[-1]

    yield run
    for one in started:
        one.end()


def in_background(work, *arguments) -> tuple[threading.Thread, list]:
    found = []
    thread = threading.Thread(target=lambda: found.append(work(*arguments)))
    thread.start()
    return thread, found


def test_more_than_can_wait_go_back_as_they_came(running):
    """Of four series one is with the network and one waits; the others go back at once, and those two are denoised."""
    server, stream = running(waiting=1, patience=0.1), stream_of(images_of(cine()))
    asked = [in_background(exchange, server.address, stream) for _ in range(4)]
    until = time.monotonic() + 30
    while sum(bool(found) for _, found in asked) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    refused = [found[0] for _, found in asked if found]
    assert len(refused) == 2
    for replies in refused:
        assert "the server is busy: 1 series were waiting for 0.1 s" in replies.texts[-1]
        np.testing.assert_array_equal(replies.series(2001), cine())
    server.go.set()
    for thread, _ in asked:
        thread.join(30)
    others = [found[0] for _, found in asked if not any(found[0] is one for one in refused)]
    for replies in others:
        np.testing.assert_array_equal(replies.series(1001), cine() / 2)
    assert len(others) == 2


def test_more_connections_wait_their_turn(running):
    server, stream = running(connections=1), stream_of(images_of(cine()))
    first, answer = in_background(exchange, server.address, stream)
    assert server.begun.wait(30)
    second, other = in_background(exchange, server.address, stream)
    second.join(0.3)
    assert not other
    assert not any(line.startswith("connection 2") for line in server.log)
    server.go.set()
    first.join(30)
    second.join(30)
    np.testing.assert_array_equal(answer[0].series(1001), other[0].series(1001))


def test_idle_clients_and_stopped_servers_give_back_what_came(running):
    for options, stop in (({"idle": 0.3}, False), ({"grace": 0.1}, True)):
        server = running(**options)
        with socket.create_connection(server.address, timeout=30) as connection, connection.makefile("rb") as source:
            connection.sendall(stream_of(images_of(cine()), close=False))
            if stop:
                time.sleep(0.3)
                server.stop.set()
            assert source.read(2) == struct.pack("<H", 5)
            text = source.read(int.from_bytes(source.read(4), "little")).decode()
            assert "NOT DENOISED" in text
            assert ("nothing came for too long" if not stop else "the server is stopping") in text
            assert source.read().endswith(struct.pack("<H", 4))
        server.end()


def test_a_stop_gives_back_what_the_network_has_not_done(running):
    """Of three series one is with the network, one waits for it, and one for a place; the last two are not begun any more."""
    server, stream = running(waiting=1, grace=0.1), stream_of(images_of(cine()))
    asked = [in_background(exchange, server.address, stream) for _ in range(3)]
    assert server.begun.wait(30)
    time.sleep(0.5)
    server.stop.set()
    for thread, found in asked:
        thread.join(15)
        (replies,) = found
        assert replies.closed
        assert "NOT DENOISED: the server is stopping" in replies.texts[-1]
        np.testing.assert_array_equal(replies.series(2001), cine())
    server.end()
    assert server.calls == 1


def sluggish(address: tuple[str, int]) -> socket.socket:
    """A connection whose system holds next to nothing for it: what it does not read stays with the server."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(30)
    connection.connect(address)
    return connection


def test_a_client_that_is_still_sending_when_the_server_stops(running):
    """It reads only once it has sent everything, a second and more after the server is done with it."""
    server, data = running(grace=1.0), np.tile(cine(), (8, 1, 1))
    with sluggish(server.address) as connection, connection.makefile("rb") as source:
        connection.sendall(stream_of(images_of(data), close=False))
        time.sleep(0.5)
        server.stop.set()
        another = stream_of(images_of(cine()[:1]), close=False)[2 + 1024 :]  # without the configuration
        for _ in range(30):
            time.sleep(0.1)
            connection.sendall(another)
        connection.shutdown(socket.SHUT_WR)
        replies = read_replies(source)
    assert replies.closed
    np.testing.assert_array_equal(replies.series(2001)[: len(data)], data)


def closed_after(server: Running, number: int = 1) -> float:
    """Seconds that a connection was open, by the log."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for line in server.log:
            if found := re.fullmatch(rf"connection {number}: closed after ([0-9.]+) s", line):
                return float(found[1])
        time.sleep(0.02)
    raise AssertionError(server.log)


def test_a_client_that_takes_nothing_is_left_after_idle_seconds(running):
    """Once, not once more for what is still in a buffer; and the log says why."""
    server = running(idle=2.0)
    with sluggish(server.address) as connection:
        connection.sendall(stream_of(images_of(np.tile(cine(), (1, 20, 20))), close=False))
        connection.shutdown(socket.SHUT_WR)
        assert 2 <= closed_after(server) < 4
    assert any("took nothing for 2 s" in line for line in server.log)


def test_a_client_that_stays_is_not_gone(running, monkeypatch):
    """It has everything, CLOSE too, and keeps the connection open."""
    monkeypatch.setattr(servers, "LINGER", 0.2)
    server = running()
    server.go.set()
    with socket.create_connection(server.address, timeout=30) as connection, connection.makefile("rb") as source:
        connection.sendall(stream_of(images_of(cine())))
        assert read_replies(source).closed
        closed_after(server)
    assert not any("gone" in line for line in server.log)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ECONNABORTED, errno.ENETDOWN])
def test_a_connection_that_cannot_be_taken_ends_nothing(running, monkeypatch, number):
    accept, failures = socket.socket.accept, [OSError(number, "cannot")] * 3

    def failing(listener):
        if failures:
            raise failures.pop()
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", failing)
    server = running(connections=1)
    server.go.set()
    np.testing.assert_array_equal(exchange(server.address, stream_of(images_of(cine()))).series(1001), cine() / 2)
    assert sum("cannot be served" in line for line in server.log) == 1


def test_a_thread_that_cannot_start_ends_nothing(running, monkeypatch):
    """Its client is let go, and its place is another's."""
    start, failures = threading.Thread.start, [RuntimeError("can't start new thread")]

    def failing(thread):
        if thread.name.isdecimal() and failures:
            raise failures.pop()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", failing)
    server, stream = running(connections=1), stream_of(images_of(cine()))
    server.go.set()
    with socket.create_connection(server.address, timeout=30) as connection:
        assert connection.recv(1) == b""
    np.testing.assert_array_equal(exchange(server.address, stream).series(1001), cine() / 2)
    began = time.monotonic()
    server.end()
    assert time.monotonic() - began < 20  # not the grace time, which is for connections that are open


BUSY = """
import functools, sys
import jax, jax.numpy as jnp
from snraware_jax import cli
from snraware_jax.inference import denoiser
from snraware_jax.serve import server
from tests.serve.clients import Halving

server.Options, server.LINGER = functools.partial(server.Options, grace=float(sys.argv[1])), 0.5
endless = jax.jit(lambda x: jax.lax.fori_loop(0, 1 << 30, lambda _, x: jnp.tanh(x @ x), x))

class Busy(Halving):
    def __call__(self, image, g_map):
        if image.shape[-2:] == (40, 48):
            endless(jnp.ones((300, 300))).block_until_ready()
        return image / 2

denoiser.load = lambda path: Busy()
sys.exit(cli.main(["serve", "--port=0", "--units=snr"]))
"""


@pytest.mark.parametrize(
    ("grace", "signals", "code"),
    [(0.1, [signal.SIGTERM], 0), (60, [signal.SIGINT, signal.SIGTERM], -signal.SIGTERM)],
    ids=["once", "twice"],
)
def test_a_process_ends_while_the_network_computes(grace, signals, code):
    """With 0 after what is here went back; told twice, by whichever signals, at once."""
    command = [sys.executable, "-c", BUSY, str(grace)]
    process = subprocess.Popen(command, cwd=acceptance.REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = re.match(r"serve: ready on (\S+):(\d+)", process.stdout.readline())
        assert found
        thread, replies = in_background(exchange, (found[1], int(found[2])), stream_of(images_of(cine())))
        time.sleep(1)
        for one in signals:
            process.send_signal(one)
            time.sleep(0.5)
        _, log = process.communicate(timeout=30)
        thread.join(30)
    finally:
        process.kill()
    assert process.returncode == code, log
    if not code:
        np.testing.assert_array_equal(replies[0].series(2001), cine())
        assert log.endswith("serve: stopped\n")


def test_a_client_that_vanishes_is_in_the_log(running):
    server = running(limits=Limits(data=1 << 20))
    server.go.set()
    vanish(server.address, stream_of(images_of(cine()), close=False), after=0.1)
    assert exchange(server.address, stream_of(images_of(cine()))).closed
    server.end()
    assert any("the client is gone" in line for line in server.log)


def test_a_port_that_is_taken():
    with servers.bind("127.0.0.1", 0) as listener:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(listener.getsockname())
        servers.listen(listener)
        with pytest.raises(InputError, match="give another --port, or --host"):
            servers.bind("127.0.0.1", listener.getsockname()[1])
    with pytest.raises(InputError, match="a..b:9002 cannot be listened on .* --host"):
        servers.bind("a..b", 9002)


def test_loopback():
    assert all(map(servers.is_loopback, ("127.0.0.1", "::1", "localhost")))
    assert not any(map(servers.is_loopback, ("0.0.0.0", "::", "192.0.2.1")))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--warm=192"], "--warm 192 is no file, and not a size: type 192x256x30"),
        (["--strength=0"], "--strength 0: give a number above 0, up to 1"),
        (["--noise-sd=-1"], "--noise-sd -1: give a number above 0"),
        (["--port=70000"], "--port 70000: give a number from 0 to 65535"),
        (["--connections=0"], "--connections 0: give a number above 0"),
        (["--max-mb=0"], "--max-mb 0: give a number above 0"),
        (["--idle=1e12"], "--idle 1e+12: give at most 1000000"),
        (["--noise=none.h5"], "none.h5: no such file"),
        ([], "nothing.snr: no such bundle"),
    ],
)
def test_wrong_use(capsys, flags, message):
    assert cli.main(["serve", "-m", "nothing.snr", *flags]) == 2
    assert message in capsys.readouterr().err


def test_sizes():
    assert parse_size("192x256x30") == (30, 192, 256)
    assert parse_size("192x256") == (1, 192, 256)
