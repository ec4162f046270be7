"""Invariant 4: what lies in a slot is freed by its address alone, by a thread without an interpreter, too."""

from __future__ import annotations

import ctypes

from common import MIB, command, eventually, nothing_is_held, payload

import isthmus

_attached = ctypes.PyDLL(None)
_detached = ctypes.CDLL(None)  # its functions run without the GIL: the thread has no current thread state
_allocate = _attached.PyObject_Malloc
_allocate.restype = ctypes.c_void_p
_allocate.argtypes = [ctypes.c_size_t]
_free = _detached.PyObject_Free
_free.restype = None
_free.argtypes = [ctypes.c_void_p]


def block() -> None:
    isthmus.enable()
    before = isthmus.stats().slots_live
    address = _allocate(MIB)
    assert isthmus.stats().slots_live == before + 1
    _free(address)
    assert isthmus.stats().slots_live == before
    again = _allocate(MIB)
    assert again == address  # it is the warmest block there is
    _free(again)


def twin() -> None:
    with isthmus.create() as other:
        r, s = isthmus.create_channel(None)
        other.run("s.send(b'x' * 1_000_000)", s=s)
        value = r.recv()
        assert value == b"x" * 1_000_000
        assert isthmus.stats().twins_live == 1
        address = id(value)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))  # so that what follows frees it, not `del`
        del value
        _free(address)
        assert isthmus.stats().twins_live == 0
        eventually(nothing_is_held, "the owner learned of it")
        s.send(payload(MIB, 1))
        assert r.recv() == payload(MIB, 1)


if __name__ == "__main__":
    command({"block": block, "twin": twin})
