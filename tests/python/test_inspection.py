"""`isthmus.inspection`: what is seen, from inside and from other processes, and who may see it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import isthmus
from _subprocess import SCRIPTS, run_script
from conftest import LARGE, until
from isthmus import inspection
from isthmus.inspection import ChannelView, InterpreterView, NotServingError, QueueView, Snapshot

Start = Callable[..., subprocess.Popen[str]]


def channel_in(seen: Snapshot, end: isthmus.RecvChannel | isthmus.SendChannel) -> ChannelView:
    (found,) = [each for each in seen.channels if each.id == end.id]
    return found


def queue_in(seen: Snapshot, queue: isthmus.Queue) -> QueueView:
    (found,) = [each for each in seen.queues if each.id == queue.id]
    return found


def interpreter_in(seen: Snapshot, interp: isthmus.Interpreter) -> InterpreterView:
    (found,) = [each for each in seen.interpreters if each.id == interp.id]
    return found


@pytest.fixture
def start(runtime: Path) -> Iterator[Start]:
    """Start a case of scripts/inspecting.py and wait until it is ready."""
    started: list[subprocess.Popen[str]] = []

    def begin(case: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPTS / "inspecting.py"), case],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield begin
    for each in started:
        each.kill()
        each.communicate()


# --- what is seen


def test_channels_are_seen_as_they_are(interp: isthmus.Interpreter) -> None:
    r, s = isthmus.create_channel(10)
    for n in range(4):
        s.send(n)
    interp.run("r.recv()", r=r)
    seen = channel_in(inspection.snapshot(), r)
    assert seen == ChannelView(
        id=r.id, capacity=10, depth=3, closed=False, poisoned=False,
        receivers=(interp.id,), senders=(isthmus.get_main().id,),
        waiting_receivers=0, waiting_senders=0, sent=4, received=1, dropped=0,
    )  # fmt: skip
    s.poison(ValueError)
    seen = channel_in(inspection.snapshot(), r)
    assert (seen.closed, seen.poisoned, seen.depth, seen.dropped) == (True, True, 0, 3)
    unbounded, other = isthmus.create_channel(None)
    assert channel_in(inspection.snapshot(), unbounded).capacity is None
    for end in (r, s, unbounded, other):
        end.close()


def test_queues_are_seen_as_they_are(interp: isthmus.Interpreter) -> None:
    q = isthmus.create_queue(5)
    q.put(1)
    q.put(2)
    interp.run("kept = q; q.get()", q=q)
    seen = queue_in(inspection.snapshot(), q)
    assert (seen.maxsize, seen.depth, seen.put, seen.got, seen.dropped) == (5, 1, 2, 1, 0)
    assert seen.interpreters == (isthmus.get_main().id, interp.id)
    assert not seen.shut_down
    q.shutdown(immediate=True)
    seen = queue_in(inspection.snapshot(), q)
    assert (seen.shut_down, seen.depth, seen.dropped) == (True, 0, 1)


def test_who_runs_and_waits_is_seen(
    new_interp: Callable[..., isthmus.Interpreter], spawn: Callable[..., Any]
) -> None:
    interp = new_interp(name='wor\x1b"ker é')
    r, s = isthmus.create_channel()
    q = isthmus.create_queue()
    seen = interpreter_in(inspection.snapshot(), interp)
    assert (seen.name, seen.gil, seen.state, seen.whence) == (interp.name, "own", "open", interp.whence)
    assert (seen.running, seen.runs, seen.waits) == (False, 0, 0)
    running = spawn(interp, "import isthmus\nisthmus.select(r, q)", r=r, q=q)
    assert until(lambda: channel_in(inspection.snapshot(), r).waiting_receivers == 1)
    seen = interpreter_in(inspection.snapshot(), interp)
    assert (seen.running, seen.runs, seen.waits) == (True, 1, 1)
    assert queue_in(inspection.snapshot(), q).waiting_getters == 1
    s.send(1)
    running.join()
    assert interpreter_in(inspection.snapshot(), interp).runs == 0
    main = interpreter_in(inspection.snapshot(), isthmus.get_main())
    assert (main.running, main.whence) == (True, "runtime init")
    r.close()
    s.close()


def test_interpreters_under_one_gil_share_a_window(new_interp: Callable[..., isthmus.Interpreter]) -> None:
    legacy, own = new_interp(gil="shared"), new_interp()
    seen = inspection.snapshot()
    main = interpreter_in(seen, isthmus.get_main())
    assert interpreter_in(seen, legacy).gil == "shared"
    assert interpreter_in(seen, legacy).window == main.window
    assert interpreter_in(seen, own).window != main.window


def test_a_closed_interpreter_is_not_seen(new_interp: Callable[..., isthmus.Interpreter]) -> None:
    interp = new_interp()
    interpreter_in(inspection.snapshot(), interp)
    interp.close()
    assert interp.id not in [each.id for each in inspection.snapshot().interpreters]


def test_slots_are_counted_where_they_live(interp: isthmus.Interpreter) -> None:
    def main_and_other() -> list[int]:
        seen = inspection.snapshot()
        of_main = interpreter_in(seen, isthmus.get_main())
        of_other = interpreter_in(seen, interp)
        return [of_main.slots, of_main.slot_bytes, of_other.slots, seen.memory.slots_live]

    before = main_and_other()
    held = isthmus.share(bytes(LARGE))
    slots, size, others, live = (now - then for now, then in zip(main_and_other(), before, strict=True))
    assert (slots, others, live) == (1, 0, 1)
    assert LARGE <= size < LARGE + 100
    interp.run(f"mine = bytes({LARGE})")
    assert main_and_other()[2] - before[2] == 1
    interp.run("del mine")
    del held
    assert main_and_other() == before


def test_memory_and_counters_are_those_of_stats() -> None:
    stats = isthmus.stats()
    seen = inspection.snapshot()
    for name in ("slots_live", "twins_live", "views_live", "shares_outstanding", "shared_buffers_live"):
        assert getattr(seen.memory, name) == getattr(stats, name), name
    for name in ("twins_made", "payload_bytes_copied", "fallback_copies", "releases_run", "views_orphaned"):
        assert seen.counters[name] == getattr(stats, name), name
    assert 0 <= seen.memory.bytes_idle <= seen.memory.bytes_resident
    assert seen.memory.budget > 0


def test_ten_thousand_channels_are_seen_and_more_are_counted() -> None:
    before = inspection.snapshot()
    many = [isthmus.create_channel() for _ in range(10_020 - len(before.channels))]
    seen = inspection.snapshot()
    assert (len(seen.channels), seen.channels_left_out) == (10_000, 20)
    assert [each.id for each in seen.channels] == sorted(each.id for each in seen.channels)
    many.clear()


def test_a_snapshot_is_frozen_and_can_be_written_as_json() -> None:
    r, s = isthmus.create_channel(3)
    q = isthmus.create_queue()
    seen = inspection.snapshot()
    for change in (
        lambda: setattr(seen, "pid", 1),
        lambda: setattr(seen.memory, "budget", 1),
        lambda: seen.counters.update(x=1),  # type: ignore[attr-defined]
    ):
        with pytest.raises(AttributeError):
            change()
    said = json.loads(json.dumps(seen.as_dict()))
    assert set(said) == {
        "pid", "taken", "interpreters", "channels", "channels_left_out", "queues", "queues_left_out",
        "memory", "counters",
    }  # fmt: skip
    assert said["pid"] == os.getpid()
    assert said["channels"][-1]["capacity"] == 3
    assert s.id == r.id
    assert said["queues"][-1]["id"] == q.id
    r.close()
    s.close()


def test_rates_are_taken_between_two_snapshots() -> None:
    r, s = isthmus.create_channel(None)
    q = isthmus.create_queue()
    s.send(1)
    earlier = inspection.snapshot()
    for n in range(10):
        s.send(n)
        q.put(n)
    r.recv_many(4)
    later = inspection.snapshot()
    passed = inspection.rates(earlier, later)
    assert passed.seconds == pytest.approx(later.taken - earlier.taken)
    assert passed.channels[r.id] == pytest.approx((10 / passed.seconds, 4 / passed.seconds))
    assert passed.queues[q.id] == pytest.approx((10 / passed.seconds, 0))
    json.dumps(passed.as_dict())
    with pytest.raises(ValueError, match="earlier"):
        inspection.rates(later, earlier)
    r.close()
    s.close()


# --- from other processes


def test_another_process_is_read(start: Start, runtime: Path) -> None:
    process = start("serving")
    seen = inspection.read(process.pid)
    assert seen.pid == process.pid
    assert [each.whence for each in seen.interpreters] == ["runtime init"]
    with inspection.connect(process.pid) as connection:
        first, second = connection.read(), connection.read()
        assert connection.pid == process.pid
    assert second.taken > first.taken
    # Others of this user may serve elsewhere.
    assert inspection.processes().count(process.pid) == 1
    assert os.getpid() not in inspection.processes()
    assert len(list((runtime / "isthmus").iterdir())) == 1


def test_a_process_whose_interpreters_all_hold_their_gils_answers(start: Start) -> None:
    process = start("busy")
    seen = inspection.read(process.pid)
    (busy,) = [each for each in seen.interpreters if each.name == "busy"]
    assert busy.runs == 1
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("x")
    process.stdin.flush()
    assert process.stdout.readline() == "free\n"


def test_processes_meet_though_their_environments_differ(start: Start, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    process = start("serving", XDG_RUNTIME_DIR="", TMPDIR=str(elsewhere))
    assert inspection.read(process.pid).pid == process.pid
    assert list(elsewhere.glob("isthmus-*/*.sock"))


def test_errors_name_what_is_wrong(start: Start) -> None:
    silent = start("plain")
    with pytest.raises(NotServingError, match=r"ISTHMUS_INSPECTION=1.*isthmus\.inspection\.serve"):
        inspection.connect(silent.pid)
    silent.kill()
    silent.wait()
    with pytest.raises(ProcessLookupError, match=str(silent.pid)):
        inspection.connect(silent.pid)


def test_a_process_that_serves_no_more_or_ends_is_told_apart(start: Start) -> None:
    process = start("stops")
    connection = inspection.connect(process.pid)
    connection.read()
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    with pytest.raises(NotServingError, match="no longer"):
        connection.read()
    connection.close()
    ends = start("serving")
    with inspection.connect(ends.pid) as connection:
        ends.kill()
        ends.wait()
        with pytest.raises(ProcessLookupError, match="has ended"):
            connection.read()


def test_a_process_that_is_stopped_does_not_hang_who_looks(start: Start) -> None:
    process = start("serving")
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)  # all of its threads
    try:
        with pytest.raises(TimeoutError, match="does not answer"):
            inspection.read(process.pid, timeout=0.2)
    finally:
        process.send_signal(signal.SIGCONT)
    assert inspection.read(process.pid).pid == process.pid


# --- the process that serves


def run_case(case: str, runtime: Path, *arguments: str, **environment: str) -> str:
    return run_script(
        "inspecting", case, *arguments, env={"XDG_RUNTIME_DIR": str(runtime), **environment}
    ).stdout


def test_off_by_default(runtime: Path) -> None:
    run_case("off_by_default", runtime)
    run_case("off_by_default", runtime, ISTHMUS_INSPECTION="0")


def test_the_environment_switches_it_on(runtime: Path) -> None:
    path = run_case("on_import", runtime, ISTHMUS_INSPECTION="1").strip()
    assert path.startswith(f"{runtime}/isthmus/")
    assert not Path(path).exists()


def test_a_directory_that_is_a_link_is_refused(runtime: Path) -> None:
    (runtime / "elsewhere").mkdir(mode=0o700)
    (runtime / "isthmus").symlink_to(runtime / "elsewhere")
    done = run_script(
        "inspecting",
        "not_on_import",
        env={"XDG_RUNTIME_DIR": str(runtime), "ISTHMUS_INSPECTION": "1"},
    )
    assert "RuntimeWarning" in done.stderr
    assert "nothing serves" in done.stderr


def test_the_socket_goes_with_the_process_or_with_the_next_one(runtime: Path) -> None:
    assert not Path(run_case("leaves", runtime, "exit").strip()).exists()
    left = Path(run_case("leaves", runtime, "killed").strip())
    assert left.is_socket()
    assert left.stat().st_mode & 0o777 == 0o600
    assert left.parent.stat().st_mode & 0o777 == 0o700
    run_case("leaves", runtime, "exit")
    assert not list((runtime / "isthmus").iterdir())


def test_a_forked_child_does_not_serve(runtime: Path) -> None:
    run_case("forks", runtime)


def test_closing_all_descriptors_ends_it_and_it_can_begin_again(runtime: Path) -> None:
    run_case("loses_descriptors", runtime)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_other_users_are_refused(runtime: Path) -> None:
    run_case("other_user", runtime)
