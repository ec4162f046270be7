"""Each `operator new` fails once while isthmus is imported and starts, while a process exits, and in a fork.

One process for each, forked off from one that has not imported it. See failing.py.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import os
import sys
import traceback
from collections.abc import Callable

NEW = ctypes.PyDLL(None)
NEW.failing_new_arm.argtypes = [ctypes.c_uint64, ctypes.c_int]
NEW.failing_new_arm.restype = None

MOST = 1000  # allocations
FAILED, NONE_LEFT = 42, 43
interpreters: list[object] = []  # alive until the exit

#: The threads of an interpreter are looked at before it ends, which needs memory.
WITH_THREAD = """
import isthmus, threading
never, _s = isthmus.create_channel()
def wait():
    try: never.recv()
    except isthmus.InterpreterError: pass
threading.Thread(target=wait).start()
"""


def arm(nth: int) -> None:
    NEW.failing_new_arm(nth, 0)


def use() -> None:
    """What was spoilt at the start would show."""
    import isthmus

    r, s = isthmus.create_channel(None)
    back_r, back_s = isthmus.create_channel(None)
    value = [b"b" * 100_000, {"k": (1, "é" * 100_000)}]
    with isthmus.create() as other:
        s.send(value)
        other.run("s.send(r.recv())", r=r, s=back_s)
        arrived = back_r.recv()
        assert arrived == value
        assert arrived[0] is value[0], "it was copied"


def starting(nth: int) -> int:
    def start() -> None:
        import isthmus

        isthmus.enable()
        with isthmus.create() as other:
            other.run("import isthmus")

    arm(nth)
    with contextlib.suppress(MemoryError):
        start()
    failed = NEW.failing_new_disarm()
    use()
    return FAILED if failed else NONE_LEFT


def exiting(nth: int) -> int:
    atexit.register(lambda: os._exit(FAILED if NEW.failing_new_disarm() else NONE_LEFT))  # the last one
    import isthmus

    interpreters[:] = [isthmus.create() for _ in range(3)] + [isthmus.create(gil="shared")]
    r, s = isthmus.create_channel(None)
    for each in interpreters:
        each.run("kept = b'k' * 100_000; s.send(kept); s.send(memoryview(bytearray(100)))", s=s)
        r.recv()
        each.post(gc.collect).wait()
    interpreters[0].run(WITH_THREAD)
    # The first one; once, since leaving without finalising runs all of them again.
    left = [nth]
    atexit.register(lambda: arm(left.pop()) if left else None)
    sys.exit()


def forking(nth: int) -> int:
    import isthmus

    isthmus.enable()
    kept = [bytes([n]) * 100_000 for n in range(4)]
    r, s = isthmus.create_channel(None)
    s.send(kept)
    assert r.fileno() >= 0
    arm(nth)
    pid = os.fork()
    failed = NEW.failing_new_disarm()
    assert [each[-1] for each in kept] == list(range(4))
    assert r.recv() == kept
    if pid == 0:
        use()
        os._exit(FAILED if failed else NONE_LEFT)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == (FAILED if failed else NONE_LEFT)
    use()
    return FAILED if failed else NONE_LEFT


def in_child(action: Callable[[int], int], nth: int) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(action(nth))
        except SystemExit:
            raise
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(action: Callable[[int], int]) -> None:
    for nth in range(1, MOST):
        status = in_child(action, nth)
        if status == NONE_LEFT:
            print(f"{action.__name__}: {nth - 1} allocations failed")
            return
        assert status == FAILED, f"{action.__name__}, allocation {nth}: status {status}"
    raise AssertionError(f"more than {MOST} allocations")


main({"starting": starting, "exiting": exiting, "forking": forking}[sys.argv[1]])
