"""`isthmus map`: a script's `map` over chunks of files on every core, `reduce` over neighbours, `finish`.

`run_map` is the command without the command line; the benchmarks and examples use it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import pprint
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

from isthmus.cli.engines import ENGINES, Engine
from isthmus.cli.errors import CallError, CommandError, Interrupted, TaskError
from isthmus.cli.folding import Folding, Join, Run
from isthmus.cli.reading import Inputs, Piece, Reader, parse_size
from isthmus.cli.script import MODULE, Failure, ScriptError, check_syntax, load_module
from isthmus.cli.worker import Message

__all__ = ["DESCRIPTION", "SUMMARY", "Report", "add_arguments", "run", "run_map", "summary"]

SUMMARY = "run a script's map and reduce over files, on every core"
DESCRIPTION = (
    "Reads the inputs in chunks cut at line ends, runs map(chunk: bytes) of SCRIPT on every core, folds "
    "neighbouring results with its associative reduce(a, b) in input order, and passes the last one through "
    "finish(x) if SCRIPT has it. "
    "Exit status: 0 done, 1 the task failed, 2 the call was wrong, 130 interrupted."
)
#: Blocks that a worker has been given and not answered: one it maps, one that waits for it.
BLOCKS_AHEAD = 2
#: Seconds that workers get to leave user code once the result is there, and once the run has failed.
GRACE_DONE, GRACE_FAILED = 60.0, 3.0


@dataclass(frozen=True, slots=True)
class Report:
    """What a run gave. `seconds`: from the first read to the result, workers and script already loaded."""

    result: Any
    bytes: int
    seconds: float
    chunks: int
    workers: int
    engine: str
    #: input and partial results, between workers and the main interpreter
    payload_bytes_copied: int


def run_map(
    script: str,
    inputs: Sequence[str],
    *,
    workers: int | None = None,
    chunk: int | None = None,
    engine: str = "interpreters",
    progress: Callable[[int, int], object] | None = None,
) -> Report:
    """Run the job. Raises CallError, TaskError, or Interrupted.

    `workers` defaults to the cores this process may use ("serial" always has one), `chunk` (bytes) to a size
    that suits the input. `progress(done, total)`, in bytes, is called in this thread. Call it from the main
    interpreter.
    """
    try:
        check_syntax(script)
    except ScriptError as error:
        raise _script_error(error) from None
    files = Inputs(inputs, chunk)
    count = 1 if engine == "serial" else (workers or os.process_cpu_count() or 1)
    job = _Job(ENGINES[engine](script, count), files, progress)
    try:
        job.engine.start()
        report = job.run(script)
    except KeyboardInterrupt:
        raise Interrupted(stuck=not _stop(job.engine, GRACE_FAILED)) from None
    except CommandError as error:
        error.stuck = not _stop(job.engine, GRACE_FAILED)
        raise
    except BaseException:
        _stop(job.engine, GRACE_FAILED)
        raise
    if not _stop(job.engine, GRACE_DONE):
        raise TaskError("the workers did not end")
    return report


def _stop(engine: Engine, grace: float) -> bool:
    try:
        return engine.stop(grace)
    except KeyboardInterrupt:
        # A second Ctrl-C: no more waiting.
        return False


class _Job:
    """One run over started workers: keeps each worker supplied, and has folded what is ready."""

    def __init__(self, engine: Engine, inputs: Inputs, progress: Callable[[int, int], object] | None) -> None:
        self.engine = engine
        self._inputs = inputs
        self._folding = Folding(inputs, engine.workers)
        self._progress = progress
        self._chunks = 0
        self._bytes_done = 0
        # Blocks that each worker has not answered, in the order in which it will.
        self._sent = [deque[tuple[Run | None, list[Piece]]]() for _ in range(engine.workers)]
        # Joins under way, by the run that the reply will name.
        self._joining: dict[int, Join] = {}
        self._moving: dict[int, Join] = {}

    def run(self, script: str) -> Report:
        engine = self.engine
        for _ in range(engine.workers):
            self._receive()
        copied, start = engine.payload_bytes_copied(), time.perf_counter()
        final = self._fold_all() if self._inputs.units else self._fold_nothing()
        engine.send(final.owner, ("finish", final.number))
        data = self._receive()[2]
        seconds = time.perf_counter() - start
        copied = engine.payload_bytes_copied() - copied
        result = _unpack(data, script) if engine.packs else data
        return Report(result, self._inputs.bytes, seconds, self._chunks, engine.workers, engine.name, copied)

    def _fold_all(self) -> Run:
        with Reader(self._inputs) as reader:
            while True:
                self._supply(reader)
                self._start_joins()
                final = self._folding.final()
                if final is not None:
                    return final
                self._receive()

    def _fold_nothing(self) -> Run:
        """No input at all is one empty chunk: `map(b"")` is what the script says about nothing."""
        self._sent[0].append((None, [Piece(self._inputs.paths[0], 0, 0)]))
        self.engine.send(0, ("map", 0, (0,), b""))
        self._receive()
        self._chunks = 1
        return Run(0, 0, 0, 0)

    def _supply(self, reader: Reader) -> None:
        # Everybody's first block before anybody's second.
        for ahead in range(BLOCKS_AHEAD):
            for worker, sent in enumerate(self._sent):
                while len(sent) <= ahead and (run := self._folding.next_run(worker)) is not None:
                    upto, pieces = reader.next_block(run.next, run.end)
                    self._folding.handed_out(run, upto, pieces)
                    if not pieces:
                        continue
                    sent.append((run, pieces))
                    self._chunks += len(pieces)
                    lengths = tuple(piece.end - piece.start for piece in pieces)
                    self.engine.send(worker, ("map", run.number, lengths, reader.read(pieces)))

    def _start_joins(self) -> None:
        for join in self._folding.joins():
            self._joining[join.left.number] = join
            if join.moving is None:
                self.engine.send(join.at, ("join", join.left.number, join.right.number))
            else:
                self._moving[join.moving.number] = join
                self.engine.send(join.moving.owner, ("export", join.moving.number))

    def _receive(self) -> Message:
        reply = self.engine.recv()
        match reply:
            case (worker, "mapped"):
                run, pieces = self._sent[worker].popleft()
                if run is not None:
                    run.waiting -= 1
                self._bytes_done += sum(piece.end - piece.start for piece in pieces)
                if self._progress is not None:
                    self._progress(self._bytes_done, self._inputs.bytes)
            case (_, "exported", number, data):
                join = self._moving.pop(number)
                self.engine.send(join.at, ("import", number, data))
                self.engine.send(join.at, ("join", join.left.number, join.right.number))
            case (_, "joined", number):
                self._folding.joined(self._joining.pop(number))
            case (_, "ready") | (_, "finished", _):
                pass
            case (_, "unusable", wrong_call, message, trace):
                raise _script_error(ScriptError(message, trace, wrong_call=wrong_call))
            case (worker, "failed", step, number, run_number, headline, trace):
                raise TaskError(
                    f"{step} failed on {self._where(worker, number, run_number)}: {headline}", trace
                )
            case (worker, "died", why):
                lost = self._sent[worker]
                at = f" on {lost[0][1][0]}" if lost else ""
                raise TaskError(f"worker {worker} died{at}: {why}")
            case _:
                raise AssertionError(f"unknown reply {reply!r}")
        return reply

    def _where(self, worker: int, piece: int, run_number: int) -> str:
        """The input that a failed step was about."""
        if piece >= 0:
            return str(self._sent[worker][0][1][piece])
        join = self._joining.get(run_number)
        if join is not None:
            return f"the results of {join.left} and of {join.right}"
        if run_number in self._moving:
            return f"the result of {self._moving[run_number].moving}"
        return "the result of the whole input"


class _Unpickler(pickle.Unpickler):
    """Loads the script into this interpreter if, and only if, the result has objects of its classes."""

    def __init__(self, data: bytes, script: str) -> None:
        super().__init__(io.BytesIO(data))
        self._script = os.path.abspath(script)

    def find_class(self, module_name: str, global_name: str) -> Any:
        if module_name == MODULE:
            loaded = sys.modules.get(MODULE)
            if loaded is None or loaded.__file__ != self._script:
                load_module(self._script)
        return super().find_class(module_name, global_name)


def _unpack(data: bytes, script: str) -> Any:
    try:
        return _Unpickler(data, script).load()
    except Exception as error:
        failure = Failure.of(error, __file__)
        raise TaskError(f"the result cannot be taken over: {failure.headline}", failure.trace) from None


def _script_error(error: ScriptError) -> CommandError:
    return (CallError if error.wrong_call else TaskError)(error.message, error.trace)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `isthmus map`."""
    parser.add_argument(
        "script", metavar="SCRIPT", help="a Python file with map(chunk), reduce(a, b), maybe finish(x)"
    )
    parser.add_argument("inputs", metavar="INPUT", nargs="+", help="a file to read")
    parser.add_argument(
        "--workers", type=_count, metavar="N", help="how many (default: all cores; serial has one)"
    )
    parser.add_argument(
        "--chunk",
        type=_size,
        metavar="SIZE",
        help="bytes per chunk, with K, M or G (default: 256K to 4M, by the input)",
    )
    parser.add_argument(
        "--engine", choices=list(ENGINES), default="interpreters", help="default: %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and no progress bar")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace) -> int:
    """Carry out `isthmus map`."""
    with _progress(options.json) as progress:
        report = run_map(
            options.script,
            options.inputs,
            workers=options.workers,
            chunk=options.chunk,
            engine=options.engine,
            progress=progress,
        )
    if options.json:
        try:
            print(
                json.dumps(
                    {field.name: getattr(report, field.name) for field in fields(report)}, allow_nan=False
                )
            )
        except (TypeError, ValueError, RecursionError) as error:
            raise TaskError(f"the result is not JSON: {error}") from None
        return 0
    if isinstance(report.result, str):
        print(report.result)
    else:
        pprint.pprint(report.result, sort_dicts=False)
    sys.stdout.flush()
    print(summary(report), file=sys.stderr)
    return 0


def summary(report: Report) -> str:
    """One line about a run."""
    rate = report.bytes / report.seconds / 1e6 if report.seconds > 0 else 0.0
    workers = f"{report.workers} worker{'s' if report.workers != 1 else ''}"
    return (
        f"{report.bytes / 1e6:,.1f} MB in {report.seconds:.3f} s, {rate:,.1f} MB/s: "
        f"{report.chunks:,} chunks, {workers} ({report.engine}), "
        f"{report.payload_bytes_copied:,} payload bytes copied"
    )


@contextmanager
def _progress(json_wanted: bool) -> Iterator[Callable[[int, int], object] | None]:
    if json_wanted or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("map", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
