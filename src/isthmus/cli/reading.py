"""Cutting input files at line ends and reading the pieces so that they can cross without a copy.

Words: a *unit* is the nominal chunk number k of a file, bytes k*chunk to (k+1)*chunk; a *piece* is what the
unit becomes once both ends have moved forward to a line end; a *block* is one `bytes` with one piece, or
several small ones.

A cut depends on the file and its nominal place only, so that any unit can be read without the ones before it,
and every engine and every number of workers sees the same pieces. A line longer than a chunk makes its piece
longer and leaves the units that it covers empty; empty units are skipped.

Only the main interpreter reads. A block's bytes go from the page cache to where the object lies for good:
`pread` fills the new `bytes`, and several pieces are read into the buffer of a `BytesIO`, which `getvalue`
hands out as it is.
"""

from __future__ import annotations

import bisect
import io
import itertools
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from isthmus.cli.errors import CallError, TaskError

__all__ = ["Inputs", "Piece", "Reader", "default_chunk", "parse_size"]

KIB = 1024
#: A piece at least this long travels alone; shorter ones share a block, which a worker cuts up again.
ALONE = 64 * KIB
#: The most pieces of one block.
BLOCK_PIECES = 256
#: Linux reads at most 2 GiB less a page in one call.
READ_LIMIT = 1 << 30
#: The first look for a line end, and the longest.
PROBE, PROBE_LIMIT = 4 * KIB, 1024 * KIB
#: Files kept open: each worker reads from one place, and a place rarely leaves its file.
OPEN_FILES = 64


def parse_size(text: str) -> int:
    """Bytes meant by `text`: a positive whole number with an optional K, M or G (powers of 1024).

    ValueError else.
    """
    digits = text.strip().upper().removesuffix("B").removesuffix("I")
    factor = 1
    if digits and digits[-1] in "KMG":
        factor = KIB ** ("KMG".index(digits[-1]) + 1)
        digits = digits[:-1]
    if not (digits.isascii() and digits.isdigit()) or int(digits) == 0:
        raise ValueError(f"{text!r} is not a size: a positive whole number with an optional K, M or G")
    return int(digits) * factor


def default_chunk(total: int) -> int:
    """Bytes per chunk for `total` bytes of input: small enough to balance, large enough to cost nothing."""
    return min(max(-(-total // 256), 256 * KIB), 4096 * KIB)


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes `start` to `end` (exclusive) of the file `path`."""

    path: str
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.path}, bytes {self.start}:{self.end}"


class Inputs:
    """The input files in order, numbered through in units.

    CallError for what cannot be read or is no regular file.
    """

    def __init__(self, paths: Sequence[str], chunk: int | None = None) -> None:
        self.paths = list(paths)
        self.sizes = [_size(path) for path in self.paths]
        self.bytes = sum(self.sizes)
        self.chunk = default_chunk(self.bytes) if chunk is None else chunk
        counts = [-(-size // self.chunk) for size in self.sizes]
        #: number of the first unit, and place of the first byte, of each file; the last entry is the total
        self._first_unit = list(itertools.accumulate(counts, initial=0))
        self._first_byte = list(itertools.accumulate(self.sizes, initial=0))
        self.units = self._first_unit[-1]

    def locate(self, unit: int) -> tuple[int, int]:
        """The file's number and the nominal start in it."""
        # Empty files repeat a number in the list; the last of equals is the file that has the unit.
        file = bisect.bisect_right(self._first_unit, unit) - 1
        return file, (unit - self._first_unit[file]) * self.chunk

    def place(self, unit: int) -> int:
        """The unit's nominal start, counted from the first byte of the first file."""
        if unit >= self.units:
            return self.bytes
        file, start = self.locate(unit)
        return self._first_byte[file] + start

    def halfway(self, first: int, end: int) -> int:
        """The unit that halves the bytes of units `first` to `end`, never `end` itself."""
        middle = (self.place(first) + self.place(end)) // 2
        return min(first + bisect.bisect_left(range(first, end), middle, key=self.place), end - 1)

    def parts(self, count: int) -> list[tuple[int, int]]:
        """All units in `count` ranges of about equal bytes; some may be empty."""
        units = range(self.units)
        cuts = [bisect.bisect_left(units, self.bytes * i // count, key=self.place) for i in range(1, count)]
        return list(itertools.pairwise([0, *cuts, self.units]))


class Reader:
    """Finds and reads pieces. Used by one thread; a context manager that closes its files."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._open: dict[str, int] = {}
        # Line ends found as the end of a piece, until they are asked for as the start of the next.
        self._found: dict[tuple[int, int], int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def next_block(self, first: int, end: int) -> tuple[int, list[Piece]]:
        """Pieces of the next block out of units `first` to `end`, and the unit after them.

        No piece is empty.
        """
        inputs, pieces, length, unit = self._inputs, list[Piece](), 0, first
        while unit < end and len(pieces) < BLOCK_PIECES:
            nominal = inputs.place(unit + 1) - inputs.place(unit)
            if pieces and (nominal >= ALONE or length + nominal > inputs.chunk):
                break
            piece = self._piece(unit)
            unit += 1
            if piece.start < piece.end:
                pieces.append(piece)
                length += piece.end - piece.start
            if len(pieces) == 1 and length >= ALONE:
                break
        return unit, pieces

    def read(self, pieces: Sequence[Piece]) -> bytes:
        """The bytes of `pieces`, one after the other. TaskError if a file fails or has become shorter."""
        if not pieces:
            return b""
        if len(pieces) == 1:
            piece = pieces[0]
            data = self._pread(piece.path, min(piece.end - piece.start, READ_LIMIT), piece.start)
            if len(data) == piece.end - piece.start:
                return data
        return self._gather(pieces)

    def _piece(self, unit: int) -> Piece:
        file, nominal = self._inputs.locate(unit)
        after = nominal + self._inputs.chunk
        start = self._cut(file, nominal)
        end = start if start >= after else self._cut(file, after)
        if end < self._inputs.sizes[file]:
            self._found[file, after] = end
        return Piece(self._inputs.paths[file], start, end)

    def _cut(self, file: int, nominal: int) -> int:
        """The first line start at or after `nominal`, or the file's end."""
        size, path = self._inputs.sizes[file], self._inputs.paths[file]
        if nominal <= 0 or nominal >= size:
            return min(max(nominal, 0), size)
        found = self._found.pop((file, nominal), None)
        if found is not None:
            return found
        at, probe = nominal - 1, PROBE
        while at < size:
            data = self._pread(path, min(probe, size - at), at)
            if not data:
                raise _shrunk(path)
            line_end = data.find(b"\n")
            if line_end >= 0:
                return at + line_end + 1
            at += len(data)
            probe = min(4 * probe, PROBE_LIMIT)
        return size

    def _gather(self, pieces: Sequence[Piece]) -> bytes:
        """Several reads into one new `bytes`: a BytesIO's buffer, which becomes its value without a copy."""
        total = sum(piece.end - piece.start for piece in pieces)
        whole = io.BytesIO()
        whole.seek(total - 1)
        whole.write(b"\0")
        at = 0
        with whole.getbuffer() as view:
            for piece in pieces:
                start = piece.start
                while start < piece.end:
                    want = min(piece.end - start, READ_LIMIT)
                    got = self._preadv(piece.path, view[at : at + want], start)
                    if got == 0:
                        raise _shrunk(piece.path)
                    start, at = start + got, at + got
        return whole.getvalue()

    def _pread(self, path: str, length: int, start: int) -> bytes:
        try:
            return os.pread(self._file(path), length, start)
        except OSError as error:
            raise TaskError(f"{path}, at byte {start}: {error.strerror}") from None

    def _preadv(self, path: str, into: memoryview, start: int) -> int:
        try:
            return os.preadv(self._file(path), [into], start)
        except OSError as error:
            raise TaskError(f"{path}, at byte {start}: {error.strerror}") from None

    def _file(self, path: str) -> int:
        fd = self._open.pop(path, None)
        if fd is None:
            if len(self._open) >= OPEN_FILES:
                os.close(self._open.pop(next(iter(self._open))))
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        # Last in the dict is most recently used.
        self._open[path] = fd
        return fd


def _shrunk(path: str) -> TaskError:
    return TaskError(f"{path}: became shorter while it was being read")


def _size(path: str) -> int:
    try:
        # Non-blocking, or a FIFO without a writer would hold us here.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise CallError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        status = os.fstat(fd)
    finally:
        os.close(fd)
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise CallError(f"cannot read {path}: it is {kind}, and inputs are cut by their size")
    return status.st_size
