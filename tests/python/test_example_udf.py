"""examples/udf: SQL over Python functions in isolated interpreters, and what fails there."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import subprocess
import zlib
from pathlib import Path

import pytest

import _hosts
from _accounts import LIFE

EXAMPLE = _hosts.ROOT / "examples" / "udf"
WARNINGS = "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wconversion -Wshadow -Werror"
BLOBS = [bytes([n]) * (1 << 20) for n in range(1, 5)]
NOTHING_COPIED = "0 payload bytes copied by isthmus, 0 out of SQLite's memory"
FAILING = """
class Half:
    def __init__(self): self.seen = 0
    def step(self, x):
        if x == 2: raise ValueError("step " + str(x))
    def finalize(self): raise KeyError("end")
class NoStart:
    def __init__(self): raise OSError("start")
    def step(self, x): pass
    def finalize(self): return 1
def fail(x): raise RuntimeError(f"got {x!r}")
def out(x): raise SystemExit(x)
def shape(*xs): return [*xs]
def same(x): return x
def optional(x, y=5): return y
SCALARS = {"fail": fail, "out": out, "shape": shape, "same": same, "optional": optional}
SCALARS["huge"] = lambda: 1 << 80
AGGREGATES = {"half": Half, "no_start": NoStart}
"""


@pytest.fixture(scope="module")
def cmake_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _hosts.cmake_directory(tmp_path_factory.mktemp("prefix"))


@pytest.fixture(scope="module")
def program(cmake_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not Path("/usr/include/sqlite3.h").is_file():
        pytest.skip("needs sqlite3.h (Debian: libsqlite3-dev)")
    return _hosts.build(EXAMPLE, tmp_path_factory.mktemp("udf"), cmake_dir, WARNINGS) / "udf"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("database") / "blobs.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE blobs(id INTEGER PRIMARY KEY, data BLOB)")
    connection.executemany("INSERT INTO blobs(data) VALUES(?)", [(each,) for each in BLOBS])
    connection.commit()
    connection.close()
    return path


@pytest.fixture
def failing(tmp_path: Path) -> Path:
    path = tmp_path / "failing.py"
    path.write_text(FAILING)
    return path


class Runner:
    def __init__(self, program: Path, cmake_dir: Path, database: Path) -> None:
        self._program = program
        self._environment = _hosts.host_environment(cmake_dir)
        self._database = database

    def __call__(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program, "--python", _hosts.PROGRAM, "--stats", *arguments],
            capture_output=True,
            text=True,
            timeout=LIFE,
            check=False,
            env=self._environment,
        )

    def rows(self, sql: str, script: Path = EXAMPLE / "functions.py") -> list[str]:
        done = self(self._database, script, sql)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout.splitlines()

    def error(self, sql: str, script: Path = EXAMPLE / "functions.py") -> str:
        done = self(self._database, script, sql)
        assert done.returncode == 1, done
        return done.stderr.removeprefix("udf: ").rstrip()


@pytest.fixture
def udf(program: Path, cmake_dir: Path, database: Path) -> Runner:
    return Runner(program, cmake_dir, database)


def test_large_blobs_are_not_copied(udf: Runner) -> None:
    blob = "blob('blobs', 'data', id)"
    *rows, last = udf.rows(
        f"SELECT checksum({blob}), checksum(py_decompress(py_compress({blob}, 0))), digest({blob}),"
        f" py_compress({blob}, 0), length(py_compress({blob}, 0)) FROM blobs GROUP BY id"
    )
    for row, data in zip(rows, BLOBS, strict=True):
        packed = len(zlib.compress(data, 0))
        crc, sha = zlib.crc32(data), hashlib.sha256(data).hexdigest()
        assert row == f"{crc}|{crc}|{sha}|<{packed} bytes>|{packed}"
    assert last == NOTHING_COPIED


def test_what_lies_in_sqlites_memory_is_copied_once(udf: Runner) -> None:
    rows = udf.rows("SELECT digest(data) FROM blobs")
    assert rows[0] == hashlib.sha256(b"".join(BLOBS)).hexdigest()
    assert rows[1] == f"0 payload bytes copied by isthmus, {sum(map(len, BLOBS))} out of SQLite's memory"


def test_values_of_every_type(udf: Runner, failing: Path) -> None:
    sql = (
        "SELECT same(1), same(2.5), same('caf\u00e9'), "
        "same(NULL), hex(same(x'00ff')), typeof(same(x'')), same(-9223372036854775808)"
    )
    assert udf.rows(sql, failing)[0] == "1|2.5|caf\u00e9|NULL|00FF|blob|-9223372036854775808"
    assert udf.rows("SELECT optional(1), optional(1, 2)", failing)[0] == "5|2"
    # SQLite makes text of what it was lent: in a copy of its own.
    assert udf.rows("SELECT same(CAST(same(x'6162') AS TEXT)) || 'c'", failing)[0] == "abc"
    # One that is used twice, and one that is kept in a sorter.
    same = "same(blob('blobs', 'data', id))"
    sql = f"SELECT length({same} || {same}), length({same}) FROM blobs ORDER BY {same} DESC LIMIT 1"
    assert udf.rows(sql, failing)[0] == f"{2 << 20}|{1 << 20}"


def test_no_rows_and_many_groups(udf: Runner) -> None:
    assert udf.rows("SELECT digest(data) FROM blobs WHERE 0")[0] == hashlib.sha256().hexdigest()
    assert len(udf.rows("SELECT digest(data) FROM blobs GROUP BY id % 2")) == 3


def test_exceptions_become_errors_of_sql(udf: Runner, failing: Path) -> None:
    assert udf.error("SELECT fail('x')", failing) == "RuntimeError: got 'x'"
    assert udf.error("SELECT out(3)", failing) == "SystemExit: 3"
    assert "list" in udf.error("SELECT shape(1, 2)", failing)
    assert "int of 64 bits" in udf.error("SELECT huge()", failing)
    assert udf.error("SELECT half(id) FROM blobs", failing) == "ValueError: step 2"
    assert udf.error("SELECT half(id) FROM blobs WHERE id = 1", failing) == "KeyError: 'end'"
    assert udf.error("SELECT no_start(1)", failing) == "OSError: start"
    assert udf.error("SELECT no_start(1) WHERE 0", failing) == "OSError: start"
    assert udf.error("SELECT fail()", failing) == "wrong number of arguments to function fail()"
    assert udf.error("SELECT missing(1)") == "no such function: missing"
    assert udf.error("SELECT blob('nix', 'data', 1)") == "no such table: main.nix"
    assert udf.error("SELECT blob('blobs', 'data', 99)").startswith("no such rowid")


def test_bad_scripts_and_calls(udf: Runner, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("x = 1")
    assert "the script lists nothing in SCALARS or AGGREGATES" in udf.error("SELECT 1", script)
    script.write_text("SCALARS = {'a b': len}")
    assert "'a b' is no name for a function" in udf.error("SELECT 1", script)
    script.write_text("class A: pass\nAGGREGATES = {'a': A}")
    assert "has no attribute 'step'" in udf.error("SELECT 1", script)
    script.write_text("1 / 0")
    assert "ZeroDivisionError" in udf.error("SELECT 1", script)
    assert "No such file" in udf.error("SELECT 1", tmp_path / "nowhere.py")
    done = udf(tmp_path / "no" / "database", EXAMPLE / "functions.py", "SELECT 1")
    assert (done.returncode, done.stderr) == (1, "udf: unable to open database file\n")
    assert udf("too", "few").returncode == 2


FIRST = """
class Total:
    def __init__(self): self.sum = 0
    def step(self, n): self.sum += n
    def finalize(self): return self.sum
SCALARS = {"version": lambda: 1, "of_the_first": lambda: "first"}
AGGREGATES = {"total": Total}
"""
#: What tests/udf/lives.cpp asks, in that order.
ANSWERS = """
1
6
done
2
first
TypeError
2
unable to delete/modify user-function due to active statements
2
error: interpreter N is closed
error: interpreter N is closed
done
6
error: a function is called inside an isthmus::entered scope of its interpreter
error: a function is called inside an isthmus::entered scope of its interpreter
done
interpreter N is running
3
error: interpreter N is closed
end
"""


def test_functions_whose_interpreter_was_replaced_or_closed(
    program: Path, cmake_dir: Path, tmp_path: Path
) -> None:
    assert program.is_file()  # else there is no SQLite
    lives = _hosts.build(_hosts.ROOT / "tests" / "udf", tmp_path / "build", cmake_dir, WARNINGS) / "udf_lives"
    scripts = {"first": FIRST, "second": FIRST.replace("1, ", "2}#"), "bad": 'SCALARS = {"version": 5}'}
    for name, source in scripts.items():
        (tmp_path / name).write_text(source)
    done = subprocess.run(
        [lives, _hosts.PROGRAM, *(tmp_path / name for name in scripts)],
        capture_output=True,
        text=True,
        timeout=LIFE,
        check=False,
        env=_hosts.host_environment(cmake_dir),
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    assert re.sub(r"interpreter \d+", "interpreter N", done.stdout) == ANSWERS.lstrip()


def test_the_script_is_read_again_between_statements(udf: Runner, database: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    source = (
        "def version():\n    open({!r}, 'w').write(SOURCE)\n    return {}\nSCALARS = {{'version': version}}\n"
    )
    bad = "SOURCE = 'def'\n" + source.format(str(script), 2)
    script.write_text(f"SOURCE = {bad!r}\n" + source.format(str(script), 1))
    ask = "SELECT version()"
    done = udf("--reload", database, script, ask, ask, ask)
    assert (done.returncode, done.stdout) == (1, "1\n2\n")
    assert "SyntaxError" in done.stderr
    script.write_text("SCALARS = {'version': lambda: 1}")
    assert udf(database, script, ask, ask).stdout.splitlines()[:2] == ["1", "1"]


@pytest.mark.parametrize("how", ["bound", "read", "column"])
def test_two_threads_at_once(udf: Runner, database: Path, how: str) -> None:
    done = udf("--bench", database, EXAMPLE / "functions.py", "checksum", how, "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout.split()[1]) == sum(map(zlib.crc32, BLOBS))
