"""What runs beside the main interpreter: maps the pieces of blocks, folds, keeps partial results.

One `Worker` per interpreter, thread or process, driven by messages in the order they were sent. All messages
and replies are tuples of what crosses natively. A partial result stays where it was made, under the number of
its run, until a neighbour in another worker needs it.

    message                       reply                            does
    ("map", run, lengths, block)  (worker, "mapped")               maps each piece, folds it onto the run's
    ("join", left, right)         (worker, "joined", left)         left = reduce(left, right)
    ("export", run)               (worker, "exported", run, data)  gives the run's result away
    ("import", run, data)                                          takes it
    ("finish", run)               (worker, "finished", data)       finish(result), where the script has it

Any message that fails is answered by (worker, "failed", step, piece number or -1, run, headline, traceback),
and the worker is not used again. Its first reply of all is (worker, "ready") or (worker, "unusable",
wrong_call, message, traceback).
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.cli.script import Failure, Script, ScriptError, load

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

__all__ = ["Message", "Worker", "serve", "serve_process"]

type Message = tuple[Any, ...]


def _pack(value: object) -> bytes:
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def _same(value: Any) -> Any:
    return value


class Worker:
    """Carries out messages.

    `leaves_home`: results leave this interpreter or process, so they travel pickled.
    """

    def __init__(self, number: int, script: Script, *, leaves_home: bool) -> None:
        self._number = number
        self._script = script
        self._results: dict[int, Any] = {}
        self._pack: Callable[[Any], Any] = _pack if leaves_home else _same
        self._unpack: Callable[[Any], Any] = pickle.loads if leaves_home else _same
        # What the worker is about, for the report of a failure.
        self._step, self._piece = "", -1

    def handle(self, message: Message, *, interruptible: bool = False) -> Message | None:
        """Carry out `message`; the reply, if it has one.

        Raises nothing, or KeyboardInterrupt if `interruptible`.
        """
        try:
            return self._handle(message)
        except BaseException as error:
            if interruptible and isinstance(error, KeyboardInterrupt):
                raise
            failure = Failure.of(error, __file__)
            piece = self._piece if message[0] == "map" else -1
            return (self._number, "failed", self._step, piece, message[1], failure.headline, failure.trace)

    def _handle(self, message: Message) -> Message | None:
        results = self._results
        match message:
            case ("map", run, lengths, block):
                self._map(run, lengths, block)
                return (self._number, "mapped")
            case ("join", left, right):
                self._step = "reduce"
                results[left] = self._script.reduce(results.pop(left), results.pop(right))
                return (self._number, "joined", left)
            case ("export", run):
                self._step = "handing over a partial result"
                return (self._number, "exported", run, self._pack(results.pop(run)))
            case ("import", run, data):
                self._step = "taking over a partial result"
                results[run] = self._unpack(data)
                return None
            case ("finish", run):
                return (self._number, "finished", self._finish(results.pop(run)))
        raise AssertionError(f"unknown message {message[0]!r}")

    def _map(self, run: int, lengths: Sequence[int], block: bytes) -> None:
        script, results = self._script, self._results
        start = 0
        for self._piece, length in enumerate(lengths):
            chunk = block if len(lengths) == 1 else block[start : start + length]
            start += length
            self._step = "map"
            value = script.map(chunk)
            if run in results:
                self._step = "reduce"
                value = script.reduce(results.pop(run), value)
            results[run] = value

    def _finish(self, value: Any) -> Any:
        if self._script.finish is not None:
            self._step = "finish"
            value = self._script.finish(value)
        self._step = "handing over the result"
        return self._pack(value)


def serve(
    number: int, path: str, recv: Callable[[], Message | None], send: Callable[[Message], object]
) -> None:
    """Load the script and carry out what `recv` gives, until it gives None."""
    try:
        worker = Worker(number, load(path), leaves_home=True)
    except ScriptError as error:
        send((number, "unusable", error.wrong_call, error.message, error.trace))
        return
    send((number, "ready"))
    while (message := recv()) is not None:
        reply = worker.handle(message)
        # A block that is still held while the worker waits is a slot that the reader cannot use again.
        del message
        if reply is not None:
            send(reply)


def serve_process(number: int, path: str, pipe: Connection[Any, Any]) -> None:
    """`serve` as the main function of a process; ends too when the other side has gone."""
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        serve(number, path, pipe.recv, pipe.send)
