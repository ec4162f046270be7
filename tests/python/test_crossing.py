"""What crosses, and what arrives: values there and back through another interpreter."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import fractions
import math
import pathlib
import struct
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import isthmus
from _sample_types import Buffered, Explodes, Pair, Point, Refuses
from conftest import LARGE, PATIENCE

ECHO = """
while True:
    try:
        item = r.recv()
    except EOFError:
        break
    except Exception as failure:
        item = failure
    s.send(item)
    del item
"""
THRESHOLD = 64 * 1024
# What counts is the object, header included: the first shared payload is shorter than the threshold.
AROUND = [
    *range(46, 52), 255, 256,
    THRESHOLD - 64, *range(THRESHOLD - 58, THRESHOLD - 30), THRESHOLD - 1, THRESHOLD, THRESHOLD + 1,
    1_000_003,
]  # fmt: skip


Bounce = Callable[[Any], Any]


@pytest.fixture(scope="module")
def bounce() -> Iterator[Bounce]:
    """Send a value to another interpreter, which decodes it and sends it back."""
    interp = isthmus.create()
    there, back = isthmus.create_channel(1), isthmus.create_channel(1)
    interp.prepare_main(r=there[0], s=back[1])
    thread = threading.Thread(target=interp.run, args=(ECHO,))
    thread.start()

    def there_and_back(value: Any) -> Any:
        there[1].send(value, timeout=PATIENCE)
        return back[0].recv(timeout=PATIENCE)

    yield there_and_back
    there[1].close()
    thread.join()
    interp.close()


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same types all the way down; NaN equals NaN of the same bits, 0.0 is not -0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    return bool(a == b)


any_text = st.text(st.characters(codec=None, exclude_categories=()), max_size=60)  # lone surrogates too
simple = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**300), 2**300)
    | st.floats()
    | st.binary(max_size=60)
    | any_text
)
nested = st.recursive(simple, lambda inner: st.lists(inner, max_size=5).map(tuple), max_leaves=20)
picklable = st.recursive(
    simple | st.builds(Point, st.integers()) | st.decimals(allow_nan=False) | st.binary().map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.integers() | any_text, inner, max_size=4)
        | st.builds(Pair, inner, inner)
    ),
    max_leaves=15,
)
often = settings(
    deadline=None,
    max_examples=150,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@often
@given(nested)
@example(math.nan)
@example(struct.unpack("d", struct.pack("Q", 0x7FF8_0000_DEAD_BEEF))[0])
@example(-math.nan)
@example((math.inf, -math.inf, 0.0, -0.0, 5e-324))
@example((2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, -(2**64)))
@example((True, 1, 1.0, False, 0, None))
@example(((), ((), ((),)), ""))
@example("\ud800 \udfff \U0010ffff \0")
def test_natively_shareable_values(bounce: Bounce, value: Any) -> None:
    assert same(bounce(value), value)


@often
@given(picklable)
def test_picklable_values(bounce: Bounce, value: Any) -> None:
    assert same(bounce(value), value)


@settings(often, max_examples=25)
@given(st.integers(1, 40_000), st.booleans())
def test_integers_of_any_size(bounce: Bounce, bits: int, negative: bool) -> None:
    for value in (1 << bits, (1 << bits) - 1):
        assert bounce(-value if negative else value) == (-value if negative else value)


@pytest.mark.parametrize("size", AROUND)
def test_sizes_around_the_limits(bounce: Bounce, size: int) -> None:
    for letter in ("a", "é", "€", "\ud83d", "😀"):
        text = letter * (size - 1) + "z"
        assert same(bounce(text), text)
        assert same(bounce((text, "small")), (text, "small"))
    data = bytes(range(251)) * (size // 251 + 1)
    assert same(bounce(data[:size]), data[:size])


@pytest.mark.parametrize(
    "wrap",
    [lambda x: (x,), lambda x: [x], lambda x: {"k": x}, Point],
    ids=["tuple", "list", "dict", "object"],
)
def test_any_depth(bounce: Bounce, wrap: Callable[[Any], Any]) -> None:
    deep: Any = ()
    for _ in range(1_000_000):
        deep = wrap(deep)
    got = bounce(deep)
    for _ in range(1_000_000):  # by hand: comparing or printing it would recurse
        assert type(got) is type(deep)
        got, deep = (
            each.x if wrap is Point else next(iter(getattr(each, "values", each.__iter__)()))
            for each in (got, deep)
        )
    assert got == deep == ()


@pytest.mark.parametrize(
    "value",
    [
        [1, [2, [3]]],
        {"k": [1, {2: b"x"}], (1, 2): None},
        {1, 2, 3},
        frozenset({1, 2}),
        bytearray(b"abc"),
        bytearray(LARGE),
        array.array("d", [1.5, -0.0]),
        array.array("i", range(50_000)),
        Point(1, Point(2)),
        Pair(1, Pair("x", [None])),
        collections.deque([1, 2], maxlen=5),
        collections.OrderedDict(a=1),
        decimal.Decimal("1.10"),
        fractions.Fraction(1, 3),
        datetime.datetime(2017, 9, 22, tzinfo=datetime.UTC),
        uuid.UUID(int=5),
        pathlib.PurePosixPath("a/b"),
        complex(1, -2),
        range(1, 10, 3),
        slice(1, None),
        ...,
        NotImplemented,
        ValueError("text", 5),
        math.sin,
        dict,
        Point,
        memoryview,
    ],
    ids=lambda value: type(value).__name__,
)
def test_picklable_objects_of_many_types(bounce: Bounce, value: Any) -> None:
    got = bounce(value)
    assert type(got) is type(value)
    assert repr(got) == repr(value)
    assert bounce([value, value])[0].__class__ is type(value)


def test_subclasses_stay_what_they_are(bounce: Bounce) -> None:
    for value in (collections.Counter("aab"), collections.UserString("x"), Pair(b"x" * LARGE, 1)):
        got = bounce(value)
        assert (type(got), got) == (type(value), value)


def test_a_changed_copy_changes_nothing_here(bounce: Bounce) -> None:
    original = {"list": [1], "array": bytearray(LARGE)}
    got = bounce(original)
    got["list"].append(2)
    got["array"][0] = 255
    assert original == {"list": [1], "array": bytearray(LARGE)}


def test_large_payloads_inside_an_object_are_shared(bounce: Bounce) -> None:
    data, text = b"d" * LARGE, "é" * LARGE
    before = isthmus.stats()
    made: list[Any] = [data, {"text": text}, Point(1, data)]
    got = bounce(made)
    assert got[0] is data
    assert got[1]["text"] is text
    assert got[2].y is data
    after = isthmus.stats()
    assert after.payload_bytes_copied == before.payload_bytes_copied
    assert after.twins_made == before.twins_made + 2


def test_buffers_of_pickle_5_go_out_of_band(bounce: Bounce) -> None:
    for data in (bytes(LARGE), bytearray(b"w" * LARGE), b"small", bytearray(b"small")):
        got = bounce(Buffered(data)).data
        assert got == data
        assert isinstance(got, bytes) == isinstance(data, bytes)
        if isinstance(data, bytearray):
            got[0] = 0
            assert data[0] == 0, "it is a view of the same memory"


def test_shared_references_and_cycles_are_kept(bounce: Bounce) -> None:
    inner: list[Any] = [1]
    got = bounce([inner, inner, (inner,)])
    assert got[0] is got[1] is got[2][0]
    loop: list[Any] = []
    loop.append(loop)
    got = bounce(loop)
    assert got[0] is got
    data = b"x" * LARGE
    got = bounce((data, [data], data))
    assert got[0] is got[1][0] is got[2] is data
    r, _ = isthmus.create_channel()
    got = bounce([r, {"again": r}])
    assert got[0] is got[1]["again"]


@pytest.mark.parametrize(
    ("make", "path", "kind"),
    [
        (lambda: sys._getframe(), "", "frame"),
        (threading.Lock, "", "lock"),
        (
            lambda: (
                1,
                (2, "x", (x for x in "")),
            ),
            "[1][2]",
            "generator",
        ),
        (lambda: {"key": [0, threading.Lock()]}, "['key'][1]", "lock"),
        (lambda: {sys: 1}, "[key ", "module"),
        (lambda: {1: 2, (3, sys): 1}, "[key (3, <module 'sys' (built-in)>)][1]", "module"),
        (lambda: [{1, frozenset({sys})}], "[0]{...}{...}", "module"),
        (lambda: [0, collections.deque([0, sys])], "[1][1]", "module"),
        (lambda: collections.OrderedDict(a={"b": sys}), "['a']['b']", "module"),
        (lambda: [slice(0, sys)], "[0][1]", "module"),
        (lambda: Point(1, [sys]), ".y[0]", "module"),
        (lambda: [b"x" * LARGE, "y" * LARGE, sys], "[2]", "module"),
    ],
)
def test_what_can_not_cross_is_named(make: Callable[[], Any], path: str, kind: str) -> None:
    r, s = isthmus.create_channel(None)
    value = make()
    start = isthmus.stats().shares_outstanding
    for action in (s.send, s.send_nowait):
        with pytest.raises(isthmus.NotShareableError) as caught:
            action(value)
        assert path in str(caught.value)
        assert kind in str(caught.value).partition(" can't be sent")[0]
        assert isinstance(caught.value, TypeError)
        assert isinstance(caught.value, ValueError)
    assert not isthmus.is_shareable(value)
    assert r.recv_nowait("nothing") == "nothing"
    assert isthmus.stats().shares_outstanding == start


def test_is_shareable_tells_the_truth_in_depth() -> None:
    r, s = isthmus.create_channel()
    yes: list[Any] = [None, 1, "x" * LARGE, (b"x", (r, s)), [isthmus.get_main()], {"k": Point(1)}, Point, len]
    no: list[Any] = [sys, (1, (2, sys)), [sys], Point(1, sys), threading.Lock()]
    for value in yes:
        assert isthmus.is_shareable(value) is True
    for value in no:
        assert isthmus.is_shareable(value) is False


def test_an_exception_of_the_users_while_sending_comes_through_and_leaves_nothing() -> None:
    r, s = isthmus.create_channel(None)
    with pytest.raises(ZeroDivisionError, match="in __reduce__"):
        s.send([b"x" * LARGE, "y" * LARGE, Refuses()])
    with pytest.raises(ZeroDivisionError, match="in __reduce__"):
        s.send((b"x" * LARGE, "y" * LARGE, Refuses()))
    assert r.recv_nowait() is None


def test_an_exception_on_arrival_consumes_the_message_and_leaves_nothing() -> None:
    r, s = isthmus.create_channel(None)
    s.send([b"x" * LARGE, s, Explodes()])
    s.send("next")
    with pytest.raises(ZeroDivisionError, match="on arrival"):
        r.recv()
    assert r.recv() == "next"


def test_undelivered_messages_leave_nothing(new_interp: Callable[..., isthmus.Interpreter]) -> None:
    r, s = isthmus.create_channel(None)
    for value in (b"x" * LARGE, ["y" * LARGE, 1], isthmus.create_channel(1), new_interp()):
        s.send(value)
    with pytest.raises(TimeoutError):
        isthmus.create_channel()[1].send((b"z" * LARGE, [r]), timeout=0)
    assert isthmus.stats().shares_outstanding >= 2
