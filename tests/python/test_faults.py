"""Received objects are never changed in place (invariants 1 to 3); what is dropped is given back (5, 6)."""

from __future__ import annotations

import pytest

from _subprocess import run_script


def test_nothing_changes_an_object_that_others_hold() -> None:
    run_script("changing")


def test_only_exact_types_are_twinned() -> None:
    run_script("exact")


@pytest.mark.parametrize("kind", ["bytes", "views"])
@pytest.mark.parametrize(
    "state",
    ["idle", "busy", "busy_in_c", "blocked_in_c", "blocked_in_lock", "blocked_in_recv", "blocked_in_send"],
)
def test_a_thousand_releases_reach_an_owner_that_does_not_ask(kind: str, state: str) -> None:
    print(run_script("releasing", kind, state).stdout)


@pytest.mark.parametrize("what", ["block", "twin"])
def test_a_thread_without_an_interpreter_frees(what: str) -> None:
    run_script("freeing", what)
