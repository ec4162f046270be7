"""C++ hosts over the installed library: tests/hosts, each of its tests in a process of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import _hosts
import isthmus
from _accounts import LIFE

SOURCES = _hosts.ROOT / "tests" / "hosts"
TIMEOUT = LIFE  # of a process that hangs


@pytest.fixture(scope="module")
def cmake_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _hosts.cmake_directory(tmp_path_factory.mktemp("prefix"))


@pytest.fixture(scope="module")
def programs(cmake_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _hosts.build(SOURCES, tmp_path_factory.mktemp("hosts"), cmake_dir)


def execute(cmake_dir: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        env=_hosts.host_environment(cmake_dir),
    )


def test_every_test_of_the_hosts(programs: Path, cmake_dir: Path) -> None:
    if not (programs / "hosts").exists():
        pytest.skip("needs GoogleTest (Debian: libgtest-dev)")
    listed = execute(cmake_dir, programs / "hosts", "--gtest_list_tests").stdout
    names: list[str] = []
    suite = ""
    for line in listed.splitlines():
        if line.startswith("  "):
            names.append(suite + line.split()[0])
        elif re.fullmatch(r"\w+\.", line):
            suite = line
    assert len(names) > 30

    def one(name: str) -> str:
        done = execute(cmake_dir, programs / "hosts", f"--gtest_filter={name}")
        told = f"{name}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}\n"
        return "" if done.returncode == 0 and "1 test ran" not in done.stderr else told

    with ThreadPoolExecutor(2) as pool:
        failed = [told for told in pool.map(one, names) if told]
    assert not failed, "\n".join(failed)


@pytest.mark.skipif(_hosts.SANITIZER != "thread", reason="needs ThreadSanitizer")
@pytest.mark.parametrize("how", ["apart", "together"])
def test_the_sanitizer_sees_races_and_what_a_gil_orders(programs: Path, cmake_dir: Path, how: str) -> None:
    """Else that it finds none in all of the other tests would say little."""
    environment = _hosts.host_environment(cmake_dir)
    environment["TSAN_OPTIONS"] += (
        ":log_path=stderr:exitcode=66"  # whoever collects reports must miss this one
    )
    done = subprocess.run(
        [programs / "racing", _hosts.PROGRAM, how],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        env=environment,
    )
    if how == "together":
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 66, done.stderr
        assert "WARNING: ThreadSanitizer: data race" in done.stderr
        assert "racing.cpp" in done.stderr


def test_memory_passes_between_threads_without_python(programs: Path, cmake_dir: Path) -> None:
    done = execute(cmake_dir, programs / "core_only")
    assert (done.returncode, done.stdout, done.stderr) == (0, "same memory\n", "")
    linked = _hosts.run("ldd", programs / "core_only")
    assert "libpython" not in linked.stdout


def test_a_quarter_of_a_gibibyte_to_four_interpreters_and_back(programs: Path, cmake_dir: Path) -> None:
    done = execute(cmake_dir, programs / "four_interpreters", _hosts.PROGRAM)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    *each, last = done.stdout.splitlines()
    assert [line.rsplit(" ", 2)[0] for line in each] == ["same memory"] * 4
    assert last == "0 bytes copied"


@pytest.mark.skipif(_hosts.SANITIZER != "", reason="each compiler has a run-time library of its own for it")
def test_a_project_of_thirty_lines_by_another_compiler(cmake_dir: Path, tmp_path: Path) -> None:
    """With `find_package` alone; g++, as a rule, makes the other programs."""
    path = _hosts.tool("clang++")
    source = tmp_path / "project"
    source.mkdir()
    shutil.copy(SOURCES / "four_interpreters.cpp", source / "main.cpp")
    assert len((source / "main.cpp").read_text(encoding="utf-8").splitlines()) <= 32
    (source / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.25)\n"
        "project(host LANGUAGES CXX)\n"
        "find_package(isthmus CONFIG REQUIRED)\n"
        "add_executable(host main.cpp)\n"
        "target_link_libraries(host PRIVATE isthmus::python)\n",
        encoding="ascii",
    )
    built = _hosts.build(source, tmp_path / "build", cmake_dir, f"-DCMAKE_CXX_COMPILER={path}")
    done = execute(cmake_dir, built / "host", _hosts.PROGRAM)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("0 bytes copied\n")


def test_pkg_config_is_enough(cmake_dir: Path, tmp_path: Path) -> None:
    packages = cmake_dir.parents[1] / "pkgconfig"
    embed = sysconfig.get_config_var("LIBPC")
    tool = _hosts.tool("pkg-config")
    flags = subprocess.run(
        [tool, "--cflags", "--libs", "isthmus-python"],
        capture_output=True,
        text=True,
        check=False,
        env={**_hosts.environment(), "PKG_CONFIG_PATH": f"{packages}:{embed}"},
    )
    if "-embed" in flags.stderr:
        pytest.skip("this Python has no pkg-config file")
    assert flags.returncode == 0, flags.stderr
    program = tmp_path / "host"
    library = f"-Wl,-rpath,{sysconfig.get_config_var('LIBDIR')}"
    _hosts.run(
        _hosts.tool("c++"),
        *("-std=c++20", SOURCES / "four_interpreters.cpp", "-o", program, *flags.stdout.split(), library),
    )
    done = execute(cmake_dir, program, _hosts.PROGRAM)
    assert done.returncode == 0, done.stderr


def test_a_wrong_component_or_python_is_told(cmake_dir: Path, tmp_path: Path) -> None:
    cmake = _hosts.tool("cmake")
    for asked, told in {
        "CONFIG REQUIRED COMPONENTS core everything": "no component 'everything': there are core and python",
        "9.0 CONFIG REQUIRED": "version",
    }.items():
        source = tmp_path / asked.replace(" ", "_")
        source.mkdir()
        (source / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(wrong LANGUAGES CXX)\n"
            f"find_package(isthmus {asked.replace('COMPONENTS', 'CONFIG REQUIRED COMPONENTS')})\n"
            'if(NOT isthmus_FOUND)\nmessage(FATAL_ERROR "9.0")\nendif()\n',
            encoding="ascii",
        )
        done = subprocess.run(
            [cmake, "-S", source, "-B", source / "b", f"-Disthmus_DIR={cmake_dir}"],
            capture_output=True,
            text=True,
            check=False,
            env=_hosts.environment(),
        )
        assert done.returncode != 0
        assert told in " ".join(done.stderr.split())


def test_the_python_package_is_found_beside_the_library(programs: Path, cmake_dir: Path) -> None:
    """Without PYTHONPATH, and with a Python that has no isthmus."""
    base = str(getattr(sys, "_base_executable", sys.executable))
    environment = {k: v for k, v in _hosts.host_environment(cmake_dir).items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [programs / "four_interpreters", base],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("0 bytes copied\n")


def test_another_version_in_the_process_is_refused(tmp_path: Path) -> None:
    """Of an extension module that was linked with it, say."""
    (name,) = {
        Path(line.split()[-1]).name
        for line in Path("/proc/self/maps").read_text().splitlines()
        if "libisthmus_python" in line
    }
    other = tmp_path / re.sub(r"-[0-9.]+\.so", "-9.9.9.so", name)
    assert other.name != name
    _hosts.run(_hosts.tool("c++"), "-shared", "-fPIC", "-x", "c++", "/dev/null", "-o", other)
    source = (
        "import ctypes, sys\n"
        "ctypes.CDLL(sys.argv[1])\n"
        "for attempt in range(2):\n"
        "    try: import isthmus\n"
        "    except ImportError as error: print(error)\n"
    )
    told = (
        f"isthmus {isthmus.__version__} can't be used beside {other}, which this process has loaded already\n"
    )
    own = Path(isthmus.__file__).parent / "lib" / name
    for path, out in ((other, told * 2), (own, "")):
        loaded = subprocess.run(
            [sys.executable, "-c", source, path], capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        assert (loaded.returncode, loaded.stdout, loaded.stderr) == (0, out, "")
