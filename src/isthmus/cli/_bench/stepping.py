"""Counts the instructions that a stretch of a program retires, by single-stepping its main thread (ptrace).

Slow (some 10 µs an instruction) and exact, and works where there is no hardware counter: in most virtual
machines. Valgrind is no help: it refuses the `mremap` that the arena is made with, so the hook stays out.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import subprocess
from collections.abc import Sequence

from isthmus.cli._bench.loops import pinned

__all__ = ["count"]

_CONT, _SINGLESTEP, _ATTACH, _DETACH = 7, 9, 16, 17
_MARK = signal.SIGUSR1


def count(command: Sequence[str], environment: dict[str, str]) -> int | None:
    """Run `command` and return how many instructions lie between its two marks; None: not possible here.

    Once it is warm it prints "ready" and waits for a line; a mark is a SIGUSR1 that it sends itself.
    """
    if platform.machine() not in ("x86_64", "aarch64"):
        return None
    # The two take turns; on one CPU that is a switch, on two it is an interrupt and a wake-up each time.
    with pinned(max(os.sched_getaffinity(0))):
        return _count(command, environment)


def _count(command: Sequence[str], environment: dict[str, str]) -> int | None:
    program = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    )
    assert program.stdin is not None
    assert program.stdout is not None
    with program:
        try:
            if program.stdout.readline() != "ready\n" or not _request(_ATTACH, program.pid):
                return None
            _stop_of(program.pid)
            _require(_CONT, program.pid)
            program.stdin.write("\n")
            program.stdin.flush()
            while (number := _stop_of(program.pid)) != _MARK:
                _require(_CONT, program.pid, number)
            steps = _steps_to_mark(program.pid)
            _require(_DETACH, program.pid)
            return steps
        except ChildProcessError:
            return None
        finally:
            # Detached, it has nothing left to do; still traced, it would wait for ever.
            program.kill()


def _steps_to_mark(process: int) -> int:
    steps = 0
    ptrace, waitpid = _ptrace(), os.waitpid
    # The loop runs a million times: everything is looked up once.
    trap = signal.SIGTRAP << 8 | 0x7F
    while True:
        if ptrace(_SINGLESTEP, process, None, None) != 0:
            raise ChildProcessError(ctypes.get_errno(), "ptrace")
        status = waitpid(process, 0)[1]
        if status == trap:
            steps += 1
        elif os.WIFSTOPPED(status) and os.WSTOPSIG(status) == _MARK:
            return steps
        else:
            raise ChildProcessError(f"wait status {status:#x} while stepping")


def _stop_of(process: int) -> int:
    """Wait until the traced process stops; the signal that it stopped for."""
    status = os.waitpid(process, 0)[1]
    if not os.WIFSTOPPED(status):
        raise ChildProcessError(f"wait status {status:#x}: it ended")
    return os.WSTOPSIG(status)


def _ptrace() -> ctypes._NamedFuncPointer:
    function = ctypes.CDLL(None, use_errno=True).ptrace
    function.restype = ctypes.c_long
    function.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    return function


def _request(request: int, process: int, number: int = 0) -> bool:
    return bool(_ptrace()(request, process, None, number) == 0)


def _require(request: int, process: int, number: int = 0) -> None:
    if not _request(request, process, number):
        raise ChildProcessError(ctypes.get_errno(), "ptrace")
