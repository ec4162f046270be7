"""What the scripts share. Every script imports it first: it arms the watchdog that shows where a hang is."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import isthmus

sys.path.append(__file__.rpartition("/scripts/")[0])
from _accounts import PATIENCE as PATIENCE

KIB = 1024
MIB = 1024 * KIB


def arm_watchdog() -> None:
    if "ISTHMUS_TEST_DUMP_AFTER" in os.environ:
        faulthandler.dump_traceback_later(float(os.environ["ISTHMUS_TEST_DUMP_AFTER"]))


def disarm_watchdog() -> None:
    faulthandler.cancel_dump_traceback_later()


arm_watchdog()


def payload(size: int, seed: int = 0) -> bytes:
    """`size` bytes whose every page differs, and which differ for every `seed`, the last byte included."""
    unit = b"".join(n.to_bytes(4, "little") for n in range(seed * 7, seed * 7 + 1021))
    return (unit * (size // len(unit) + 1))[: size - 1] + bytes([seed % 251])


def checksum(data: bytes) -> int:
    return zlib.crc32(data)


def eventually(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> float:
    """Wait until `condition()` holds, at most `seconds`; return how long that took."""
    began = time.monotonic()
    never = threading.Event()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds} s: {what}; {isthmus.stats()}")
        never.wait(0.002)
    return time.monotonic() - began


def counters_balance() -> bool:
    stats = isthmus.stats()
    return stats.releases_posted == stats.releases_run and not any(stats.inbox_depths.values())


def nothing_is_held(own: int = 0) -> bool:
    """No twin, no share, and only the `own` slots of objects that the caller still has."""
    stats = isthmus.stats()
    return (
        stats.twins_live == stats.shares_outstanding == 0 and stats.slots_live == own and counters_balance()
    )


def run_in_thread(
    interpreter: isthmus.Interpreter,
    source: str,
    shared: Mapping[str, Any] | None = None,
    *,
    daemon: bool = False,
) -> threading.Thread:
    """Run `source` in `interpreter` in a new thread. An exception ends up in the attribute `failure`."""

    def body() -> None:
        try:
            interpreter.run(source, **(shared or {}))
        except BaseException as error:
            thread.failure = error  # type: ignore[attr-defined]

    thread = threading.Thread(target=body, daemon=daemon)
    thread.failure = None  # type: ignore[attr-defined]
    thread.start()
    return thread


def joined(thread: threading.Thread, seconds: float = PATIENCE) -> None:
    """Join, and raise what the thread's run raised."""
    thread.join(seconds)
    if thread.is_alive():
        raise AssertionError("a thread does not end")
    failure = getattr(thread, "failure", None)
    if failure is not None:
        raise failure


def end_with(work: Callable[[], object]) -> NoReturn:
    """What a forked child does: it must neither return into its parent's code nor clean up after it."""
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def in_child(work: Callable[[], object], fork: Callable[[], int] = os.fork) -> int:
    """The id of a forked child that does `work` and ends."""
    pid = fork()
    if pid == 0:
        end_with(work)
    return pid


def status_of(pid: int) -> int:
    """The exit status of a child, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def ended_well(pid: int) -> None:
    status = status_of(pid)
    assert status == 0, f"the child's exit status is {status}"


def exercise_with(other: isthmus.Interpreter, count: int = 6, size: int = MIB, rounds: int = 2) -> None:
    """Send objects to `other` and back, and its own objects here, and check what arrives."""
    there_r, there_s = isthmus.create_channel(None)
    back_r, back_s = isthmus.create_channel(None)
    for number in range(rounds):
        sent: list[bytes | str] = [payload(size, number * count + n) for n in range(count)]
        sent += [kind * size for kind in "aé€😀"]
        for value in sent:
            there_s.send(value)
        other.run(
            "for _ in range(n):\n    x = r.recv(); s.send(x); s.send(x + x[:1])\nx = None",
            r=there_r,
            s=back_s,
            n=len(sent),
        )
        for value in sent:
            assert back_r.recv(timeout=PATIENCE) == value
            longer = back_r.recv(timeout=PATIENCE)
            assert type(longer) is type(value)
            assert (longer[:-1], longer[-1]) == (value, value[0])
            del longer
        del value
        sent.clear()


def exercise(count: int = 6, size: int = MIB, rounds: int = 2) -> None:
    """`exercise_with` a new interpreter."""
    with isthmus.create() as other:
        exercise_with(other, count, size, rounds)


def command(table: Mapping[str, Callable[..., None]]) -> None:
    """Run the function that the first argument names, with the others as arguments."""
    table[sys.argv[1]](*sys.argv[2:])
