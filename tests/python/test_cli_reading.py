"""Cutting inputs at line ends: what is read is what is there, whatever the chunk, in whatever order."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from isthmus.cli.errors import CallError, TaskError
from isthmus.cli.reading import ALONE, BLOCK_PIECES, Inputs, Piece, Reader, default_chunk, parse_size

lines = st.lists(
    st.sampled_from([b"", b"\n", b"a\n", b"bc", b"\n\n", b"x" * 40 + b"\n", b"y" * 9]), max_size=30
)
contents = st.lists(lines.map(b"".join), min_size=1, max_size=6)


def write_all(folder: str, texts: list[bytes]) -> list[str]:
    paths = [os.path.join(folder, f"{number}.txt") for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        Path(path).write_bytes(text)
    return paths


def read_range(inputs: Inputs, reader: Reader, first: int, end: int) -> list[tuple[Piece, bytes]]:
    found = []
    while first < end:
        first, pieces = reader.next_block(first, end)
        block = reader.read(pieces)
        at = 0
        for piece in pieces:
            length = piece.end - piece.start
            found.append((piece, block[at : at + length]))
            at += length
        assert at == len(block)
    return found


@settings(deadline=None)  # They read and write files.
@given(contents, st.integers(1, 64), st.integers(1, 5))
def test_pieces_are_the_files_cut_at_line_ends(texts: list[bytes], chunk: int, parts: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = write_all(folder, texts)
        inputs = Inputs(paths, chunk)
        with Reader(inputs) as reader:
            # From the back, so that no cut can lean on the one before it.
            ranges = [read_range(inputs, reader, first, end) for first, end in reversed(inputs.parts(parts))]
        found = [item for part in reversed(ranges) for item in part]
        for path, text in zip(paths, texts, strict=True):
            mine = [(piece, data) for piece, data in found if piece.path == path]
            assert b"".join(data for _, data in mine) == text
            assert all(data == text[piece.start : piece.end] != b"" for piece, data in mine)
            assert all(data.endswith(b"\n") for _, data in mine[:-1])
            longest = max((len(line) + 1 for line in text.split(b"\n")), default=0)
            assert all(len(data) <= chunk + longest for _, data in mine)
        assert [piece.path for piece, _ in found] == sorted(piece.path for piece, _ in found)


@settings(deadline=None)
@given(contents, st.integers(1, 64), st.integers(2, 5))
def test_pieces_do_not_depend_on_how_the_units_are_shared_out(
    texts: list[bytes], chunk: int, parts: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        inputs = Inputs(write_all(folder, texts), chunk)
        with Reader(inputs) as reader:
            whole = read_range(inputs, reader, 0, inputs.units)
            shared = [
                item for first, end in inputs.parts(parts) for item in read_range(inputs, reader, first, end)
            ]
        assert shared == whole


@settings(deadline=None)
@given(contents, st.integers(1, 64), st.data())
def test_halfway_gives_both_sides_less_and_never_nothing_to_the_taker(
    texts: list[bytes], chunk: int, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        inputs = Inputs(write_all(folder, texts), chunk)
    assume(inputs.units)
    end = data.draw(st.integers(1, inputs.units))
    first = data.draw(st.integers(0, end - 1))
    middle = inputs.halfway(first, end)
    assert first <= middle < end
    assert end - first == 1 or middle > first


def test_small_files_share_a_block_and_large_ones_travel_alone(tmp_path: Path) -> None:
    texts = [b"small\n"] * 3 + [b"z" * 99 + b"\n" * (ALONE - 99)] + [b"no line end"] * 2
    inputs = Inputs(write_all(str(tmp_path), texts), 4 * ALONE)
    with Reader(inputs) as reader:
        upto, first = reader.next_block(0, inputs.units)
        assert (upto, [piece.end for piece in first]) == (3, [6, 6, 6])
        assert reader.read(first) == b"small\n" * 3
        upto, alone = reader.next_block(upto, inputs.units)
        assert (upto, [piece.end for piece in alone]) == (4, [ALONE])
        upto, last = reader.next_block(upto, inputs.units)
        assert reader.read(last) == b"no line end" * 2


def test_a_block_has_a_most_of_pieces(tmp_path: Path) -> None:
    paths = write_all(str(tmp_path), [b"x\n"]) * (BLOCK_PIECES + 1)
    inputs = Inputs(paths, ALONE)
    with Reader(inputs) as reader:
        upto, pieces = reader.next_block(0, inputs.units)
    assert upto == len(pieces) == BLOCK_PIECES


def test_what_is_read_is_an_exact_bytes_of_its_own(tmp_path: Path) -> None:
    inputs = Inputs(write_all(str(tmp_path), [b"one\n", b"two\n"]))
    with Reader(inputs) as reader:
        _, pieces = reader.next_block(0, inputs.units)
        first, second = reader.read(pieces), reader.read(pieces)
    assert type(first) is bytes
    assert first == second == b"one\ntwo\n"
    assert first is not second


def test_many_files_do_not_use_up_the_descriptors(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    inputs = Inputs(write_all(str(tmp_path), [b"line\n"] * 300), 1)
    with Reader(inputs) as reader:
        read_range(inputs, reader, 0, inputs.units)
        assert len(os.listdir("/proc/self/fd")) <= before + 64
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_shrinks_while_it_is_read_is_a_failed_task(tmp_path: Path) -> None:
    (path,) = write_all(str(tmp_path), [b"0123456\n" * 100])
    inputs = Inputs([path], 64)
    with Reader(inputs) as reader:
        upto, pieces = reader.next_block(0, inputs.units)
        os.truncate(path, 10)
        with pytest.raises(TaskError, match="became shorter"):
            reader.read(pieces)
        with pytest.raises(TaskError, match="became shorter"):
            reader.next_block(upto, inputs.units)


def test_what_cannot_be_cut_is_a_wrong_call(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(CallError, match="it is not a regular file"):
        Inputs([str(fifo)])
    with pytest.raises(CallError, match="it is a directory"):
        Inputs([str(tmp_path)])
    with pytest.raises(CallError, match="No such file"):
        Inputs([str(tmp_path / "missing")])
    with pytest.raises(CallError, match="null"):
        Inputs(["a\0b"])


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("64k", 65536), ("4M", 4 << 20), ("2GiB", 2 << 30), ("8kb", 8192), ("7B", 7)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5M", "M", "4T", "1 K", "0x10", "٣", "1KK"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@given(st.integers(0, 1 << 50))
def test_the_default_chunk_grows_with_the_input_within_its_bounds(total: int) -> None:
    assert 256 * 1024 <= default_chunk(total) <= 4096 * 1024
    assert default_chunk(total) <= default_chunk(total + 1)
