"""A C++ host that initialises and finalises Python several times, with isthmus in use to the end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import _hosts
import isthmus
from _accounts import LIFE

SOURCES = Path(__file__).resolve().parents[1] / "embedding"
WAITING = {
    "receiving": "begun(); never[0].recv()",
    "sending": "begun(); never[1].send(data)",
    "getting": "begun(); isthmus.create_queue().get()",
    "selecting": "begun(); isthmus.select(never[0], isthmus.create_queue())",
    "running": (
        "def run():\n"
        "    try: others[-1].run('while True: pass')\n"
        "    except (KeyboardInterrupt, isthmus.InterpreterError): pass\n"
        "begun(); run()"
    ),
}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built with the Python that runs the tests."""
    folder = tmp_path_factory.mktemp("embedding")
    return _hosts.build(SOURCES, folder, folder) / "host"


def live(host: Path, lives: int, *scripts: Path, env: dict[str, str] | None = None) -> None:
    # Not the virtual environment's command: from 3.14 on CPython finds its libraries in the first life only.
    command = str(getattr(sys, "_base_executable", sys.executable))
    path = str(Path(isthmus.__file__).parents[1])
    done = subprocess.run(
        [host, command, str(lives), *scripts],
        capture_output=True,
        text=True,
        timeout=LIFE,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "ISTHMUS_TEST_DUMP_AFTER": "100", **(env or {})},
    )
    told = f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, told
    assert done.stdout == "".join(f"life {n}\n" for n in range(lives)), told
    assert done.stderr == "", told


@pytest.mark.parametrize("allocator", ["", "malloc", "pymalloc_debug"])
def test_three_lives(host: Path, allocator: str) -> None:
    live(host, 3, SOURCES / "life.py", env={"PYTHONMALLOC": allocator} if allocator else None)


def test_many_lives(host: Path) -> None:
    """Windows and slots of former lives are used again: there would not be enough."""
    live(host, 12, SOURCES / "life.py", env={"ISTHMUS_WINDOWS": "6", "ISTHMUS_CAPACITY": "256M"})


@pytest.mark.parametrize("lives", [1, 3])
def test_finalising_while_threads_of_the_host_wait(host: Path, tmp_path: Path, lives: int) -> None:
    scripts = []
    for name, source in WAITING.items():
        scripts.append(tmp_path / name)
        scripts[-1].write_text(source)
    live(host, lives, SOURCES / "life.py", *scripts)
