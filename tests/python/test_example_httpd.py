"""examples/httpd: built as a user builds it, and asked over HTTP."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import _hosts
from _accounts import PATIENCE
from _httpd_server import HANDLER, Server
from _subprocess import FULL

SOURCES = _hosts.ROOT / "examples" / "httpd"
LARGE = 64 << 20


@pytest.fixture(scope="session")
def cmake_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _hosts.cmake_directory(tmp_path_factory.mktemp("prefix"))


@pytest.fixture(scope="session")
def program(cmake_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    for header, package in (("boost/beast.hpp", "libboost-dev"), ("CLI/CLI.hpp", "libcli11-dev")):
        if not any((Path(folder) / header).is_file() for folder in ("/usr/include", "/usr/local/include")):
            pytest.skip(f"needs {header} (Debian: {package})")
    into = tmp_path_factory.mktemp("httpd")
    return _hosts.build(SOURCES, into, cmake_dir, "-DCMAKE_BUILD_TYPE=Debug") / "httpd"


@pytest.mark.skipif(not FULL, reason="a minute of compiling: with ISTHMUS_TEST_FULL=1")
def test_another_compiler_builds_it(cmake_dir: Path, program: Path, tmp_path: Path) -> None:
    compiler = f"-DCMAKE_CXX_COMPILER={_hosts.tool('clang++')}"
    assert program.is_file()  # else there are no headers
    other = _hosts.build(SOURCES, tmp_path, cmake_dir, compiler, "-DCMAKE_BUILD_TYPE=Debug") / "httpd"
    assert subprocess.run([other, "--help"], capture_output=True, check=False).returncode == 0


@pytest.fixture
def serve(program: Path, cmake_dir: Path, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers; in the end they end, with status 0."""
    servers: list[Server] = []

    def start(*options: str, workers: int = 2) -> Server:
        handler = tmp_path / f"handler{len(servers)}.py"
        handler.write_text(HANDLER)
        log = handler.with_suffix(".log")
        with log.open("w") as err:
            process = subprocess.Popen(
                [program, handler, "--workers", str(workers), "--python", _hosts.PROGRAM, *options],
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                env=_hosts.host_environment(cmake_dir) | {"PYTHONUNBUFFERED": "1"},
            )
        try:
            servers.append(Server(process, log, handler))
        except BaseException:
            process.kill()
            process.wait()
            raise
        return servers[-1]

    yield start
    for each in servers:
        with each.process:
            try:
                status = each.end() if each.process.poll() is None else each.process.returncode
            finally:
                each.process.kill()
            assert status == 0, each.log.read_text()


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    return serve()


def test_large_bodies_come_and_go_without_a_copy(server: Server) -> None:
    body = os.urandom(1 << 20) * (LARGE >> 20)
    before = server.copied()
    status, back = server.ask("/", body)
    assert status == 200
    assert back == body
    assert server.copied() == before
    assert server.end() == 0
    assert server.out.read() == f"payload bytes copied: {before}\n"


def test_one_connection_for_many_requests(server: Server) -> None:
    connection = server.connect()
    for body in (b"", b"small", b"x" * 70_000, b"y" * 4096):
        assert server.ask("/", body, connection) == (200, body)
        kept = connection.sock
        assert kept is not None
    assert server.ask("/nothing", None, connection) == (200, b"")
    assert connection.sock is kept
    connection.close()


def test_what_handlers_see_and_say(server: Server) -> None:
    connection = server.connect()
    connection.request("PUT", "/see", b"abc", {"X-Sent": "caf\xe9"})
    answer = connection.getresponse()
    # What isn't ASCII can't be said in a header.
    assert (answer.status, answer.read()) == (500, b"Internal Server Error\n")
    connection.request("PUT", "/see", b"abc", {"X-Sent": "yes"})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["X-Seen"], answer.read()) == (203, "PUT yes", b"cba")
    connection.request("HEAD", "/see", None, {"X-Sent": "yes"})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["X-Seen"], answer.read()) == (203, "HEAD yes", b"")
    connection.request("HEAD", "/version")
    answer = connection.getresponse()
    assert (answer.headers["Content-Length"], answer.read()) == ("1", b"")
    assert server.ask("/version", None, connection) == (200, b"1")
    connection.close()


def test_chunks(server: Server) -> None:
    connection = server.connect()
    pieces = [b"a" * 10, b"b" * 100_000, b"c"]
    connection.request("POST", "/", iter(pieces), encode_chunked=True)
    assert connection.getresponse().read() == b"".join(pieces)
    assert server.ask("/version", None, connection) == (200, b"1")
    connection.close()


def test_requests_that_are_sent_before_the_answer(server: Server) -> None:
    asked = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n%s\r\n%s"
    many = asked % (b"", b"one") + asked % (b"", b"two") + asked % (b"Connection: close\r\n", b"end")
    back = server.raw(many)
    assert back.count(b"200 OK") == 3
    assert back.index(b"one") < back.index(b"two") < back.index(b"end")


def test_a_handler_that_fails(server: Server) -> None:
    for target in ("/fail", "/wrong", "/split"):
        assert server.ask(target) == (500, b"Internal Server Error\n")
    log = server.log.read_text()
    assert "ValueError: for the log only" in log
    assert 'raise ValueError("for the log only")' in log
    assert "handle must return bytes or" in log
    assert "can't be sent: X" in log


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nbroken header\r\n\r\n", b"400 Bad Request"),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400 Bad Request"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431 Request Header Fields Too Large"),
        (b"POST / HTTP/1.1\r\nContent-Length: 100001\r\n\r\nbegun", b"413 Payload Too Large"),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n186a1\r\n" + b"x" * 100_001,
            b"413 Payload Too Large",
        ),
    ],
    ids=["line", "field", "length", "chunk", "header", "body", "chunks"],
)
def test_requests_that_are_refused(serve: Callable[..., Server], sent: bytes, status: bytes) -> None:
    server = serve("--max-body", "100000", workers=1)
    assert server.raw(sent).startswith(b"HTTP/1.1 " + status)
    assert server.ask("/version") == (200, b"1")


def test_too_many_requests_wait(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve("--max-waiting", "0", workers=1)
    held = tmp_path / "held"
    os.mkfifo(held)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(server.ask, "/hold", os.fsencode(held))
        with held.open("w") as release:  # opened when the handler has opened it
            assert server.ask("/version")[0] == 503
            release.write("done")
        assert first.result() == (200, b"done")
    assert server.ask("/version") == (200, b"1")


SOON = ("--client-timeout", "1")
POST = b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST / HTTP/1.1\r\nContent-Le",
        POST + b"begun",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbeg",
    ],
    ids=["nothing", "header", "body", "chunks"],
)
def test_a_client_that_is_too_slow(serve: Callable[..., Server], sent: bytes) -> None:
    server = serve(*SOON, workers=1)
    assert server.raw(sent) == b""
    assert server.ask("/version") == (200, b"1")


def test_a_connection_that_is_not_used_any_more(serve: Callable[..., Server]) -> None:
    server = serve(*SOON, workers=1)
    asked = server.raw(b"GET /version HTTP/1.1\r\n\r\n")
    assert asked.startswith(b"HTTP/1.1 200")
    assert b"Connection: close" not in asked  # it was kept, and then closed


def test_a_long_body_has_more_time(serve: Callable[..., Server]) -> None:
    server = serve(*SOON, "--slowest", "1", workers=1)  # 100 seconds more
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as long:
        long.sendall(POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        assert long.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"  # its time has begun
        assert server.raw(b"GET") == b""  # what a header may take has passed since
        long.sendall(b"x" * 100)
        assert long.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_client_that_does_not_read(serve: Callable[..., Server]) -> None:
    server = serve(*SOON, "--max-connections", "1", "--slowest", "1GiB", workers=1)
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as deaf:
        deaf.sendall(b"GET /large HTTP/1.1\r\n\r\n")
        assert deaf.recv(15) == b"HTTP/1.1 200 OK"
        assert server.ask("/version") == (200, b"1")  # has its place


def test_a_place_for_one_more(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve("--max-connections", "2", workers=1)
    first, second, third = (server.connect() for _ in range(3))
    for each in (first, second):
        assert server.ask("/version", None, each) == (200, b"1")
    assert server.ask("/version", None, first) == (200, b"1")
    assert server.ask("/version", None, third) == (200, b"1")
    # It took the place of the one that had been idle for longest.
    assert second.sock is not None
    assert second.sock.recv(1) == b""
    assert server.ask("/version", None, first) == (200, b"1")

    # Who is served goes on, and gives way afterwards.
    held = tmp_path / "held"
    os.mkfifo(held)
    with ThreadPoolExecutor(2) as pool:
        busy = pool.submit(server.ask, "/hold", os.fsencode(held), first)
        with held.open("w") as release:
            fresh = socket.create_connection(("127.0.0.1", server.port), PATIENCE)  # in the place of `third`
            assert third.sock is not None
            assert third.sock.recv(1) == b""
            waits = pool.submit(server.ask, "/version")
            fresh.sendall(POST + b"begun")
            release.write("done")
        assert busy.result() == (200, b"done")
        assert waits.result() == (200, b"1")
    fresh.sendall(b"x" * 95)
    assert fresh.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    for closed in (first, second, third, fresh):
        closed.close()


def test_it_ends_while_somebody_waits_for_a_place(serve: Callable[..., Server]) -> None:
    server = serve("--max-connections", "1", workers=1)
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as begun:
        begun.sendall(POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        assert begun.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as waits:
            server.process.send_signal(signal.SIGTERM)
            assert waits.recv(1) == b""
        begun.sendall(b"x" * 100)
        assert begun.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    assert server.process.wait(PATIENCE) == 0


def test_reload_under_load(server: Server) -> None:
    def client() -> list[bytes]:
        connection = server.connect()
        seen: list[bytes] = []
        while not seen or seen[-1] != b"9":
            status, version = server.ask("/version", None, connection)
            assert status == 200
            seen.append(version)
        connection.close()
        return seen

    with ThreadPoolExecutor(4) as pool, server.log.open() as log:
        clients = [pool.submit(client) for _ in range(4)]
        server.reload(HANDLER.replace("VERSION = 1", "VERSION = 5"), log, "httpd: reloaded")
        assert server.ask("/version") == (200, b"5")
        told = server.reload("def handle(:", log, "SyntaxError")
        assert "not reloaded" in told
        told = server.reload("nothing = 1", log, "TypeError")
        assert "defines no function handle" in told
        assert server.ask("/version") == (200, b"5")
        server.reload(HANDLER.replace("VERSION = 1", "VERSION = 9"), log, "httpd: reloaded")
        for each in clients:
            assert sorted(set(each.result())) in ([b"1", b"5", b"9"], [b"5", b"9"], [b"1", b"9"], [b"9"])


def test_an_endless_handler_is_interrupted(serve: Callable[..., Server]) -> None:
    server = serve("--handler-timeout", "2", workers=1)
    for _ in range(2):
        assert server.ask("/loop") == (504, b"Gateway Timeout\n")
        assert server.ask("/version") == (200, b"1")
    assert "took too long" in server.log.read_text()


def test_what_runs_is_finished_at_the_end(serve: Callable[..., Server]) -> None:
    server = serve("--handler-timeout", "60", workers=1)
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as asking:
        # Expect: when the answer to it has come, the request is being received.
        asking.sendall(b"POST / HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert asking.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        idle = server.connect()
        assert server.ask("/version", None, idle) == (200, b"1")
        server.process.send_signal(signal.SIGTERM)
        assert idle.sock is not None
        assert idle.sock.recv(1) == b""  # closed by the server
        asking.sendall(b"12345")
        with asking.makefile("rb") as answer:
            assert answer.read().endswith(b"12345")
        idle.close()
    assert server.process.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--max-connections", "0"),
        ("--client-timeout", "0"),
        ("--client-timeout", "x"),
        ("--slowest", "0"),
        ("--handler-timeout", "-1"),
    ],
)
def test_options_that_make_no_sense(program: Path, tmp_path: Path, options: tuple[str, str]) -> None:
    handler = tmp_path / "handler.py"
    handler.write_text(HANDLER)
    done = subprocess.run([program, handler, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert options[0] in done.stderr


@pytest.mark.parametrize(
    ("source", "told"), [("def handle(:", "SyntaxError"), ("1/0", "ZeroDivisionError"), (None, "handler")]
)
def test_a_start_that_fails(
    program: Path, cmake_dir: Path, tmp_path: Path, source: str | None, told: str
) -> None:
    handler = tmp_path / "handler.py"
    if source is not None:
        handler.write_text(source)
    done = subprocess.run(
        [program, handler, "--python", _hosts.PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env=_hosts.host_environment(cmake_dir),
    )
    assert done.returncode == (2 if source is None else 1), done.stderr
    assert told in done.stderr
