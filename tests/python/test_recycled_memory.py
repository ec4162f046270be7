"""What lay in shared memory before is never seen by whoever gets that memory next (docs/security.md)."""

from __future__ import annotations

import array
import ctypes
import gc
import io
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import isthmus
from _subprocess import SANITIZED
from conftest import LARGE

Create = Callable[..., isthmus.Interpreter]
Ends = tuple[isthmus.RecvChannel, isthmus.SendChannel]
SIZES = (LARGE, 300_000, 2_000_000)
#: No byte of a made value is 0xA5 by itself.
SECRET = b"\xa5"

#: Several blocks of each size are filled and freed, so that the next ones of that size are used again.
LEAVE_SECRETS = """
def leave_secrets(sizes):
    kept = [bytearray(b"\\xa5") * size for size in sizes for _ in range(4)]
    kept += [b"\\xa5" * size for size in sizes for _ in range(4)]
    kept.clear()
"""
own: dict[str, Any] = {}
exec(LEAVE_SECRETS, own)
leave_secrets: Callable[[tuple[int, ...]], None] = own["leave_secrets"]


def stretched(size: int) -> bytearray:
    """More room than it has bytes."""
    data = bytearray(b"x")
    while len(data) < size:
        data += b"x" * 7_777
    return data


def padded(size: int) -> io.BytesIO:
    """Written far beyond its end: what lies between is zero."""
    stream = io.BytesIO()
    stream.write(b"x")
    stream.seek(size)
    stream.write(b"x")
    return stream


def short_read(size: int) -> bytes:
    """Room for much more is allocated than is read."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(size))
        file.flush()
        return os.pread(file.fileno(), size * 4, 0)


MAKERS: dict[str, Callable[[int], Any]] = {
    "bytes of zeros": bytes,
    "bytearray of zeros": bytearray,
    "a bytearray with room": stretched,
    "a bytearray that shrank": lambda size: bytearray(b"x" * size * 2)[: size // 2],
    "an array": lambda size: array.array("q", bytes(size // 8 * 8)),
    "a stream with a gap": padded,
    "a short read": short_read,
    "joined": lambda size: b"".join([b"x" * 1000] * (size // 1000)),
    "repeated": lambda size: "é€" * (size // 4),
    "decoded": lambda size: (b"x" * size).decode(),
    "a SharedBuffer": isthmus.SharedBuffer,
    "a view of zeros": lambda size: memoryview(bytearray(size)),
}


def secrets_in(value: Any) -> int:
    if isinstance(value, str):
        return value.encode("latin-1", "replace").count(SECRET)
    return bytes(value.getbuffer() if isinstance(value, io.BytesIO) else value).count(SECRET)


@pytest.mark.parametrize("how", MAKERS)
def test_no_received_object_shows_what_its_slot_held_before(
    interp: isthmus.Interpreter, ends: Ends, how: str
) -> None:
    """An interpreter uses its slots again without clearing them, as malloc does its blocks."""
    r, s = ends
    for size in SIZES:
        leave_secrets(SIZES)
        value = MAKERS[how](size)
        s.send(value)
        assert interp.call(count_in_next, r) == secrets_in(value) == 0


def count_in_next(r: isthmus.RecvChannel) -> int:
    return secrets_in(r.recv(timeout=0))


def uninitialised(sizes: tuple[int, ...]) -> int:
    """How many secrets lie in bytes that nobody has written, as an extension module may make them."""
    make = ctypes.pythonapi.PyBytes_FromStringAndSize
    make.restype = ctypes.py_object
    make.argtypes = (ctypes.c_char_p, ctypes.c_ssize_t)
    # None is held while they are made: each lies in another slot.
    kept = [make(None, size) for size in sizes for _ in range(8)]
    return sum(each.count(SECRET * 64) for each in kept)  # not a byte that happens to look like one


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's allocator has its own ways with freed memory")
def test_not_even_unwritten_bytes_show_another_interpreters(new_interp: Create) -> None:
    """Addresses go from one interpreter to another only without their pages: those read as zero."""
    isthmus.enable()
    for _ in range(3):
        first = new_interp()
        first.exec(LEAVE_SECRETS)
        first.run(f"leave_secrets({SIZES})")
        first.close()
        second = new_interp()
        assert second.call(uninitialised, SIZES) == 0
        second.close()


def test_a_receivers_own_header_bytes_are_written_afresh(interp: isthmus.Interpreter, ends: Ends) -> None:
    """The first bytes of a payload lie in the private page before it, which a twin before it has written."""
    r, s = ends
    for number in range(6):
        value = bytes([number]) * LARGE
        s.send(value)
        assert interp.call(first_and_last, r) == (bytes([number]) * 40, bytes([number]) * 40)
        del value


def first_and_last(r: isthmus.RecvChannel) -> tuple[bytes, bytes]:
    value = r.recv(timeout=0)
    return value[:40], value[-40:]


def test_what_a_receiver_did_to_its_own_page_goes_no_further(new_interp: Create, ends: Ends) -> None:
    """H2: forwarding takes the first bytes from the owner's record, not from a page one may write."""
    r, s = ends
    middle, last = new_interp(), new_interp()
    value = b"x" * LARGE
    s.send(value)
    middle.call(spoil_and_forward, r, s)
    assert last.call(first_and_last, r) == (b"x" * 40, b"x" * 40)
    assert value == b"x" * LARGE


def spoil_and_forward(r: isthmus.RecvChannel, s: isthmus.SendChannel) -> None:
    value = r.recv(timeout=0)
    at = id(value) + bytes.__basicsize__ - 1
    ctypes.memset(at, ord("!"), 8)  # on purpose: what a faulty extension module may do
    assert value[:8] == b"!" * 8
    s.send(value)


def test_a_new_shared_buffer_is_zero_whatever_was_freed_before() -> None:
    for _ in range(20):
        buffer = isthmus.SharedBuffer(LARGE)
        assert not any(memoryview(buffer))
        memoryview(buffer)[:] = SECRET * LARGE
        del buffer


def mappings_of_the_arena() -> list[tuple[str, set[str]]]:
    """(rights, flags of the kernel) of each mapping of the memfd."""
    found = []
    for part in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text(), flags=re.M):
        if "memfd:isthmus" in part:
            flags = re.search(r"^VmFlags: (.*)$", part, re.M)
            assert flags is not None
            found.append((part.split()[1], set(flags[1].split())))
    return found


def test_receivers_see_payloads_read_only_and_a_core_dump_has_each_page_once(
    interp: isthmus.Interpreter,
) -> None:
    """Written are the owners' windows and one master, and that is not dumped (flag dd, MADV_DONTDUMP)."""
    interp.run("import isthmus")
    r, s = isthmus.create_channel(None)
    value = b"x" * LARGE
    s.send(value)
    interp.run("kept = r.recv()", r=r)
    found = mappings_of_the_arena()
    dumped = [rights for rights, flags in found if "dd" not in flags]
    hidden = [rights for rights, flags in found if "dd" in flags]
    assert set(dumped) == {"rw-s"}
    assert hidden.count("rw-s") == 1
    assert hidden.count("r--s") >= 2, found  # the other master, and the payload in the receiver's window
    assert not [each for each in os.listdir("/proc/self/fd") if is_memfd(each)]
    interp.run("del kept")
    r.close()
    s.close()
    gc.collect()


def is_memfd(descriptor: str) -> bool:
    try:
        return "memfd:isthmus" in os.readlink(f"/proc/self/fd/{descriptor}")
    except FileNotFoundError:  # listdir's own
        return False
