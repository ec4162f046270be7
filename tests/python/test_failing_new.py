"""Every `operator new` of the extension fails once: a MemoryError, and nothing lost, half done or aborted.

What CPython allocates fails in test_clone_failures.py, allocations and system calls of the core alone in
`tests/core/faults_test.cpp`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from _subprocess import SANITIZED, run_script

SOURCES = Path(__file__).resolve().parents[1] / "allocations"


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What to add to the environment of a process whose operator new is to fail."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    library = tmp_path_factory.mktemp("allocations") / "failing_new.so"
    # The compiler's own process needs no sanitizer.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    options = ["-std=c++20", "-O1", "-g", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
    done = subprocess.run(
        [compiler, *options, "-shared", "-fPIC", SOURCES / "failing_new.cpp", "-o", library],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    added = {"LD_PRELOAD": f"{library} {os.environ.get('LD_PRELOAD', '')}".strip()}
    if SANITIZED:  # ours must come before the sanitizer's operator new, which it minds
        added["ASAN_OPTIONS"] = f"{os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0"
    return added


@pytest.mark.parametrize("what", ["sending", "bulk", "waiting", "queues", "channels", "shared", "meetings"])
def test_passing_values_on(preloaded: dict[str, str], what: str) -> None:
    print(run_script("failing_passing", what, env=preloaded).stdout)


@pytest.mark.parametrize("what", ["jobs", "posts", "looking", "serving", "lives", "ends", "others"])
def test_running_in_interpreters(preloaded: dict[str, str], tmp_path: Path, what: str) -> None:
    # What it serves is nothing for the processes of other tests.
    env = {**preloaded, "XDG_RUNTIME_DIR": str(tmp_path)}
    print(run_script("failing_running", what, env=env).stdout)


@pytest.mark.parametrize("when", ["starting", "forking", "exiting"])
def test_lives_of_processes(preloaded: dict[str, str], when: str) -> None:
    print(run_script("failing_at_start", when, env=preloaded).stdout)
