"""Sockets and raw files on their way between interpreters: their descriptors are duplicated.

The copy travels as an `isthmus._isthmus._Descriptor`, which closes it if nobody receives it.
"""

from __future__ import annotations

import os
import sys

from isthmus._errors import NotShareableError
from isthmus._isthmus import _Descriptor

TYPE_CHECKING = False
if TYPE_CHECKING:
    import io
    import socket
    from collections.abc import Callable
    from typing import Any, NoReturn


def _reduce_socket(s: socket.socket, memo: dict[Any, Any]) -> tuple[Any, ...]:
    number = s.fileno()
    if number < 0:
        raise NotShareableError("the socket is closed")
    return _socket, (int(s.family), int(s.type), s.proto, s.gettimeout(), _Descriptor(number))


def _socket(
    family: int, kind: int, proto: int, timeout: float | None, descriptor: _Descriptor
) -> socket.socket:
    import socket

    s = socket.socket(family, kind, proto, fileno=descriptor.fileno())
    descriptor.detach()
    if s.gettimeout() != timeout:
        s.settimeout(timeout)
    return s


def _reduce_file(file: io.FileIO, memo: dict[Any, Any]) -> tuple[Any, ...]:
    if file.closed:
        raise NotShareableError("the file is closed")
    name = getattr(file, "name", None)
    named = name if isinstance(name, (str, bytes)) else None
    return _raw_file, (named, file.mode, _Descriptor(file.fileno()))


def _raw_file(name: str | bytes | None, mode: str, descriptor: _Descriptor) -> io.FileIO:
    import io

    number = descriptor.fileno()
    position = None
    if "a" in mode:  # opening to append goes to the end, and the position is the sender's too
        try:
            position = os.lseek(number, 0, os.SEEK_CUR)
        except OSError:  # a pipe
            position = None
    file = io.FileIO(number, mode)
    descriptor.detach()
    if position is not None:
        file.seek(position)
    if name is not None:
        file.name = name
    return file


def _refuse_file(file: Any, memo: dict[Any, Any]) -> NoReturn:
    raise NotShareableError(
        "its buffer can't cross; send a raw file: open(..., buffering=0), or io.FileIO(file.fileno(), mode, "
        "closefd=False)"
    )


def _refuse_encrypted(s: Any, memo: dict[Any, Any]) -> NoReturn:
    raise NotShareableError("the state of its encryption can't cross; send the socket before it is wrapped")


def add_types(table: dict[type, Callable[[Any, dict[Any, Any]], Any]]) -> None:
    """Put in what has been imported here: nobody holds an object of a module that was not."""
    found = sys.modules.get("socket")
    if found is not None and isinstance(getattr(found, "socket", None), type):
        table[found.socket] = _reduce_socket
    ssl = sys.modules.get("ssl")
    if ssl is not None and isinstance(getattr(ssl, "SSLSocket", None), type):
        table[ssl.SSLSocket] = _refuse_encrypted
    files = sys.modules.get("_io")
    if files is not None:
        table[files.FileIO] = _reduce_file
        for name in ("TextIOWrapper", "BufferedReader", "BufferedWriter", "BufferedRandom", "BufferedRWPair"):
            table[getattr(files, name)] = _refuse_file
