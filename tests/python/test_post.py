"""`Interpreter.post`: a call aimed at one interpreter runs there, once, in order, whatever its owner does."""

from __future__ import annotations

import concurrent.futures
import gc
import operator
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import isthmus
from _subprocess import FULL, SANITIZED
from conftest import LARGE, PATIENCE, Running, until

Spawn = Callable[..., Running]
Create = Callable[..., isthmus.Interpreter]


class _Blocked:
    """Keeps the service thread of an interpreter busy until it is let go."""

    def __init__(self, interp: isthmus.Interpreter) -> None:
        begun_r, begun_s = isthmus.create_channel(None)
        go_r, self._go = isthmus.create_channel(None)
        self.call = interp.post(_wait_for, begun_s, go_r)
        begun_r.recv(PATIENCE)

    def let_go(self) -> None:
        self._go.send(None)
        assert self.call.result(PATIENCE) == "went"


def _wait_for(begun: isthmus.SendChannel, go: isthmus.RecvChannel) -> str:
    begun.send(None)
    go.recv()
    return "went"


# ---- where it runs


def test_it_runs_there_and_its_result_comes_back(interp: isthmus.Interpreter) -> None:
    interp.exec("factor = 6")
    call = interp.post(lambda n, *, more=0: n * factor + more, 7, more=1)  # type: ignore[name-defined]  # noqa: F821
    assert call.result(PATIENCE) == 43
    assert call.result() == 43
    assert call.exception() is None
    assert call.done()
    assert call.wait(0)
    assert not call.running()
    assert not call.cancel()
    assert not call.cancelled()
    assert call.interpreter is interp
    assert repr(call) == f"<isthmus.PendingCall done, interpreter {interp.id}>"
    where = interp.post(lambda: __import__("isthmus").get_current().id)
    assert where.result(PATIENCE) == interp.id
    assert not interp.is_running()


def test_large_results_are_shared_and_given_back(interp: isthmus.Interpreter) -> None:
    data = isthmus.share(b"x" * LARGE)
    call = interp.post(lambda given: (given, given[:1] * len(given)), data)
    same, other = call.result(PATIENCE)
    assert same is data
    assert other == data
    assert isthmus.owner(other) == interp


@pytest.mark.parametrize(
    "source",
    [
        "begun.send(1)\nwhile not over: pass",
        "begun.send(1)\ngo.recv()",
        "import time\nbegun.send(1)\nwhile not over: time.sleep(0.2)",
        "import re\nbegun.send(1)\nwhile not over: re.match('(a*)*b', 'a' * 18)",
    ],
    ids=["bytecode", "recv", "sleep", "c_code"],
)
def test_a_busy_or_blocked_owner_is_entered(interp: isthmus.Interpreter, spawn: Spawn, source: str) -> None:
    begun_r, begun_s = isthmus.create_channel(None)
    go_r, go_s = isthmus.create_channel(None)
    busy = spawn(interp, f"over = []\n{source}", begun=begun_s, go=go_r)
    begun_r.recv(PATIENCE)
    assert interp.is_running()
    for n in range(3):
        assert interp.post(operator.neg, n).result(PATIENCE) == -n
    assert interp.post(lambda: over.append(1)).result(PATIENCE) is None  # type: ignore[name-defined]  # noqa: F821
    go_s.send(None)
    busy.join()


def test_to_oneself_and_to_main(interp: isthmus.Interpreter) -> None:
    main = threading.get_ident()
    assert isthmus.get_current().post(threading.get_ident).result(PATIENCE) != main
    got = interp.call(_post_home)
    assert got == (isthmus.get_main().id, interp.id)


def _post_home() -> tuple[int, int]:
    here, main = isthmus.get_current(), isthmus.get_main()
    calls = [each.post(_current_id) for each in (main, here)]
    return calls[0].result(), calls[1].result()


def _current_id() -> int:
    return isthmus.get_current().id


def test_builtins_that_ask_for_their_callers_names(interp: isthmus.Interpreter) -> None:
    interp.post(exec, "found = 3").result(PATIENCE)
    assert interp.post(eval, "found").result(PATIENCE) == 3
    assert "found" in interp.post(dir).result(PATIENCE)


def test_one_call_may_post_and_wait_for_another_interpreters(new_interp: Create) -> None:
    a, b = new_interp(), new_interp()
    assert a.post(_through, b, 5).result(PATIENCE) == 25


def _through(to: isthmus.Interpreter, n: int) -> int:
    return to.post(operator.mul, n, n).result()


def test_one_that_would_wait_for_itself_is_told(interp: isthmus.Interpreter) -> None:
    with pytest.raises(isthmus.ExecutionFailed, match="one after another"):
        interp.post(_wait_for_own).result(PATIENCE)


def _wait_for_own() -> None:
    isthmus.get_current().post(_current_id).result()


def test_legacy_interpreters(new_interp: Create) -> None:
    shared = new_interp(gil="shared")
    assert shared.post(_current_id).result(PATIENCE) == shared.id


@pytest.mark.skipif(sys.version_info < (3, 14), reason="concurrent.interpreters is new in 3.14")
def test_interpreters_of_the_standard_library() -> None:
    interpreters = pytest.importorskip("concurrent.interpreters")
    theirs = interpreters.create()
    theirs.exec(f"import sys; sys.path[:] = {sys.path!r}")  # what is posted is a function of this file
    ours = isthmus.Interpreter(theirs.id)
    assert ours.post(_current_id).result(PATIENCE) == theirs.id
    closed = ours.closed
    blocked = _Blocked(ours)
    late = ours.post(_current_id)
    ends = threading.Thread(target=theirs.close)
    ends.start()
    assert isinstance(blocked.call.exception(PATIENCE), isthmus.ExecutionFailed)
    assert isinstance(late.exception(PATIENCE), isthmus.InterpreterError)
    ends.join(PATIENCE)
    assert closed.wait(PATIENCE)


# ---- exceptions and what can't cross


def _fail(text: str) -> None:
    raise ValueError(text)


def test_exceptions(interp: isthmus.Interpreter) -> None:
    call = interp.post(_fail, "why")
    with pytest.raises(isthmus.ExecutionFailed, match="ValueError: why") as caught:
        call.result(PATIENCE)
    assert caught.value.excinfo.type.__name__ == "ValueError"
    assert "in _fail" in caught.value.excinfo.errdisplay
    assert call.exception() is caught.value
    with pytest.raises(isthmus.ExecutionFailed, match="SystemExit"):
        interp.post(sys.exit, 3).result(PATIENCE)
    assert interp.post(operator.add, 1, 1).result(PATIENCE) == 2


def test_what_can_not_cross(interp: isthmus.Interpreter) -> None:
    before = isthmus.stats().pending_calls_posted
    with pytest.raises(isthmus.NotShareableError, match=r"args\[1\]"):
        interp.post(operator.add, 1, (n for n in ()))
    with pytest.raises(isthmus.NotShareableError, match="callable"):
        interp.post((n for n in ()).__next__)
    with pytest.raises(TypeError, match="callable"):
        interp.post(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="misses"):
        interp.post()  # type: ignore[call-arg]
    assert isthmus.stats().pending_calls_posted == before, "nothing was posted"
    with pytest.raises(isthmus.NotShareableError, match="result"):
        interp.post(lambda: [(n for n in ())]).result(PATIENCE)


def test_an_exception_that_nobody_waits_for_is_unraisable_there(interp: isthmus.Interpreter) -> None:
    r, s = isthmus.create_channel(None)
    interp.prepare_main(s=s)
    interp.exec("import sys\nsys.unraisablehook = lambda told: s.send(str(told.exc_value))")
    blocked = _Blocked(interp)
    interp.post(_fail, "alone")
    blocked.let_go()
    assert r.recv(PATIENCE) == "alone"
    s.close()


# ---- waiting, cancelling


def test_timeouts(interp: isthmus.Interpreter) -> None:
    blocked = _Blocked(interp)
    call = interp.post(operator.add, 1, 2)
    start = time.monotonic()
    assert not call.wait(0.05)
    assert not call.wait(timeout=0)
    with pytest.raises(TimeoutError):
        call.result(0.01)
    with pytest.raises(TimeoutError):
        call.exception(0.01)
    assert time.monotonic() - start >= 0.07
    assert not call.done()
    assert blocked.call.running()
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="timeout"):
            call.wait(wrong)
    blocked.let_go()
    assert call.result(PATIENCE) == 3


def test_cancelling(interp: isthmus.Interpreter) -> None:
    blocked = _Blocked(interp)
    assert not blocked.call.cancel()
    data = isthmus.share(b"x" * LARGE)
    call = interp.post(len, data)
    assert isthmus.stats().shares_outstanding > 0
    assert call.cancel()
    assert isthmus.describe(data)["shares"] == 0, "what it would have needed is dropped at once"
    assert call.cancel()
    assert call.cancelled()
    assert call.done()
    assert call.wait(0)
    with pytest.raises(concurrent.futures.CancelledError):
        call.result()
    with pytest.raises(concurrent.futures.CancelledError):
        call.exception()
    blocked.let_go()


def _tell_that_it_ran(n: int) -> None:
    import __main__

    __main__.ran.send(n)


def test_cancelling_races_with_running(interp: isthmus.Interpreter) -> None:
    ran_r, ran_s = isthmus.create_channel(None)
    interp.prepare_main(ran=ran_s)
    for _ in range(5):
        calls = [interp.post(_tell_that_it_ran, n) for n in range(100)]
        won: list[int] = []
        barrier = threading.Barrier(4)

        def cancel(calls: list[Any] = calls, won: list[int] = won, barrier: Any = barrier) -> None:
            barrier.wait()
            # Those that were cancelled by another thread before give True as well.
            won.extend(n for n in reversed(range(100)) if calls[n].cancel())

        threads = [threading.Thread(target=cancel) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert all(call.wait(PATIENCE) for call in calls)
        ran = {ran_r.recv(0) for call in calls if not call.cancelled()}
        assert ran.isdisjoint(won)
        assert ran | set(won) == set(range(100))
        assert ran_r.recv_nowait() is None
    ran_s.close()


def test_several_threads_ask_for_one_result(interp: isthmus.Interpreter) -> None:
    for _ in range(20):
        call = interp.post(list, (1, 2, 3))
        got: list[object] = []
        threads = [threading.Thread(target=lambda: got.append(call.result(PATIENCE))) for _ in range(4)]  # noqa: B023
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(got) == 4
        assert all(each is got[0] for each in got)


# ---- order, number, memory


def test_order_is_kept_per_poster(new_interp: Create) -> None:
    posters = 8
    each = (1_000_000 if FULL else 4_000 if SANITIZED else 100_000) // posters
    target = new_interp()
    target.exec("seen = {}\nwrong = []")
    before = isthmus.stats()
    others = [new_interp() for _ in range(posters)]
    start = time.perf_counter()
    threads = [other.call_in_thread(_post_many, target, n, each) for n, other in enumerate(others)]
    for thread in threads:
        thread.join()
    assert target.post(lambda: (seen, wrong)).result() == (dict.fromkeys(range(posters), each), [])  # type: ignore[name-defined]  # noqa: F821
    took = time.perf_counter() - start
    print(f"{posters * each} posted calls from {posters} interpreters: {took:.1f} s")
    after = isthmus.stats()
    assert after.pending_calls_posted - before.pending_calls_posted == posters * each + 1
    assert after.pending_calls_run - before.pending_calls_run == posters * each + 1


def _post_many(target: isthmus.Interpreter, poster: int, count: int) -> None:
    for n in range(count):
        target.post(_note, poster, n)


def _note(poster: int, n: int) -> None:
    import __main__

    if __main__.seen.get(poster, 0) != n:
        __main__.wrong.append((poster, n))
    __main__.seen[poster] = n + 1


def test_threads_of_one_interpreter_post_side_by_side(interp: isthmus.Interpreter) -> None:
    interp.exec("seen = {}\nwrong = []")
    threads = [threading.Thread(target=_post_many, args=(interp, n, 500)) for n in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert interp.post(lambda: (seen, wrong)).result(PATIENCE) == (dict.fromkeys(range(4), 500), [])  # type: ignore[name-defined]  # noqa: F821


def test_dropped_calls_run_and_leave_nothing(interp: isthmus.Interpreter) -> None:
    interp.exec("ran = []")
    blocked = _Blocked(interp)
    data = isthmus.share(b"x" * LARGE)
    for _ in range(50):
        interp.post(lambda given: ran.append(len(given)) or given * 2, data)  # type: ignore[name-defined]  # noqa: F821
    held = [interp.post(operator.mul, data, 2) for _ in range(5)]
    assert isthmus.stats().inbox_depths[interp.id] >= 55
    blocked.let_go()
    assert until(lambda: all(call.done() for call in held))
    assert isthmus.stats().slots_live > 5
    held.clear()
    assert interp.post(lambda: len(ran)).result(PATIENCE) == 50  # type: ignore[name-defined]  # noqa: F821
    # That the gauges are back is what the fixture of every test looks at.


def test_a_call_that_holds_itself_is_collected(interp: isthmus.Interpreter) -> None:
    call = interp.post(list)
    call.result(PATIENCE).append(call)
    assert any(each is call for each in gc.get_objects())
    del call
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each) is isthmus.PendingCall]


def test_releases_and_posts_do_not_hold_up_each_other(interp: isthmus.Interpreter) -> None:
    r, s = isthmus.create_channel(None)
    for _ in range(20):
        s.send_buffer(bytearray(LARGE))
        interp.call(lambda end: end.recv().release(), r)
        assert isthmus.get_current().post(operator.add, 1, 1).result(PATIENCE) == 2
    assert until(lambda: isthmus.stats().views_live == 0)


def test_it_is_quick_when_the_owner_is_idle(interp: isthmus.Interpreter) -> None:
    def once() -> float:
        start = time.perf_counter()
        assert interp.post(operator.add, 1, 2).result() == 3
        return time.perf_counter() - start

    best = min(once() for _ in range(100))
    assert best < 0.004, "it waits for the grace that releases are given"
