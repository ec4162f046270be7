"""fork in unusual company and by unusual ways: what lives at that moment is whole in both processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import (
    MIB,
    PATIENCE,
    checksum,
    command,
    disarm_watchdog,
    ended_well,
    eventually,
    in_child,
    payload,
    status_of,
)

import isthmus


class Estate:
    """Objects of every kind, of this interpreter and of one that is closed; held, in flight, and both."""

    def __init__(self) -> None:
        other = isthmus.create()
        self.recv, self.send = isthmus.create_channel(None)
        self.exporter = bytearray(payload(MIB, 1))
        self.shared = isthmus.SharedBuffer(MIB)
        memoryview(self.shared)[:] = payload(MIB, 2)
        self.queue = isthmus.create_queue()
        for value in (payload(MIB, 3), memoryview(self.exporter), self.shared):
            self.send.send(value)
            self.queue.put([value])
        other.run(
            "import isthmus\n"
            "def filled(b):\n    memoryview(b)[:] = data\n    return b\n"
            "for n in range(2):\n"
            "    s.send(data + b''); s.send_buffer(bytearray(data)); s.send(data.decode('latin-1'))\n"
            "    s.send(filled(isthmus.SharedBuffer(len(data))))\n"
            "    s.send([data, {'deep': (data[:100_000], bytearray(data))}])",
            s=self.send,
            data=payload(MIB, 4),
        )
        other.close()
        self.held: list[Any] = [self.recv.recv() for _ in range(8)]
        assert len(self.held) == 8

    def check(self) -> None:
        """Reads what is held and what is in flight; what flew is held afterwards."""
        self.held += [self.recv.recv(timeout=PATIENCE) for _ in range(5)]
        self.held += [self.queue.get(timeout=PATIENCE)[0] for _ in range(3)]
        own = [payload(MIB, n) for n in (3, 1, 2)]
        theirs = payload(MIB, 4)
        for group in (self.held[:3], self.held[13:]):
            assert [bytes(memoryview(x)) for x in group] == own
        for group in (self.held[3:8], self.held[8:13]):
            raw, view, text, buffer, nested = group
            assert raw == theirs
            assert bytes(view) == theirs
            assert text == theirs.decode("latin-1")
            assert bytes(memoryview(buffer)) == theirs
            assert nested == [theirs, {"deep": (theirs[:100_000], bytearray(theirs))}]

    def write(self, seed: int) -> None:
        """What can be written to is; new objects take the place of others."""
        self.exporter[:] = payload(MIB, seed)
        memoryview(self.shared)[:] = payload(MIB, seed + 1)
        self.held[4][:] = payload(MIB, seed + 2)
        for n in range(4):
            fresh = payload(MIB, seed + n)
            assert fresh[-1] == (seed + n) % 251
        self.check_written(seed)

    def check_written(self, seed: int) -> None:
        assert bytes(self.exporter) == bytes(self.held[1]) == payload(MIB, seed)
        assert bytes(memoryview(self.shared)) == bytes(memoryview(self.held[2])) == payload(MIB, seed + 1)
        assert bytes(self.held[4]) == payload(MIB, seed + 2)


def estates() -> None:
    """Child, grandchild and parent read everything, then write, then find only what they wrote."""
    estate = Estate()
    done_r, done_w = os.pipe()

    def grandchild() -> None:
        estate.write(300)
        estate.check_written(300)

    def child() -> None:
        os.close(done_w)
        estate.check()
        estate.write(100)
        ended_well(in_child(grandchild))
        assert os.read(done_r, 1) == b""  # the parent has written by then
        estate.check_written(100)

    pid = in_child(child)
    os.close(done_r)
    estate.check()
    estate.write(200)
    os.close(done_w)
    ended_well(pid)
    estate.check_written(200)
    estate.held.clear()
    eventually(lambda: isthmus.stats().views_live == 0, "views given back")


def daemon() -> None:
    """Fork, setsid, fork, all descriptors closed: what a daemon does before it begins."""
    disarm_watchdog()  # its thread is not in the child, but its descriptor is
    estate = Estate()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report")

        def begin() -> None:
            os.setsid()
            if os.fork() != 0:
                os._exit(0)
            os.chdir("/")
            os.closerange(0, 4096)
            for number in range(3):
                assert os.open(os.devnull, os.O_RDWR) == number
            try:
                estate.check()
                estate.write(100)
                with isthmus.create() as other:
                    estate.send.send(estate.held[0])
                    other.run("x = r.recv(); s.send(x); s.send(x[1:])", r=estate.recv, s=estate.send)
                    assert estate.recv.recv(timeout=PATIENCE) is estate.held[0]
                    assert estate.recv.recv(timeout=PATIENCE) == estate.held[0][1:]
                ended_well(in_child(lambda: None))
                text = "well"
            except BaseException:
                text = traceback.format_exc()
            report.with_suffix(".new").write_text(text)
            report.with_suffix(".new").rename(report)

        ended_well(in_child(begin))
        estate.check()
        estate.write(200)
        eventually(report.exists, "the daemon reports")
        assert report.read_text() == "well", report.read_text()


def terminal() -> None:
    """os.forkpty; what the child writes to its terminal arrives."""
    estate = Estate()
    masters: list[int] = []

    def fork() -> int:
        pid, master = os.forkpty()
        masters.append(master)
        return pid

    def work() -> None:
        estate.check()
        estate.write(100)
        os.write(1, b"checksum %d\n" % checksum(bytes(estate.exporter)))

    ended_well(in_child(work, fork))
    assert os.read(masters[0], 100).split() == [b"checksum", b"%d" % checksum(payload(MIB, 100))]
    os.close(masters[0])
    estate.check()


def _fork() -> int:
    return status_of(in_child(lambda: None))


def _forkpty() -> int:
    masters: list[int] = []

    def fork() -> int:
        pid, master = os.forkpty()
        masters.append(master)
        return pid

    try:
        return status_of(in_child(lambda: None, fork))
    finally:
        os.close(masters[0])


def _preexec() -> int:
    return subprocess.run(
        [sys.executable, "-c", ""], preexec_fn=os.getpid, stderr=subprocess.DEVNULL, check=False
    ).returncode


def _process(method: str) -> int:
    process = multiprocessing.get_context(method).Process(target=os.getpid)
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _spawn() -> int:
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], os.environ)
    return status_of(pid)


KILLED: dict[str, Callable[[], int]] = {
    "fork": _fork,
    "forkpty": _forkpty,
    "preexec_fn": _preexec,
    "multiprocessing": lambda: _process("fork"),
}
FINE: dict[str, Callable[[], int]] = {
    "subprocess": lambda: subprocess.run([sys.executable, "-c", ""], check=False).returncode,
    "session": lambda: (
        subprocess.run([sys.executable, "-c", ""], start_new_session=True, check=False).returncode
    ),
    "posix_spawn": _spawn,
    "system": lambda: os.system(f"{sys.executable} -c ''"),
    "spawn": lambda: _process("spawn"),
    "forkserver": lambda: _process("forkserver"),
}


@contextlib.contextmanager
def _an_interpreter(kind: str) -> Iterator[None]:
    if kind == "foreign":
        import _interpreters

        number = _interpreters.create()
        yield
        _interpreters.destroy(number)
    else:
        with isthmus.create(gil=kind) as other:
            other.run("x = 1")
            yield


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """What a child prints that CPython kills is its own business."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def warned(kind: str) -> None:
    """While any interpreter exists CPython kills the child: a warning comes before, where that is so."""
    disarm_watchdog()
    data = payload(MIB, 1)
    for name, start in (KILLED | FINE).items():
        for alive in (True, False):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", RuntimeWarning)
                with _an_interpreter(kind) if alive else contextlib.nullcontext(), _silence():
                    status = start()
            told = [each for each in caught if "other interpreter" in str(each.message)]
            dies = alive and name in KILLED
            print(name, "beside" if alive else "without", "an interpreter:", status)
            assert len(told) == dies, (name, alive, [str(each.message) for each in caught])
            assert (status < 0) == dies, (name, alive, status)
            assert status <= 0
            if dies and name in ("fork", "preexec_fn"):
                assert Path(told[0].filename).name in ("common.py", "forking.py", "subprocess.py"), told[
                    0
                ].filename
        assert data == payload(MIB, 1)
    with isthmus.create() as other:
        other.run("assert x[-1] == 1", x=data)


if __name__ == "__main__":
    command({"estates": estates, "daemon": daemon, "terminal": terminal, "warned": warned})
