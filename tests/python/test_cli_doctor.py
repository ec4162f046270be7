"""`isthmus doctor`: the report, and that what is wrong is found."""

from __future__ import annotations

import subprocess
import sys

import pytest

from _accounts import LIFE
from isthmus.cli import doctor
from isthmus.cli.doctor import Check, State

GOOD: dict[str, object] = {
    "arena_ok": True,
    "arena_capacity": 1 << 40,
    "windows": 32,
    "hook_ok": True,
    "guard_ok": True,
    "threshold": 1 << 16,
    "placement": True,
    "mapping_cap": 30_000,
    "mappings": 12,
    "resident_budget": 1 << 28,
    "reason": "",
}


def run_doctor(*wrapper: str) -> subprocess.CompletedProcess[str]:
    command = [*wrapper, sys.executable, "-m", "isthmus", "doctor"]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIFE, check=False)


def test_this_machine_is_good_enough_for_its_own_tests() -> None:
    done = run_doctor()
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    for name in ("Python", "arena", "allocator hook", "crossing", "vm.max_map_count", "ulimit -v", "cores"):
        assert name in done.stdout
    assert "1 MiB there and back, no copy" in done.stdout


def test_a_limit_is_found_and_answered_with_advice() -> None:
    done = run_doctor("sh", "-c", 'ulimit -n 100; exec "$@"', "sh")
    assert done.returncode == 0, done.stdout
    (line,) = [line for line in done.stdout.splitlines() if "ulimit -n" in line]
    assert "advice" in line
    assert "ulimit -n 1024" in line


@pytest.mark.parametrize(
    ("key", "name", "state"),
    [
        ("arena_ok", "arena", State.MISSING),
        ("hook_ok", "allocator hook", State.MISSING),
        ("guard_ok", "BytesIO guard", State.MISSING),
        ("placement", "placement", State.ADVICE),
    ],
)
def test_each_fact_that_is_wrong_is_said_with_its_reason(key: str, name: str, state: State) -> None:
    good = {check.name: check for check in doctor.shared_memory(GOOD)}
    bad = {check.name: check for check in doctor.shared_memory(GOOD | {key: False, "reason": "ulimit -v"})}
    assert {check.state for check in good.values()} == {State.OK}
    assert bad[name].state is state
    assert bad[name].found == "ulimit -v"
    assert bad[name].advice


def test_a_low_mapping_cap_is_advice() -> None:
    checks = {check.name: check for check in doctor.shared_memory(GOOD | {"mapping_cap": 100})}
    assert checks["mappings"].state is State.ADVICE


def test_a_check_that_fails_to_run_does_not_end_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[Check]:
        raise OSError("no such place")

    monkeypatch.setattr(doctor, "_limits", broken)
    found = doctor.checks()
    (failed,) = [check for check in found if "could not be checked" in check.found]
    assert failed.state is State.ADVICE
    assert {"Python", "crossing", "cores"} <= {check.name for check in found}


def test_tools_are_recognised_by_what_they_load() -> None:
    assert doctor.tools_in("7f00 r-xp /usr/lib/libasan.so.8\n") == ["AddressSanitizer"]
    assert doctor.tools_in("7f00 r-xp /usr/libexec/valgrind/vgpreload_core.so\n") == ["valgrind"]
    assert doctor.tools_in("7f00 r-xp /usr/lib/libc.so.6\n") == []
