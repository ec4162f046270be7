"""Processes that let themselves be inspected, and ones that may not look. The first argument is the case.

Those of `LOOKED_AT` say "ready" once they are as they should be, and end when their stdin does.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from common import PATIENCE, arm_watchdog, command, disarm_watchdog, eventually, joined, run_in_thread

import isthmus
from isthmus import inspection


def inspecting_threads() -> int:
    return [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")].count(
        "isthmus-inspect"
    )


def in_child(body: Callable[[], None]) -> int:
    """Run in a forked child, which ends with the handlers of exit(), and expect that it went well. Its id."""
    disarm_watchdog()  # its thread, which the child does not have, would be waited for at exit
    with warnings.catch_warnings(action="ignore"):
        child = os.fork()
    if child == 0:
        body()
        sys.exit(0)
    arm_watchdog()
    assert os.waitpid(child, 0)[1] == 0
    return child


def refusal(body: Callable[[], object]) -> PermissionError:
    try:
        body()
    except PermissionError as error:
        return error
    raise AssertionError("it was not refused")


# --- looked at by the tests


def hold() -> None:
    print("ready", flush=True)
    sys.stdin.read()


def plain() -> None:
    hold()


def serving() -> None:
    inspection.serve()
    hold()


def busy() -> None:
    """The main thread and an interpreter, each in C code that keeps the GIL, until a byte comes on stdin."""
    inspection.serve()
    interp = isthmus.create(name="busy")
    r, s = isthmus.create_channel(1)
    reading, writing = os.pipe()
    held = "import ctypes\nread, byte = ctypes.PyDLL(None).read, ctypes.create_string_buffer(1)\n"
    thread = run_in_thread(interp, held + "s.send(1)\nread(fd, byte, 1)", {"s": s, "fd": reading})
    r.recv(timeout=PATIENCE)
    read, byte = ctypes.PyDLL(None).read, ctypes.create_string_buffer(1)
    print("ready", flush=True)
    read(0, byte, 1)
    os.write(writing, byte)
    joined(thread)
    print("free", flush=True)


def stops() -> None:
    """Serves no more once there is a line on stdin."""
    inspection.serve()
    print("ready", flush=True)
    sys.stdin.readline()
    inspection.stop()
    hold()


# --- on their own


def off_by_default() -> None:
    with isthmus.create() as interp:
        interp.exec("import isthmus.inspection")
        assert inspection.serving() is None
        assert inspecting_threads() == 0
    assert not list(Path(os.environ["XDG_RUNTIME_DIR"]).iterdir())


def on_import() -> None:
    path = inspection.serving()
    assert path is not None
    with isthmus.create() as interp:
        interp.exec("import isthmus; import isthmus.inspection")
        assert interp.call(inspection.serving) == path
        assert interp.call(inspection.serve) == path
        assert inspecting_threads() == 1
    assert inspection.read(os.getpid()).pid == os.getpid()
    print(path)


def not_on_import() -> None:
    """The directory is refused: the program runs all the same."""
    assert inspection.serving() is None
    refused = refusal(inspection.serve)
    assert refused.filename == os.environ["XDG_RUNTIME_DIR"] + "/isthmus"
    assert "alone" in str(refused)


def leaves(how: str) -> None:
    print(inspection.serve(), flush=True)
    if how == "killed":
        os._exit(0)


def forks() -> None:
    path = inspection.serve()
    connection = inspection.connect(os.getpid())
    parent = os.getpid()

    def sockets() -> list[str]:
        return sorted(str(each) for each in Path(path).parent.iterdir())

    def child() -> None:
        assert inspection.serving() is None
        assert inspecting_threads() == 0
        inspection.stop()
        assert inspection.read(parent).pid == parent
        own = inspection.serve()
        assert inspection.read(os.getpid()).pid == os.getpid()
        assert sockets() == sorted([path, own])
        found = inspection.processes()
        assert {parent, os.getpid()} <= set(found), found  # others of this user may serve elsewhere
        assert found == sorted(set(found))

    ended = in_child(child)
    assert connection.read().pid == parent
    assert sockets() == [path]
    found = inspection.processes()
    assert [each for each in found if each in (parent, ended)] == [parent], found
    inspection.stop()
    disarm_watchdog()
    with warnings.catch_warnings(action="error"):  # of threads
        if os.fork() == 0:
            os._exit(0)
    os.wait()


def loses_descriptors() -> None:
    inspection.serve()
    os.closerange(3, 256)
    eventually(lambda: inspection.serving() is None and inspecting_threads() == 0, "it notices")
    inspection.serve()
    assert inspection.read(os.getpid()).pid == os.getpid()


def other_user() -> None:
    parent = os.getpid()
    path = Path(inspection.serve())

    def other() -> None:
        os.setuid(65534)
        assert "another user" in str(refusal(lambda: inspection.read(parent)))
        assert parent not in inspection.processes()

    in_child(other)

    def let_in_by_mistake() -> None:
        """Even where the modes do not keep it out."""
        path.parent.chmod(0o755)
        path.chmod(0o777)
        os.chdir(path.parent)
        os.setuid(65534)
        with socket.socket(socket.AF_UNIX) as connected:
            connected.settimeout(PATIENCE)
            connected.connect(path.name)
            try:
                connected.sendall(b"snapshot 1\n")
                assert connected.recv(100) == b""
            except ConnectionError:
                pass

    in_child(let_in_by_mistake)


if __name__ == "__main__":
    command({name: value for name, value in globals().items() if callable(value)})
