"""How `isthmus.inspection` finds a process, and makes sure that it is the one, of this user."""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

_NAME = re.compile(r"(\d+)\.(\d+)\.sock")


def start_of(pid: int) -> int:
    """Field 22 of its stat: no later process of the same id has it. ProcessLookupError: there is none."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError, NotADirectoryError):
        raise ProcessLookupError(f"there is no process {pid}") from None
    # The program's name, in brackets, may hold anything.
    return int(told.rpartition(")")[2].split()[19])


def is_alive(pid: int) -> bool:
    """Whether it runs, or could."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return told.rpartition(")")[2].split()[0] not in "ZX"


def require_own(pid: int) -> None:
    """PermissionError, unless it is this user's. ProcessLookupError: there is none."""
    try:
        told = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        raise ProcessLookupError(f"there is no process {pid}") from None
    match = re.search(r"^Uid:\s+\d+\s+(\d+)", told, re.M)
    if match is None or int(match[1]) != os.geteuid():
        raise PermissionError(f"process {pid} belongs to another user: only the same user may look at it")


def directories(pid: int) -> list[str]:
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
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise  # it may well be there
        return None
    found = os.fstat(opened)
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        os.close(opened)
        return None
    return opened


def names_in(directory: str) -> Iterator[tuple[int, str]]:
    """The sockets there, with the processes that they name."""
    opened = _open_directory(directory)
    if opened is not None:
        try:
            names = os.listdir(opened)
        finally:
            os.close(opened)
        for name in names:
            if match := _NAME.fullmatch(name):
                yield int(match[1]), name


def connect_in(directory: str, name: str, pid: int) -> socket.socket | None:
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
