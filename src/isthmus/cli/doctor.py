"""`isthmus doctor`: what this Python and this machine support, and what to do about what they don't.

Nothing here changes the machine. The process itself switches placement on and makes one interpreter, because
that is the only honest way to say whether both work.
"""

from __future__ import annotations

import argparse
import importlib
import mmap
import os
import platform
import resource
import sys
import sysconfig
import threading
import tracemalloc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

__all__ = ["DESCRIPTION", "SUMMARY", "Check", "State", "add_arguments", "checks", "run"]

SUMMARY = "what this Python and this machine support, and what to do about the rest"
DESCRIPTION = (
    "Checks this Python and this machine. "
    "Exit status: 0 all good or only advice, 1 something essential is missing."
)

#: The kernel's default; two mappings per object and interpreter come out of it.
USUAL_MAPPINGS = 65530


class State(Enum):
    """How a check went."""

    OK = "ok"
    #: works, and could be better
    ADVICE = "advice"
    #: isthmus does not work here, or only by copying
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report. `advice` says what to do, "" if there is nothing to do."""

    name: str
    state: State
    found: str
    advice: str = ""


def checks() -> list[Check]:
    """All checks, in the order of the report.

    Never raises; a check that fails to run is a check that failed.
    """
    groups: tuple[Callable[[], Iterable[Check]], ...] = (
        _python,
        _library,
        _kernel,
        _limits,
        _cores,
        _debugging,
    )
    found: list[Check] = []
    for group in groups:
        try:
            found.extend(group())
        except Exception as error:
            name = group.__name__.lstrip("_")
            found.append(Check(name, State.ADVICE, f"could not be checked: {type(error).__name__}: {error}"))
    return found


def _need(name: str, good: bool, found: str, advice: str) -> Check:
    return Check(name, State.OK, found) if good else Check(name, State.MISSING, found, advice)


def _wish(name: str, good: bool, found: str, advice: str) -> Check:
    return Check(name, State.OK, found) if good else Check(name, State.ADVICE, found, advice)


def _python() -> Iterable[Check]:
    version = f"{platform.python_implementation()} {platform.python_version()}"
    good = sys.implementation.name == "cpython" and sys.version_info >= (3, 13)
    yield _need("Python", good, version, "use CPython 3.13 or newer")
    gil = not sysconfig.get_config_var("Py_GIL_DISABLED")
    yield _need(
        "interpreter lock",
        gil,
        "one per interpreter" if gil else "free-threaded build",
        "use the ordinary build",
    )
    where = f"{platform.system()} {platform.machine()}, {mmap.PAGESIZE // 1024} KiB pages"
    yield _need("platform", sys.platform == "linux", where, "isthmus needs Linux's memfd")
    try:
        importlib.import_module("_interpreters")
    except ImportError as error:
        yield Check(
            "_interpreters", State.MISSING, str(error), "this Python was built without subinterpreters"
        )
    else:
        yield Check("_interpreters", State.OK, "importable")


def _library() -> Iterable[Check]:
    try:
        package = importlib.import_module("isthmus")
        package.enable()
        facts: Mapping[str, object] = importlib.import_module("isthmus._isthmus").doctor_facts()
    except Exception as error:
        yield Check(
            "isthmus", State.MISSING, f"{type(error).__name__}: {error}", "install isthmus for this Python"
        )
        return
    yield from shared_memory(facts)
    try:
        problem = _try_crossing()
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    yield _need("crossing", not problem, problem or "1 MiB there and back, no copy", "see the lines above")


def shared_memory(facts: Mapping[str, object]) -> Iterable[Check]:
    reason = str(facts.get("reason") or "no reason known")
    capacity, windows = _number(facts, "arena_capacity"), _number(facts, "windows")
    good = bool(facts.get("arena_ok"))
    yield _need(
        "arena",
        good,
        f"{_size(capacity)} in each of {windows} windows" if good else reason,
        "objects cross as copies; lift the limit that the reason names (ulimit -v, -f, vm.overcommit_memory)",
    )
    good = bool(facts.get("hook_ok"))
    yield _need(
        "allocator hook",
        good,
        f"in place, objects from {_size(_number(facts, 'threshold'))} on lie in the arena"
        if good
        else reason,
        "import isthmus before tools that replace the allocator (tracemalloc, profilers)",
    )
    good = bool(facts.get("guard_ok"))
    yield _need(
        "BytesIO guard",
        good,
        "self-test passed" if good else reason,
        "this Python's io differs; objects cross as copies",
    )
    yield _wish(
        "placement",
        bool(facts.get("placement")),
        f"on, {_size(_number(facts, 'resident_budget'))} of free slots kept"
        if facts.get("placement")
        else reason,
        "objects are copied once, at their first send",
    )
    used, cap = _number(facts, "mappings"), _number(facts, "mapping_cap")
    yield _wish(
        "mappings",
        cap >= 4096,
        f"{used:,} used of the {cap:,} that isthmus allows itself",
        "raise vm.max_map_count; beyond the cap objects cross as copies",
    )


def _try_crossing() -> str:
    """Send an object to a new interpreter and back; what went wrong, or ""."""
    isthmus = importlib.import_module("isthmus")
    there, back = isthmus.create_channel(None), isthmus.create_channel(None)
    data = os.urandom(1 << 20)
    interpreter = isthmus.create()
    failed: list[BaseException] = []

    def echo() -> None:
        try:
            interpreter.run("back.send(there.recv())", there=there[0], back=back[1])
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=echo, daemon=True)
    before = isthmus.stats().payload_bytes_copied
    thread.start()
    there[1].send(data)
    try:
        returned = back[0].recv(timeout=30)
    except Exception as error:
        thread.join(1)
        return str(failed[0] if failed else error)
    thread.join()
    copied = isthmus.stats().payload_bytes_copied - before
    interpreter.close()
    if returned != data:
        return "what came back differs from what was sent"
    if returned is data and copied == 0:
        return ""
    return f"works, but by copying ({copied:,} payload bytes)"


def _kernel() -> Iterable[Check]:
    try:
        os.close(os.memfd_create("isthmus-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        yield Check("memfd", State.OK, "can be made and sealed")
    except OSError as error:
        advice = "a seccomp filter or an old kernel forbids memfd_create; objects cross as copies"
        yield Check("memfd", State.MISSING, error.strerror or str(error), advice)
    mappings = _kernel_number("/proc/sys/vm/max_map_count")
    if mappings is not None:
        advice = f"sysctl -w vm.max_map_count={4 * USUAL_MAPPINGS}"
        yield _wish("vm.max_map_count", mappings >= USUAL_MAPPINGS, f"{mappings:,}", advice)
    overcommit = _kernel_number("/proc/sys/vm/overcommit_memory")
    if overcommit is not None:
        words = {0: "heuristic", 1: "always", 2: "never"}
        found = f"{overcommit} ({words.get(overcommit, 'unknown')})"
        yield _wish(
            "vm.overcommit_memory", overcommit != 2, found, "reserving addresses may fail; use 0 or 1"
        )


def _limits() -> Iterable[Check]:
    rows = (
        ("ulimit -v", resource.RLIMIT_AS, None, "the arena needs addresses: ulimit -v unlimited"),
        ("ulimit -f", resource.RLIMIT_FSIZE, None, "it also limits a memfd: ulimit -f unlimited"),
        ("ulimit -n", resource.RLIMIT_NOFILE, 256, "ulimit -n 1024"),
    )
    for name, which, enough, advice in rows:
        soft = resource.getrlimit(which)[0]
        unlimited = soft == resource.RLIM_INFINITY
        found = "unlimited" if unlimited else f"{soft:,}"
        yield _wish(name, unlimited or (enough is not None and soft >= enough), found, advice)


def _cores() -> Iterable[Check]:
    cores, usable = os.cpu_count() or 1, os.process_cpu_count() or 1
    yield _wish(
        "cores",
        usable > 1,
        f"{usable} usable of {cores}" if usable != cores else f"{cores}",
        "interpreters take turns on one core",
    )
    quota = _cpu_quota()
    if quota is not None:
        found = f"{quota:.1f} cores' time"
        yield _wish(
            "cgroup cpu.max", quota >= usable, found, "raise the container's CPU limit, or pass --workers"
        )


def _debugging() -> Iterable[Check]:
    found = "tracing" if tracemalloc.is_tracing() else "off"
    advice = "it takes a share of every allocation; stop it where speed counts"
    if sys.version_info[:2] == (3, 14):
        advice = "on 3.14, tracemalloc crashes with subinterpreters by itself (seen on 3.14.8): do without"
    yield _wish("tracemalloc", not tracemalloc.is_tracing(), found, advice)
    malloc = os.environ.get("PYTHONMALLOC", "")
    slow = malloc.endswith("debug") or malloc == "malloc" or sys.flags.dev_mode
    found = malloc or ("debug (-X dev)" if sys.flags.dev_mode else "default")
    yield _wish("PYTHONMALLOC", not slow, found, "works, and is slower than the default")
    tools = tools_in(Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace"))
    found = ", ".join(tools) or "none"
    yield _wish("sanitizers, valgrind", not tools, found, "works with a smaller arena, and slowly")


def tools_in(maps: str) -> list[str]:
    marks = {"libasan": "AddressSanitizer", "libtsan": "ThreadSanitizer", "vgpreload": "valgrind"}
    return [tool for mark, tool in marks.items() if mark in maps]


def _kernel_number(path: str) -> int | None:
    try:
        return int(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _cpu_quota() -> float | None:
    """Cores' worth of time that the control group grants; None if it does not limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _number(facts: Mapping[str, object], key: str) -> int:
    value = facts.get(key)
    return value if isinstance(value, int) else 0


def _size(count: int) -> str:
    value = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:,.4g} {unit}"
        value /= 1024
    return f"{value:,.4g} TiB"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`isthmus doctor` has no options."""


def run(options: argparse.Namespace) -> int:
    """Carry out `isthmus doctor`."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {State.OK: "green", State.ADVICE: "yellow", State.MISSING: "bold red"}
    table = Table("check", "", "found", "what to do")
    results = checks()
    for check in results:
        state = Text(check.state.value, style=colours[check.state])
        table.add_row(Text(check.name), state, Text(check.found), Text(check.advice))
    # In a pipe there is no width to fit in, and a wrapped line cannot be searched.
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    missing = [check.name for check in results if check.state is State.MISSING]
    if missing:
        console.print(Text(f"Missing: {', '.join(missing)}."), style="bold red")
        return 1
    advised = any(check.state is State.ADVICE for check in results)
    console.print("Works; see the advice." if advised else "All good.")
    return 0
