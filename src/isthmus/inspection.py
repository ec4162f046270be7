"""What a process holds and passes, seen from inside or from another process of the same user.

    isthmus.inspection.serve()            # in the process to look at; or ISTHMUS_INSPECTION=1 around it
    isthmus.inspection.read(pid)          # elsewhere; `isthmus top PID` draws it

Off unless asked for. Who serves answers even while all of its interpreters are busy.
"""

from __future__ import annotations

import json
import socket
import time
from os import getpid
from typing import Any, Self

from isthmus import _inspected, _isthmus
from isthmus._snapshots import (
    ChannelView,
    InterpreterView,
    MemoryView,
    QueueView,
    Rates,
    Snapshot,
    rates,
    snapshot_of,
)

__all__ = [
    "ChannelView",
    "Connection",
    "InterpreterView",
    "MemoryView",
    "NotServingError",
    "QueueView",
    "Rates",
    "Snapshot",
    "connect",
    "processes",
    "rates",
    "read",
    "serve",
    "serving",
    "snapshot",
    "stop",
]

_VERSION = 1
_REQUEST = b"snapshot 1\n"


class NotServingError(ConnectionError):
    """The process does not let itself be inspected, or no longer; the message says how to change that."""


def serve() -> str:
    """Let other processes of this user look at this one; return the path of the socket.

    A native thread answers there, without any GIL, until `stop()` or the exit of the process; like every
    thread it makes os.fork() warn. A forked child does not serve. Serving already: nothing happens.
    OSError: no directory of this user's alone could be had, no space, no thread.
    """
    return _isthmus.inspection_serve()


def stop() -> None:
    """Serve no more: the socket is gone and the thread has ended when this returns. Idempotent."""
    _isthmus.inspection_stop()


def serving() -> str | None:
    """Return the path of this process's socket; None while it does not serve."""
    return _isthmus.inspection_path()


def snapshot() -> Snapshot:
    """Look at this process. Needs no `serve()` and changes nothing."""
    return snapshot_of(json.loads(_isthmus.inspection_snapshot()))


def read(pid: int, *, timeout: float | None = 5.0) -> Snapshot:
    """Look at another process once. Errors as `connect` and `Connection.read`."""
    with connect(pid, timeout=timeout) as connection:
        return connection.read()


def connect(pid: int, *, timeout: float | None = 5.0) -> Connection:
    """Connect to a process of this user that serves. `timeout`: seconds for each answer; None: no limit.

    ProcessLookupError: there is no such process. PermissionError: it is another user's. NotServingError: it
    does not serve.
    """
    start = _inspected.start_of(pid)
    _inspected.require_own(pid)
    for directory in _inspected.directories(pid):
        found = _inspected.connect_in(directory, f"{pid}.{start}.sock", pid)
        if found is not None:
            found.settimeout(timeout)
            return Connection(pid, found)
    if not _inspected.is_alive(pid):
        raise ProcessLookupError(f"process {pid} has ended")
    raise NotServingError(
        f"process {pid} does not serve inspection: start it with ISTHMUS_INSPECTION=1 in its environment, "
        "or let it call isthmus.inspection.serve()"
    )


def processes() -> list[int]:
    """Ids of this user's processes that serve, as far as they use the directories that this one would."""
    found: set[int] = set()
    for directory in _inspected.directories(getpid()):
        for pid, name in _inspected.names_in(directory):
            connected = _inspected.connect_in(directory, name, pid)
            if connected is not None:
                connected.close()
                found.add(pid)
    return sorted(found)


class Connection:
    """A connection to a process that serves; `connect` makes it. A context manager. One thread at a time."""

    def __init__(self, pid: int, connected: socket.socket) -> None:
        self._pid = pid
        self._socket = connected
        self._rest = b""

    @property
    def pid(self) -> int:
        """The process that is looked at."""
        return self._pid

    def read(self) -> Snapshot:
        """Ask for a snapshot. After an error the connection is of no use any more.

        TimeoutError: no answer in time; a process that is stopped gives none. ProcessLookupError: it has
        ended. NotServingError: it serves no more. ConnectionError: what it said is not understood.
        """
        timeout = self._socket.gettimeout()
        try:
            self._socket.sendall(_REQUEST)
            line = self._line(timeout)
        except TimeoutError:
            raise TimeoutError(f"process {self._pid} does not answer (is it stopped?)") from None
        except ConnectionError:
            line = b""
        if not line:
            if _inspected.is_alive(self._pid):
                raise NotServingError(f"process {self._pid} no longer serves inspection")
            raise ProcessLookupError(f"process {self._pid} has ended")
        said = self._understood(line)
        try:
            return snapshot_of(said)
        except (KeyError, TypeError):
            raise ConnectionError(f"process {self._pid} left out what this isthmus expects") from None

    def close(self) -> None:
        """Idempotent."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _line(self, timeout: float | None) -> bytes:
        """One line without its newline, or nothing at the end. `timeout`: for all of it."""
        end = None if timeout is None else time.monotonic() + timeout
        parts = [self._rest]
        while b"\n" not in parts[-1]:
            if end is not None:
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                self._socket.settimeout(left)
            parts.append(self._socket.recv(1 << 18))
            if not parts[-1]:
                return b""
        self._socket.settimeout(timeout)
        line, _, self._rest = b"".join(parts).partition(b"\n")
        return line

    def _understood(self, line: bytes) -> dict[str, Any]:
        try:
            said = json.loads(line)
            version, kind = said["isthmus"], said["kind"]
        except (ValueError, KeyError, TypeError):
            raise ConnectionError(f"process {self._pid} does not speak the language of inspection") from None
        if kind == "error":
            raise ConnectionError(f"process {self._pid} refused: {said.get('message')!r}")
        if version != _VERSION or kind != "snapshot":
            raise ConnectionError(
                f"process {self._pid} speaks version {version!r} of inspection, this isthmus {_VERSION}"
            )
        return dict(said)
