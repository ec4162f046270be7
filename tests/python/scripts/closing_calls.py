"""`close()` while an endless posted call runs, and Ctrl-C: `closing_calls.py CASE`."""

from __future__ import annotations

import os
import signal
import threading

from common import PATIENCE, command, eventually

import isthmus


def _press_and_spin(begun: isthmus.SendChannel, never: isthmus.RecvChannel) -> None:
    begun.send(1)
    try:
        never.recv()
    except isthmus.InterpreterError:  # close() has begun: every Ctrl-C is its business from here on
        os.kill(os.getpid(), signal.SIGINT)
        while True:
            pass


def _begin(to: isthmus.Interpreter) -> isthmus.PendingCall[None]:
    """Post a call that presses Ctrl-C as soon as its interpreter is being closed."""
    r, s = isthmus.create_channel(None)
    never, kept = isthmus.create_channel()
    call = to.post(_press_and_spin, s, never)
    r.recv(PATIENCE)
    ends.extend((never, kept))
    return call


ends: list[isthmus.RecvChannel | isthmus.SendChannel] = []


def _refuses(interp: isthmus.Interpreter) -> bool:
    try:
        interp.post(len, b"")
    except isthmus.InterpreterError:
        return True
    return False


def _close_interrupted(interp: isthmus.Interpreter) -> None:
    try:
        interp.close()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    else:
        raise AssertionError("closed")


def _press_once_main_sleeps() -> None:
    path = f"/proc/self/task/{os.getpid()}/stat"

    def asleep() -> bool:
        with open(path) as file:
            return file.read().rpartition(")")[2].split()[0] == "S"

    eventually(asleep, "the main thread waits")
    os.kill(os.getpid(), signal.SIGINT)


def goes_on() -> None:
    interp = isthmus.create()
    call = _begin(interp)
    waiting = interp.post(len, b"abc")
    _close_interrupted(interp)
    assert call.running()
    assert not interp.closed.is_set()
    assert _refuses(interp)
    try:
        interp.run("pass")
    except isthmus.InterpreterError:
        pass
    else:
        raise AssertionError("it ran")
    presses = threading.Thread(target=_press_once_main_sleeps)
    try:
        presses.start()
        interp.close()
    except KeyboardInterrupt:
        print("interrupted again", flush=True)
    presses.join()
    assert interp.interrupt(TimeoutError)
    interp.close()
    assert interp.closed.is_set()
    failure = call.exception(0)
    assert isinstance(failure, isthmus.ExecutionFailed)
    assert failure.excinfo.type.__name__ == "TimeoutError"
    assert "was closed" in str(waiting.exception(0))
    interp.close()


def at_exit() -> None:
    interp = isthmus.create()
    _begin(interp)
    _close_interrupted(interp)


def last_reference() -> None:
    interp = isthmus.create()
    number, closed = interp.id, interp.closed
    _begin(interp)
    try:
        del interp
        for _ in range(1000):
            pass
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    assert not closed.is_set()
    again = isthmus.Interpreter(number)
    del again  # waits no more
    again = isthmus.Interpreter(number)
    assert again.interrupt()
    again.close()
    assert closed.is_set()


def handlers() -> None:
    """A handler that raises nothing: the wait goes on."""
    handled = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: handled.set())
    interp = isthmus.create()
    call = _begin(interp)

    def end() -> None:
        assert handled.wait(PATIENCE)
        assert isthmus.Interpreter(interp.id).interrupt()

    thread = threading.Thread(target=end)
    thread.start()
    interp.close()
    thread.join()
    assert call.done()
    assert interp.closed.is_set()
    print("went on", flush=True)


command({each.__name__: each for each in (goes_on, at_exit, last_reference, handlers)})
