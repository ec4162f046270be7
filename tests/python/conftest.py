"""What every test shares: the check that nothing is left behind, interpreters, threads, scripts."""

from __future__ import annotations

import fnmatch
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

import isthmus
from _accounts import LIFE, PATIENCE, gauges, unsettled, until
from _subprocess import FULL

LARGE = 100_000  # bytes: well above the 64 KiB from which payloads are shared

# A shell starts what it runs in the background with SIGINT ignored, and every child would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# From the first line on, so that placement does not change in the middle of the first test that needs it.
isthmus.enable()


def settle(start: dict[str, object], patience: float = PATIENCE / 4) -> dict[str, object]:
    """What differs from `start` in the end; empty when all is well.

    An idle owner is entered by its helper only after a grace of 5 ms, so releases may still be under way
    when the last object of a test is gone.
    """
    gc.collect()
    until(lambda: gauges() == start and not unsettled(), patience)
    now = gauges()
    return {name: (start[name], now[name]) for name in start if start[name] != now[name]} | unsettled()


#: Files about Python code (the command line, the documentation, the stubs), which use of the extension what
#: the other tests use, and those that take long and are run with the release build.
_NOT_NATIVE = ("test_bench", "test_cli_*", "test_docs", "test_api", "cpython", "test_soak", "test_stress")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--native-only", action="store_true", help="leave out what tests little of the extension"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    left_out = any(fnmatch.fnmatch(collection_path.stem, each) for each in _NOT_NATIVE)
    return True if left_out and config.getoption("--native-only") else None


#: Whose tests take longest, longest first: so no worker is left with one of them when the others are done.
_LONGEST = ("cpython", "lives", "crossing", "stress", "soak", "embedding", "fork", "interrupt_aim", "post")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {f"test_{name}": number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Of `-n auto`. Tests wait for each other's processes, timers and compilers for a third of their time."""
    return (len(os.sched_getaffinity(0)) * 3 + 1) // 2


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()  # what pytest and its plugins are made of: two full collections a test need not visit it


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.user_properties.append(("failed", True))
    return report


_running: dict[str, float] = {}  # of each test, when it began; xdist tells it to the process that leads


def pytest_runtest_logstart(nodeid: str) -> None:
    _running[nodeid] = time.monotonic()


def pytest_runtest_logfinish(nodeid: str) -> None:
    _running.pop(nodeid, None)


def pytest_configure(config: pytest.Config) -> None:
    """Whoever ends the whole run for want of time is told what it was at."""
    if not config.getoption("numprocesses", None):
        return  # this process runs them: its signals are theirs

    def tell(number: int, _: object) -> None:
        now = time.monotonic()
        for name, began in _running.items():
            os.write(2, f"\nRUNNING {name} for {now - began:.0f} s\n".encode())
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    signal.signal(signal.SIGTERM, tell)


def pytest_runtest_setup() -> None:
    if FULL:
        import faulthandler  # not at the top: isolated interpreters import this file and can't have that

        faulthandler.cancel_dump_traceback_later()  # pytest's, for a test that hangs: it may take that long


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Wrap every test: all gauges return to their starting values, counters balance."""
    for name in ("last_exc", "last_value", "last_traceback"):
        vars(sys).pop(name, None)  # pytest leaves the last failure there, and it everything that test held
    gc.collect()
    # What a test before this one has just dropped must not count as this one's start.
    until(lambda: not unsettled(), PATIENCE / 4)
    start = gauges()
    yield
    if ("failed", True) in request.node.user_properties:
        return  # its traceback keeps its objects
    left = settle(start)
    assert not left, f"left behind (before, after): {left}"


@pytest.fixture
def new_interp() -> Iterator[Callable[..., isthmus.Interpreter]]:
    """Make interpreters that are closed after the test."""
    made: list[isthmus.Interpreter] = []

    def create(**options: Any) -> isthmus.Interpreter:
        made.append(isthmus.create(**options))
        return made[-1]

    yield create
    for each in made:
        each.close()
    made.clear()


@pytest.fixture
def interp(new_interp: Callable[..., isthmus.Interpreter]) -> isthmus.Interpreter:
    return new_interp()


@pytest.fixture
def bounce() -> Callable[[Any], Any]:
    """Send a value to this very interpreter: it arrives as in any other one."""
    r, s = isthmus.create_channel(None)

    def back(value: Any) -> Any:
        s.send(value)
        return r.recv()

    return back


@pytest.fixture
def call(interp: isthmus.Interpreter) -> Callable[..., Any]:
    return interp.call


@pytest.fixture
def ends() -> Iterator[tuple[isthmus.RecvChannel, isthmus.SendChannel]]:
    """An unbounded channel."""
    pair = isthmus.create_channel(None)
    yield pair
    for end in pair:
        end.close()


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of this test's alone in which processes that let themselves be inspected meet."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.delenv("ISTHMUS_INSPECTION", raising=False)
    return tmp_path


class Running:
    """A thread that runs `source` in an interpreter; an exception of it is raised by `join`."""

    def __init__(self, interp: isthmus.Interpreter, source: str, shared: dict[str, Any]) -> None:
        self.failure: BaseException | None = None
        self._joined = False
        # A daemon: what a failed test left waiting must not keep the process from ending.
        self._thread = threading.Thread(
            target=self._run, args=(interp, textwrap.dedent(source), shared), daemon=True
        )
        self._thread.start()

    def _run(self, interp: isthmus.Interpreter, source: str, shared: dict[str, Any]) -> None:
        try:
            interp.run(source, **shared)
        except BaseException as failure:
            self.failure = failure

    def join(self, patience: float = PATIENCE) -> None:
        self._joined = True
        self._thread.join(patience)
        assert not self._thread.is_alive(), "the interpreter still runs"
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    def finish(self) -> None:
        if not self._joined:
            self.join()

    def until_asleep(self) -> None:
        """Wait until the thread sleeps in the kernel. Call it when all that it has left to do is to wait."""
        path = Path(f"/proc/self/task/{self._thread.native_id}/stat")
        assert until(lambda: path.read_text().rpartition(")")[2].split()[0] == "S")


@pytest.fixture
def spawn(new_interp: Callable[..., isthmus.Interpreter]) -> Iterator[Callable[..., Running]]:
    """Run source in an interpreter on a thread of its own; joined before the interpreters are closed."""
    threads: list[Running] = []

    def start(interp: isthmus.Interpreter, source: str, **shared: Any) -> Running:
        threads.append(Running(interp, source, shared))
        return threads[-1]

    yield start
    for each in threads:
        each.finish()
    threads.clear()


@pytest.fixture
def ready(
    ends: tuple[isthmus.RecvChannel, isthmus.SendChannel],
) -> tuple[isthmus.RecvChannel, isthmus.SendChannel]:
    """The channel on which a run says that it has begun."""
    return ends


@pytest.fixture
def started(
    spawn: Callable[..., Running], ready: tuple[isthmus.RecvChannel, isthmus.SendChannel]
) -> Callable[..., Running]:
    """Begin a run, and return when its code has come to the given source."""

    def start(interp: isthmus.Interpreter, source: str, **shared: Any) -> Running:
        run = spawn(interp, f"ready.send(1)\n{source}", ready=ready[1], **shared)
        ready[0].recv(timeout=PATIENCE)
        return run

    return start


def interrupted(run: Running, exc: type[BaseException] = KeyboardInterrupt) -> None:
    """Join it: it ended by `exc`, as an interruption raises it."""
    with pytest.raises(exc) as caught:
        run.join()
    assert type(caught.value) is exc
    assert caught.value.args == ()


def run_script(
    source: str, *arguments: str, timeout: float = LIFE, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script in a Python of its own and assert that it ended well."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(source), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=os.environ | (env or {}),
    )
    report = f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, report
    assert "Fatal" not in done.stderr, report
    assert "Traceback" not in done.stderr, report
    return done
