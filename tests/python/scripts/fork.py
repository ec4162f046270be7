"""fork: a child has memory of its own under the same addresses (H3); multiprocessing and subprocess work."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
import warnings

from common import (
    MIB,
    PATIENCE,
    arm_watchdog,
    checksum,
    command,
    disarm_watchdog,
    ended_well,
    eventually,
    in_child,
    nothing_is_held,
    payload,
    status_of,
)

import isthmus


def _used_and_closed(own: int = 0) -> None:
    """Slots, twins and idle blocks from a time with other interpreters, which are closed again."""
    with isthmus.create() as other:
        r, s = isthmus.create_channel(None)
        back_r, back_s = isthmus.create_channel(None)
        for n in range(8):
            s.send(payload(MIB, n))
        other.run("for _ in range(8): s.send(r.recv())", r=r, s=back_s)
        for n in range(8):
            assert back_r.recv() == payload(MIB, n)
    eventually(lambda: nothing_is_held(own), "everything given back")


def _rewrite(kept: list[bytes], seed: int) -> None:
    """Free half, write new objects into the same slots, check everything; several times."""
    for turn in range(5):
        for n in range(0, len(kept), 2):
            assert kept[n][:10] is not None
            kept[n] = b""
            kept[n] = payload(MIB, seed + turn * 50 + n)
        for n in range(0, len(kept), 2):
            assert kept[n] == payload(MIB, seed + turn * 50 + n)
        for n in range(1, len(kept), 2):
            assert kept[n] == payload(MIB, n), n


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def both_write() -> None:
    disarm_watchdog()  # a thread too
    eventually(lambda: _threads() == 1, "the watchdog has ended")
    _used_and_closed()
    assert _threads() == 1, "the kernel counts a thread of ours"
    kept = [payload(MIB, n) for n in range(16)]
    places = [isthmus.describe(x)["slot"] for x in kept]
    assert None not in places
    ready_r, ready_w = os.pipe()
    go_r, go_w = os.pipe()

    def child() -> None:
        os.close(go_w)  # so that a parent that fails does not leave us waiting
        _rewrite(kept, 1000)
        os.write(ready_w, b"1")
        assert os.read(go_r, 1) == b"g"  # the parent has written into its own slots meanwhile
        for n in range(0, 16, 2):
            assert kept[n] == payload(MIB, 1000 + 200 + n)
        _rewrite(kept, 3000)

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a process with other threads is warned; 3.13 swallows the error
        pid = in_child(child)
    os.close(ready_w)  # so that a child that fails does not leave us waiting
    arm_watchdog()
    _rewrite(kept, 2000)
    assert os.read(ready_r, 1) == b"1"
    for n in range(0, 16, 2):
        assert kept[n] == payload(MIB, 2000 + 200 + n)
    os.write(go_w, b"g")
    _rewrite(kept, 4000)
    ended_well(pid)


def nothing_placed_yet() -> None:
    """What processes forked from one with isthmus, but no placed object, make later is each one's own."""
    assert isthmus.stats().bytes_resident == 0
    go_r, go_w = os.pipe()

    def make_and_keep(number: int, ready: int) -> None:
        os.close(go_w)  # a parent that fails does not leave us waiting, nor a child that fails its parent
        isthmus.enable()
        kept = [payload(MIB, number + n) for n in range(8)]
        assert all(isthmus.describe(x)["slot"] is not None for x in kept)
        os.write(ready, b"1")
        assert os.read(go_r, 1) == b"g"  # the others have made theirs meanwhile
        for n, each in enumerate(kept):
            assert each == payload(MIB, number + n)

    children = []
    for number in (100, 200):
        ready_r, ready_w = os.pipe()
        pid = in_child(lambda number=number, ready=ready_w: make_and_keep(number, ready))
        os.close(ready_w)
        children.append((pid, ready_r))
    isthmus.enable()
    mine = [payload(MIB, n) for n in range(8)]
    assert [os.read(ready, 1) for _, ready in children] == [b"1", b"1"]
    os.write(go_w, b"gg")
    for pid, _ in children:
        ended_well(pid)
    for n, each in enumerate(mine):
        assert each == payload(MIB, n)


def child_creates() -> None:
    """The child makes interpreters of its own and hands objects from before the fork to them."""
    _used_and_closed()
    kept = payload(MIB, 5)

    def child() -> None:
        with isthmus.create() as other:
            r, s = isthmus.create_channel(None)
            back_r, back_s = isthmus.create_channel(None)
            s.send(kept)
            other.run("x = r.recv(); s.send(x); s.send(b'new' * 100_000); del x", r=r, s=back_s)
            assert back_r.recv(timeout=PATIENCE) is kept
            assert back_r.recv(timeout=PATIENCE) == b"new" * 100_000
        assert kept == payload(MIB, 5)

    pids = [in_child(child) for _ in range(3)]
    for pid in pids:
        ended_well(pid)
    ended_well(in_child(lambda: ended_well(in_child(child))))  # a grandchild
    assert kept == payload(MIB, 5)
    _used_and_closed(1)


def orphans() -> None:
    """Live at the fork: an object whose owner is closed, undelivered messages."""
    other = isthmus.create()
    r, s = isthmus.create_channel(None)
    other.run("s.send(b'o' * 1_000_000); s.send(b'p' * 1_000_000)", s=s)
    other.close()
    got = r.recv()
    own = payload(MIB, 9)
    s.send(own)

    def child() -> None:
        assert (set(got), set(r.recv())) == ({111}, {112})
        assert r.recv() is own
        _rewrite([payload(MIB, n) for n in range(4)], 100)

    pid = in_child(child)
    assert (set(got), set(r.recv())) == ({111}, {112})
    assert r.recv() is own
    ended_well(pid)


def many_forks() -> None:
    _used_and_closed()
    kept = [payload(MIB, n) for n in range(4)]
    descriptors = len(os.listdir("/proc/self/fd"))
    for turn in range(25):
        pid = in_child(lambda: _rewrite(kept, 500))
        kept[0] = payload(MIB, turn)
        kept[0] = payload(MIB, 0)
        ended_well(pid)
    assert len(os.listdir("/proc/self/fd")) == descriptors


def beside_threads() -> None:
    """The child of a fork finds no lock of a channel or queue held that another thread was inside of."""
    stop = threading.Event()
    r, s = isthmus.create_channel(2)
    q = isthmus.create_queue(2)

    def use() -> None:
        own = isthmus.create_queue()
        while not stop.is_set():
            with contextlib.suppress(TimeoutError, isthmus.QueueEmpty, isthmus.QueueFull):
                s.send(1, timeout=0.0001)
                q.put(1, timeout=0.0001)
                r.recv(timeout=0.0001)
                q.get(timeout=0.0001)
                isthmus.select(own, r, q, timeout=0.0001)
            each_r, each_s = isthmus.create_channel(None)
            each_s.send((each_r, each_s))
            each_r.close()
            each_s.close()

    def child() -> None:
        for _ in range(20):
            assert (r.recv_nowait(), q.qsize(), s.send_nowait(1)) is not None
            with contextlib.suppress(isthmus.QueueEmpty):
                q.get(timeout=0)
            isthmus.create_channel()
        assert isthmus.list_all_channels()
        mine = isthmus.create_queue()
        threading.Thread(target=mine.put, args=(5,)).start()
        assert mine.get(timeout=PATIENCE) == 5
        q.shutdown(immediate=True)
        r.close()

    threads = [threading.Thread(target=use) for _ in range(3)]
    for each in threads:
        each.start()
    try:
        for _ in range(40):
            ended_well(in_child(child))
    finally:
        stop.set()
        for each in threads:
            each.join()
    r.close()
    s.close()


def from_a_thread() -> None:
    """In the child the thread that forked is the main one: signals interrupt its waits."""
    r, s = isthmus.create_channel()

    class Rung(Exception):
        pass

    def ring(number: int, frame: object) -> None:
        raise Rung

    def child() -> None:
        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
        try:
            r.recv(timeout=PATIENCE)
        except Rung:
            return
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        raise AssertionError("received what nobody sent")

    def fork() -> None:
        with contextlib.suppress(TimeoutError):
            r.recv(timeout=0)  # the thread has waited: it knows that it is not the main one
        eventually(lambda: r.statistics().waiting_receivers == 1, "the main thread waits")
        statuses.append(status_of(in_child(child)))
        s.send(1)

    statuses: list[int] = []
    thread = threading.Thread(target=fork)
    thread.start()
    assert r.recv(timeout=PATIENCE) == 1  # waits while the other thread forks
    thread.join()
    assert statuses == [0]
    r.close()
    s.close()


def descriptors() -> None:
    """A descriptor keeps its number; parent and child hear each of its own channel."""
    r, s = isthmus.create_channel(4)

    def readable() -> bool:
        return bool(select.select([r], [], [], 0)[0])

    assert not readable()

    def child() -> None:
        s.send(1)
        assert readable()

    ended_well(in_child(child))
    assert not readable()
    s.send(2)

    def taker() -> None:
        assert readable()
        assert r.recv() == 2
        assert not readable()

    ended_well(in_child(taker))
    assert readable()
    r.close()
    s.close()


def _square(data: bytes) -> int:
    import isthmus as here

    here.enable()
    own = data + b"."
    assert len(own) == len(data) + 1
    return checksum(data)


def processes(method: str) -> None:
    _used_and_closed()
    values = [payload(MIB, n) for n in range(6)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_square, values) == [checksum(v) for v in values]
    for n, value in enumerate(values):
        assert value == payload(MIB, n)
    _used_and_closed_again(values)


def _used_and_closed_again(values: list[bytes]) -> None:
    with isthmus.create() as other:
        r, s = isthmus.create_channel(None)
        s.send(values[0])
        other.run("assert len(r.recv()) == 1024 * 1024", r=r)


def subprocesses() -> None:
    """The module works while other interpreters live; later also with Python code between fork and exec.

    (While they live, a child that CPython forked to run Python code dies, with or without isthmus.)
    """
    data = payload(MIB, 3)
    echo = [sys.executable, "-c", "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"]
    with isthmus.create() as other:
        r, s = isthmus.create_channel(None)
        s.send(data)
        other.run("x = r.recv()", r=r)
        for session in (False, True):
            done = subprocess.run(
                echo, input=data, stdout=subprocess.PIPE, check=True, start_new_session=session
            )
            assert done.stdout == data
        other.run("import zlib; assert zlib.crc32(x) == wanted", wanted=checksum(data))
        s.send(done.stdout)
        other.run("assert r.recv() == x")
    done = subprocess.run(echo, input=data, stdout=subprocess.PIPE, check=True, preexec_fn=os.getpid)
    assert done.stdout == data


if __name__ == "__main__":
    command(
        {
            "both_write": both_write,
            "nothing_placed_yet": nothing_placed_yet,
            "child_creates": child_creates,
            "orphans": orphans,
            "many_forks": many_forks,
            "beside_threads": beside_threads,
            "from_a_thread": from_a_thread,
            "descriptors": descriptors,
            "processes": processes,
            "subprocesses": subprocesses,
        }
    )
