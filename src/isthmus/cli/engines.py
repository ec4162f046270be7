"""Where workers run: isolated interpreters, threads, processes, or the caller itself.

An engine carries messages to its workers and their replies back (see `isthmus.cli.worker`), nothing else, so
that the engines differ only in how a block gets to a worker. All methods are for the thread that made the
engine.
"""

from __future__ import annotations

import collections
import contextlib
import queue
import signal
import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from isthmus.cli.errors import TaskError
from isthmus.cli.script import ScriptError, load
from isthmus.cli.worker import Message, Worker, serve_process

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    import isthmus

__all__ = ["ENGINES", "Engine", "InterpreterEngine", "ProcessEngine", "SerialEngine", "ThreadEngine"]

#: Messages to one worker that no reply has been seen for: two blocks, and what a join sends.
TASKS_WAITING = 8
#: Seconds a process gets before it is terminated; unlike a thread, it can be.
GRACE_TERM = 1.0


class Engine(ABC):
    """`start`, then `send` and `recv`, then `stop`, which also follows a `start` that failed."""

    name: str
    #: results arrive pickled
    packs = False

    def __init__(self, script: str, workers: int) -> None:
        self.script = script
        self.workers = workers

    @abstractmethod
    def start(self) -> None:
        """Start the workers. The first reply of each says that it is ready, or why not."""

    @abstractmethod
    def send(self, worker: int, message: Message) -> None:
        """Hand `message` over to `worker`; does not wait for it."""

    @abstractmethod
    def recv(self) -> Message:
        """Wait for the next reply of any worker. A worker that dies replies (worker, "died", why)."""

    @abstractmethod
    def stop(self, grace: float) -> bool:
        """End the workers once they are through with what they do; drop what waits for them. Idempotent.

        False if some are still in user code after `grace` seconds: they are left as they are.
        """

    def payload_bytes_copied(self) -> int:
        """Payload bytes copied between workers and the main interpreter so far; only ever grows."""
        return 0


class SerialEngine(Engine):
    """One worker, in the calling thread: what the others are compared with."""

    name = "serial"

    def start(self) -> None:
        self._worker: Worker | None = None
        self._replies = collections.deque[Message]()
        try:
            self._worker = Worker(0, load(self.script), leaves_home=False)
            self._replies.append((0, "ready"))
        except ScriptError as error:
            self._replies.append((0, "unusable", error.wrong_call, error.message, error.trace))

    def send(self, worker: int, message: Message) -> None:
        assert self._worker is not None
        reply = self._worker.handle(message, interruptible=True)
        if reply is not None:
            self._replies.append(reply)

    def recv(self) -> Message:
        return self._replies.popleft()

    def stop(self, grace: float) -> bool:
        return True


class ThreadEngine(Engine):
    """Threads of the main interpreter, under its one GIL."""

    name = "threads"

    def __init__(self, script: str, workers: int) -> None:
        super().__init__(script, workers)
        self._replies = queue.SimpleQueue[Message]()
        self._tasks = [queue.SimpleQueue[Message | None]() for _ in range(workers)]
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        try:
            script = load(self.script)
        except ScriptError as error:
            self._replies.put((0, "unusable", error.wrong_call, error.message, error.trace))
            return
        for number, tasks in enumerate(self._tasks):
            worker = Worker(number, script, leaves_home=False)
            # A daemon: user code that never returns must not keep the process.
            thread = threading.Thread(target=self._serve, args=(worker, tasks), daemon=True)
            self._threads.append(thread)
            thread.start()
            self._replies.put((number, "ready"))

    def _serve(self, worker: Worker, tasks: queue.SimpleQueue[Message | None]) -> None:
        while (message := tasks.get()) is not None:
            reply = worker.handle(message)
            del message
            if reply is not None:
                self._replies.put(reply)

    def send(self, worker: int, message: Message) -> None:
        self._tasks[worker].put(message)

    def recv(self) -> Message:
        return self._replies.get()

    def stop(self, grace: float) -> bool:
        for tasks in self._tasks:
            _put_end(tasks)
        return _join_all(self._threads, grace)


class InterpreterEngine(Engine):
    """Isolated interpreters, each with its own GIL and run by a thread of its own; blocks cross as twins."""

    name = "interpreters"
    packs = True

    _SOURCE = "from isthmus.cli.worker import serve\nserve(number, path, tasks.recv, replies.send)\n"

    def __init__(self, script: str, workers: int) -> None:
        super().__init__(script, workers)
        # The package's own __init__ must not be half imported when the command line is.
        import isthmus

        self._interpreters: list[isthmus.Interpreter] = []
        self._threads: list[threading.Thread] = []
        self._tasks = [isthmus.create_channel(TASKS_WAITING) for _ in range(workers)]
        self._replies, self._replies_in = isthmus.create_channel(None)
        self._stats, self._create = isthmus.stats, isthmus.create
        self._stopping = False

    def start(self) -> None:
        try:
            for number in range(self.workers):
                self._interpreters.append(self._create(name=f"map worker {number}"))
            for number in range(self.workers):
                thread = threading.Thread(target=self._run, args=(number,), daemon=True)
                self._threads.append(thread)
                thread.start()
        except Exception as error:
            raise TaskError(f"cannot start worker {len(self._interpreters)}: {error}") from None

    def _run(self, number: int) -> None:
        try:
            self._interpreters[number].run(
                self._SOURCE,
                number=number,
                path=self.script,
                tasks=self._tasks[number][0],
                replies=self._replies_in,
            )
        except BaseException as error:
            # Nobody would wait for a thread's exception, and the reader would wait for the worker for ever.
            if not self._stopping:
                self._replies_in.send((number, "died", f"{type(error).__name__}: {error}"))

    def send(self, worker: int, message: Message) -> None:
        self._tasks[worker][1].send(message)

    def recv(self) -> Message:
        reply: Message = self._replies.recv()
        return reply

    def stop(self, grace: float) -> bool:
        self._stopping = True
        for recv_end, send_end in self._tasks:
            # Closed already: by an earlier stop, or because its worker is gone.
            with contextlib.suppress(EOFError, ValueError):
                while recv_end.recv_nowait() is not None:
                    pass
                send_end.send(None)
        stopped = _join_all(self._threads, grace)
        if stopped:
            for interpreter in self._interpreters:
                interpreter.close()
            for end in (*(end for ends in self._tasks for end in ends), self._replies, self._replies_in):
                end.close()
        return stopped

    def payload_bytes_copied(self) -> int:
        return self._stats().payload_bytes_copied


class ProcessEngine(Engine):
    """Spawned processes; blocks go to them through pipes."""

    name = "processes"
    packs = True

    def __init__(self, script: str, workers: int) -> None:
        super().__init__(script, workers)
        self._copied = 0
        self._processes: list[SpawnProcess] = []
        self._pipes: list[Connection[Any, Any]] = []
        self._tasks: list[queue.SimpleQueue[Message | None]] = []

    def start(self) -> None:
        import multiprocessing
        from multiprocessing import resource_tracker

        # Or the first process would start it, and that unblocks SIGINT.
        resource_tracker.ensure_running()
        context = multiprocessing.get_context("spawn")
        # Ctrl-C goes to the whole process group; the children inherit the mask and leave it to this process.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for number in range(self.workers):
                ours, theirs = context.Pipe()
                self._pipes.append(ours)
                process = context.Process(
                    target=serve_process, args=(number, self.script, theirs), daemon=True
                )
                process.start()
                self._processes.append(process)
                # With our copy open, the pipe would not end when the process does.
                theirs.close()
                tasks = queue.SimpleQueue[Message | None]()
                self._tasks.append(tasks)
                threading.Thread(target=self._feed, args=(tasks, ours), daemon=True).start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _feed(self, tasks: queue.SimpleQueue[Message | None], pipe: Connection[Any, Any]) -> None:
        """Write into a pipe, which holds less than a block, so that `send` need not wait for the worker."""
        try:
            while True:
                message = tasks.get()
                pipe.send(message)
                if message is None:
                    return
        except OSError:
            return  # The worker died; `recv` says so.

    def send(self, worker: int, message: Message) -> None:
        if isinstance(message[-1], bytes):
            self._copied += len(message[-1])
        self._tasks[worker].put(message)

    def recv(self) -> Message:
        from multiprocessing.connection import wait

        ready = wait(self._pipes)
        number = next(number for number, pipe in enumerate(self._pipes) if pipe in ready)
        try:
            reply: Message = self._pipes[number].recv()
        except (EOFError, OSError):
            self._processes[number].join()
            return (number, "died", f"exit code {self._processes[number].exitcode}")
        if isinstance(reply[-1], bytes):
            self._copied += len(reply[-1])
        return reply

    def stop(self, grace: float) -> bool:
        for tasks in self._tasks:
            _put_end(tasks)
        end = time.monotonic() + min(grace, GRACE_TERM)
        for process in self._processes:
            process.join(max(0.0, end - time.monotonic()))
        for process in self._processes:
            process.terminate()
            process.join()
        for pipe in self._pipes:
            pipe.close()
        return True

    def payload_bytes_copied(self) -> int:
        return self._copied


def _put_end(tasks: queue.SimpleQueue[Message | None]) -> None:
    """Tell a worker to end after what it does now."""
    with contextlib.suppress(queue.Empty):
        while True:
            tasks.get_nowait()
    tasks.put(None)


def _join_all(threads: list[threading.Thread], grace: float) -> bool:
    end = time.monotonic() + grace
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


ENGINES: dict[str, type[Engine]] = {
    engine.name: engine for engine in (InterpreterEngine, ThreadEngine, ProcessEngine, SerialEngine)
}
