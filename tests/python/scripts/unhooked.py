"""Somebody takes the allocator hook out: a receiver finds out before it has a twin that nobody could free."""

from __future__ import annotations

import ctypes


class Allocator(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("ctx", "malloc", "calloc", "realloc", "free")]


OBJECTS = 2  # PYMEM_DOMAIN_OBJ
before = Allocator()
ctypes.pythonapi.PyMem_GetAllocator(OBJECTS, ctypes.byref(before))

from common import eventually, joined, nothing_is_held, run_in_thread  # noqa: E402

import isthmus  # noqa: E402


def receive(other: isthmus.Interpreter, r: isthmus.RecvChannel) -> None:
    """In a new thread, which asks whether the hook is there; later on a thread asks now and then only."""
    joined(run_in_thread(other, "assert r.recv() == b'x' * 100_000", {"r": r}))


def main() -> None:
    other = isthmus.create()
    r, s = isthmus.create_channel(None)
    value = b"x" * 100_000
    s.send(value)
    receive(other, r)
    s.send(value)
    eventually(lambda: isthmus.stats().twins_live == 0, "the first twin is gone")
    ctypes.pythonapi.PyMem_SetAllocator(OBJECTS, ctypes.byref(before))
    receive(other, r)
    made = isthmus.stats().twins_made
    s.send(value)
    receive(other, r)
    assert isthmus.stats().twins_made > made, "the hook is in place again"
    other.close()
    del value
    eventually(nothing_is_held, "everything given back")


main()
