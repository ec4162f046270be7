"""A mapped file in which the director and the workers of a round signal one another, without isthmus."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

PLACES = 64
_HEAD = struct.Struct("=BBi")  # whether all shall pause, whether limits were used, the pipe to wait at
_PARKED = _HEAD.size
_COMPARED = _PARKED + PLACES + (-_PARKED - PLACES) % 8
_COUNT = struct.Struct("=q")
SIZE = _COMPARED + PLACES * _COUNT.size


class Control:
    """The worker's side, at its place."""

    def __init__(self, path: str, place: int) -> None:
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), SIZE)
        self.place = place

    @property
    def shall_pause(self) -> bool:
        return self.memory[0] != 0

    @property
    def limits_used(self) -> bool:
        return self.memory[1] != 0

    def note_compared(self, count: int) -> None:
        _COUNT.pack_into(self.memory, _COMPARED + self.place * _COUNT.size, count)

    def pause(self) -> None:
        """Block, out of Python's memory and isthmus's, until the director goes on."""
        self.memory[_PARKED + self.place] = 1
        try:
            os.read(_HEAD.unpack_from(self.memory)[2], 1)
        finally:
            self.memory[_PARKED + self.place] = 0

    def close(self) -> None:
        self.memory.close()


class DirectorsControl(Control):
    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(SIZE))
        super().__init__(str(path), PLACES - 1)
        self._read_end, self._write_end = os.pipe()
        _HEAD.pack_into(self.memory, 0, 0, 0, self._read_end)
        self._released: set[int] = set()

    def note_limits(self) -> None:
        self.memory[1] = 1

    def compared(self) -> int:
        """By the workers that are there now; what went before them is not counted."""
        return sum(n for (n,) in _COUNT.iter_unpack(self.memory[_COMPARED:]))

    def parked(self) -> set[int]:
        return {place for place in range(PLACES) if self.memory[_PARKED + place]}

    def pause_all(self) -> None:
        self.memory[0] = 1

    def go_on(self) -> None:
        """Also called now and then, for who came to stand late."""
        self.memory[0] = 0
        parked = self.parked()
        for _ in parked - self._released:
            os.write(self._write_end, b"!")
        self._released = parked

    def close(self) -> None:
        super().close()
        os.close(self._read_end)
        os.close(self._write_end)
