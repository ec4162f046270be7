"""`isthmus top`: the pictures, the JSON object, messages, exit status, and how watching ends."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from _accounts import LIFE
from conftest import PATIENCE
from isthmus import inspection
from isthmus.cli import top_view

SERVES = textwrap.dedent(
    """
    import sys
    import isthmus
    from isthmus import inspection
    inspection.serve()
    interp = isthmus.create(name="wor\\x1b[31mker")
    r, s = isthmus.create_channel(5)
    q = isthmus.create_queue(7)
    for n in range(3):
        s.send(n)
    q.put(1)
    print("ready", flush=True)
    sys.stdin.read()
    """
)


@pytest.fixture
def served(runtime: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def top(*arguments: str | int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "isthmus", "top", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIFE, check=False)


class Terminal:
    """`isthmus top` on a terminal of a size."""

    def __init__(self, *arguments: str | int, columns: int = 100, lines: int = 30) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "isthmus", "top", *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment | {"TERM": "xterm"},
            start_new_session=True,
        )
        os.close(slave)
        self.shown = ""

    def read_until(self, done: Callable[[str], bool]) -> None:
        """Read until `done` says so of everything shown, or the end."""
        deadline = time.monotonic() + PATIENCE
        while not done(self.shown):
            assert time.monotonic() < deadline, self.shown
            if select.select([self._master], [], [], 1)[0]:
                try:
                    part = os.read(self._master, 65536)
                except OSError:
                    return  # how a terminal says that nobody is left at the other end
                self.shown += part.decode(errors="replace")

    def end(self) -> int:
        self.read_until(lambda _: False)
        os.close(self._master)
        return self.process.wait(PATIENCE)


def plain(shown: str) -> list[str]:
    """The lines without what steers the terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "").splitlines()


def test_a_pipe_gets_one_picture(served: subprocess.Popen[str]) -> None:
    done = top(served.pid, "--interval", "0.1")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"process {served.pid} " in done.stdout
    assert "\x1b" not in done.stdout, "a name may not steer the terminal"
    (worker,) = [line.split() for line in done.stdout.splitlines() if "ker" in line and "own" in line]
    assert worker[:4] == ["1", "wor\N{REPLACEMENT CHARACTER}[31mker", "own", "idle"]
    lines = [line.split() for line in done.stdout.splitlines()]
    (header,) = [line for line in lines if line[:1] == ["channel"]]
    assert header[:3] == ["channel", "capacity", "depth"]
    assert lines[lines.index(header) + 2][:4] == ["1", "5", "3", "0"]
    assert re.search(r"^ *1 +7 +1 +0 +0/0 +1 +0 +0 +0 *$", done.stdout, re.M), "the queue"
    assert "resident" in done.stdout
    assert "counters: " in done.stdout


def test_once_on_a_narrow_terminal(served: subprocess.Popen[str]) -> None:
    terminal = Terminal(served.pid, "--once", "--interval", "0.1", columns=40, lines=10)
    assert terminal.end() == 0
    lines = plain(terminal.shown)
    assert max(cell_len(line) for line in lines) <= 40
    text = "\n".join(lines)
    assert "depth" in text
    assert "made by" not in text, "what matters least goes first"
    assert re.search(r"^ *interpreter +state", text, re.M)


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 200])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    seen = inspection.snapshot()
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(top_view.picture(seen, None, width=width, height=24))
        console.print(top_view.processes([seen], width=width))
    assert max(cell_len(line) for line in capture.get().splitlines()) <= width


def test_no_text_of_the_other_process_steers_the_terminal() -> None:
    seen = inspection.snapshot()
    first = dataclasses.replace(seen.interpreters[0], name="\x1b[2J", whence="\x1b]0;title\x07")
    counters = {**seen.counters, "\x1b[31m": 1}
    seen = dataclasses.replace(seen, interpreters=(first, *seen.interpreters[1:]), counters=counters)
    console = Console(width=200, force_terminal=False)
    with console.capture() as capture:
        console.print(top_view.picture(seen, None, width=200))
    assert not {"\x1b", "\x07"} & set(capture.get())
    assert capture.get().count("\N{REPLACEMENT CHARACTER}") == 4


def test_json_is_one_object_with_the_promised_keys(served: subprocess.Popen[str]) -> None:
    done = top(served.pid, "--json", "--interval", "0.1")
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert set(said) == {
        "pid", "taken", "interpreters", "channels", "channels_left_out", "queues", "queues_left_out",
        "memory", "counters", "rates",
    }  # fmt: skip
    assert set(said["interpreters"][0]) == {
        "id", "name", "whence", "gil", "state", "running", "runs", "waits", "helper", "releases_waiting",
        "errands_waiting", "lent", "window", "slots", "slot_bytes",
    }  # fmt: skip
    assert set(said["channels"][0]) == {
        "id", "capacity", "depth", "closed", "poisoned", "receivers", "senders", "waiting_receivers",
        "waiting_senders", "sent", "received", "dropped",
    }  # fmt: skip
    assert set(said["queues"][0]) == {
        "id", "maxsize", "depth", "shut_down", "interpreters", "waiting_getters", "waiting_putters", "put",
        "got", "dropped",
    }  # fmt: skip
    assert set(said["memory"]) == {
        "slots_live", "bytes_resident", "bytes_idle", "budget", "mappings", "mapping_cap", "twins_live",
        "shares_outstanding", "views_live", "shared_buffers_live", "shared_buffer_bytes",
    }  # fmt: skip
    assert set(said["rates"]) == {"seconds", "channels", "queues", "counters"}
    assert said["rates"]["seconds"] >= 0.1
    assert said["interpreters"][1]["name"] == "wor\x1b[31mker"
    assert said["channels"][0]["depth"] == 3


def test_processes_are_listed(served: subprocess.Popen[str]) -> None:
    assert json.loads(top("--json").stdout) == {"processes": [served.pid]}
    done = top()
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = [line.split() for line in done.stdout.splitlines() if str(served.pid) in line]
    assert line[:4] == [str(served.pid), "2", "1", "1"]


def test_nothing_to_list_says_how_to_change_that(runtime: Path) -> None:
    done = top()
    assert (done.returncode, done.stderr) == (0, "")
    assert "ISTHMUS_INSPECTION=1" in done.stdout


def test_failures_are_one_line_and_status_1(runtime: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as silent:
        done = top(silent.pid)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"isthmus top: process {silent.pid} does not serve inspection: ")
        assert done.stderr.count("\n") == 1
        silent.kill()
    done = top(silent.pid, "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"isthmus top: there is no process {silent.pid}\n"


@pytest.mark.parametrize(
    "arguments",
    [["x"], ["0"], ["-1"], ["99999999999"], ["1", "2"], ["1", "--interval", "0"], ["1", "--interval", "nan"]],
)
def test_wrong_calls_are_one_line_and_status_2(arguments: list[str]) -> None:
    done = top(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("isthmus")
    assert done.stderr.count("\n") == 1


def test_watching_ends_well_when_the_process_does(served: subprocess.Popen[str]) -> None:
    terminal = Terminal(served.pid, "--interval", "0.1")
    terminal.read_until(lambda shown: shown.count("memory:") >= 2)
    served.kill()
    served.wait()
    assert terminal.end() == 0
    assert plain(terminal.shown)[-1].strip() == f"process {served.pid} has ended"


def test_watching_ends_with_status_1_when_it_serves_no_more(runtime: Path) -> None:
    code = "from isthmus import inspection as i\ni.serve(); print(flush=True); input(); i.stop(); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        terminal = Terminal(process.pid, "--interval", "0.1")
        terminal.read_until(lambda shown: "memory:" in shown)
        process.stdin.write("\n")
        process.stdin.flush()
        assert terminal.end() == 1
        assert f"process {process.pid} no longer serves inspection" in terminal.shown
        process.kill()


def test_ctrl_c_ends_watching(served: subprocess.Popen[str]) -> None:
    terminal = Terminal(served.pid, "--interval", "0.1")
    terminal.read_until(lambda shown: "memory:" in shown)
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 0
    assert "Traceback" not in terminal.shown
    assert terminal.shown.rstrip().endswith("\x1b[?1049l"), "the terminal is as it was"


def test_a_stopped_process_is_said_to_be_and_watched_on(served: subprocess.Popen[str]) -> None:
    terminal = Terminal(served.pid, "--interval", "0.1")
    terminal.read_until(lambda shown: "memory:" in shown)
    served.send_signal(signal.SIGSTOP)
    terminal.read_until(lambda shown: "does not answer" in shown)
    served.send_signal(signal.SIGCONT)
    seen = len(terminal.shown)
    terminal.read_until(lambda shown: "memory:" in shown[seen:] and "does not answer" not in shown[-3000:])
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 0


def test_the_least_busy_channels_are_left_out_where_there_is_no_room() -> None:
    view = inspection.ChannelView
    views = [
        view(n, None, n % 3, False, False, (), (), 0, 0, 0, 0, 0)  #
        for n in range(1, 101)
    ]
    chosen = top_view.busiest(views, {50: (1.0, 0.0), 70: (0.0, 9.0)}, 4)
    assert [each.id for each in chosen] == [2, 5, 50, 70]
    assert len(top_view.busiest(views, {}, None)) == 100
