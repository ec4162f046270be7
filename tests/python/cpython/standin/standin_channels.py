"""What CPython's tests import as `test.support.channels`: isthmus' channels with `capacity=None`."""

from __future__ import annotations

from typing import Any

import isthmus
from isthmus import UNBOUND, UNBOUND_ERROR, UNBOUND_REMOVE, ItemInterpreterDestroyed

__all__ = [
    "UNBOUND",
    "UNBOUND_ERROR",
    "UNBOUND_REMOVE",
    "ChannelEmptyError",
    "ChannelError",
    "ChannelNotFoundError",
    "ItemInterpreterDestroyed",
    "RecvChannel",
    "SendChannel",
    "create",
    "list_all",
]


class ChannelError(RuntimeError):
    """isthmus has no common base of the errors of channels."""


class ChannelNotFoundError(ChannelError):
    """isthmus raises ValueError."""


class ChannelEmptyError(ChannelError):
    """isthmus returns the default."""


_EMPTY = object()


class _Wrapped:
    """An end of isthmus. It stands for itself wherever it crosses: `send` unwraps, `recv` wraps."""

    _kind: Any

    def __init__(self, id: Any) -> None:
        if isinstance(id, (isthmus.RecvChannel, isthmus.SendChannel)):
            self._end: Any = id
            return
        try:
            self._end = self._kind(id)
        except ValueError as error:
            raise ChannelNotFoundError(str(error)) from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Wrapped) and self._end == other._end

    def __hash__(self) -> int:
        return hash(self._end)

    def __reduce__(self) -> Any:
        return type(self), (self._end,)

    id = property(lambda self: self._end.id)
    is_closed = property(lambda self: self._end.is_closed)

    def close(self) -> None:
        self._end.close()


def _wrap(obj: Any) -> Any:
    if isinstance(obj, isthmus.RecvChannel):
        return RecvChannel(obj)
    return SendChannel(obj) if isinstance(obj, isthmus.SendChannel) else obj


class RecvChannel(_Wrapped):
    _kind = isthmus.RecvChannel

    def recv(self, timeout: float | None = None) -> Any:
        return _wrap(self._end.recv(timeout))

    def recv_nowait(self, default: Any = _EMPTY) -> Any:
        obj = self._end.recv_nowait(default)
        if obj is _EMPTY:
            raise ChannelEmptyError
        return _wrap(obj)


class SendChannel(_Wrapped):
    _kind = isthmus.SendChannel

    def send(self, obj: Any, timeout: float | None = None, *, unbound: object = None) -> None:
        self._end.send(getattr(obj, "_end", obj), timeout)

    def send_nowait(self, obj: Any, *, unbound: object = None) -> bool:
        return self._end.send_nowait(getattr(obj, "_end", obj))

    def send_buffer(self, obj: Any, timeout: float | None = None, *, unbound: object = None) -> None:
        self._end.send_buffer(obj, timeout)

    def send_buffer_nowait(self, obj: Any, *, unbound: object = None) -> None:
        self._end.send_buffer(obj, 0)


def create(*, unbounditems: object = UNBOUND) -> tuple[RecvChannel, SendChannel]:
    r, s = isthmus.create_channel(None)
    return RecvChannel(r), SendChannel(s)


def list_all() -> list[tuple[RecvChannel, SendChannel]]:
    return [(RecvChannel(r), SendChannel(s)) for r, s in isthmus.list_all_channels()]
