"""fork after and while interpreters lived (H3), multiprocessing, subprocess."""

from __future__ import annotations

import pytest

from _subprocess import run_script


@pytest.mark.parametrize(
    "case",
    [
        "both_write",
        "child_creates",
        "orphans",
        "many_forks",
        "beside_threads",
        "from_a_thread",
        "descriptors",
    ],
)
def test_fork(case: str) -> None:
    run_script("fork", case)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(method: str) -> None:
    run_script("fork", "processes", method)


def test_subprocess() -> None:
    run_script("fork", "subprocesses")
