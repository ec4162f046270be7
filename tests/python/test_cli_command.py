"""The command as a user calls it: output, messages, exit status, Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from _accounts import LIFE

ENGINE_NAMES = ["interpreters", "threads", "processes", "serial"]
COUNT = "def map(chunk): return chunk.count(b'\\n')\ndef reduce(a, b): return a + b\n"


def isthmus(*arguments: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "isthmus", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(COUNT, encoding="ascii")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.txt"
    path.write_bytes(b"a line\n" * 50_000)
    return path


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_json_is_one_object_with_the_promised_keys(engine: str, script: Path, data: Path) -> None:
    done = isthmus(
        "map", script, data, data, "--engine", engine, "--workers", "2", "--chunk", "100K", "--json"
    )
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert set(report) == {
        "result", "bytes", "seconds", "chunks", "workers", "engine", "payload_bytes_copied",
    }  # fmt: skip
    assert report["result"] == 100_000
    assert report["bytes"] == 700_000
    assert report["chunks"] == 8
    assert report["workers"] == (1 if engine == "serial" else 2)
    assert report["engine"] == engine
    assert report["seconds"] > 0


def test_without_json_the_result_is_on_stdout_and_the_rest_on_stderr(script: Path, data: Path) -> None:
    done = isthmus("map", script, data)
    assert (done.returncode, done.stdout) == (0, "50000\n")
    assert done.stderr.count("\n") == 1
    assert "0.3 MB" in done.stderr
    assert "(interpreters)" in done.stderr


def test_a_progress_bar_on_a_terminal_only(script: Path, data: Path) -> None:
    command = [sys.executable, "-m", "isthmus", "map", str(script), str(data), "--engine", "serial"]
    master, slave = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=slave, env=environment) as process:
        os.close(slave)
        shown = b""
        try:
            while part := os.read(master, 65536):
                shown += part
        except OSError:
            pass  # How a terminal says that nobody is left at the other end.
        assert process.stdout is not None
        assert process.stdout.read() == b"50000\n"
    os.close(master)
    assert "━".encode() in shown
    assert process.returncode == 0


def one_line(done: subprocess.CompletedProcess[str], status: int) -> str:
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    first, _, rest = done.stderr.partition("\n")
    assert first.startswith("isthmus")
    assert rest == "" or rest.lstrip().startswith(("Traceback", "File")), rest
    return first


def test_wrong_calls_are_one_line_and_status_2(script: Path, data: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert "cannot read the script" in one_line(isthmus("map", missing, data), 2)
    assert f"cannot read {missing}: No such file" in one_line(isthmus("map", script, data, missing), 2)
    assert "it is a directory" in one_line(isthmus("map", script, tmp_path), 2)
    assert "the following arguments are required: INPUT" in one_line(isthmus("map", script), 2)
    for size in ("0", "-5", "many", "1T"):
        assert "is not a size" in one_line(isthmus("map", script, data, f"--chunk={size}"), 2)
    for count in ("0", "-1", "two"):
        assert "not a positive whole number" in one_line(
            isthmus("map", script, data, f"--workers={count}"), 2
        )
    assert "invalid choice: 'gpu'" in one_line(isthmus("map", script, data, "--engine", "gpu"), 2)
    assert "required: COMMAND" in one_line(isthmus(), 2)
    script.write_text("def reduce(a, b): return a\n", encoding="ascii")
    assert "no function map(chunk: bytes)" in one_line(isthmus("map", script, data), 2)
    script.write_text("def map(chunk):\n    return ]\n", encoding="ascii")
    done = isthmus("map", script, data)
    assert f"{script}, line 2: SyntaxError: unmatched ']'" in one_line(done, 2)
    assert "return ]" in done.stderr


def test_an_unreadable_input_is_a_wrong_call(script: Path, data: Path) -> None:
    data.chmod(0)
    if os.access(data, os.R_OK):
        pytest.skip("this user reads everything")
    assert "Permission denied" in one_line(isthmus("map", script, data), 2)


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_a_failed_chunk_is_status_1_with_the_remote_traceback_under_the_line(
    engine: str, script: Path, data: Path
) -> None:
    script.write_text(
        "def map(chunk):\n    return {}['gone']\ndef reduce(a, b): return a\n", encoding="ascii"
    )
    done = isthmus("map", script, data, "--engine", engine, "--workers", "1", "--chunk", "70000")
    assert one_line(done, 1) == f"isthmus map: map failed on {data}, bytes 0:70000: KeyError: 'gone'"
    assert done.stderr.splitlines()[1] == "Traceback (most recent call last):"
    assert "return {}['gone']" in done.stderr
    assert "cli/worker.py" not in done.stderr


def test_a_result_that_is_not_json_is_a_failed_task(script: Path, data: Path) -> None:
    for result, why in (("{1, 2}", "set"), ("float('nan')", "nan"), ("{(1, 2): 3}", "tuple")):
        script.write_text(f"{COUNT}def finish(x): return {result}\n", encoding="ascii")
        line = one_line(isthmus("map", script, data, "--json", "--engine", "serial"), 1)
        assert "the result is not JSON" in line
        assert why in line


# A script whose first chunk says that it has begun, and then does what is asked of it. It goes by `os`: a
# KeyboardInterrupt that arrives while `open` makes the buffer of a FIFO gets lost.
WAITS = """
import os
def map(chunk):
    if chunk == b"first\\n":
        os.close(os.open({begun!r}, os.O_WRONLY))
        {then}
    return 0
def reduce(a, b):
    return a
"""


@pytest.mark.parametrize("engine", ENGINE_NAMES)
@pytest.mark.parametrize("stuck", [False, True], ids=["waits", "stuck"])
def test_ctrl_c_ends_it_with_status_130(engine: str, stuck: bool, script: Path, tmp_path: Path) -> None:
    begun, go_on, data = tmp_path / "begun", tmp_path / "go_on", tmp_path / "many.txt"
    os.mkfifo(begun)
    os.mkfifo(go_on)
    data.write_bytes(b"first\n" + b"other\n" * 100)
    then = "while True: pass" if stuck else f"os.read(os.open({str(go_on)!r}, os.O_RDONLY), 1)"
    script.write_text(WAITS.format(begun=str(begun), then=then), encoding="ascii")
    command = [sys.executable, "-m", "isthmus", "map", str(script), str(data)]
    command += ["--engine", engine, "--workers", "2", "--chunk", "6"]
    # Opened for both, or opening would wait for a reader that the signal may have ended.
    release = os.open(go_on, os.O_RDWR)
    # A session of its own: the signal goes to the whole group, as a terminal's does.
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        begun.open("rb").close()
        os.killpg(process.pid, signal.SIGINT)
        os.write(release, b"x")
        _, errors = process.communicate(timeout=LIFE)
    os.close(release)
    assert process.returncode == 130, errors
    assert errors == "isthmus map: interrupted\n"


def test_a_closed_pipe_ends_it_quietly(script: Path, data: Path) -> None:
    script.write_text(f"{COUNT}def finish(x): return 'many words ' * 100000\n", encoding="ascii")
    command = [sys.executable, "-m", "isthmus", "map", str(script), str(data), "--engine", "serial"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_help_names_the_commands_and_the_exit_status() -> None:
    overview, one = isthmus("--help"), isthmus("map", "--help")
    assert (overview.returncode, one.returncode) == (0, 0)
    assert "map" in overview.stdout
    assert "doctor" in overview.stdout
    assert "130 interrupted" in one.stdout
