"""Ways to talk to a worker that runs `loops.serve`: isthmus and its peers, all behind `send` and `recv`.

A peer's worker never imports isthmus: it executes the files `loops.py` and `polled.py` by themselves, so that
no part of isthmus is active in it.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Pipe
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Protocol, Self

import isthmus
from isthmus.cli._bench import loops
from isthmus.cli._bench.loops import Recv, Send

__all__ = ["QUEUE", "Isthmus", "Pipes", "Queues", "Threads", "Transport", "open_all"]

#: The standard library's queue between interpreters, by the name that this Python has for it.
QUEUE = "concurrent.interpreters" if sys.version_info >= (3, 14) else "_interpqueues, polled"


def _source_of(module: str) -> str:
    """Code that binds `module` to the names in that file of ours, without importing isthmus."""
    spec = importlib.util.find_spec(f"isthmus.cli._bench.{module}")
    assert spec is not None
    assert spec.origin is not None
    return (
        f"{module} = {{'__name__': {module!r}}}\n"
        f"with open({spec.origin!r}, encoding='utf-8') as file:\n"
        f"    exec(compile(file.read(), {spec.origin!r}, 'exec'), {module})\n"
    )


class Transport(Protocol):
    """A worker that serves, and how to reach it. `send` and `recv` belong to the thread that made it."""

    name: str
    send: Send
    recv: Recv

    def close(self) -> None:
        """End the worker; returns when it has ended."""


class _Served:
    """What the transports share: a worker in a thread of this process, and being a context manager."""

    name: str
    send: Send
    recv: Recv

    def start(self, body: Callable[[], object]) -> None:
        self._thread = threading.Thread(target=body, name=f"worker: {self.name}", daemon=True)
        self._thread.start()

    def greet(self) -> None:
        """Return once the worker serves: its start is nobody's round trip."""
        self.send(("echo", 1))
        self.send(0)
        self.recv()

    def close(self) -> None:
        """End the worker."""
        self.send(("stop",))
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After a failure the conversation may be out of step: `close` could wait for ever. The process ends.
        if kind is None:
            self.close()


class Isthmus(_Served):
    """Two channels of `capacity` to an isolated interpreter."""

    name = "isthmus"

    def __init__(self, capacity: int | None = 1) -> None:
        there_recv, there_send = isthmus.create_channel(capacity)
        back_recv, back_send = isthmus.create_channel(capacity)
        self.send, self.recv = there_send.send, back_recv.recv
        self._interpreter = isthmus.create(name="bench worker")
        source = "from isthmus.cli._bench.loops import serve\nserve(there.recv, back.send)\n"
        self.start(lambda: self._interpreter.run(source, there=there_recv, back=back_send))

    def close(self) -> None:
        """End the worker and its interpreter."""
        super().close()
        self._interpreter.close()


class Queues(_Served):
    """Two unbounded queues of the standard library to an isolated interpreter."""

    name = QUEUE

    def __init__(self) -> None:
        import _interpreters

        there, back, opening = self._open()
        self.send, self.recv = there.put, back.get
        self._number = _interpreters.create()
        source = (
            f"import sys\nsys.path[:] = {sys.path!r}\n{_source_of('loops')}{opening}"
            "loops['serve'](there.get, back.put)\n"
        )
        self.start(lambda: self._run(source))

    def _run(self, source: str) -> None:
        import _interpreters

        # The stub says that it returns None; it returns what went wrong, if anything.
        run_string: Callable[[int, str], Any] = _interpreters.run_string
        failure = run_string(self._number, source)
        if failure is not None:
            print(failure.errdisplay, file=sys.stderr)

    @staticmethod
    def _open() -> tuple[Any, Any, str]:
        """Both queues, and code that opens them in the worker."""
        if sys.version_info >= (3, 14):
            from concurrent import interpreters

            there, back = interpreters.create_queue(), interpreters.create_queue()
            opening = (
                "from concurrent import interpreters\n"
                f"there, back = interpreters.Queue({there.id}), interpreters.Queue({back.id})\n"
            )
            return there, back, opening
        from isthmus.cli._bench.polled import PolledQueue

        first, second = PolledQueue(), PolledQueue()
        opening = (
            f"{_source_of('polled')}"
            f"there, back = polled['PolledQueue']({first.number}), polled['PolledQueue']({second.number})\n"
        )
        return first, second, opening

    def close(self) -> None:
        """End the worker and its interpreter."""
        import _interpreters

        super().close()
        _interpreters.destroy(self._number)


class Pipes(_Served):
    """`multiprocessing.Pipe` to a process."""

    name = "multiprocessing.Pipe"

    def __init__(self) -> None:
        ours, theirs = Pipe()
        self.send, self.recv = ours.send, ours.recv
        source = (
            f"from multiprocessing.connection import Connection\n{_source_of('loops')}"
            f"end = Connection({theirs.fileno()})\nloops['serve'](end.recv, end.send)\n"
        )
        self._process = subprocess.Popen([sys.executable, "-c", source], pass_fds=[theirs.fileno()])
        theirs.close()
        self._ours = ours

    def close(self) -> None:
        """End the process."""
        self.send(("stop",))
        self._process.wait()
        self._ours.close()


class Threads(_Served):
    """Two `queue.SimpleQueue` to a thread under the same GIL: what is passed is a pointer."""

    name = "threads, SimpleQueue"

    def __init__(self) -> None:
        there: SimpleQueue[Any] = SimpleQueue()
        back: SimpleQueue[Any] = SimpleQueue()
        self.send, self.recv = there.put, back.get
        self.start(lambda: loops.serve(there.get, back.put))


def open_all(stack: ExitStack, capacity: int | None) -> list[_Served]:
    """Isthmus first, then every peer, each with a worker of its own that `stack` ends."""
    served: list[_Served] = [Isthmus(capacity), Queues(), Pipes(), Threads()]
    for one in served:
        stack.enter_context(one)
        one.greet()
    return served
