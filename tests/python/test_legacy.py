"""Interpreters under the main interpreter's GIL: `create(gil="shared")`."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import isthmus
from conftest import LARGE, PATIENCE, Running, run_script, until

Create = Callable[..., isthmus.Interpreter]
Spawn = Callable[..., Running]


@pytest.fixture
def legacy(new_interp: Create) -> isthmus.Interpreter:
    return new_interp(gil="shared", name="legacy")


def config_of(interp: isthmus.Interpreter) -> Any:
    return pytest.importorskip("_interpreters").get_config(interp.id)


def test_what_it_is(legacy: isthmus.Interpreter, interp: isthmus.Interpreter) -> None:
    config = config_of(legacy)
    assert config.gil == "shared"
    assert config.use_main_obmalloc
    assert config.allow_fork
    assert config.allow_exec
    assert config.allow_threads
    assert config.allow_daemon_threads
    assert not config.check_multi_interp_extensions
    assert config_of(interp).gil == "own"
    assert legacy.name == "legacy"
    assert legacy.whence == interp.whence == "C-API"
    assert legacy in isthmus.list_all()


@pytest.mark.parametrize("gil", ["", "none", "OWN", "shared "])
def test_other_words_are_refused(gil: Any) -> None:
    before = isthmus.list_all()
    with pytest.raises(ValueError, match="'own' or 'shared'"):
        isthmus.create(gil=gil)
    assert isthmus.list_all() == before


@pytest.mark.parametrize("gil", [None, 1, b"own"])
def test_a_gil_is_named_by_a_str(gil: Any) -> None:
    with pytest.raises(TypeError):
        isthmus.create(gil=gil)


def test_it_takes_extensions_that_refuse_isolation(
    legacy: isthmus.Interpreter, interp: isthmus.Interpreter
) -> None:
    refuses = pytest.importorskip("_testsinglephase", reason="a CPython without its test modules").__name__
    with pytest.raises(ImportError):
        interp.run(f"import {refuses}")
    legacy.run(f"import {refuses}")


def test_it_runs_other_processes(legacy: isthmus.Interpreter) -> None:
    def run(executable: str) -> str:
        import subprocess

        return subprocess.run(
            [executable, "-c", "print(5)"], stdout=subprocess.PIPE, text=True, check=True
        ).stdout

    assert legacy.call(run, sys.executable) == "5\n"


def test_payloads_are_the_objects_themselves(legacy: isthmus.Interpreter) -> None:
    start = isthmus.stats()
    data, text = b"x" * LARGE, "y" * LARGE
    back = legacy.call(lambda *args: args, data, text)
    assert back[0] is data
    assert back[1] is text
    made = legacy.call(bytes, LARGE)
    assert made == bytes(LARGE)
    assert isthmus.stats().payload_bytes_copied == start.payload_bytes_copied


def test_payloads_between_it_and_isolated_ones(
    legacy: isthmus.Interpreter, interp: isthmus.Interpreter, new_interp: Create
) -> None:
    r, s = isthmus.create_channel(None)
    for maker, taker in ((legacy, interp), (interp, legacy), (legacy, new_interp(gil="shared"))):
        maker.run("data = b'm' * n\ns.send(data)", n=LARGE, s=s)
        taker.run("got = r.recv()\nassert got == b'm' * n\ns.send(got)", n=LARGE, r=r, s=s)
        maker.run("again = r.recv()\nassert again is data\ndel again, data", r=r)
        taker.run("del got")


def test_what_it_made_outlives_it(new_interp: Create, interp: isthmus.Interpreter) -> None:
    legacy = new_interp(gil="shared")
    kept = legacy.call(lambda: (b"k" * LARGE, "t" * LARGE))
    interp.prepare_main(kept=kept)
    legacy.close()
    assert kept == (b"k" * LARGE, "t" * LARGE)
    interp.run("assert kept == (b'k' * n, 't' * n)\ndel kept", n=LARGE)


@pytest.mark.parametrize("partner", ["main", "isolated", "legacy"])
def test_rendezvous_with_each_kind(new_interp: Create, spawn: Spawn, partner: str) -> None:
    legacy = new_interp(gil="shared")
    there, back = isthmus.create_channel(), isthmus.create_channel()
    echo = "for item in r: s.send(item)"
    running = spawn(legacy, echo, r=there[0], s=back[1])
    rounds = """if True:
        for i in range(300):
            s.send(i)
            assert r.recv(120) == i
        s.close()
    """
    if partner == "main":
        for i in range(300):
            there[1].send(i, PATIENCE)
            assert back[0].recv(PATIENCE) == i
    else:
        other = new_interp(gil="own" if partner == "isolated" else "shared")
        spawn(other, rounds, s=there[1], r=back[0]).join()
    there[1].close()
    running.join()


def test_a_wait_lets_main_run(legacy: isthmus.Interpreter, spawn: Spawn) -> None:
    r, s = isthmus.create_channel()
    running = spawn(legacy, "x = r.recv()", r=r)
    running.until_asleep()
    assert sum(range(1000)) == 499500
    s.send(1, PATIENCE)
    running.join()


def test_its_death_ends_waits_for_it(new_interp: Create, interp: isthmus.Interpreter, spawn: Spawn) -> None:
    for waiter in (interp, new_interp(gil="shared")):
        legacy = new_interp(gil="shared")
        r, s = isthmus.create_channel(None)
        legacy.run("s.send(1)", s=s)
        del s
        gc.collect()
        running = spawn(
            waiter,
            "assert r.recv() == 1\ntry: r.recv()\nexcept EOFError: pass\nelse: raise AssertionError",
            r=r,
        )
        running.until_asleep()
        legacy.close()
        running.join()


def test_closing_wakes_its_threads(legacy: isthmus.Interpreter) -> None:
    ready, never = isthmus.create_channel(None), isthmus.create_channel()
    legacy.run(
        """if True:
        import threading
        def wait():
            ready.send(1)
            try:
                never.recv()
            except Exception as error:
                ready.send(type(error).__name__)
        threading.Thread(target=wait).start()
        """,
        ready=ready[1],
        never=never[0],
    )
    assert ready[0].recv(PATIENCE) == 1
    legacy.close()
    assert ready[0].recv(PATIENCE) == "InterpreterError"


def test_losing_the_last_reference_closes() -> None:
    legacy = isthmus.create(gil="shared")
    number = legacy.id
    legacy.run("x = 1")
    del legacy
    assert number not in [each.id for each in isthmus.list_all()]


def test_an_isolated_interpreter_makes_one(interp: isthmus.Interpreter) -> None:
    def make() -> list[int]:
        with isthmus.create(gil="shared") as made:
            made.run("import isthmus\nassert len(bytes(n)) == n", n=100_000)
            return made.call(lambda: [isthmus.get_current().id])

    (number,) = interp.call(make)
    assert number not in [each.id for each in isthmus.list_all()]


def test_a_daemon_thread_keeps_it_open(legacy: isthmus.Interpreter) -> None:
    go, done = isthmus.create_channel(None), isthmus.create_channel(None)
    legacy.run(
        """if True:
        import threading
        def wait():
            go.recv()
            done.send(1)
        threading.Thread(target=wait, daemon=True).start()
        """,
        go=go[0],
        done=done[1],
    )
    for _ in range(2):
        with pytest.raises(isthmus.InterpreterError, match="daemon"):
            legacy.close()
    legacy.run("x = 1")
    go[1].send(None)
    assert done[0].recv(PATIENCE) == 1
    legacy.run("import threading\nfor each in threading.enumerate():\n  if each.daemon: each.join()")
    legacy.close()
    assert legacy not in isthmus.list_all()


def test_a_bare_thread_keeps_an_isolated_one_open(interp: isthmus.Interpreter) -> None:
    go, done = isthmus.create_channel(None), isthmus.create_channel(None)
    interp.run(
        """if True:
        import _thread
        _thread.start_new_thread(lambda: (done.send(0), go.recv(), done.send(1)), ())
        """,
        go=go[0],
        done=done[1],
    )
    assert done[0].recv(PATIENCE) == 0
    with pytest.raises(isthmus.InterpreterError, match="threads"):
        interp.close()
    go[1].send(None)
    assert done[0].recv(PATIENCE) == 1

    def closed() -> bool:
        try:
            interp.close()
        except isthmus.InterpreterError:
            return False
        return True

    assert until(closed)


def test_create_use_close_many_at_once(new_interp: Create) -> None:
    failures: list[BaseException] = []

    def work(k: int) -> None:
        try:
            for turn in range(6):
                with isthmus.create(gil="shared" if (turn + k) % 2 else "own") as made:
                    data = bytes([turn]) * LARGE
                    assert made.call(lambda x: (x, x[:1]), data) == (data, data[:1])
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert failures == []


def test_traffic_among_all_kinds(new_interp: Create, spawn: Spawn) -> None:
    """Payloads in a ring of main's window and two others, dropped everywhere, while each also runs code."""
    kinds = ["shared", "own", "shared", "own"]
    links = [isthmus.create_channel(4) for _ in range(len(kinds) + 1)]
    source = """if True:
        for data in iter(r.recv, None):
            kept = data[:10] + bytes(70_000)
            s.send(data)
            assert len(kept) == 70_010
        s.send(None)
    """
    runs = [
        spawn(new_interp(gil=gil), source, r=links[i][0], s=links[i + 1][1]) for i, gil in enumerate(kinds)
    ]
    first, last = links[0][1], links[-1][0]
    sent = 0
    for turn in range(200):
        payload = b"%06d" % turn + b"p" * LARGE
        while not first.send_nowait(payload):
            assert last.recv(PATIENCE)[:6] == b"%06d" % sent
            sent += 1
        del payload
    first.send(None, PATIENCE)
    while (item := last.recv(PATIENCE)) is not None:
        assert item[:6] == b"%06d" % sent
        sent += 1
        del item
    assert sent == 200
    for each in runs:
        each.join()


def test_a_bare_thread_of_an_isolated_one_is_ended_at_exit() -> None:
    done = run_script(
        """
        import isthmus
        interp = isthmus.create()
        ready = isthmus.create_channel(None)
        interp.run(
            "import _thread\\n"
            "def body():\\n"
            "  ready.send(1)\\n"
            "  while True: pass\\n"
            "_thread.start_new_thread(body, ())",
            ready=ready[1],
        )
        ready[0].recv(120)
        print("end")
        """
    )
    assert done.stdout == "end\n"


@pytest.mark.parametrize("what", ["idle", "running", "daemon waits in isthmus", "daemon in bytecode"])
def test_left_at_exit(what: str) -> None:
    done = run_script(
        """
        import sys, threading
        import isthmus
        what = sys.argv[1]
        legacy = isthmus.create(gil="shared")
        isolated = isthmus.create()
        ready, never = isthmus.create_channel(None), isthmus.create_channel()
        data = legacy.call(bytes, 1_000_000)
        isolated.prepare_main(data=data)
        if what == "running":
            def body():
                try:
                    legacy.run("ready.send(1); never.recv()", ready=ready[1], never=never[0])
                except (isthmus.InterpreterError, KeyboardInterrupt):
                    pass  # the exit ends the wait, and interrupts the run: whichever comes first
            threading.Thread(target=body, daemon=True).start()
            ready[0].recv(120)
        elif what != "idle":
            body = "never.recv()" if "isthmus" in what else "while True: pass"
            legacy.run(
                "import threading\\n"
                "def body():\\n"
                "  ready.send(1)\\n"
                "  try:\\n"
                f"    {body}\\n"
                "  except isthmus.InterpreterError: pass\\n"
                "import isthmus\\n"
                "threading.Thread(target=body, daemon=True).start()",
                ready=ready[1], never=never[0],
            )
            ready[0].recv(120)
        print("end")
        """,
        what,
    )
    assert done.stdout == "end\n"
