"""The structured clone: what refers to what is kept, whatever the shape; nothing half built is ever seen."""

from __future__ import annotations

import collections
import copyreg
import dataclasses
import gc
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

import isthmus
from isthmus._isthmus import clone


class Plain:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class Hashed(Plain):
    """Equal and hashed by identity, as objects are."""


class Slotted:
    __slots__ = ("a", "b")


class SlottedToo(Slotted):  # has a __dict__ as well
    pass


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    a: Any
    b: Any


class HandsOut:
    """Is made of what another object holds, to which nobody else refers."""

    def __init__(self, of: Plain) -> None:
        self.of = of

    def __reduce__(self) -> tuple[Any, ...]:
        return Plain, (), {"part": self.of.part}


class WithEverything(list[Any]):
    """All parts that `__reduce_ex__` may return."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: dict[Any, Any] = {}
        self.state: Any = None

    def __setitem__(self, key: Any, value: Any) -> None:
        self.pairs[key] = value

    def __reduce__(self) -> tuple[Any, ...]:
        return WithEverything, (), self.state, iter(list(self)), iter(self.pairs.items()), set_state


def set_state(obj: WithEverything, state: Any) -> None:
    obj.state = state


class AppendOnly:
    def __init__(self) -> None:
        self.got: list[Any] = []

    def append(self, item: Any) -> None:
        self.got.append(item)

    def __reduce__(self) -> tuple[Any, ...]:
        return AppendOnly, (), None, iter(self.got)


def test_shared_parts_stay_shared() -> None:
    inner: list[Any] = [1]
    text, data, numbers = "a text of some length", b"octets", (1, 2, inner)
    value = [
        inner,
        text,
        data,
        numbers,
        {text: inner, "k": data},
        {text},
        Plain(a=inner, b=text),
        (numbers, data),
    ]
    got = clone(value)
    assert got[0] is got[3][2] is got[4][got[1]] is got[6].a
    assert got[1] is next(iter(got[5])) is got[6].b is next(iter(got[4]))
    assert got[2] is got[4]["k"] is got[7][1]
    assert got[3] is got[7][0]
    for array in (bytearray(b"x"), range(5), slice(1, [2]), frozenset({"y"}), collections.deque([1])):
        first, second = clone([array, array])
        assert first is second is not array
        assert type(first) is type(array)


@pytest.mark.parametrize(
    "make",
    [
        lambda: [1],
        lambda: {1: 2},
        lambda: {1},
        lambda: (object, [1]),
        lambda: frozenset({"y", 2.5}),
        lambda: bytearray(b"x"),
        lambda: bytes([7]) * 50,
        lambda: bytes([7]) * 100_000,
        lambda: "é" * 50,
        lambda: Plain(a=1),
        lambda: collections.deque([1]),
    ],
)
def test_what_just_its_two_containers_refer_to_stays_shared(make: Callable[[], Any]) -> None:
    """No variable of ours refers to the part: the writer judges by its count, which is exactly two."""
    for first, second in (clone([make()] * 2), clone((make(),) * 2)):
        assert first is second
    got = clone([[(part := make())], {"k": part}, (part := None)])
    assert got[0][0] is got[1]["k"]


def test_payloads_before_code_of_the_users_are_sent_once() -> None:
    """The writer starts over when it meets such code; what it had taken along by then it gives back."""
    before, after = b"b" * 100_000, b"a" * 100_000
    first, second = isthmus.SharedBuffer(8), isthmus.SharedBuffer(16)
    start = isthmus.stats()
    got = clone([before, first, [1], AppendOnly(), after, second])
    assert got[0] == before
    assert got[4] == after
    assert got[1] == first
    assert got[5] == second
    assert isthmus.stats().shares_outstanding == start.shares_outstanding


def test_equal_parts_stay_apart() -> None:
    first, second = clone([[1], [1]])
    assert first == second
    assert first is not second


@pytest.mark.parametrize(
    "close",
    [
        lambda ring: ring.append(ring),
        lambda ring: ring.append({"k": ring}),
        lambda ring: ring.append((ring,)),
        lambda ring: ring.append(((ring, 1), [ring])),
        lambda ring: ring.append(Plain(ring=ring)),
        lambda ring: ring.append(slice(ring)),
        lambda ring: ring.append(collections.deque([ring])),
        lambda ring: ring.append({Hashed(ring=ring)}),
        lambda ring: ring.append(frozenset({Hashed(ring=ring)})),
        lambda ring: ring.append({Hashed(ring=ring): ring}),
        lambda ring: ring.append(Frozen(ring, {"k": ring})),
    ],
)
def test_cycles(close: Callable[[list[Any]], None]) -> None:
    ring: list[Any] = []
    close(ring)
    got = clone(ring)
    seen: set[int] = set()
    waiting, met = [got], 0
    while waiting:
        each = waiting.pop()
        met += each is got
        if id(each) in seen or isinstance(each, type):
            continue
        seen.add(id(each))
        waiting += [x for x in gc.get_referents(each) if x is got or not isinstance(x, type)]
    assert met >= 2, "it does not contain itself"


def test_immutable_values_in_cycles() -> None:
    first: tuple[list[Any], ...] = ([],)
    first[0].append(first)
    got = clone(first)
    assert got[0][0] is got
    member = Hashed()
    second = frozenset({member})
    member.of = second  # type: ignore[attr-defined]
    (one,) = got_set = clone(second)
    assert one.of is got_set
    third = slice([])
    third.stop.append(third)
    assert (again := clone(third)).stop[0] is again
    fourth = (member,)
    member.of = {fourth}  # type: ignore[attr-defined]
    got = clone(fourth)
    assert got[0].of.pop() is got


def test_what_is_made_of_itself_is_refused() -> None:
    class OfItself:
        def __reduce__(self) -> tuple[Any, ...]:
            return Plain, (self,)

    with pytest.raises(isthmus.NotShareableError, match=r"^\[1\]: .*OfItself can't .*needed to make itself"):
        clone([0, OfItself()])
    assert not isthmus.is_shareable([OfItself()])


def test_values_that_need_one_another_in_turn() -> None:
    """Each is met in the making of the others, and what refers to all of them comes in the midst of it."""
    count = 30
    lists: list[list[Any]] = [[] for _ in range(count)]
    exceptions = [ValueError(each) for each in lists]
    for at, each in enumerate(exceptions):
        lists[at].append(exceptions[(at + 1) % count])
        each.__context__ = exceptions[at * 7 % count]
        each.__cause__ = exceptions[at - 1]
        each.others = (exceptions[at // 2], lists)  # type: ignore[attr-defined]
    got = clone(exceptions)
    for at, each in enumerate(got):
        assert each.args[0][0] is got[(at + 1) % count]
        assert each.__context__ is got[at * 7 % count]
        assert each.__cause__ is got[at - 1]
        assert each.others[0] is got[at // 2]
        assert each.others[1][at] is each.args[0]
    first, second = ValueError(), ValueError()
    first.args, second.args = (second,), ([first],)
    second.__cause__ = first
    got = clone(first)
    assert got.args[0].__cause__ is got.args[0].args[0][0] is got


def test_what_code_of_the_users_hands_out_is_shared_too() -> None:
    for order in (1, -1):
        of = Plain(part=[1])
        value = [of, HandsOut(of)][::order]
        got = clone(value)[::order]
        assert got[0].part is got[1].part


def test_slots_and_attributes() -> None:
    plain, slotted, both = Plain(), Slotted(), SlottedToo()
    slotted.a = both.b = [1]
    both.c = slotted.a  # type: ignore[attr-defined]
    setattr(plain, "not an identifier", 1)
    plain.__dict__[5] = 6  # type: ignore[index]
    got = clone([plain, slotted, both, Frozen(1, Frozen(2, None))])
    assert vars(got[0]) == {"not an identifier": 1, 5: 6}
    assert got[1].a == [1]
    assert not hasattr(got[1], "b")
    assert got[2].b is got[2].c is got[1].a
    assert got[3] == Frozen(1, Frozen(2, None))


def test_names_of_attributes_are_interned() -> None:
    import sys

    name = "".join(["a_name_", "nobody_else_has"])
    got = clone(Plain(**{name: 1}))
    (arrived,) = vars(got)
    assert arrived is sys.intern(name)


def test_everything_that_a_reduction_may_have() -> None:
    value = WithEverything()
    value.extend([1, [2]])
    value.pairs = {"k": [value], (1, 2): None}
    value.state = {"all": value}
    got = clone(value)
    assert list(got) == [1, [2]]
    assert got.pairs == {"k": [got], (1, 2): None}
    assert got.state["all"] is got
    only = AppendOnly()
    only.got = [only, 2]
    got = clone(only)
    assert got.got[0] is got
    assert got.got[1] == 2


def test_copyreg_has_a_say() -> None:
    class Registered(Plain):
        pass

    copyreg.pickle(Registered, lambda obj: (Plain, (), {"by": "copyreg", "of": obj.x}))  # type: ignore[arg-type,return-value]
    try:
        got = clone([Registered(x=1)])[0]
    finally:
        del copyreg.dispatch_table[Registered]
    assert type(got) is Plain
    assert vars(got) == {"by": "copyreg", "of": 1}


@pytest.mark.parametrize(
    "reduced",
    [
        5,
        (),
        (Plain,),
        (Plain, [], 1, 2, 3, 4, 5),
        (5, ()),
        (Plain, []),
        (Plain, (), None, 5),
        (Plain, (), None, None, [1]),
    ],
)
def test_reductions_that_make_no_sense(reduced: Any) -> None:
    class Odd:
        def __reduce__(self) -> Any:
            return reduced

    r, s = isthmus.create_channel(None)
    with pytest.raises(TypeError):
        s.send([b"x" * 100_000, Odd()])
    assert r.recv_nowait("nothing") == "nothing"


@pytest.mark.parametrize("container", [list(range(5)), dict.fromkeys("abcde")], ids=["list", "dict"])
@pytest.mark.parametrize("more", [True, False])
def test_a_container_that_changes_meanwhile(container: Any, more: bool) -> None:
    class Changes:
        def __reduce__(self) -> Any:
            if not more:
                container.clear()
            elif isinstance(container, list):
                container.append(1)
            else:
                container["more"] = 1
            return int, ()

    if isinstance(container, list):
        container = [*container, Changes(), 1]
    else:
        container = {**container, "x": Changes(), "y": 1}
    with pytest.raises(RuntimeError, match="changed size while it was sent"):
        clone(container)


class Looks(Plain):
    looked: ClassVar[list[int]] = []

    def __setstate__(self, state: Any) -> None:
        for each in gc.get_objects():
            if type(each) in (list, tuple, set) and len(each) < 100:
                list(each)
        self.looked.append(len(state["around"]))


def test_nothing_unfinished_is_seen() -> None:
    """Who looks at all there is finds lists and dicts that only lack parts."""
    around: list[Any] = [1, 2]
    one = Looks(around=around)
    around += [(one, 3), {"k": one}, 4]
    Looks.looked.clear()
    got = clone(around)
    assert Looks.looked == [2]
    assert type(got[2][0]) is Looks
    assert got[4] == 4


class Appends(Plain):
    def __setstate__(self, state: Any) -> None:
        state["around"] += [7] * 50


def test_a_list_that_is_filled_further_while_it_arrives() -> None:
    """A list has room for what is to come; who appends meanwhile writes neither over it nor behind it."""
    around: list[Any] = [1, 2]
    around += [Appends(around=around), 3, 4, 5]
    got = clone(around)
    assert [each if type(each) is int else type(each) for each in got] == [1, 2] + [7] * 50 + [
        Appends,
        3,
        4,
        5,
    ]


def test_an_attribute_that_needs_a_look_at_the_path() -> None:
    import threading

    bad = threading.Lock()
    for value, path in (
        ([Plain(a={"k": Slotted()})], None),
        ([Plain(a={"k": (1, bad)})], "[0].a['k'][1]: "),
        ([Frozen(1, [bad])], "[0].b[0]: "),
        ({"x": collections.OrderedDict(y=bad)}, "['x']['y']: "),
        ([collections.deque([bad])], "[0][0]: "),
    ):
        if path is None:
            clone(value)
            continue
        with pytest.raises(isthmus.NotShareableError) as caught:
            clone(value)
        assert str(caught.value).startswith(path)
        assert "_thread.lock can't be sent" in str(caught.value)
