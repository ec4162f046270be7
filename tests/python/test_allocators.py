"""Allocators around the hook: tracemalloc (H5), PYTHONMALLOC, profilers, valgrind; closed files (H4)."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from _accounts import LIFE
from _subprocess import SANITIZED, SCRIPTS, run_script

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


def test_faulthandler() -> None:
    run_script("allocators", "under_faulthandler")


def _profiled(folder: Path, profiler: str, *options: str, between: tuple[str, ...] = ()) -> None:
    if importlib.util.find_spec(profiler) is None:
        pytest.skip(f"{profiler} is not installed")
    result = folder / "profile"
    script = [str(SCRIPTS / "allocators.py"), *between, "plain"]
    done = subprocess.run(
        [sys.executable, "-m", profiler, "run", *options, "-o", str(result), *script],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=LIFE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert result.stat().st_size > 0


@pytest.mark.skipif(SANITIZED, reason="a profiler of memory and a sanitizer want the same functions")
@pytest.mark.parametrize("option", ["--quiet", "--trace-python-allocators", "--native"])
def test_memray(tmp_path: Path, option: str) -> None:
    """Needs `pip install memray`; objects cross as twins under it."""
    _profiled(tmp_path, "memray", option)


@pytest.mark.skipif(SANITIZED, reason="a profiler of memory and a sanitizer want the same functions")
@pytest.mark.parametrize("options", [(), ("--cpu-only",)], ids=["memory", "cpu"])
def test_scalene(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Needs `pip install scalene`; its allocator bears no refusals, and objects cross as twins under it."""
    _profiled(tmp_path, "scalene", *options, between=("---",))


@pytest.mark.skipif(SANITIZED, reason="valgrind runs no sanitized program")
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_valgrind(tmp_path: Path) -> None:
    """The arena can't be mapped there: isthmus copies, says so once, and reads nothing invalid."""
    # The dynamic linker's own strncmp reads whole words of a library's short run path.
    known = tmp_path / "known"
    known.write_text("{\n   run_path\n   Memcheck:Addr8\n   fun:strncmp\n   fun:is_dst\n}\n")
    tool = ["valgrind", "--quiet", "--error-exitcode=9", "--undef-value-errors=no", f"--suppressions={known}"]
    done = subprocess.run(
        [*tool, sys.executable, str(SCRIPTS / "allocators.py"), "aside"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONMALLOC": "malloc"},
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
