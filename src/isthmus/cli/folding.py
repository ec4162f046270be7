"""Who maps which units, and which neighbouring results are folded where.

The units are cut into one contiguous *run* per worker. A worker folds its run from left to right into one
partial result, which stays with it. A worker that runs out of units takes the second half of the longest rest
of another's run, as a new run behind that one. Runs that are done and stand side by side are joined, in input
order, by a worker that has one of the two; the other result moves only if it lies elsewhere. So `reduce` is
called on neighbours only, any associative `reduce` gives what a fold from left to right gives, and few
results ever move.

This is bookkeeping of the main interpreter: it holds no results and does no input or output.
"""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.cli.reading import Inputs, Piece

__all__ = ["Folding", "Join", "Run"]


@dataclass(slots=True, eq=False)
class Run:
    """Contiguous units, folded by one worker."""

    number: int
    #: the worker that holds the partial result
    owner: int
    #: units not handed out yet: `next` to `end`
    next: int
    end: int
    #: blocks handed out that are not answered
    waiting: int = 0
    #: bytes handed out
    bytes: int = 0
    first: Piece | None = None
    last: Piece | None = None
    #: being joined
    busy: bool = False

    @property
    def done(self) -> bool:
        return self.next == self.end and self.waiting == 0

    def __str__(self) -> str:
        """The input that went into the result, for messages."""
        assert self.first is not None
        assert self.last is not None
        if self.first.path == self.last.path:
            return str(Piece(self.first.path, self.first.start, self.last.end))
        return f"{self.first.path} from byte {self.first.start} to {self.last.path} byte {self.last.end}"


@dataclass(frozen=True, slots=True)
class Join:
    """Two neighbours to fold.

    The result goes to `at`; if `moving` is set, that run's result has to go there first.
    """

    left: Run
    right: Run
    at: int
    moving: Run | None


class Folding:
    """The runs, in input order."""

    def __init__(self, inputs: Inputs, workers: int) -> None:
        self._inputs = inputs
        self._made = 0
        self._runs: list[Run] = []
        self._current: list[Run] = []
        for worker, (first, end) in enumerate(inputs.parts(workers)):
            run = self._new_run(worker, first, end)
            self._runs.append(run)
            self._current.append(run)

    def _new_run(self, owner: int, first: int, end: int) -> Run:
        self._made += 1
        return Run(self._made, owner, first, end)

    def next_run(self, worker: int) -> Run | None:
        """The run of which `worker` should map the next units; None if nothing is left for it to map."""
        run = self._current[worker]
        if run.next < run.end:
            return run
        place = self._inputs.place
        victim = max(self._runs, key=lambda other: place(other.end) - place(other.next))
        if victim.next == victim.end:
            return None
        middle = self._inputs.halfway(victim.next, victim.end)
        taken = self._new_run(worker, middle, victim.end)
        victim.end = middle
        self._runs.insert(self._runs.index(victim) + 1, taken)
        self._current[worker] = taken
        return taken

    def handed_out(self, run: Run, upto: int, pieces: list[Piece]) -> None:
        """Units of `run` up to `upto` are `pieces`, which went to its owner."""
        run.next = upto
        if pieces:
            run.waiting += 1
            run.bytes += sum(piece.end - piece.start for piece in pieces)
            run.first = run.first or pieces[0]
            run.last = pieces[-1]

    def joins(self) -> list[Join]:
        """Neighbours that can be joined now. Each counts as busy until `joined`."""
        # Runs whose units were all empty have no result.
        self._runs = [run for run in self._runs if run.first is not None or not run.done]
        found = self._pairs(local=True)
        # While there is input, no worker should spend its time on moving results.
        if all(run.next == run.end for run in self._runs):
            found += self._pairs(local=False)
        return found

    def _pairs(self, *, local: bool) -> list[Join]:
        found = []
        for left, right in zip(self._runs, self._runs[1:], strict=False):
            ready = left.done and right.done and not left.busy and not right.busy
            if not ready or (local and left.owner != right.owner):
                continue
            left.busy = right.busy = True
            # Bytes of input stand for the size of a result: the smaller one moves.
            stays, moves = (left, right) if left.bytes >= right.bytes else (right, left)
            found.append(Join(left, right, stays.owner, None if left.owner == right.owner else moves))
        return found

    def joined(self, join: Join) -> None:
        """The result of `join` lies at its worker, under the left run's number."""
        left, right = join.left, join.right
        self._runs.remove(right)
        left.owner, left.busy, left.last = join.at, False, right.last
        left.bytes += right.bytes

    def final(self) -> Run | None:
        """The run that has the result of the whole input; None as long as there is none."""
        if len(self._runs) == 1 and self._runs[0].done and not self._runs[0].busy:
            return self._runs[0]
        return None
