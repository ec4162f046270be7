"""What the tests of views lend: exporters of every kind, and what one of Python's own notes."""

from __future__ import annotations

import array
import ctypes
import io
import mmap
from collections.abc import Callable
from typing import Any

import isthmus
from conftest import LARGE

Ends = tuple[isthmus.RecvChannel, isthmus.SendChannel]

#: An exporter of Python's own (PEP 688) that notes where and how often it was released.
EXPORTER = """
import isthmus, threading
class Exporter:
    def __init__(self, size):
        self.data, self.released = bytearray(size), []
    def __buffer__(self, flags):
        return memoryview(self.data)
    def __release_buffer__(self, view):
        self.released.append((isthmus.get_current().id, view.nbytes))
        view.release()
"""
made: dict[str, Any] = {}
exec(EXPORTER, made)
Exporter: Any = made["Exporter"]


def mapped() -> mmap.mmap:
    memory = mmap.mmap(-1, LARGE)
    memory[:5] = b"hello"
    return memory


def in_two_dimensions() -> memoryview:
    return memoryview(array.array("h", range(24))).cast("B").cast("h", [4, 6])


class Pair(ctypes.Structure):
    """A format of several letters."""

    _fields_ = (("x", ctypes.c_int16), ("y", ctypes.c_double))


EXPORTERS: dict[str, Callable[[], Any]] = {
    "bytearray": lambda: bytearray(b"0123456789" * 10),
    "large bytearray": lambda: bytearray(b"0123456789" * LARGE),
    "empty": bytearray,
    "bytes": lambda: b"0123456789",
    "large bytes": lambda: bytes(range(250)) * 4_000,
    "mmap": mapped,
    "array": lambda: array.array("d", range(1000)),
    "two dimensions": in_two_dimensions,
    "no dimension": lambda: memoryview(ctypes.c_double(2.5)),
    "every second": lambda: memoryview(array.array("i", range(100)))[::2],
    "backwards": lambda: memoryview(bytearray(b"abcdef"))[::-1],
    "backwards, large": lambda: memoryview(bytes(range(250)) * 4_000)[::-3],
    "read-only": lambda: memoryview(bytearray(b"abc" * LARGE)).toreadonly(),
    "characters": lambda: memoryview(bytearray(b"abc")).cast("c"),
    "nested": lambda: memoryview(memoryview(bytearray(20))[2:])[3:5],
    "array of ctypes": lambda: ((ctypes.c_int * 3) * 2)((1, 2, 3), (4, 5, 6)),
    "structure": lambda: (Pair * 3)((1, 2.0), (3, 4.0)),
    "stream": lambda: io.BytesIO(b"in a stream").getbuffer(),
    "large stream": lambda: io.BytesIO(bytes(range(250)) * 4_000).getbuffer(),
    "class": lambda: Exporter(100),
}
LAYOUT = ("format", "itemsize", "ndim", "shape", "strides", "suboffsets", "nbytes", "readonly")


def layout(view: memoryview) -> dict[str, Any]:
    return {name: getattr(view, name) for name in LAYOUT}


def is_exported(data: bytearray) -> bool:
    try:
        data.append(0)
    except BufferError:
        return True
    data.pop()
    return False
