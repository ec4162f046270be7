"""Allocators around the hook: tracemalloc (H5), PYTHONMALLOC, gc.freeze; closed descriptors (H4)."""

from __future__ import annotations

import pytest

from _subprocess import SANITIZED, run_script

ALLOCATORS = ["malloc", "debug", "pymalloc", "malloc_debug", "pymalloc_debug"]


@pytest.mark.parametrize("dev", [False, True], ids=["", "dev"])
@pytest.mark.parametrize("allocator", ALLOCATORS)
def test_python_malloc(allocator: str, dev: bool) -> None:
    run_script("allocators", "plain", env={"PYTHONMALLOC": allocator}, options=["-X", "dev"] if dev else [])


@pytest.mark.parametrize("frames", [1, 25])
def test_tracemalloc_started_before_the_import(frames: int) -> None:
    run_script("allocators", "tracing_before_import", frames)


@pytest.mark.parametrize("option", ["tracemalloc", "tracemalloc=10"])
def test_tracemalloc_from_the_command_line(option: str) -> None:
    done = run_script("allocators", "traced", options=["-X", option])
    assert done.stderr.count("RuntimeWarning: isthmus restarted tracemalloc") == 1


@pytest.mark.parametrize("case", ["tracing_before_create", "tracing_after", "stopped_while_slots_live"])
def test_tracemalloc_started_later(case: str) -> None:
    run_script("allocators", case)


@pytest.mark.parametrize("tracing", [0, 1])
def test_first_import_in_an_isolated_interpreter(tracing: int) -> None:
    run_script("allocators", "imported_first_elsewhere", tracing)


def test_a_hook_that_somebody_took_out_is_put_in_again() -> None:
    run_script("unhooked")


def test_frozen_objects() -> None:
    run_script("allocators", "frozen")


@pytest.mark.skipif(SANITIZED, reason="the sanitizer writes its report to a descriptor that the test closes")
def test_closed_descriptors_harm_no_file() -> None:
    run_script("allocators", "closed_descriptors")
