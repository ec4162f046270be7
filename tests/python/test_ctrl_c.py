"""Ctrl-C while the main OS thread runs another interpreter."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from functools import partial

import pytest

from _subprocess import SCRIPTS, run_script
from conftest import PATIENCE


def _sigint_as_in_a_terminal() -> None:
    """A background job of a shell without job control ignores SIGINT, and its children do."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


run_script = partial(run_script, limit=_sigint_as_in_a_terminal)


@pytest.mark.parametrize(
    "what", ["run", "methods", "wait", "shared_gil", "nested", "inner_ends", "too_late", "other_threads"]
)
def test_it_stops_the_innermost_run_with_one_keyboard_interrupt(what: str) -> None:
    assert "stopped once" in run_script("ctrl_c", what).stdout


@pytest.mark.parametrize("what", ["catches", "nested_catches", "fails_with_another"])
def test_code_that_catches_it_goes_on(what: str) -> None:
    assert "went on" in run_script("ctrl_c", what).stdout


def test_a_handler_of_the_programs_own_runs_afterwards() -> None:
    assert "stopped once" in run_script("ctrl_c", "own_handler").stdout


def test_one_that_is_ignored_stops_nothing() -> None:
    assert "went on" in run_script("ctrl_c", "ignored").stdout


def test_none_is_lost_and_none_is_raised_twice() -> None:
    assert "one each" in run_script("ctrl_c", "one_each").stdout


def test_uncaught_it_ends_the_process_as_it_ends_any() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import isthmus, os, signal\nother = isthmus.create()\n"
            "other.run('import os, signal; os.kill(os.getpid(), signal.SIGINT)\\nwhile True: pass')",
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        preexec_fn=_sigint_as_in_a_terminal,
    )
    assert done.returncode == -signal.SIGINT
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
    assert "ExecutionFailed: KeyboardInterrupt" in done.stderr


def test_in_a_terminal() -> None:
    master, slave = pty.openpty()

    def control_it() -> None:
        _sigint_as_in_a_terminal()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, str(SCRIPTS / "ctrl_c.py"), "terminal"],
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
        start_new_session=True,
        preexec_fn=control_it,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "press\n"
        os.write(master, b"\x03")
        out, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()
        os.close(master)
        os.close(slave)
    assert (out, process.returncode) == ("stopped once\n", 0)
