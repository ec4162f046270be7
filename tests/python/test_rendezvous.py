"""Every way a wait on a channel can end, for every operation that waits: nobody hangs, nothing leaks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import isthmus
from conftest import LARGE, PATIENCE, until

Create = Callable[..., isthmus.Interpreter]

PAYLOAD = f"b'x' * {LARGE}"
RECEIVING = {
    "recv": "end.recv({timeout})",
    "next": "next(end)",
    "recv_many": "end.recv_many(5, {timeout})",
    "select": "isthmus.select(end, timeout={timeout})",
}
SENDING = {
    "send": f"end.send({PAYLOAD}, {{timeout}})",
    "send_many": f"end.send_many([{PAYLOAD}] * 3, {{timeout}})",
    "select": f"isthmus.select((end, {PAYLOAD}), timeout={{timeout}})",
}
OPERATIONS = [
    *(pytest.param("recv", source, id=f"recv-{name}") for name, source in RECEIVING.items()),
    *(pytest.param("send", source, id=f"send-{name}") for name, source in SENDING.items()),
]
WAIT = """
import threading, isthmus
def wait():
    try:
        {operation}
    except BaseException as error:
        out.put(type(error).__name__)
    else:
        out.put("done")
threading.Thread(target=wait).start()
"""


class Meeting:
    """One interpreter waits, in a thread of its own, for another one that holds the other end."""

    def __init__(self, new_interp: Create, which: str, operation: str, timeout: object = None) -> None:
        r, s = isthmus.create_channel()
        mine, theirs = (r, s) if which == "recv" else (s, r)
        self.which = which
        self.end = mine  # held here to look at; of the other side this interpreter holds nothing
        self.waiting, self.other = new_interp(), new_interp()
        self.out = isthmus.create_queue()
        self.other.prepare_main(end=theirs)
        # First use: from here on the other side is associated, and its end can end.
        self.other.exec("end.recv_nowait()" if which == "send" else "end.send_nowait(0)")
        del r, s, theirs
        self.waiting.prepare_main(end=mine, out=self.out)
        self.waiting.exec(WAIT.format(operation=operation.format(timeout=timeout)))
        if timeout is None:
            assert until(lambda: self.parked() == 1)

    def parked(self) -> int:
        now = self.end.statistics()
        return now.waiting_receivers if self.which == "recv" else now.waiting_senders

    def result(self) -> object:
        got = self.out.get(timeout=PATIENCE)
        assert self.parked() == 0
        self.end.close()
        for each in (self.waiting, self.other):
            each.close()
        return got


@pytest.mark.parametrize(("which", "operation"), OPERATIONS)
class TestAWait:
    def test_ends_when_the_other_side_comes(self, new_interp: Create, which: str, operation: str) -> None:
        meeting = Meeting(new_interp, which, operation)
        many = "send_many" in operation
        meeting.other.exec(
            f"end.send({PAYLOAD})" if which == "recv" else "; ".join(["x = end.recv()"] * (3 if many else 1))
        )
        assert meeting.result() == "done"

    def test_ends_when_the_other_side_closes(self, new_interp: Create, which: str, operation: str) -> None:
        meeting = Meeting(new_interp, which, operation)
        meeting.other.exec("end.close()")
        assert meeting.result() == ("StopIteration" if operation == "next(end)" else "EOFError")

    def test_ends_when_the_other_side_dies(self, new_interp: Create, which: str, operation: str) -> None:
        meeting = Meeting(new_interp, which, operation)
        meeting.other.close()
        assert meeting.result() == ("StopIteration" if operation == "next(end)" else "EOFError")

    def test_ends_when_the_other_side_poisons(self, new_interp: Create, which: str, operation: str) -> None:
        meeting = Meeting(new_interp, which, operation)
        meeting.other.exec("end.poison(ZeroDivisionError('poison'))")
        assert meeting.result() == "ZeroDivisionError"

    def test_ends_when_its_own_interpreter_closes_the_end(
        self, new_interp: Create, which: str, operation: str
    ) -> None:
        meeting = Meeting(new_interp, which, operation)
        meeting.waiting.exec("end.close()")
        assert meeting.result() == "ValueError"

    def test_ends_when_its_own_interpreter_is_closed(
        self, new_interp: Create, which: str, operation: str
    ) -> None:
        meeting = Meeting(new_interp, which, operation)
        meeting.waiting.close()  # joins the thread: had it not been woken, this would hang
        assert meeting.result() is isthmus.UNBOUND  # it did put something before it went

    def test_goes_on_when_the_other_side_leaves_an_heir(
        self, new_interp: Create, which: str, operation: str
    ) -> None:
        """An end on its way counts: the wait does not end while somebody may still come."""
        meeting = Meeting(new_interp, which, operation)
        way_r, way_s = isthmus.create_channel(None)
        heir = new_interp()
        meeting.other.exec("import warnings; warnings.simplefilter('ignore')")
        meeting.other.prepare_main(way=way_s)
        meeting.other.exec("way.send(end); del end; way.close()")
        meeting.other.close()
        assert meeting.parked() == 1
        heir.prepare_main(end=way_r.recv())
        heir.exec("end.close()")
        assert meeting.result() == ("StopIteration" if operation == "next(end)" else "EOFError")
        way_r.close()
        way_s.close()

    def test_times_out(self, new_interp: Create, which: str, operation: str) -> None:
        if "timeout" not in operation:
            pytest.skip("iteration has no timeout")
        meeting = Meeting(new_interp, which, operation, 0.02)
        assert meeting.result() == "TimeoutError"
