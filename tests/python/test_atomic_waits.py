"""AtomicView.wait and notify: between interpreters, with timeouts, interrupted, when interpreters close."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

import isthmus
from conftest import PATIENCE, Running, run_script, until

Create = Callable[..., isthmus.Interpreter]
Spawn = Callable[..., Running]
Ends = tuple[isthmus.RecvChannel, isthmus.SendChannel]
Format = Literal["i", "I", "q", "Q", "l", "L"]


def counters(count: int = 8, fmt: Format = "q") -> isthmus.AtomicView:
    return isthmus.SharedBuffer(count * (4 if fmt in "iI" else 8)).atomic(fmt)


def parked(view: isthmus.AtomicView, spawn: Spawn, new_interp: Create, count: int) -> list[Running]:
    """Threads of different interpreters that sleep until element 0 is notified, asleep in this order."""
    threads = []
    for n in range(count):
        source = "view.add(1, 1); assert view.wait(0, 0) is True; view.add(2, 1 << 8 * me)"
        threads.append(spawn(new_interp(), source, view=view, me=n))
        assert until(lambda n=n: view.load(1) == n + 1)  # type: ignore[misc]
        threads[-1].until_asleep()
    return threads


def test_what_differs_is_not_waited_for() -> None:
    view = counters()
    view.store(0, 1)
    assert view.wait(0, 0) is True
    assert view.wait(0, 0, timeout=0) is True
    assert view.wait(0, -1, None) is True


@pytest.mark.parametrize("timeout", [0, 0.0, 0.02])
def test_a_timeout_is_false(timeout: float) -> None:
    view = counters()
    began = time.monotonic()
    assert view.wait(0, 0, timeout) is False
    assert view.wait(index=-1, expected=0, timeout=timeout) is False
    assert 2 * timeout <= time.monotonic() - began < PATIENCE
    assert view.notify(0) == 0, "nobody is left waiting"


def test_wrong_arguments() -> None:
    view = counters()
    with pytest.raises(ValueError, match="non-negative"):
        view.wait(0, 0, -1)
    with pytest.raises(ValueError, match="non-negative"):
        view.wait(0, 0, float("nan"))
    with pytest.raises(TypeError):
        view.wait(0, 0, "1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 0"):
        view.notify(0, -1)
    with pytest.raises(ValueError, match="at least 0"):
        view.notify(0, -(2**100))
    with pytest.raises(TypeError):
        view.notify(0, 1.5)  # type: ignore[arg-type]
    assert view.notify(0, 2**100) == view.notify(0, 0) == view.notify(0, None) == 0


def test_as_many_wake_as_were_asked_for(spawn: Spawn, new_interp: Create) -> None:
    view = counters()
    threads = parked(view, spawn, new_interp, 3)
    assert view.notify(1) == 0, "another element"
    assert view.notify(0, 0) == 0
    assert view.notify(0, 1) == 1
    threads[0].join()
    assert view.load(2) == 1
    assert view.notify(0, count=5) == 2
    for each in threads[1:]:
        each.join()
    assert view.load(2) == 0x010101
    assert view.notify(0) == 0


def test_all_wake_by_default(spawn: Spawn, new_interp: Create) -> None:
    view = counters()
    threads = parked(view, spawn, new_interp, 3)
    assert view.notify(0) == 3
    for each in threads:
        each.join()


def test_a_change_alone_wakes_nobody(spawn: Spawn, new_interp: Create) -> None:
    view = counters()
    threads = parked(view, spawn, new_interp, 1)
    view.add(0, 1)
    assert view.load(2) == 0
    threads[0].until_asleep()
    assert view.notify(0) == 1


def test_elements_are_told_apart_by_where_they_lie(spawn: Spawn, new_interp: Create) -> None:
    """The same index of another buffer, or another format, is another element, or the same one."""
    view, other = counters(), counters()
    threads = parked(view, spawn, new_interp, 1)
    assert other.notify(0) == 0
    narrow = view.obj.atomic("i")
    assert narrow.notify(1) == 0
    assert narrow.notify(0) == 1, "its first half begins at the same byte"
    threads[0].join()


@pytest.mark.parametrize("fmt", ["i", "q"])
@pytest.mark.parametrize("gil", ["own", "shared"])
def test_ping_pong(new_interp: Create, spawn: Spawn, fmt: Format, gil: str) -> None:
    view = counters(4, fmt)
    rounds = 500
    step = 1 if fmt == "i" else 1 << 32  # only the upper half changes: the kernel compares 32 bits
    source = """if True:
        def turns(view, first, rounds, step):
            for i in range(first, rounds, 2):
                while (seen := view.load(0)) != i * step:
                    assert view.wait(0, seen, 120), "a wake-up was lost"
                view.store(0, (i + 1) * step)
                view.notify(0)
        """
    other = spawn(new_interp(gil=gil), source + "turns(view, 1, n, step)", view=view, n=rounds, step=step)
    mine: dict[str, Callable[..., None]] = {}
    exec(textwrap.dedent(source), mine)
    mine["turns"](view, 0, rounds, step)
    other.join()
    assert view.load(0) == rounds * step


def test_waiting_releases_the_gil() -> None:
    view = counters()
    done = threading.Event()

    def waker() -> None:
        while view.notify(0) == 0:
            done.wait(0.001)
        done.set()

    thread = threading.Thread(target=waker)
    thread.start()
    assert view.wait(0, 0, PATIENCE)
    assert done.wait(PATIENCE)
    thread.join()


def test_waiters_of_one_interpreter_and_of_others_alike(new_interp: Create, spawn: Spawn) -> None:
    view = counters()
    others = parked(view, spawn, new_interp, 2)
    results: list[bool] = []
    threads = [threading.Thread(target=lambda: results.append(view.wait(0, 0))) for _ in range(2)]
    for each in threads:
        each.start()
    woken = 0

    def all_woken() -> bool:
        nonlocal woken
        woken += view.notify(0)
        return woken == 4

    assert until(all_woken)
    for each in threads:
        each.join()
    assert results == [True, True]
    for each in others:
        each.join()


# ---- what is built on it


def test_a_ticket_lock_excludes_and_is_fair(new_interp: Create, spawn: Spawn) -> None:
    """Element 0: the next ticket; 1: who is served; the rest is changed by plain reads and writes."""
    view = counters()
    plain = isthmus.SharedBuffer(16)
    source = """if True:
        count = memoryview(plain).cast("q")
        for _ in range(n):
            mine = view.add(0, 1)
            while (served := view.load(1)) != mine:
                assert view.wait(1, served, 120), "a wake-up was lost"
            before = count[0]
            count[1] = me
            for _ in range(5):
                assert count[1] == me, "two at once"
            count[0] = before + 1
            view.add(1, 1)
            view.notify(1)
        del count
        """
    threads = [spawn(new_interp(), source, view=view, plain=plain, n=150, me=n) for n in range(4)]
    for each in threads:
        each.join()
    assert memoryview(plain).cast("q")[0] == 600
    assert view.load(0) == view.load(1) == 600


def test_a_seqlock_shows_nothing_torn(new_interp: Create, spawn: Spawn) -> None:
    """The writer makes element 0 odd while it writes; a reader reads again if that was so, or it changed."""
    view = counters(2)
    data = isthmus.SharedBuffer(256)
    writer = """if True:
        shown = memoryview(data)
        for n in range(2000):
            view.add(0, 1)
            for place in range(0, 256, 64):
                shown[place:place + 64] = bytes([n % 256]) * 64
            view.add(0, 1)
        view.store(1, 1)
        view.notify(1)
        """
    reader = """if True:
        shown, seen = memoryview(data), 0
        while not view.load(1):
            before = view.load(0)
            content = bytes(shown)
            if before % 2 == 0 and view.load(0) == before:
                assert len(set(content)) == 1, content
                seen += 1
        view.wait(1, 0)
        """
    readers = [spawn(new_interp(), reader, view=view, data=data) for _ in range(2)]
    spawn(new_interp(), writer, view=view, data=data).join()
    for each in readers:
        each.join()
    assert view.load(0) == 4000
    assert bytes(data) == bytes([1999 % 256]) * 256


def test_a_ring_hands_everything_over_once(new_interp: Create, spawn: Spawn, ends: Ends) -> None:
    """One producer, several consumers: element 0 counts what was put in, 1 what was taken out."""
    view, ring = counters(), isthmus.SharedBuffer(16 * 8)
    n = 3000
    producer = """if True:
        slots = memoryview(ring).cast("q")
        for i in range(n):
            while i - (taken := view.load(2)) >= 16:
                assert view.wait(2, taken, 120), "a wake-up was lost"
            slots[i % 16] = i * i
            view.store(0, i + 1)
            view.notify(0)
        """
    consumer = """if True:
        slots, sum, count = memoryview(ring).cast("q"), 0, 0
        while (mine := view.add(1, 1)) < n:
            while (there := view.load(0)) <= mine:
                assert view.wait(0, there, 120), "a wake-up was lost"
            sum += slots[mine % 16]
            count += 1
            while (taken := view.load(2)) != mine:  # given back in order
                assert view.wait(2, taken, 120), "a wake-up was lost"
            view.store(2, mine + 1)
            view.notify(2)
        s.send((sum, count))
        """
    threads = [spawn(new_interp(), consumer, view=view, ring=ring, n=n, s=ends[1]) for _ in range(3)]
    threads.append(spawn(new_interp(), producer, view=view, ring=ring, n=n))
    for each in threads:
        each.join()
    results = [ends[0].recv() for _ in range(3)]
    assert sum(total for total, _ in results) == sum(i * i for i in range(n))
    assert sum(count for _, count in results) == n


# ---- how a wait ends otherwise


def test_closing_an_interpreter_ends_its_waits(interp: isthmus.Interpreter, ends: Ends) -> None:
    view = counters()
    interp.run(
        """if True:
        import isthmus, threading
        def waits():
            view.add(1, 1)
            try:
                view.wait(0, 0)
            except isthmus.InterpreterError as error:
                s.send(str(error))
        threads = [threading.Thread(target=waits) for _ in range(2)]
        for each in threads:
            each.start()
        """,
        view=view,
        s=ends[1],
    )
    assert until(lambda: view.load(1) == 2)
    interp.close()
    for _ in range(2):
        assert "being closed" in ends[0].recv(PATIENCE)
    assert view.notify(0) == 0


def test_others_go_on_waiting_when_one_interpreter_closes(new_interp: Create, spawn: Spawn) -> None:
    view = counters()
    threads = parked(view, spawn, new_interp, 1)
    closing = new_interp()
    closing.run(
        "import threading; t = threading.Thread(target=view.wait, args=(0, 0, 60)); t.start()", view=view
    )
    closing.run("import threading; threading.excepthook = lambda *_: None")
    closing.close()
    assert view.notify(0) == 1
    threads[0].join()


def test_ctrl_c_ends_a_wait_of_the_main_thread() -> None:
    source = """
    import isthmus
    view = isthmus.SharedBuffer(8).atomic("q")
    isthmus.create().run("x = 1")
    try:
        print("waits", flush=True)
        view.wait(0, 0)
    except KeyboardInterrupt:
        print("interrupted", view.notify(0), flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        stat = Path(f"/proc/{process.pid}/stat")
        assert until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "S")
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()
    assert (out, err, process.returncode) == ("interrupted 0\n", "", 0)


def test_a_signal_that_comes_just_before_the_wait_ends_it() -> None:
    """It comes in C code of the very call, so that no bytecode is evaluated between it and the wait."""
    run_script(
        """
        import ctypes, functools, isthmus, signal
        class Index:
            __index__ = staticmethod(functools.partial(ctypes.PyDLL(None)["raise"], signal.SIGINT))
        view = isthmus.SharedBuffer(8).atomic("q")
        for _ in range(3):
            try:
                view.wait(Index(), 0)
            except KeyboardInterrupt:
                continue
            raise AssertionError("it was not interrupted")
        """
    )


def test_a_signal_handler_that_returns_does_not_end_the_wait() -> None:
    run_script(
        """
        import isthmus, os, signal, threading
        view = isthmus.SharedBuffer(8).atomic("q")
        seen = threading.Event()
        signal.signal(signal.SIGUSR1, lambda *_: seen.set())
        def other():
            os.kill(os.getpid(), signal.SIGUSR1)
            assert seen.wait(120), "the handler does not run while the main thread waits"
            view.store(0, 1)
            view.notify(0)
        threading.Thread(target=other).start()
        assert view.wait(0, 0, 120) is True
        assert view.load(0) == 1
        """
    )


def test_the_process_may_end_while_daemon_threads_wait() -> None:
    run_script(
        """
        import isthmus, threading
        view = isthmus.SharedBuffer(16).atomic("q")
        started = threading.Barrier(4)
        def waits(timeout):
            started.wait()
            while True:
                view.wait(0, 0, timeout)
        for timeout in (None, 60, 0.0001):
            threading.Thread(target=waits, args=(timeout,), daemon=True).start()
        isthmus.create().run("x = 1")
        started.wait()
        """
    )
