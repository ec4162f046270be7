"""C++ hosts, built against the build that runs the tests: as users build theirs, outside the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import isthmus

ROOT = Path(__file__).resolve().parents[2]
#: Where the command of this very Python finds its libraries; a virtual environment's finds the packages, too.
PROGRAM = sys.executable
#: What hosts are compiled with. AddressSanitizer is preloaded instead, and sees the libraries.
SANITIZER = "thread" if os.environ.get("ISTHMUS_TEST_SANITIZER") == "thread" else ""


def environment() -> dict[str, str]:
    """What the compiler's processes get: they need no sanitizer, and would report what is not of ours."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def tool(name: str) -> str:
    """Where a program is that is needed to build; else the test is skipped."""
    scripts = Path(sys.executable).parent
    found = shutil.which(name, path=f"{scripts}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"needs {name}")
    return found


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """A step of a build; its output is told if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    told = f"{command}\n{done.stdout}\n{done.stderr}"
    if done.returncode != 0 and ("Development.Embed" in told or "to embed was found" in told):
        pytest.skip("this Python has no library to embed")
    assert done.returncode == 0, told
    return done


def cmake_directory(prefix: Path) -> Path:
    """Where the CMake package is: that of a wheel, or of what is installed under `prefix` now."""
    package = Path(isthmus.__file__).resolve().parent
    if (package / "lib" / "cmake").is_dir():
        return package / "lib" / "cmake" / "isthmus"
    # A checkout's package is made by the preset `release`, others lie in their own build directory.
    build = ROOT / "build" / "release" if package == ROOT / "src" / "isthmus" else package.parents[1]
    if not (build / "CMakeCache.txt").is_file():
        pytest.skip("this installation of isthmus has no package files for C++")
    run(tool("cmake"), "--install", build, "--prefix", prefix)
    (found,) = prefix.glob("**/cmake/isthmus")
    return found


def build(source: Path, into: Path, cmake_dir: Path, *definitions: str) -> Path:
    """Configure and build the project at `source`; return the directory of its programs.

    File by file, as users do, with the build that is in the checkout; with others several files at a time,
    since headers are most of what there is to compile.
    """
    cmake = tool("cmake")
    tool("c++")
    if Path(isthmus.__file__).resolve().parent != ROOT / "src" / "isthmus":
        definitions += ("-DCMAKE_UNITY_BUILD=ON",)
    if SANITIZER:
        include = ROOT / "tests" / "hosts" / "sanitize.cmake"
        definitions += (f"-DHOSTS_SANITIZE={SANITIZER}", f"-DCMAKE_PROJECT_INCLUDE={include}")
    run(
        cmake,
        *("-S", source, "-B", into, f"-Disthmus_DIR={cmake_dir}", f"-DPython_EXECUTABLE={sys.executable}"),
        *definitions,
    )
    run(cmake, "--build", into, "--parallel", str(len(os.sched_getaffinity(0))))
    return into


def host_environment(cmake_dir: Path) -> dict[str, str]:
    """Of a host: the Python package that belongs to its libraries comes first."""
    package = Path(isthmus.__file__).resolve().parent
    if not cmake_dir.is_relative_to(package):
        libraries = cmake_dir.parents[1]
        python = f"python{sys.version_info.major}.{sys.version_info.minor}"
        package = libraries / python / "site-packages" / "isthmus"
    return {**os.environ, "PYTHONPATH": str(package.parent), "ISTHMUS_TEST_PROGRAM": PROGRAM}
