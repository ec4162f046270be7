"""A mapped file in which the director and the workers of a round signal one another, without isthmus."""

from __future__ import annotations

import fcntl
import io
import mmap
import struct
from pathlib import Path

PLACES = 64
_PAUSE, _END = 1, 2
_PARKED = 2  # after: whether all shall pause or end, whether limits were used
_COMPARED = (_PARKED + PLACES + 7) // 8 * 8
_COUNT = struct.Struct("=q")
SIZE = _COMPARED + PLACES * _COUNT.size


class Control:
    """The worker's side, at its place."""

    def __init__(self, path: str, place: int) -> None:
        self.file = io.FileIO(path, "r+")
        try:
            self.memory = mmap.mmap(self.file.fileno(), SIZE)
        except BaseException:
            self.file.close()
            raise
        self.place = place

    @property
    def shall_pause(self) -> bool:
        return self.memory[0] == _PAUSE

    @property
    def shall_end(self) -> bool:
        return self.memory[0] == _END

    @property
    def limits_used(self) -> bool:
        return self.memory[1] != 0

    def note_compared(self, count: int) -> None:
        _COUNT.pack_into(self.memory, _COMPARED + self.place * _COUNT.size, count)

    def pause(self) -> None:
        """Block, out of Python's memory and isthmus's, until the director goes on."""
        self.memory[_PARKED + self.place] = 1
        try:
            # Each has opened the file for itself: the director's lock keeps all of them out.
            fcntl.flock(self.file, fcntl.LOCK_SH)
            fcntl.flock(self.file, fcntl.LOCK_UN)
        finally:
            self.memory[_PARKED + self.place] = 0

    def close(self) -> None:
        """May be called again."""
        self.memory.close()
        self.file.close()


class DirectorsControl(Control):
    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(SIZE))
        super().__init__(str(path), PLACES - 1)

    def note_limits(self) -> None:
        self.memory[1] = 1

    def compared(self) -> int:
        """By the workers that are there now; what went before them is not counted."""
        return sum(n for (n,) in _COUNT.iter_unpack(self.memory[_COMPARED:]))

    def parked(self) -> set[int]:
        return {place for place in range(PLACES) if self.memory[_PARKED + place]}

    def pause_all(self) -> None:
        fcntl.flock(self.file, fcntl.LOCK_EX)
        self.memory[0] = _PAUSE

    def end_all(self) -> None:
        self.memory[0] = _END

    def go_on(self) -> None:
        self.memory[0] = 0
        fcntl.flock(self.file, fcntl.LOCK_UN)
