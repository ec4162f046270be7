"""What a process holds and passes, seen from inside or from another process of the same user.

    isthmus.inspection.serve()            # in the process to look at; or ISTHMUS_INSPECTION=1 around it
    isthmus.inspection.read(pid)          # elsewhere; `isthmus top PID` draws it

Off unless asked for. Who serves answers even while all of its interpreters are busy.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import socket
import stat
import struct
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from isthmus import _isthmus

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
_NAME = re.compile(r"(\d+)\.(\d+)\.sock")


class NotServingError(ConnectionError):
    """The process does not let itself be inspected, or no longer; the message says how to change that."""


@dataclasses.dataclass(frozen=True, slots=True)
class InterpreterView:
    """One interpreter that isthmus knows: it made it, or the interpreter has imported isthmus.

    `runs`: calls of run, exec, call under way; `running`: there are some, or it is the main interpreter.
    `waits`: its threads' waits in isthmus. `helper`: its service thread. `releases_waiting`,
    `errands_waiting`: depths of its inboxes, for memory it owns and for all else. `lent`: buffers of its
    exporters that others look at. `window`: through which it sees shared memory, None if it can't;
    interpreters under the main one's GIL share one, and with it `slots` and `slot_bytes`, the live objects
    there and their sizes' sum, and `releases_waiting`.
    """

    id: int
    name: str | None
    whence: str
    gil: Literal["own", "shared"]
    state: Literal["open", "closing"]
    running: bool
    runs: int
    waits: int
    helper: Literal["none", "idle", "busy"]
    releases_waiting: int
    errands_waiting: int
    lent: int
    window: int | None
    slots: int
    slot_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class ChannelView:
    """One channel. `receivers`, `senders`: ids of associated interpreters. Counts as in ChannelStatistics."""

    id: int
    capacity: int | None
    depth: int
    closed: bool
    poisoned: bool
    receivers: tuple[int, ...]
    senders: tuple[int, ...]
    waiting_receivers: int
    waiting_senders: int
    sent: int
    received: int
    dropped: int


@dataclasses.dataclass(frozen=True, slots=True)
class QueueView:
    """One queue. `interpreters`: ids of those that hold it. put = got + dropped + what lies there."""

    id: int
    maxsize: int
    depth: int
    shut_down: bool
    interpreters: tuple[int, ...]
    waiting_getters: int
    waiting_putters: int
    put: int
    got: int
    dropped: int


@dataclasses.dataclass(frozen=True, slots=True)
class MemoryView:
    """Shared memory of the process. Gauges as in Statistics.

    `bytes_idle`: of the resident ones, kept for reuse; at most `budget` stay. At `mapping_cap` mappings
    objects are copied.
    """

    slots_live: int
    bytes_resident: int
    bytes_idle: int
    budget: int
    mappings: int
    mapping_cap: int
    twins_live: int
    shares_outstanding: int
    views_live: int
    shared_buffers_live: int
    shared_buffer_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """A look at a process. Each part is of one moment; all of them are not of the same.

    `taken`: seconds on the monotonic clock, which all processes share. `channels` and `queues`: oldest
    first, 10,000 of each at most; `channels_left_out`, `queues_left_out`: how many more there are.
    `counters`: only grow.
    """

    pid: int
    taken: float
    interpreters: tuple[InterpreterView, ...]
    channels: tuple[ChannelView, ...]
    channels_left_out: int
    queues: tuple[QueueView, ...]
    queues_left_out: int
    memory: MemoryView
    counters: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """What json can write: the fields by name, dicts and lists below."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


@dataclasses.dataclass(frozen=True, slots=True)
class Rates:
    """What happened per second between two snapshots. `seconds` is the time between them.

    `channels`: (sent, received) by id; `queues`: (put, got) by id; `counters` by name.
    """

    seconds: float
    channels: Mapping[int, tuple[float, float]]
    queues: Mapping[int, tuple[float, float]]
    counters: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """What json can write."""
        return {
            "seconds": self.seconds,
            "channels": {str(id): list(pair) for id, pair in self.channels.items()},
            "queues": {str(id): list(pair) for id, pair in self.queues.items()},
            "counters": dict(self.counters),
        }


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
    return _snapshot_of(json.loads(_isthmus.inspection_snapshot()))


def rates(earlier: Snapshot, later: Snapshot) -> Rates:
    """Compare two snapshots of one process. ValueError: they are of two, or in the wrong order.

    What was not there yet has begun at 0.
    """
    seconds = later.taken - earlier.taken
    if earlier.pid != later.pid or seconds <= 0:
        raise ValueError("rates need an earlier and a later snapshot of one process")
    channels = {each.id: (each.sent, each.received) for each in earlier.channels}
    queues = {each.id: (each.put, each.got) for each in earlier.queues}
    return Rates(
        seconds,
        types.MappingProxyType(
            {
                each.id: _per_second(channels.get(each.id), (each.sent, each.received), seconds)
                for each in later.channels
            }
        ),
        types.MappingProxyType(
            {
                each.id: _per_second(queues.get(each.id), (each.put, each.got), seconds)
                for each in later.queues
            }
        ),
        types.MappingProxyType(
            {
                name: (count - earlier.counters.get(name, 0)) / seconds
                for name, count in later.counters.items()
            }
        ),
    )


def read(pid: int, *, timeout: float | None = 5.0) -> Snapshot:
    """Look at another process once. Errors as `connect` and `Connection.read`."""
    with connect(pid, timeout=timeout) as connection:
        return connection.read()


def connect(pid: int, *, timeout: float | None = 5.0) -> Connection:
    """Connect to a process of this user that serves. `timeout`: seconds for each answer; None: no limit.

    ProcessLookupError: there is no such process. PermissionError: it is another user's. NotServingError: it
    does not serve.
    """
    start = _start_of(pid)
    _require_own(pid)
    for directory in _directories(pid):
        found = _connect_in(directory, f"{pid}.{start}.sock", pid)
        if found is not None:
            found.settimeout(timeout)
            return Connection(pid, found)
    if not _is_alive(pid):
        raise ProcessLookupError(f"process {pid} has ended")
    raise NotServingError(
        f"process {pid} does not serve inspection: start it with ISTHMUS_INSPECTION=1 in its environment, "
        "or let it call isthmus.inspection.serve()"
    )


def processes() -> list[int]:
    """Ids of this user's processes that serve, as far as they use the directories that this one would."""
    found = set()
    for directory in _directories(os.getpid()):
        for pid, name in _names_in(directory):
            connected = _connect_in(directory, name, pid)
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
        try:
            self._socket.sendall(_REQUEST)
            line = self._line()
        except TimeoutError:
            raise TimeoutError(f"process {self._pid} does not answer (is it stopped?)") from None
        except ConnectionError:
            line = b""
        if not line:
            if _is_alive(self._pid):
                raise NotServingError(f"process {self._pid} no longer serves inspection")
            raise ProcessLookupError(f"process {self._pid} has ended")
        said = self._understood(line)
        try:
            return _snapshot_of(said)
        except (KeyError, TypeError):
            raise ConnectionError(f"process {self._pid} left out what this isthmus expects") from None

    def close(self) -> None:
        """Idempotent."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _line(self) -> bytes:
        """One line without its newline, or nothing at the end."""
        parts = [self._rest]
        while b"\n" not in parts[-1]:
            parts.append(self._socket.recv(1 << 18))
            if not parts[-1]:
                return b""
        line, _, self._rest = b"".join(parts).partition(b"\n")
        return line

    def _understood(self, line: bytes) -> dict[str, Any]:
        try:
            said = json.loads(line)
            version, kind = said["isthmus"], said["kind"]
        except (ValueError, KeyError, TypeError):
            raise ConnectionError(f"process {self._pid} does not speak the language of inspection") from None
        if kind == "error":
            raise ConnectionError(f"process {self._pid} refused: {said.get('message')}")
        if version != _VERSION or kind != "snapshot":
            raise ConnectionError(
                f"process {self._pid} speaks version {version!r} of inspection, this isthmus {_VERSION}"
            )
        return dict(said)


# --- finding a process


def _start_of(pid: int) -> int:
    try:
        told = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError, NotADirectoryError):
        raise ProcessLookupError(f"there is no process {pid}") from None
    # The program's name, in brackets, may hold anything.
    return int(told.rpartition(")")[2].split()[19])


def _is_alive(pid: int) -> bool:
    try:
        told = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return told.rpartition(")")[2].split()[0] not in "ZX"


def _require_own(pid: int) -> None:
    try:
        told = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        raise ProcessLookupError(f"there is no process {pid}") from None
    match = re.search(r"^Uid:\s+\d+\s+(\d+)", told, re.M)
    if match is None or int(match[1]) != os.geteuid():
        raise PermissionError(f"process {pid} belongs to another user: only the same user may look at it")


def _directories(pid: int) -> list[str]:
    """Where the process may have its socket: its environment decided, and may differ from ours."""
    user = os.geteuid()
    found = [f"/run/user/{user}/isthmus", f"/tmp/isthmus-{user}"]
    for environment in (_environment_of(pid), os.environ):
        if runtime := environment.get("XDG_RUNTIME_DIR"):
            found.append(f"{runtime}/isthmus")
        if temporary := environment.get("TMPDIR"):
            found.append(f"{temporary}/isthmus-{user}")
    return [path for path in dict.fromkeys(reversed(found)) if path.startswith("/")]


def _environment_of(pid: int) -> dict[str, str]:
    """What it was started with."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    pairs = (os.fsdecode(entry).partition("=") for entry in entries)
    return {name: value for name, _, value in pairs}


def _open_directory(path: str) -> int | None:
    """Opened if it is a directory of this user's alone."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    found = os.fstat(opened)
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        os.close(opened)
        return None
    return opened


def _names_in(directory: str) -> Iterator[tuple[int, str]]:
    opened = _open_directory(directory)
    if opened is not None:
        try:
            names = os.listdir(opened)
        finally:
            os.close(opened)
        for name in names:
            if match := _NAME.fullmatch(name):
                yield int(match[1]), name


def _connect_in(directory: str, name: str, pid: int) -> socket.socket | None:
    """A connection to the socket of that name, if that very process of this user listens there."""
    opened = _open_directory(directory)
    if opened is None:
        return None
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(5.0)
        # Through the directory that was looked at: no link can lead elsewhere, and no path is too long.
        connected.connect(f"/proc/self/fd/{opened}/{name}")
        credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
        listening, user, _ = struct.unpack("iII", credentials)
    except OSError:
        connected.close()
        return None
    finally:
        os.close(opened)
    if listening == pid and user == os.geteuid():
        return connected
    connected.close()
    return None


# --- from JSON and to it


def _snapshot_of(said: Mapping[str, Any]) -> Snapshot:
    return Snapshot(
        pid=said["pid"],
        taken=said["taken"] / 1e9,
        interpreters=tuple(_made(InterpreterView, each) for each in said["interpreters"]),
        channels=tuple(_made(ChannelView, each) for each in said["channels"]),
        channels_left_out=said["channels_left_out"],
        queues=tuple(_made(QueueView, each) for each in said["queues"]),
        queues_left_out=said["queues_left_out"],
        memory=_made(MemoryView, said["memory"]),
        counters=types.MappingProxyType(dict(said["counters"])),
    )


def _made[View](kind: type[View], said: Mapping[str, Any]) -> View:
    """Fields that a later isthmus adds are left out."""
    names = kind.__dataclass_fields__  # type: ignore[attr-defined]
    return kind(**{name: tuple(v) if isinstance(v := said[name], list) else v for name in names})


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, types.MappingProxyType):
        return dict(value)
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def _per_second(before: tuple[int, int] | None, now: tuple[int, int], seconds: float) -> tuple[float, float]:
    first, second = before or (0, 0)
    return (now[0] - first) / seconds, (now[1] - second) / seconds
