"""Interpreters that end, and processes that end: in every order, with everything in the way (H7, H8, H16)."""

from __future__ import annotations

import itertools

import pytest

from _subprocess import run_script

KEPT = [
    "global", "bytesio", "cycle", "interned", "class_attribute", "builtins", "thread_local", "context",
    "exit_handler", "leaked", "leaked_stream",
]  # fmt: skip

STATES = [
    "idle", "undelivered", "python_loop", "blocked_in_recv", "blocked_in_send", "blocked_in_sleep",
    "swallows_one", "daemons_close_them", "runs_again", "begins_to_run", "runs_within_runs", "main_waits",
    "traffic", "own_threads", "releases", "finalizers", "exit_handlers", "main_alone",
]  # fmt: skip

#: How the process leaves, and the exit status that a process without isthmus would have.
WAYS = {"return": 0, "exit": 3, "_exit": 4, "exception": 1, "sigterm": -15, "ctrl_c": -2}


@pytest.mark.parametrize("how", KEPT)
def test_closing_in_every_order_with_twins_kept(how: str) -> None:
    run_script("closing", "keeping", how)


@pytest.mark.parametrize(
    "case",
    [
        "undelivered",
        "waiting_peers",
        "own_waiting_threads",
        "closed_from_elsewhere",
        "reused_window",
        "main_object_outlives_nothing",
    ],
)
def test_closing(case: str) -> None:
    run_script("closing", case)


@pytest.mark.parametrize("way", ["return", "exit"])
@pytest.mark.parametrize("state", STATES)
def test_leaving_a_process_that_finalises(state: str, way: str) -> None:
    done = run_script("leaving", state, way, status=WAYS[way])
    assert done.stdout == "ready\n"
    assert done.stderr == ""


# Not "ctrl_c" where code of other interpreters still ends with a traceback: CPython forgets that the process
# leaves because of a KeyboardInterrupt as soon as anything evaluates source text: one flag for all of them.
@pytest.mark.parametrize(
    ("state", "way"),
    [
        *itertools.product(
            ["idle", "python_loop", "blocked_in_recv", "main_waits", "traffic"],
            ["_exit", "exception", "sigterm"],
        ),
        ("idle", "ctrl_c"),
        ("main_waits", "ctrl_c"),
    ],
)
def test_leaving_in_other_ways(state: str, way: str) -> None:
    done = run_script("leaving", state, way, status=WAYS[way])
    assert done.stdout == "ready\n"


def test_leaving_while_the_process_is_stopped() -> None:
    """No time passes then: what runs gets all the time that it has to end by itself."""
    assert run_script("leaving", "stands_still", "return").stderr == ""


@pytest.mark.parametrize("state", ["blocked_for_ever", "swallows_all"])
def test_leaving_while_code_never_ends(state: str) -> None:
    """Tearing the interpreter down would crash: the process says so and ends without finalising."""
    done = run_script("leaving", state, "return", status=1)
    assert "leaving without finalising" in done.stderr
