"""`run_map`: every engine, every order of events and every number of workers gives the serial left fold."""

from __future__ import annotations

import collections
import random
import textwrap
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.cli.engines import ENGINES, Engine
from isthmus.cli.errors import CallError, Interrupted, TaskError
from isthmus.cli.map import Report, run_map
from isthmus.cli.script import load
from isthmus.cli.worker import Message, Worker

ENGINE_NAMES = ["interpreters", "threads", "processes", "serial"]
SIDE_BY_SIDE = ENGINE_NAMES[:3]

#: Associative and as far from commutative as can be.
CONCATENATE = """
def map(chunk):
    return [len(chunk), chunk.decode()]
def reduce(a, b):
    return [a[0] + b[0], a[1] + b[1]]
"""


def write(path: Path, text: str | bytes) -> str:
    if isinstance(text, str):
        text = textwrap.dedent(text).encode()
    path.write_bytes(text)
    return str(path)


@pytest.fixture
def script(tmp_path: Path) -> str:
    return write(tmp_path / "script.py", CONCATENATE)


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    """Files small, large, empty, and without a last line end."""
    paths = []
    for number, lines in enumerate([3, 4000, 0, 1, 900, 20000]):
        text = "".join(f"file {number} line {line}\n" for line in range(lines)).removesuffix("\n")
        paths.append(write(tmp_path / f"input{number}.txt", text.encode()))
    return paths


def whole(paths: list[str]) -> str:
    return "".join(Path(path).read_text(encoding="utf-8") for path in paths)


@pytest.mark.parametrize("engine", ENGINE_NAMES)
@pytest.mark.parametrize(("workers", "chunk"), [(1, 1000), (2, 5000), (3, 100_000), (2, None)])
def test_every_engine_folds_in_input_order(
    engine: str, workers: int, chunk: int | None, script: str, inputs: list[str]
) -> None:
    seen: list[tuple[int, int]] = []
    report = run_map(
        script,
        inputs,
        workers=workers,
        chunk=chunk,
        engine=engine,
        progress=lambda done, total: seen.append((done, total)),
    )
    expected = whole(inputs)
    assert report.result == [len(expected), expected]
    assert report.bytes == len(expected)
    assert (report.engine, report.workers) == (engine, 1 if engine == "serial" else workers)
    assert report.seconds > 0
    assert seen[-1] == (report.bytes, report.bytes)
    assert seen == sorted(seen)
    assert report.chunks == run_map(script, inputs, chunk=chunk, engine="serial").chunks


class ShuffledEngine(Engine):
    """Workers in one thread, run in an order drawn at random: any interleaving that real ones can show."""

    name = "shuffled"
    packs = True
    seed: ClassVar[int] = 0
    moved: ClassVar[int] = 0

    def start(self) -> None:
        self._random = random.Random(self.seed)
        self._workers = [Worker(n, load(self.script), leaves_home=True) for n in range(self.workers)]
        self._tasks = [collections.deque[Message]() for _ in range(self.workers)]
        self._replies = collections.deque[Message]((n, "ready") for n in range(self.workers))
        # Some workers hardly ever get a turn, so that others take over their units.
        self._weights = [self._random.choice([0.01, 1, 30]) for _ in range(self.workers)]

    def send(self, worker: int, message: Message) -> None:
        type(self).moved += message[0] == "import"
        self._tasks[worker].append(message)

    def recv(self) -> Message:
        while not self._replies:
            ready = [n for n in range(self.workers) if self._tasks[n]]
            assert ready, "nothing under way and no result: the command would hang"
            chosen = self._random.choices(ready, [self._weights[n] for n in ready])[0]
            reply = self._workers[chosen].handle(self._tasks[chosen].popleft())
            if reply is not None:
                self._replies.append(reply)
        return self._replies.popleft()

    def stop(self, grace: float) -> bool:
        return True


@settings(deadline=None)  # It reads and writes files.
@given(seed=st.integers(0, 2**32), workers=st.integers(1, 7), chunk=st.integers(1, 400), data=st.data())
def test_any_order_of_events_gives_the_left_fold(
    tmp_path_factory: pytest.TempPathFactory, seed: int, workers: int, chunk: int, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("shuffled")
    sizes = data.draw(st.lists(st.integers(0, 1500), min_size=1, max_size=8))
    source = random.Random(seed)
    paths = [
        write(folder / f"{number}", bytes(source.choices(b"abcdefghijkl\n", k=size)))
        for number, size in enumerate(sizes)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ENGINES, "shuffled", ShuffledEngine)
        patch.setattr(ShuffledEngine, "seed", seed)
        script = write(folder / "script.py", CONCATENATE)
        report = run_map(script, paths, workers=workers, chunk=chunk, engine="shuffled")
    assert report.result == [sum(sizes), whole(paths)]


def test_few_results_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    path = write(tmp_path / "input", b"0123456789abcde\n" * 4000)
    monkeypatch.setitem(ENGINES, "shuffled", ShuffledEngine)
    monkeypatch.setattr(ShuffledEngine, "moved", 0)
    report = run_map(script, [path], workers=4, chunk=64, engine="shuffled")
    assert report.chunks == 1000
    assert ShuffledEngine.moved <= 24


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_no_input_at_all_is_one_empty_chunk(engine: str, tmp_path: Path, script: str) -> None:
    empty = write(tmp_path / "empty", b"")
    report = run_map(script, [empty, empty], workers=2, engine=engine)
    assert (report.result, report.chunks, report.bytes) == ([0, ""], 1, 0)


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_finish_and_objects_of_the_scripts_own_classes(
    engine: str, tmp_path: Path, inputs: list[str]
) -> None:
    script = write(
        tmp_path / "own.py",
        """
        import neighbour
        assert __name__ != "__main__"
        class Total:
            def __init__(self, lines): self.lines = lines
        def map(chunk): return Total(chunk.count(b"\\n"))
        def reduce(a, b): return Total(a.lines + b.lines)
        def finish(total): return neighbour.wrap(total)
        """,
    )
    write(tmp_path / "neighbour.py", "def wrap(total): return (total, 'finished')\n")
    report = run_map(script, inputs, workers=2, chunk=3000, engine=engine)
    total, word = report.result
    assert (total.lines, word) == (whole(inputs).count("\n"), "finished")


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_map_gets_exact_bytes_and_a_result_of_bytes_stays_what_it_is(
    engine: str, tmp_path: Path, inputs: list[str]
) -> None:
    script = write(
        tmp_path / "raw.py",
        """
        def map(chunk):
            assert type(chunk) is bytes, type(chunk)
            return chunk
        def reduce(a, b): return a + b
        """,
    )
    report = run_map(script, inputs, workers=2, chunk=100_000, engine=engine)
    assert report.result == whole(inputs).encode()


def test_the_payload_reaches_interpreters_without_a_copy(tmp_path: Path) -> None:
    script = write(
        tmp_path / "lines.py", "def map(c): return c.count(b'\\n')\ndef reduce(a, b): return a + b\n"
    )
    large = write(tmp_path / "large", b"0123456789abcde\n" * (1 << 18))
    report = run_map(script, [large], workers=2, chunk=1 << 19)
    assert (report.result, report.chunks) == (1 << 18, 8)
    # Small things that every run sends (its result, here a number) may be copied; input may not.
    assert report.payload_bytes_copied < 4096


def test_pipes_copy_all_of_it(script: str, inputs: list[str]) -> None:
    report = run_map(script, inputs, workers=2, engine="processes")
    assert report.payload_bytes_copied >= report.bytes


def failing(tmp_path: Path, body: str) -> str:
    return write(tmp_path / "failing.py", body)


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_an_exception_in_a_chunk_names_file_and_byte_range(
    engine: str, tmp_path: Path, inputs: list[str]
) -> None:
    script = failing(
        tmp_path,
        """
        def helper(chunk): raise LookupError("no such\\nthing")
        def map(chunk):
            if b"file 4 line 450\\n" in chunk: helper(chunk)
            return 0
        def reduce(a, b): return a + b
        """,
    )
    with pytest.raises(TaskError) as caught:
        run_map(script, inputs, workers=2, chunk=2000, engine=engine)
    text = Path(inputs[4]).read_bytes()
    found = caught.value.message
    assert found.startswith(f"map failed on {inputs[4]}, bytes ")
    assert found.endswith(": LookupError: no such")
    start, end = (int(number) for number in found.split("bytes ")[1].split(": ")[0].split(":"))
    assert b"file 4 line 450\n" in text[start:end]
    assert start == 0 or text[start - 1 : start] == b"\n"
    assert end - start < 2100
    assert caught.value.traceback.startswith("Traceback (most recent call last):\n")
    assert "in helper" in caught.value.traceback
    assert "worker.py" not in caught.value.traceback
    assert not caught.value.stuck


@pytest.mark.parametrize("engine", ENGINE_NAMES)
@pytest.mark.parametrize("what", ["SystemExit(3)", "KeyboardInterrupt()", "MemoryError()"])
def test_no_exception_of_a_script_ends_the_command_or_hangs_it(
    engine: str, what: str, script: str, inputs: list[str], tmp_path: Path
) -> None:
    script = failing(tmp_path, f"def map(chunk): raise {what}\ndef reduce(a, b): return a\n")
    expected = Interrupted if engine == "serial" and "Keyboard" in what else TaskError
    with pytest.raises(expected):
        run_map(script, inputs, workers=2, engine=engine)


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_reduce_that_fails_inside_a_run(engine: str, tmp_path: Path, inputs: list[str]) -> None:
    script = failing(tmp_path, "def map(chunk): return chunk\ndef reduce(a, b): return 1 / 0\n")
    with pytest.raises(TaskError, match=r"^reduce failed on .*: ZeroDivisionError"):
        run_map(script, inputs, workers=2, chunk=2000, engine=engine)


@pytest.mark.parametrize("engine", SIDE_BY_SIDE)
def test_reduce_that_fails_between_runs_names_both(engine: str, tmp_path: Path) -> None:
    script = failing(tmp_path, "def map(chunk): return chunk\ndef reduce(a, b): return 1 / 0\n")
    path = write(tmp_path / "two", b"first half\nsecondhalf\n")
    with pytest.raises(TaskError, match=r"reduce failed on the results of .*bytes 0:11 and of .*bytes 11:22"):
        run_map(script, [path], workers=2, chunk=11, engine=engine)


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_finish_that_fails(engine: str, tmp_path: Path, inputs: list[str]) -> None:
    script = failing(tmp_path, CONCATENATE + "\ndef finish(x): raise ValueError('unfinished')\n")
    with pytest.raises(TaskError, match="finish failed on the result of the whole input: ValueError: unfin"):
        run_map(script, inputs, workers=2, engine=engine)


@pytest.mark.parametrize("engine", ["interpreters", "processes"])
def test_a_result_that_cannot_leave_its_worker(engine: str, tmp_path: Path, inputs: list[str]) -> None:
    script = failing(tmp_path, CONCATENATE + "\ndef finish(x): return lambda: x\n")
    with pytest.raises(TaskError, match="handing over the result failed"):
        run_map(script, inputs, workers=2, engine=engine)


def test_a_process_that_dies_is_told(tmp_path: Path, inputs: list[str]) -> None:
    script = failing(tmp_path, "import os\ndef map(chunk): os._exit(7)\ndef reduce(a, b): return a\n")
    with pytest.raises(TaskError, match=r"worker \d died on .*input0.txt, bytes 0:\d+: exit code 7"):
        run_map(script, inputs[:1], workers=1, engine="processes")


@pytest.mark.parametrize("engine", ENGINE_NAMES)
@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("def reduce(a, b): return a\n", CallError, "no function map"),
        ("def map(chunk): return 1\n", CallError, "no function reduce"),
        ("map = 3\nreduce = max\n", CallError, "no function map"),
        ("map = len\nreduce = max\nfinish = 3\n", CallError, "finish is not a function"),
        ("def map(chunk):\n  return (\n", CallError, "line 2: SyntaxError: '\\(' was never closed"),
        ("\0", CallError, "null bytes"),
        ("import no_such_module_anywhere\n", TaskError, "ModuleNotFoundError: No module named"),
        ("raise SystemExit(0)\n", TaskError, "SystemExit: 0"),
    ],
)
def test_scripts_that_cannot_be_used(
    engine: str, source: str, kind: type[CallError], message: str, tmp_path: Path, inputs: list[str]
) -> None:
    with pytest.raises(kind, match=message):
        run_map(failing(tmp_path, source), inputs, workers=2, engine=engine)


def test_the_example_counts_identifiers(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "count_identifiers.py"
    text = b"for alpha in beta:\n    alpha(gamma, beta, alpha2)\n" * 2000
    paths = [write(tmp_path / f"{n}.py", text) for n in range(3)]
    reports: list[Report] = [
        run_map(str(example), paths, workers=2, chunk=10_000, engine=engine) for engine in ENGINE_NAMES
    ]
    expected: list[tuple[str, Any]] = [("alpha", 12000), ("beta", 12000), ("alpha2", 6000), ("gamma", 6000)]
    assert [report.result for report in reports] == [expected] * 4
