"""SharedBuffer: one memory in all interpreters, freed when the last one drops it."""

from __future__ import annotations

import copy
import pickle
import resource
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import isthmus
from _subprocess import limits_addresses
from conftest import run_script

Create = Callable[..., isthmus.Interpreter]
Ends = tuple[isthmus.RecvChannel, isthmus.SendChannel]
MIB = 1 << 20
PAGE = resource.getpagesize()


# ---- the object


@pytest.mark.parametrize("size", [0, 1, 100, PAGE, PAGE + 1, 3 * MIB])
def test_it_is_zeroed_writable_memory(size: int) -> None:
    made = isthmus.SharedBuffer(size)
    assert len(made) == made.nbytes == size
    with memoryview(made) as shown:
        assert (shown.format, shown.itemsize, shown.ndim, shown.nbytes) == ("B", 1, 1, size)
        assert not shown.readonly
        assert shown.contiguous
        assert bytes(shown) == bytes(size)
        shown[:] = b"x" * size
    assert bytes(made) == b"x" * size


def test_sizes_come_from_integers() -> None:
    class Sized:
        def __index__(self) -> int:
            return 12

    assert len(isthmus.SharedBuffer(Sized())) == len(isthmus.SharedBuffer(nbytes=12)) == 12


@pytest.mark.parametrize("given", ["1", 1.0, None, b"1"])
def test_sizes_are_integers(given: Any) -> None:
    with pytest.raises(TypeError, match="integer"):
        isthmus.SharedBuffer(given)


def test_a_size_is_needed() -> None:
    for arguments in [(), (1, 2)]:
        with pytest.raises(TypeError, match="argument"):
            isthmus.SharedBuffer(*arguments)
    with pytest.raises(TypeError, match="argument"):
        isthmus.SharedBuffer(1, other=2)  # type: ignore[call-arg]


@pytest.mark.parametrize("size", [-1, -(2**63), -(2**100)])
def test_negative_sizes(size: int) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        isthmus.SharedBuffer(size)


@pytest.mark.parametrize("size", [2**62, 2**63 - 1, 2**63, 2**64, 2**100])
def test_what_is_too_large_is_a_memory_error(size: int) -> None:
    with pytest.raises(MemoryError):
        isthmus.SharedBuffer(size)


@limits_addresses
def test_a_limit_of_addresses_is_a_memory_error() -> None:
    run_script(
        """
        import resource
        import isthmus
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        limit = used + (256 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        kept = []
        try:
            while True:
                kept.append(isthmus.SharedBuffer(16 << 20))
        except MemoryError:
            pass
        assert 4 < len(kept) <= 16, len(kept)
        for each in kept:
            memoryview(each)[-1] = 1
        kept.clear()
        for _ in range(100):  # what was dropped can be had again
            each = isthmus.SharedBuffer(64 << 20)
        del each
        assert isthmus.stats().shared_buffers_live == 0
        """
    )


def test_equality_is_that_of_the_memory(ends: Ends) -> None:
    made, other = isthmus.SharedBuffer(8), isthmus.SharedBuffer(8)
    ends[1].send(made)
    same = ends[0].recv()
    assert same == made
    assert hash(same) == hash(made)
    assert (same != made) is False
    assert made != other
    assert made != bytes(8)
    assert len({made, same, other}) == 2
    with pytest.raises(TypeError):
        made < other  # type: ignore[operator]  # noqa: B015


def test_nothing_is_a_buffer_with_an_identity(ends: Ends) -> None:
    made, other = isthmus.SharedBuffer(0), isthmus.SharedBuffer(0)
    ends[1].send((made, memoryview(made)))
    same, shown = ends[0].recv()
    assert same == made != other
    assert isthmus.same_memory(same, made)
    assert not isthmus.same_memory(other, made)
    assert shown.nbytes == 0


def test_what_is_said_about_it() -> None:
    made = isthmus.SharedBuffer(100)
    assert repr(made).startswith("<SharedBuffer nbytes=100 at 0x")
    assert isthmus.describe(made) == {
        "kind": "handle", "owner": None, "slot": None, "shares": 0, "bytes": 100
    }  # fmt: skip
    assert isthmus.owner(made) is None
    assert isthmus.is_shareable(made)
    assert isthmus.same_memory(made, memoryview(made))
    assert not isthmus.same_memory(made, memoryview(made)[1:])


def test_gauges_count_it() -> None:
    before = isthmus.stats()
    made = isthmus.SharedBuffer(12345)
    now = isthmus.stats()
    assert now.shared_buffers_live == before.shared_buffers_live + 1
    assert now.shared_buffer_bytes == before.shared_buffer_bytes + 12345
    del made
    assert isthmus.stats().shared_buffer_bytes == before.shared_buffer_bytes


@pytest.mark.parametrize("made", [isthmus.SharedBuffer, lambda n: isthmus.SharedBuffer(n).atomic("i")])
def test_it_can_not_leave_the_process(made: Callable[[int], Any]) -> None:
    thing = made(8)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(isthmus.NotShareableError, match="can't be pickled"):
            pickle.dumps(thing, protocol)
    with pytest.raises(TypeError, match="can't be pickled"):
        copy.deepcopy([thing])


# ---- crossing


def test_it_crosses_by_every_way(interp: isthmus.Interpreter, ends: Ends) -> None:
    made = isthmus.SharedBuffer(8)
    queue = isthmus.create_queue()
    interp.prepare_main(prepared=made, queue=queue)
    ends[1].send(made)
    queue.put(made)
    back = isthmus.create_channel(None)
    interp.run(
        """if True:
        found = [prepared, ran, received.recv(), queue.get()]
        import isthmus
        assert all(type(each) is isthmus.SharedBuffer for each in found)
        assert len(set(found)) == 1
        for i, each in enumerate(found):
            memoryview(each)[i] = i + 1
        send.send({'inside': [found[0], (found[1],)], 'key': found[2]})
        """,
        ran=made,
        received=ends[0],
        send=back[1],
    )
    assert bytes(made) == b"\1\2\3\4\0\0\0\0"
    came = back[0].recv()
    assert came["inside"][0] == came["inside"][1][0] == came["key"] == made
    assert isthmus.same_memory(came["key"], made)
    assert interp.call(lambda one, two=None: (one == two, len(one)), made, two=made) == (True, 8)
    assert interp.call(lambda given: given, made) == made
    for end in back:
        end.close()


def test_a_dict_of_it_and_what_goes_by_pickle(ends: Ends) -> None:
    made = isthmus.SharedBuffer(4)
    holder = SimpleNamespace(memory=made, counters=made.atomic("i"))
    ends[1].send({made: holder})
    (key, value) = next(iter(ends[0].recv().items()))
    assert key == value.memory == made
    assert value.counters == made.atomic("i")


def test_large_ones_cross_without_a_copy(interp: isthmus.Interpreter, ends: Ends) -> None:
    before = isthmus.stats().payload_bytes_copied
    made = isthmus.SharedBuffer(64 * MIB)
    interp.run("memoryview(made)[-1] = 7", made=made)
    assert memoryview(made)[-1] == 7
    assert isthmus.stats().payload_bytes_copied == before


@pytest.mark.parametrize("gil", ["own", "shared"])
def test_it_works_in_every_kind_of_interpreter(new_interp: Create, gil: str, ends: Ends) -> None:
    interp = new_interp(gil=gil)
    interp.run(
        """if True:
        import isthmus
        mine = isthmus.SharedBuffer(8)
        mine.atomic('q').store(0, 41)
        send.send(mine)
        """,
        send=ends[1],
    )
    made = ends[0].recv()
    assert made.atomic("q").add(0, 1) == 41
    interp.run("assert mine.atomic('q').load(0) == 42")
