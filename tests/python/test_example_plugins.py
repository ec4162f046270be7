"""examples/plugins: the host the guide teaches from, over its own plug-ins and over bad ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import _hosts
from _accounts import LIFE

EXAMPLE = _hosts.ROOT / "examples" / "plugins"
SIZE = 256 << 20


@pytest.fixture(scope="module")
def cmake_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _hosts.cmake_directory(tmp_path_factory.mktemp("prefix"))


@pytest.fixture(scope="module")
def program(cmake_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    warnings = "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wconversion -Wshadow -Werror"
    return _hosts.build(EXAMPLE, tmp_path_factory.mktemp("plugins"), cmake_dir, warnings) / "plugins"


def run(program: Path, cmake_dir: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        timeout=LIFE,
        check=False,
        env=_hosts.host_environment(cmake_dir),
    )


def test_its_own_plugins(program: Path, cmake_dir: Path) -> None:
    done = run(program, cmake_dir, EXAMPLE / "plugins", _hosts.PROGRAM)
    assert (done.returncode, done.stderr) == (1, "")  # one of them has a mistake
    lines = done.stdout.splitlines()
    assert lines[0] == f"  checksum: {SIZE} bytes"
    assert "impatient failed: interrupted after 3000 ms" in lines
    assert "TimeoutError" in lines
    assert any(line.startswith("impatient: 'two', ") for line in lines)  # in a fresh interpreter
    assert any(line.startswith(f"same: {SIZE} bytes, ") for line in lines)
    assert lines[-1] == "3 plug-ins, 0 payload bytes copied"


def test_what_plugins_do_wrong_is_their_own(program: Path, cmake_dir: Path, tmp_path: Path) -> None:
    sources = {
        "a_syntax": "def",
        "b_none": "x = 1",
        "c_raises": "def transform(data): raise ValueError('no luck')",
        "d_exits": "def transform(data): raise SystemExit(3)",
        "e_host": "import isthmus\ndef transform(data): isthmus.host.log(data)",
        "f_stubborn": (
            "left = 2\n"
            "def transform(data):\n"
            "    global left\n"
            "    while left:\n"
            "        try:\n"
            "            while True: pass\n"
            "        except TimeoutError:\n"
            "            left -= 1\n"
        ),
        "g_import": "import sys\nsys.modules['json'] = None\ndef transform(data): return None",
        "h_good": "import json\ntransform = len",
        "i_object": "def transform(data): return lambda: open('/dev/null')",
        "j_endless_start": "while True: pass",
    }
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source)
    (tmp_path / "ignored.txt").write_text("no plug-in")
    done = run(program, cmake_dir, tmp_path, _hosts.PROGRAM)
    told = done.stdout
    assert (done.returncode, done.stderr) == (1, ""), told
    assert "SyntaxError" in told
    assert "b_none failed: there is no function transform(data)" in told
    assert "c_raises.py" in told
    assert told.count("ValueError: no luck") == 2
    assert told.count("SystemExit: 3") == 2
    assert told.count("TypeError: str expected, not bytes") == 2
    assert told.count("f_stubborn failed: interrupted after 3000 ms") == 2
    assert "g_import: None" in told
    assert f"h_good: {SIZE}, " in told
    assert "h_good: 10, " in told
    assert "j_endless_start failed: interrupted after 3000 ms" in told
    assert told.endswith(f"{len(sources)} plug-ins, 0 payload bytes copied\n"), told


def test_mistakes_of_the_caller(program: Path, cmake_dir: Path, tmp_path: Path) -> None:
    done = run(program, cmake_dir)
    assert (done.returncode, done.stderr) == (2, "plugins: usage: plugins DIRECTORY [PYTHON]\n")
    done = run(program, cmake_dir, tmp_path / "nowhere")
    assert (done.returncode, done.stderr) == (2, f"plugins: no directory: {tmp_path / 'nowhere'}\n")
    done = run(program, cmake_dir, tmp_path, _hosts.PROGRAM)
    assert (done.returncode, done.stdout) == (0, "0 plug-ins, 0 payload bytes copied\n")


def test_it_is_as_short_as_the_guide_says() -> None:
    assert len((EXAMPLE / "main.cpp").read_text().splitlines()) < 100
