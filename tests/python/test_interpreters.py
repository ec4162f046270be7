"""Interpreters: making, naming, listing, running, closing them."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import isthmus
from conftest import PATIENCE, Running, run_script, until

Create = Callable[..., isthmus.Interpreter]
Spawn = Callable[..., Running]

# Two interpreters in step, neither of which ever gives up its GIL: no call here waits or releases it, and who
# holds one is not asked to let go for an hour. Under one GIL the first would never see an answer.
IN_STEP = """
    import sys, time
    sys.setswitchinterval(3600)
    deadline = time.monotonic() + patience
    for turn in range(100):
        assert s.send_nowait(turn)
        while (got := r.recv_nowait()) is None:
            assert time.monotonic() < deadline, "the other interpreter does not run"
        assert got == turn
"""


def test_create_makes_an_idle_interpreter_of_its_own(interp: isthmus.Interpreter) -> None:
    assert isinstance(interp, isthmus.Interpreter)
    assert interp not in (isthmus.get_main(), isthmus.get_current())
    assert interp in isthmus.list_all()
    assert not interp.is_running()
    assert interp.name is None
    assert repr(interp) == f"Interpreter({interp.id})"


def test_a_name_is_kept_whole(new_interp: Create) -> None:
    assert new_interp(name="wörker\0one").name == "wörker\0one"
    assert new_interp(name=None).name is None
    assert new_interp(name="").name == ""


@pytest.mark.parametrize(("args", "kwargs"), [((), {"name": 5}), (("w",), {}), ((), {"nome": "w"})])
def test_create_refuses_what_it_does_not_know(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        isthmus.create(*args, **kwargs)


def test_sys_path_starts_as_a_copy_of_the_creators(
    new_interp: Create, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here_module.py").write_text("answer = 42\n", encoding="ascii")
    monkeypatch.syspath_prepend(str(tmp_path))
    interp = new_interp()
    interp.run("import sys\nassert sys.path == expected, sys.path", expected=list(sys.path))
    interp.run("import only_here_module\nassert only_here_module.answer == 42\nsys.path.append('x')")
    assert "x" not in sys.path


def test_modules_and_main_are_its_own(new_interp: Create) -> None:
    a, b = new_interp(), new_interp()
    a.run("import sys\nsys.modules['marker'] = sys\nmark = 1")
    b.run("import sys\nassert 'marker' not in sys.modules\nassert 'mark' not in globals()")
    a.run("assert mark == 1 and __name__ == '__main__'")
    assert "marker" not in sys.modules


def test_two_interpreters_run_at_once(new_interp: Create, spawn: Spawn) -> None:
    there, back = isthmus.create_channel(None), isthmus.create_channel(None)
    runs = [
        spawn(new_interp(), IN_STEP, r=back[0], s=there[1], patience=PATIENCE),
        spawn(new_interp(), IN_STEP, r=there[0], s=back[1], patience=PATIENCE),
    ]
    for each in runs:
        each.join()


def test_one_object_per_id(interp: isthmus.Interpreter) -> None:
    assert isthmus.Interpreter(interp.id) is interp
    assert isthmus.Interpreter(id=interp.id) is interp
    assert pickle.loads(pickle.dumps(interp)) is interp
    assert {interp: 1}[isthmus.Interpreter(interp.id)] == 1
    assert interp == isthmus.Interpreter(interp.id)
    assert interp != isthmus.get_main()
    assert interp != interp.id
    assert isthmus.get_main() is isthmus.get_main()


def test_the_same_interpreter_in_another_one(new_interp: Create) -> None:
    a, b = new_interp(), new_interp()
    a.run(
        """if True:
        import isthmus
        assert me is isthmus.get_current() and me.id == number and hash(me) == hashed
        assert other is isthmus.Interpreter(other.id) and other != me
        assert isthmus.get_main() != me
        assert isthmus.get_main() in isthmus.list_all() and me in isthmus.list_all()
        assert me.is_running() and not other.is_running()
        other.run('x = 1')
        """,
        me=a,
        other=b,
        number=a.id,
        hashed=hash(a),
    )
    b.run("assert x == 1")


@pytest.mark.parametrize("bad", ["1", None, 1.0])
def test_an_id_is_an_integer(bad: Any) -> None:
    with pytest.raises(TypeError):
        isthmus.Interpreter(bad)


def test_an_id_is_not_negative_and_fits_64_bits() -> None:
    with pytest.raises(ValueError, match="negative"):
        isthmus.Interpreter(-1)
    with pytest.raises(OverflowError):
        isthmus.Interpreter(10**30)


@pytest.mark.parametrize("unknown", [10**6, 2**62])
def test_an_unknown_id_is_not_found(unknown: int) -> None:
    with pytest.raises(isthmus.InterpreterNotFoundError):
        isthmus.Interpreter(unknown)


def test_an_id_may_be_of_a_subclass_of_int_and_of_nothing_else(interp: isthmus.Interpreter) -> None:
    class Number(int):
        pass

    class Index:
        def __index__(self) -> int:
            return 0

    assert isthmus.Interpreter(Number(interp.id)) is interp
    assert isthmus.Interpreter(False) is isthmus.get_main()
    with pytest.raises(TypeError):
        isthmus.Interpreter(Index())  # type: ignore[arg-type]


def test_copies_are_the_same_object(interp: isthmus.Interpreter) -> None:
    assert copy.copy(interp) is interp
    assert copy.deepcopy([interp])[0] is interp
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(interp, protocol)) is interp
    data = pickle.dumps(interp)
    interp.close()
    with pytest.raises(isthmus.InterpreterNotFoundError):
        pickle.loads(data)


def test_hashes_are_those_of_the_id(interp: isthmus.Interpreter) -> None:
    assert hash(interp) == hash(interp.id)
    assert len({interp, isthmus.Interpreter(interp.id), isthmus.get_main()}) == 2


@pytest.mark.parametrize("name", ["id", "name", "whence"])
def test_attributes_can_not_be_set(interp: isthmus.Interpreter, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(interp, name, 1)


def test_whence_says_who_made_it(interp: isthmus.Interpreter) -> None:
    assert isthmus.get_main().whence == "runtime init"
    assert interp.whence == "C-API"
    assert interp.call(lambda: isthmus.get_current().whence) == "C-API"
    assert interp.call(lambda: isthmus.get_main().whence) == "runtime init"
    interp.close()
    assert interp.whence == "C-API"


# ---- the main and the current one


def test_main_and_current() -> None:
    main = isthmus.get_main()
    assert main.id == 0
    assert isthmus.get_current() is main
    assert main.is_running()
    for action in (main.close, main.destroy, lambda: main.run("x = 1"), lambda: main.prepare_main(x=1)):
        with pytest.raises(isthmus.InterpreterError):
            action()


def test_interpreters_of_others_are_seen_and_used() -> None:
    _interpreters = pytest.importorskip("_interpreters")
    number = _interpreters.create("isolated", reqrefs=False)
    try:
        assert number in [each.id for each in isthmus.list_all()]
        other = isthmus.Interpreter(number)
        other.prepare_main(path=tuple(sys.path))
        other.run("import sys\nsys.path[:] = path\nimport isthmus\nx = isthmus.get_current().id")
        other.run(f"assert x == {number}")
        del other
    finally:
        _interpreters.destroy(number)
    assert until(lambda: number not in [each.id for each in isthmus.list_all()])


def test_close_is_idempotent_and_final(interp: isthmus.Interpreter) -> None:
    interp.close()
    interp.close()
    interp.destroy()
    assert interp.id not in [each.id for each in isthmus.list_all()]
    for action in (interp.is_running, lambda: interp.run("x = 1"), lambda: interp.exec("x = 1")):
        with pytest.raises(isthmus.InterpreterError):
            action()
    with pytest.raises(isthmus.InterpreterNotFoundError):
        isthmus.Interpreter(interp.id)


def test_leaving_the_context_closes(interp: isthmus.Interpreter) -> None:
    with interp as entered:
        assert entered is interp
    with pytest.raises(isthmus.InterpreterNotFoundError):
        interp.is_running()


def test_losing_the_last_reference_closes() -> None:
    interp = isthmus.create()
    number = interp.id
    alive = weakref.ref(interp)
    r, s = isthmus.create_channel(1)
    s.send(interp)
    del interp
    assert alive() is None
    assert number in [each.id for each in isthmus.list_all()]  # the message is a reference too
    r.recv().run("x = 1")
    assert number not in [each.id for each in isthmus.list_all()]


def test_a_running_one_can_not_be_closed_or_run(interp: isthmus.Interpreter, spawn: Spawn) -> None:
    started, go = isthmus.create_channel(None), isthmus.create_channel(None)
    running = spawn(interp, "s.send(1)\nr.recv()\nx = 5", s=started[1], r=go[0])
    started[0].recv(PATIENCE)
    assert interp.is_running()
    for action in (
        interp.close,
        interp.destroy,
        lambda: interp.run("x = 1"),
        lambda: interp.exec("x = 1"),
        lambda: interp.prepare_main(x=1),
    ):
        with pytest.raises(isthmus.InterpreterError):
            action()
    go[1].send(None)
    running.join()
    assert not interp.is_running()
    interp.run("assert x == 5")


def test_an_interpreter_can_not_close_itself(interp: isthmus.Interpreter) -> None:
    interp.run(
        """if True:
        import isthmus
        try:
            isthmus.get_current().close()
        except isthmus.InterpreterError:
            refused = True
        """
    )
    interp.run("assert refused")


def test_closing_joins_its_threads_after_waking_their_waits(interp: isthmus.Interpreter) -> None:
    ready, report = isthmus.create_channel(None), isthmus.create_channel(None)
    never = isthmus.create_channel()
    interp.run(
        """if True:
        import threading
        def wait(kind):
            ready.send(kind)
            try:
                r.recv() if kind == 'recv' else s.send(1)
            except BaseException as error:
                outcomes.append((kind, type(error).__name__))
        outcomes = []
        import atexit
        threads = [threading.Thread(target=wait, args=(kind,)) for kind in ('recv', 'send')]
        for each in threads:
            each.start()
        # After its threads were joined an interpreter runs its exit handlers.
        atexit.register(lambda: report.send_nowait(tuple(sorted(outcomes))))
        """,
        ready=ready[1],
        report=report[1],
        r=never[0],
        s=isthmus.create_channel()[1],
    )
    assert {ready[0].recv(PATIENCE), ready[0].recv(PATIENCE)} == {"recv", "send"}
    interp.close()
    assert report[0].recv(PATIENCE) == (("recv", "InterpreterError"), ("send", "InterpreterError"))


def test_any_thread_may_close(interp: isthmus.Interpreter) -> None:
    thread = threading.Thread(target=interp.close)
    thread.start()
    thread.join(PATIENCE)
    assert interp not in isthmus.list_all()


def test_prepare_main_takes_any_sendable_value(interp: isthmus.Interpreter) -> None:
    interp.prepare_main({"a": [1, {2: b"x"}], "b": 2}, b=3, c=None)
    interp.run("assert (a, b, c) == ([1, {2: b'x'}], 3, None)")
    interp.prepare_main(None, ключ="значение")
    interp.run("assert ключ == 'значение'")
    interp.prepare_main((("d", 4), ("e", 5)), e=6)
    interp.run("assert (d, e) == (4, 6)")
    nothings: list[tuple[Any, ...]] = [(), (None,), ({},), ((),)]
    for nothing in nothings:
        with pytest.raises(ValueError, match="names"):
            interp.prepare_main(*nothing)
    no_names: list[Any] = [5, "ab", [1], [(1, 2)]]
    for bad in no_names:
        with pytest.raises((TypeError, ValueError)):
            interp.prepare_main(bad)


@pytest.mark.parametrize("bad", [{1: 2}, {"x": sys}, {"y": 1, "x": sys.stdout}])
def test_prepare_main_sets_all_or_nothing(interp: isthmus.Interpreter, bad: Any) -> None:
    with pytest.raises(TypeError):
        interp.prepare_main(bad)
    interp.run("assert 'x' not in globals() and 'y' not in globals()")


def test_run_keeps_main_between_runs(interp: isthmus.Interpreter) -> None:
    interp.run("x = shared + 1", shared=1)
    interp.exec("x += 1")
    interp.run("assert x == 3 and shared == 1")


def test_any_name_can_be_shared(interp: isthmus.Interpreter) -> None:
    interp.run("assert (source, self, code) == (1, 2, 3)", source=1, self=2, code=3)


def test_source_is_text_and_an_encoding_line_means_nothing(interp: isthmus.Interpreter) -> None:
    interp.run("# -*- coding: latin-1 -*-\nassert 'é€' == '\\xe9\\u20ac'")
    with pytest.raises(ValueError, match="null"):
        interp.run("x = 1\0y = 2")
    for bad in (b"x = 1", 5, None):
        with pytest.raises(TypeError):
            interp.run(bad)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            interp.exec(bad)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        interp.run()  # type: ignore[call-arg]


def test_what_a_run_printed_comes_in_order() -> None:
    done = run_script(
        """
        import isthmus
        interp = isthmus.create()
        for i in range(3):
            print("main", i, flush=True)
            interp.run("print('inner', i)", i=i)
        """
    )
    assert done.stdout.split("\n")[:6] == [f"{who} {i}" for i in range(3) for who in ("main", "inner")]
