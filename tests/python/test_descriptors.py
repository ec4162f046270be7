"""Sockets and raw files cross as duplicates of their descriptors, which are never lost."""

from __future__ import annotations

import fcntl
import io
import os
import resource
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import isthmus
from _sample_types import Explodes
from _subprocess import SANITIZED


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def no_descriptor_left(interp: isthmus.Interpreter) -> Iterator[None]:
    # Helpers and ends may make descriptors of their own: before the count is taken.
    interp.run("import io, socket")
    start = open_descriptors()
    yield
    interp.run("import gc\nfor name in ('s', 'f', 'got'): globals().pop(name, None)\ngc.collect()")
    assert open_descriptors() == start


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    a, b = socket.socketpair()
    with a, b:
        yield a, b


@pytest.fixture
def file(tmp_path: Path) -> Iterator[io.FileIO]:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with path.open("rb+", buffering=0) as opened:
        yield opened


type Pair = tuple[socket.socket, socket.socket]


def test_a_socket_works_on_both_sides(interp: isthmus.Interpreter, pair: Pair) -> None:
    a, b = pair
    interp.run("assert type(s) is socket.socket\ns.sendall(b'from there')", s=a)
    assert b.recv(99) == b"from there"
    interp.run("s.close()")
    a.sendall(b"from here")
    assert b.recv(99) == b"from here"


def test_the_original_may_be_closed_first(interp: isthmus.Interpreter, pair: Pair) -> None:
    a, b = pair
    interp.prepare_main(s=a)
    a.close()
    interp.run("s.sendall(b'still there')\ns.close()")
    assert b.recv(99) == b"still there"
    assert b.recv(99) == b""


@pytest.mark.parametrize("timeout", [None, 0.0, 2.5])
def test_what_a_socket_is_arrives(interp: isthmus.Interpreter, timeout: float | None) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP) as s:
        s.settimeout(timeout)
        told = interp.call(lambda s: (s.family, s.type, s.proto, s.gettimeout(), s.getblocking()), s)
        assert told == (s.family, s.type, s.proto, timeout, timeout != 0)
        inherited = interp.call(lambda s: s.get_inheritable(), s)
        assert inherited is False


def test_a_listening_socket_accepts_over_there(interp: isthmus.Interpreter) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
        interp.call(lambda server: server.accept()[0], server) as accepted,
    ):
        accepted.sendall(b"hello")
        assert client.recv(99) == b"hello"


def test_a_raw_file_shares_its_position(interp: isthmus.Interpreter, file: io.FileIO) -> None:
    assert file.read(2) == b"01"
    told = interp.call(lambda f: (type(f).__name__, f.mode, f.name, f.read(3), f.closefd), file)
    assert told == ("FileIO", "rb+", file.name, b"234", True)
    assert file.tell() == 5
    interp.call(lambda f: (f.seek(0), f.write(b"ab")), file)
    assert file.tell() == 2
    assert file.read() == b"23456789"
    file.seek(0)
    assert file.read(2) == b"ab"


@pytest.mark.parametrize("mode", ["rb", "wb", "ab", "xb", "rb+", "ab+"])
def test_modes_of_raw_files(interp: isthmus.Interpreter, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "file"
    if "x" not in mode:
        path.write_bytes(b"0123456789")
    with path.open(mode, buffering=0) as f:
        assert isinstance(f, io.FileIO)
        f.seek(4)
        size = path.stat().st_size
        got = interp.call(lambda f: (f.mode, f.tell(), f.readable(), f.writable()), f)
        assert got == (f.mode, 4, f.readable(), f.writable())
        assert (f.tell(), path.stat().st_size) == (4, size)  # neither moved nor emptied


def test_a_pipe_opened_to_append_and_a_bare_number(interp: isthmus.Interpreter) -> None:
    reading, writing = os.pipe()
    try:
        with io.FileIO(writing, "ab", closefd=False) as wrapped:
            assert interp.call(lambda f: f.write(b"by number"), wrapped) == 9
            name = interp.call(lambda f: f.name == f.fileno(), wrapped)
        assert name is True
        assert os.read(reading, 99) == b"by number"
    finally:
        os.close(reading)
        os.close(writing)


def test_shared_references_stay_shared(interp: isthmus.Interpreter, pair: Pair, file: io.FileIO) -> None:
    given = [pair[0], {"again": pair[0], "file": file}, file]
    assert interp.call(lambda g: (g[0] is g[1]["again"], g[2] is g[1]["file"]), given) == (True, True)


def test_a_closed_one_is_a_value_error(pair: Pair, file: io.FileIO) -> None:
    _, s = ends = isthmus.create_channel(None)
    pair[0].close()
    file.close()
    for value, what in (([pair[0]], "the socket is closed"), ({"f": file}, "the file is closed")):
        with pytest.raises(ValueError, match=what) as caught:
            s.send(value)
        assert isinstance(caught.value, isthmus.NotShareableError)
        assert not isthmus.is_shareable(value)
    for end in ends:
        end.close()


def test_files_with_a_buffer_are_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    for mode in ("r", "w", "rb", "wb", "rb+"):
        with path.open(mode) as f, pytest.raises(isthmus.NotShareableError) as caught:
            isthmus.create_channel(None)[1].send([{"log": f}])
        assert str(caught.value).startswith(f"[0]['log']: _io.{type(f).__name__} can't be sent")
        assert "buffering=0" in str(caught.value)
        assert "closefd=False" in str(caught.value)
    assert not isthmus.is_shareable(sys.stdout)


def test_encrypted_sockets_are_refused(pair: Pair) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    with (
        context.wrap_socket(pair[0], do_handshake_on_connect=False) as wrapped,
        pytest.raises(isthmus.NotShareableError, match=r"\[0\]: ssl\.SSLSocket .* before it is wrapped"),
    ):
        isthmus.create_channel(None)[1].send([wrapped])


# ---- nothing is lost, nothing is left


def test_a_thousand_that_nobody_receives(pair: Pair) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    start = open_descriptors()
    r, s = isthmus.create_channel(None)
    for _ in range(1000):
        s.send(pair[0])
    assert open_descriptors() == start + 1000
    r.close()
    s.close()
    assert open_descriptors() == start
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("end", ["dropped", "closed", "poisoned"])
def test_however_a_channel_ends(pair: Pair, file: io.FileIO, end: str) -> None:
    start = open_descriptors()
    r, s = isthmus.create_channel(None)
    s.send([pair[0], file, pair[1]])
    assert open_descriptors() == start + 3
    if end == "closed":
        r.close()
        s.close()
    elif end == "poisoned":
        s.poison(EOFError)
    del r, s
    isthmus.stats()  # collects a channel that only its own messages refer to
    assert open_descriptors() == start


def test_a_value_that_fails_half_way(interp: isthmus.Interpreter, pair: Pair) -> None:
    start = open_descriptors()
    _, s = ends = isthmus.create_channel(None)
    with pytest.raises(isthmus.NotShareableError, match=r"\[1\]: _thread.lock"):
        s.send([pair[0], threading.Lock()])
    assert open_descriptors() == start
    # Rebuilt as far as the socket, then a failure.
    with pytest.raises(ZeroDivisionError):
        interp.run("pass", value=[pair[0], Explodes()])
    assert open_descriptors() == start
    assert isthmus.is_shareable(pair[0])
    assert open_descriptors() == start
    for end in ends:
        end.close()


def test_an_interpreter_that_ends_closes_what_it_received(pair: Pair) -> None:
    a, b = pair
    with isthmus.create() as other:
        other.prepare_main(s=a)
        a.close()
        b.settimeout(0)
        with pytest.raises(BlockingIOError):
            b.recv(1)
    assert b.recv(1) == b""


@pytest.mark.skipif(SANITIZED, reason="UBSan looks at objects through a pipe: without one all are bad")
def test_no_descriptor_left_is_an_error_and_nothing_is_lost(
    interp: isthmus.Interpreter, pair: Pair, ends: tuple[isthmus.RecvChannel, isthmus.SendChannel]
) -> None:
    r, s = ends
    s.send("before")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = fcntl.fcntl(pair[0], fcntl.F_DUPFD_CLOEXEC, 0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            s.send([b"x" * 100_000, pair[0]])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert r.recv_nowait() == "before"
    assert r.recv_nowait("nothing") == "nothing"
    pair[0].sendall(b"works")
    assert pair[1].recv(99) == b"works"


def test_between_two_other_interpreters(new_interp: Callable[..., isthmus.Interpreter], pair: Pair) -> None:
    one, two = new_interp(), new_interp()
    r, s = isthmus.create_channel(None)
    back_r, back_s = isthmus.create_channel(None)
    start = open_descriptors()
    s.send(pair[0])
    one.run("got = r.recv()\ns.send(got)\ngot.close()", r=r, s=back_s)
    two.run("got = r.recv()\ngot.sendall(b'far')\ngot.close()", r=back_r)
    assert pair[1].recv(99) == b"far"
    assert open_descriptors() == start


def test_the_type_that_travels_is_private(pair: Pair) -> None:
    made: Any = isthmus._isthmus._Descriptor(pair[0].fileno())
    number = made.fileno()
    assert fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    assert made.detach() == number
    assert (made.fileno(), made.detach()) == (-1, -1)
    os.close(number)
    with pytest.raises(OSError, match="Bad file descriptor"):
        isthmus._isthmus._Descriptor(-1)
    assert not hasattr(isthmus, "_Descriptor")
