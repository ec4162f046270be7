"""Threads, descriptors and memory that have run out: errors or copies, nothing lost, and recovery."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from _subprocess import SANITIZED, limits_addresses, run_script

GROUPS = Path("/sys/fs/cgroup")


@pytest.mark.parametrize("how", ["stack", "nproc"])
def test_no_thread_can_start(how: str) -> None:
    if how == "stack" and SANITIZED:
        pytest.skip("the sanitizer stops the process when it has no memory for a thread")
    run_script("exhausted", "no_threads", how)


@pytest.mark.skipif(SANITIZED, reason="UBSan opens a descriptor to look at an exception's type")
def test_no_descriptor_can_be_had() -> None:
    run_script("exhausted", "no_descriptors")


@pytest.mark.parametrize("what", ["descriptors", "files"])
def test_fork_without(what: str) -> None:
    run_script("exhausted", "fork_without", what)


@limits_addresses
@pytest.mark.parametrize("what", ["AS", "DATA"])
def test_no_memory_can_be_had(what: str) -> None:
    print(run_script("exhausted", "no_memory", what).stdout)


def _own_path(kind: str) -> str:
    """The path of this process among the control groups of version 1 (`memory`) or 2 (``)."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if kind in controllers.split(","):
            return path.lstrip("/")
    return ""


@pytest.fixture
def limited_group() -> Iterator[Callable[[int], Path]]:
    """Makes a control group with a limit on its memory; skips where that is not allowed."""
    made: list[Path] = []

    def make(limit: int) -> Path:
        second = (GROUPS / "cgroup.controllers").exists()
        parent = GROUPS / _own_path("") if second else GROUPS / "memory" / _own_path("memory")
        group = parent / f"isthmus-test-{uuid.uuid4().hex[:8]}"
        try:
            group.mkdir()
            made.append(group)
            (group / ("memory.max" if second else "memory.limit_in_bytes")).write_text(str(limit))
        except OSError as error:
            pytest.skip(f"no control group with a limit can be made here: {error}")
        return group

    yield make
    for group in made:
        group.rmdir()


@pytest.mark.skipif(SANITIZED, reason="a sanitizer keeps freed memory")
def test_what_idles_does_not_fill_a_control_group(limited_group: Callable[[int], Path]) -> None:
    """The kernel kills who goes beyond, so this ends well only if the resident budget heeds the limit."""
    mebibytes = 200
    tasks = limited_group(mebibytes << 20) / "cgroup.procs"
    run_script(
        "exhausted",
        "group",
        mebibytes,
        limit=lambda: tasks.write_text(str(os.getpid())) and None,
        timeout=300,
    )
