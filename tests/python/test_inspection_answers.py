"""What `isthmus.inspection` makes of answers that no isthmus gives."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path

import pytest

from conftest import PATIENCE
from isthmus import inspection


def test_an_answer_that_never_ends_takes_no_longer_than_the_timeout() -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(0.2)

    def speak() -> None:
        with theirs, contextlib.suppress(ConnectionError):
            while True:
                theirs.sendall(b"x")

    speaker = threading.Thread(target=speak, daemon=True)
    speaker.start()
    with inspection.Connection(os.getpid(), ours) as connection, pytest.raises(TimeoutError):
        connection.read()
    speaker.join(PATIENCE)
    assert not speaker.is_alive()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b'{"isthmus": 2, "kind": "snapshot"}\n', "version 2"),
        (b'{"isthmus": 1, "kind": "snapshot"}\n', "left out"),
        (b'{"isthmus": 1, "kind": "error", "message": "no memory"}\n', "no memory"),
        (b"[]\n", "language"),
        (b"\xff\n", "language"),
    ],
)
def test_what_is_not_understood_is_a_connection_error(runtime: Path, answer: bytes, why: str) -> None:
    directory = runtime / "isthmus"
    directory.mkdir(mode=0o700)
    start_time = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / f"{os.getpid()}.{start_time}.sock"))
        listener.listen()

        def speak() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(100)
                client.sendall(answer)

        speaker = threading.Thread(target=speak)
        speaker.start()
        try:
            with pytest.raises(ConnectionError, match=why):
                inspection.read(os.getpid())
        finally:
            speaker.join()
