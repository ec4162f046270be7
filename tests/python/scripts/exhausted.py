"""Threads, descriptors, memory have run out: errors or copies; afterwards all is well again."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from common import (
    KIB,
    MIB,
    PATIENCE,
    command,
    disarm_watchdog,
    end_with,
    ended_well,
    eventually,
    nothing_is_held,
    payload,
)

import isthmus


@contextlib.contextmanager
def _limited(what: int, size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


@contextlib.contextmanager
def _stacks_too_large() -> Iterator[None]:
    """No thread can be made, because there are no addresses for its stack."""
    libc = ctypes.CDLL(None)
    usual, huge = (ctypes.create_string_buffer(64) for _ in range(2))
    assert libc.pthread_getattr_default_np(usual) == libc.pthread_getattr_default_np(huge) == 0
    assert libc.pthread_attr_setstacksize(huge, ctypes.c_size_t(1 << 47)) == 0
    assert libc.pthread_setattr_default_np(huge) == 0
    try:
        yield
    finally:
        assert libc.pthread_setattr_default_np(usual) == 0


@contextlib.contextmanager
def _too_many_threads() -> Iterator[None]:
    """RLIMIT_NPROC, which is nothing to root: somebody else for the while."""
    with _limited(resource.RLIMIT_NPROC, 0):
        if os.getuid() == 0:
            os.setresuid(65534, 65534, 0)
            try:
                yield
            finally:
                os.setresuid(0, 0, 0)
        else:
            yield


def _no_thread_can_start() -> None:
    try:
        threading.Thread(target=int).start()
    except RuntimeError:
        return
    raise AssertionError("a thread started")


HOW: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "stack": _stacks_too_large,
    "nproc": _too_many_threads,
}


def no_threads(how: str) -> None:
    """Without helpers, owners get everything back at their own calls; with the next thread, by themselves."""
    disarm_watchdog()
    # The start-up self-test gives the first one a helper.
    first, owner, receiver, third = (isthmus.create() for _ in range(4))
    there_r, there_s = isthmus.create_channel(None)
    lent = [bytearray(100) for _ in range(100)]
    for each in (owner, receiver, third):
        each.run(
            "from isthmus._at_fork import *\nfor name in LATE: __import__(name)\nimport isthmus; kept = []"
        )
    with HOW[how]():
        _no_thread_can_start()
        owner.run(
            "data = [bytearray(10) for _ in range(100)]\n"
            "for n, each in enumerate(data): s.send(bytes([n]) * 70_000); s.send_buffer(each)",
            s=there_s,
        )
        for each in lent:
            there_s.send_buffer(each)
        receiver.run(f"kept += [r.recv(timeout={PATIENCE}) for _ in range(300)]", r=there_r)
        receiver.run("assert [x[0] for x in kept[:200:2]] == list(range(100))")
        assert isthmus.stats().views_live == 200
        receiver.run("kept.clear()")
        held = isthmus.stats()
        assert held.slots_live >= 100, held
        assert held.shares_outstanding == 0, held
        owner.run("isthmus.stats(); assert not isthmus.create_channel(1)[0].recv_nowait()")
        owner.run("for each in data: each.append(1)")
        there_s.send(None)  # a call of main's own
        eventually(
            lambda: nothing_is_held() and isthmus.stats().views_live == 0,
            "given back at the owners' own calls",
        )
        for each in lent:
            each.append(1)
        # What waits for an owner that closes is given back by that.
        third.run("d = bytearray(10); s.send_buffer(d); s.send(b't' * 100_000)", s=there_s)
        assert there_r.recv() is None
        kept = [there_r.recv(), there_r.recv()]
        del kept[0]
        third.close()
        assert kept == [b"t" * 100_000]
        kept.clear()
        assert isthmus.stats().views_live == 0
        # Left for the time after.
        owner.run("late = bytearray(10); s.send(b'l' * 70_000); s.send_buffer(late)", s=there_s)
        receiver.run(f"kept += [r.recv(timeout={PATIENCE}) for _ in range(2)]\nkept.clear()", r=there_r)
        assert isthmus.stats().views_live == 1
    owner.run("s.send_buffer(late)", s=there_s)  # which starts the helper
    there_r.recv()
    eventually(lambda: isthmus.stats().views_live == 0 and nothing_is_held(), "all given back")
    owner.run("late.append(1); s.send(b'x' * 100_000)", s=there_s)
    receiver.run("r.recv()", r=there_r)
    eventually(nothing_is_held, "an idle owner is entered again")
    for each in (first, owner, receiver):
        each.close()


def _refused(action: Callable[[], object], *kinds: type[BaseException]) -> None:
    try:
        action()
    except kinds:
        return
    raise AssertionError(f"{action} was not refused")


def no_descriptors() -> None:
    """fileno() and sockets are OSErrors, all else works; a socket that could not be sent is not lost."""
    other = isthmus.create()
    r, s = isthmus.create_channel(None)
    back_r, back_s = isthmus.create_channel(None)
    other.run("def echo():\n    for x in r: s.send(x)", r=r, s=back_s)
    left, right = socket.socketpair()
    more_r, _more_s = isthmus.create_channel(1)
    kept = payload(MIB, 1)
    with _limited(resource.RLIMIT_NOFILE, 0):
        _refused(more_r.fileno, OSError)
        _refused(more_r.fileno, OSError)
        _refused(lambda: s.send(left), OSError, isthmus.NotShareableError)
        _refused(lambda: s.send([kept, left]), OSError, isthmus.NotShareableError)
        assert r.recv_nowait("nothing") == "nothing"
        for value in (1, kept, bytearray(b"view" * 1000), [kept, {"x": kept}]):
            s.send(value)
            other.run(f"s.send(r.recv(timeout={PATIENCE}))")
            assert back_r.recv(timeout=PATIENCE) == value
        s.send(memoryview(bytearray(1000)))
        other.run("v = r.recv(); v[0] = 1; del v")
        assert isthmus.select(more_r, back_s_ready(back_s), timeout=1) is not None
        back_r.recv()
    assert not select.select([more_r], [], [], 0)[0]
    _more_s.send(1)
    assert select.select([more_r], [], [], 0)[0]
    s.send(left)
    other.run("r.recv().send(b'hello')")
    assert right.recv(5) == b"hello"
    left.close()
    right.close()


def back_s_ready(end: isthmus.SendChannel) -> tuple[isthmus.SendChannel, int]:
    return (end, 1)


def fork_without(what: str) -> None:
    """Both processes keep what lay there, though the fork finds no descriptor, or no room for a file."""
    disarm_watchdog()
    with isthmus.create() as other:
        r, s = isthmus.create_channel(None)
        s.send(b"x")
        other.run("s.send(b'o' * 1_000_000)", s=s)
        r.recv()
        theirs = r.recv()
    kept = [payload(MIB, n) for n in range(8)]

    def child() -> None:
        for n in range(8):
            assert kept[n] == payload(MIB, n if n % 2 else n + 200), n
        assert theirs == b"o" * 1_000_000
        with isthmus.create() as mine:
            s.send(kept[1])
            mine.run("assert len(r.recv()) == 1024 * 1024; s.send(b'm' * 100_000)", r=r, s=s)
            assert r.recv() == b"m" * 100_000

    limit = {"descriptors": resource.RLIMIT_NOFILE, "files": resource.RLIMIT_FSIZE}[what]
    size = {"descriptors": 0, "files": 4096}[what]
    with _limited(limit, size):
        pid = os.fork()
        # The parent frees and writes at once: the child must not see any of it.
        for n in range(0, 8, 2):
            kept[n] = b""
            kept[n] = payload(MIB, n + (100 if pid else 200))
    if pid == 0:
        end_with(child)
    ended_well(pid)
    for n in range(8):
        assert kept[n] == payload(MIB, n if n % 2 else n + 100), n
    assert theirs == b"o" * 1_000_000


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * KIB
    raise AssertionError(name)


def _emptied(*ends: isthmus.RecvChannel) -> bool:
    """False: there was no memory for something that is received."""
    try:
        for end in ends:
            while end.recv_nowait() is not None:
                pass
    except MemoryError:
        return False
    return True


def no_memory(what: str) -> None:
    """Nothing more can be had: every message arrives whole or is refused, and none is counted twice."""
    other = isthmus.create()
    r, s = isthmus.create_channel(None)
    back_r, back_s = isthmus.create_channel(None)
    other.run("import zlib", r=r, s=back_s)
    values = [payload(70 * KIB + n * 8 * KIB, n) for n in range(60)]
    limit = {"AS": (resource.RLIMIT_AS, "VmSize:"), "DATA": (resource.RLIMIT_DATA, "VmData:")}[what]
    sent = arrived = refused = 0
    with _limited(limit[0], _status(limit[1]) + 256 * KIB):
        for n in range(600):
            try:
                s.send([n, values[n % 60], bytearray(values[n % 60])])
                sent += 1
                other.run(
                    f"x = r.recv(timeout={PATIENCE})\n"
                    "s.send((x[0], zlib.crc32(x[1]), x[1] == x[2], x[1])); x = None"
                )
                back_r_n, _, same, whole = back_r.recv(timeout=PATIENCE)
                assert back_r_n == n
                assert same
                assert whole == values[n % 60]
                arrived += 1
            except (MemoryError, isthmus.InterpreterError, isthmus.ExecutionFailed) as error:
                if "emory" not in repr(error):
                    raise
                refused += 1
                eventually(lambda: _emptied(r, back_r), "what was under way received")
            whole = None
        huge: list[bytes] = []
        with contextlib.suppress(MemoryError):
            while len(huge) < 100_000:
                huge.append(bytes(40 * KIB))
        assert len(huge) < 100_000, "the limit was not hit"
        huge.clear()
    assert arrived + refused == 600
    print(f"{sent} sent, {arrived} arrived, {refused} refused")
    before = isthmus.stats()
    for n, value in enumerate(values):
        s.send(value)
        other.run("s.send(r.recv())")
        assert back_r.recv() is value, n
    assert isthmus.stats().fallback_copies == before.fallback_copies
    values.clear()
    del value
    eventually(nothing_is_held, "everything given back")


def group(mebibytes: str) -> None:
    """Several times the memory of the control group is made and dropped: what idles must not fill it."""
    limit = int(mebibytes) * MIB
    other = isthmus.create()
    r, s = isthmus.create_channel(None)
    other.run("import zlib", r=r)
    made = 0
    for turn in range(4):
        for size in (100 * KIB, 300 * KIB, MIB, 3 * MIB, 10 * MIB, 30 * MIB):
            batch = [payload(size, turn + n) for n in range(min(40, limit // 4 // size))]
            for value in batch:
                s.send(value)
            other.run(f"for _ in range(n): assert r.recv(timeout={PATIENCE})[-1] < 251", n=len(batch))
            made += size * len(batch)
            del value, batch
    assert made > 3 * limit, made
    assert isthmus.stats().bytes_resident <= limit // 2, isthmus.stats()


command(
    {
        "no_threads": no_threads,
        "no_descriptors": no_descriptors,
        "fork_without": fork_without,
        "no_memory": no_memory,
        "group": group,
    }
)
