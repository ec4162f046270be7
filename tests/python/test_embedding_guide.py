"""docs/embedding.md: its programs are those of examples/, its programs and fragments build and run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import _hosts
from _accounts import LIFE

PAGE = (_hosts.ROOT / "docs" / "embedding.md").read_text("utf-8")
BLOCKS = re.findall(r"^```cpp\n(.*?)^```", PAGE, re.M | re.S)
PROGRAMS = [each for each in BLOCKS if "int main(" in each]
FRAGMENTS = [each for each in BLOCKS if "int main(" not in each]
AROUND = """
#include <isthmus/python.hpp>
#undef NDEBUG
#include <atomic>
#include <cassert>
#include <chrono>
#include <thread>
{functions}
int main(int, char** argv) {{
    const isthmus::runtime runtime = isthmus::runtime::start({{.program = argv[1]}});
    for (void (*each)(isthmus::interpreter) : {{{names}}}) {{ each(isthmus::interpreter()); }}
}}
"""


@pytest.fixture(scope="module")
def cmake_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _hosts.cmake_directory(tmp_path_factory.mktemp("prefix"))


def build_and_run(name: str, source: str, cmake_dir: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    (project,) = re.findall(r"^```cmake\n(.*?)^```", PAGE, re.M | re.S)
    (folder / "CMakeLists.txt").write_text(project)
    (folder / "main.cpp").write_text(source)
    programs = _hosts.build(folder, folder / name, cmake_dir, "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror")
    return subprocess.run(
        [programs / "host", _hosts.PROGRAM],
        capture_output=True,
        text=True,
        timeout=LIFE,
        check=False,
        env=_hosts.host_environment(cmake_dir),
    )


def test_the_first_program(cmake_dir: Path, tmp_path: Path) -> None:
    done = build_and_run("build", PROGRAMS[0], cmake_dir, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "268435456 bytes, the same memory\n"
    assert f"`{done.stdout.rstrip()}`" in PAGE


def test_the_fragments(cmake_dir: Path, tmp_path: Path) -> None:
    names = [f"fragment_{number}" for number in range(len(FRAGMENTS))]
    functions = "".join(
        f"void {name}([[maybe_unused]] isthmus::interpreter in) {{\n{code}}}\n"
        for name, code in zip(names, FRAGMENTS, strict=True)
    )
    source = AROUND.format(functions=functions, names=", ".join(names))
    done = build_and_run("build", source, cmake_dir, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_plugin_host_is_the_example() -> None:
    assert len(PROGRAMS) == 2
    assert PROGRAMS[1] == (_hosts.ROOT / "examples" / "plugins" / "main.cpp").read_text("utf-8")
