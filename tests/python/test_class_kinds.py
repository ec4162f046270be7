"""Classes of every kind cross by code, with what decorators and metaclasses made of them."""

from __future__ import annotations

import abc
import collections
import dataclasses
import enum
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol, TypedDict

import pytest

import isthmus

type Call = Callable[..., Any]
type Bounce = Callable[[Any], Any]


@pytest.fixture
def call(interp: isthmus.Interpreter) -> Call:
    return interp.call


@pytest.fixture
def bounce(interp: isthmus.Interpreter) -> Bounce:
    """Send a value through another interpreter."""
    return functools.partial(interp.call, lambda value: value)


# ---- dataclasses


def test_dataclasses(call: Call, bounce: Bounce) -> None:
    @dataclasses.dataclass(order=True)
    class Task:
        name: str
        parts: list[int] = dataclasses.field(default_factory=list, compare=False, metadata={"k": [1]})
        count: ClassVar[int] = 7
        _: dataclasses.KW_ONLY
        extra: dataclasses.InitVar[int] = 0
        total: int = dataclasses.field(init=False, repr=False)

        def __post_init__(self, extra: int) -> None:
            self.total = extra + len(self.parts)

    def use(task: Any) -> Any:
        kind = type(task)
        fields = {each.name: each for each in dataclasses.fields(kind)}
        return (
            repr(kind("b", extra=2)),
            kind("b", extra=2).total,
            dataclasses.asdict(task),
            dataclasses.replace(task, name="c", extra=0).name,
            kind("a") < kind("b"),
            list(fields),
            fields["name"].default is dataclasses.MISSING,
            fields["parts"].default_factory is list,
            dict(fields["parts"].metadata),
            kind.count,
            inspect.signature(kind).parameters["extra"].kind.name,
        )

    given = Task("a", [1, 2], extra=1)
    told = call(use, given)
    assert told[0].endswith("Task(name='b', parts=[])")
    assert told[1:] == (
        2, {"name": "a", "parts": [1, 2], "total": 3}, "c", True, ["name", "parts", "total"], True, True,
        {"k": [1]}, 7, "KEYWORD_ONLY",
    )  # fmt: skip
    assert bounce(given) == given
    assert type(bounce(given)) is Task


def test_frozen_dataclasses_with_slots(call: Call, bounce: Bounce) -> None:
    @dataclasses.dataclass(frozen=True, slots=True, weakref_slot=True)
    class Point:
        x: int
        y: int = 2

        @property
        def sum(self) -> int:
            return self.x + self.y

    def use(p: Any) -> Any:
        try:
            p.x = 3
        except dataclasses.FrozenInstanceError:
            return p.sum, hasattr(p, "__dict__"), {p: 1}[type(p)(p.x)], type(p).__slots__
        return None

    assert call(use, Point(1)) == (3, False, 1, ("x", "y", "__weakref__"))
    assert bounce({Point(1): [Point(1)]}) == {Point(1): [Point(1)]}


def test_slots(call: Call) -> None:
    class Base:
        __slots__ = ("__hidden", "shown")

        def __init__(self) -> None:
            self.shown = 1
            self.__hidden = 2

        def hidden(self) -> int:
            return self.__hidden

    class Open(Base):
        pass

    class Given(Base):
        __slots__ = {"documented": "what it is"}

    assert call(lambda b: (b.shown, b.hidden(), hasattr(b, "__dict__")), Base()) == (1, 2, False)
    assert call(lambda b: (b.shown, b.hidden(), hasattr(b, "__dict__")), Open()) == (1, 2, True)
    assert call(lambda b: (b.__slots__, hasattr(b, "documented")), Given()) == (
        {"documented": "what it is"},
        False,
    )


# ---- enumerations


class Mass(float):
    """A data type to mix in."""

    __slots__ = ()


def test_enumerations(call: Call, bounce: Bounce) -> None:
    class Color(enum.Enum):
        RED = 1
        GREEN = "g"
        ROUGE = 1  # noqa: PIE796
        LIST = [1]  # noqa: RUF012

        def next(self) -> Color:
            return Color.GREEN if self is Color.RED else Color.RED

        @classmethod
        def _missing_(cls, value: object) -> Color:
            return cls.RED

    def use(c: Any) -> Any:
        kind = type(c)
        return (
            [each.name for each in kind],
            kind(1) is c is kind["RED"] is kind.ROUGE is kind("nothing"),
            kind([1]) is kind.LIST,
            c.next() is kind.GREEN,
            list(kind.__members__),
            "g" in kind,
            hasattr(kind.RED, "__dict__"),
        )

    told = (["RED", "GREEN", "LIST"], True, True, True, ["RED", "GREEN", "ROUGE", "LIST"], True, True)
    assert call(use, Color.RED) == told
    assert all(bounce(each) is each for each in Color)
    assert bounce(Color) is Color
    with pytest.raises(isthmus.ExecutionFailed, match="cannot reassign member 'RED'"):
        call(lambda kind: setattr(kind, "RED", 1), Color)


def test_enumerations_with_constructors_and_data_types(call: Call, bounce: Bounce) -> None:
    class Planet(enum.Enum):
        EARTH = (5.9, 6.3)

        def __init__(self, mass: float, radius: float) -> None:
            self.ratio = mass / radius

    class Custom(bytes, enum.Enum):
        A = (1, "label")

        def __new__(cls, value: int, label: str) -> Custom:
            made = bytes.__new__(cls, [value])
            made._value_ = value
            made.label = label  # type: ignore[attr-defined]
            return made

    class Number(enum.IntEnum):
        ONE = 1
        TWO = enum.auto()

    class Text(enum.StrEnum):
        A = enum.auto()

    class Massive(Mass, enum.Enum):
        SUN = 2.5

    assert call(lambda e: (e.ratio, e.value), Planet.EARTH) == (5.9 / 6.3, (5.9, 6.3))
    assert call(lambda e: (e == b"\x01", e.label, e.value, type(e)(1) is e), Custom.A) == (
        True,
        "label",
        1,
        True,
    )
    assert call(lambda e: (e + 1, e < type(e).TWO, f"{e}"), Number.ONE) == (2, True, "1")
    assert call(lambda e: (e == "a", e.upper(), str(e)), Text.A) == (True, "A", "a")
    assert call(lambda e: (e * 2, type(e)(2.5) is e), Massive.SUN) == (5.0, True)
    given = [Planet.EARTH, Custom.A, Number.TWO, Text.A, Massive.SUN]
    assert all(a is b for a, b in zip(bounce(given), given, strict=True))


def test_flags(call: Call, bounce: Bounce) -> None:
    class Right(enum.Flag, boundary=enum.KEEP):
        READ = 1
        WRITE = 2
        BOTH = READ | WRITE

    use = call(
        lambda f: (f | type(f).WRITE is type(f).BOTH, (~f).name, type(f)(8).value, list(type(f))), Right.READ
    )
    assert use[:3] == (True, "WRITE", 8)
    assert use[3] == [Right.READ, Right.WRITE]
    assert bounce(Right.READ | Right.WRITE) is Right.BOTH
    assert bounce(Right(8) | Right.READ) == Right(9)


# ---- tuples, dicts, abstract classes, generics


def test_named_tuples(call: Call, bounce: Bounce) -> None:
    class Pair(NamedTuple):
        a: int
        b: str = "z"

        def swapped(self) -> tuple[str, int]:
            return self.b, self.a

    Old = collections.namedtuple("Old", "x y", defaults=[5])

    told = call(
        lambda p: (p.swapped(), p._replace(a=4).a, p._asdict(), type(p)(9), p._field_defaults), Pair(1)
    )
    assert told == (("z", 1), 4, {"a": 1, "b": "z"}, Pair(9), {"b": "z"})
    assert type(told[3]) is Pair
    assert call(lambda p: (p.x, p[1], repr(p), type(p)._make([1, 2]).y), Old(3)) == (3, 5, "Old(x=3, y=5)", 2)
    assert type(bounce(Old(1))) is Old


def test_typed_dictionaries(call: Call) -> None:
    class Movie(TypedDict, total=False):
        name: typing.Required[str]
        year: int

    told = call(lambda m: (m(name="x"), sorted(m.__annotations__), m.__required_keys__, m.__total__), Movie)
    assert told == ({"name": "x"}, ["name", "year"], Movie.__required_keys__, False)


def test_abstract_classes(call: Call) -> None:
    class Shape(abc.ABC):
        @property
        @abc.abstractmethod
        def area(self) -> int: ...

    class Square(Shape):
        area = 4

    class Other:
        pass

    Shape.register(Other)

    def use(shape: Any, square: Any, other: Any) -> Any:
        try:
            shape()
        except TypeError as error:
            told = str(error)
        return (
            "area" in told,
            square.area,
            isinstance(other, shape),
            inspect.isabstract(shape),
            type(shape).__name__,
        )

    assert call(use, Shape, Square(), Other()) == (True, 4, True, True, "ABCMeta")


def test_protocols(call: Call) -> None:
    @typing.runtime_checkable
    class Sized(Protocol):
        def size(self) -> int: ...

    class Box:
        def size(self) -> int:
            return 1

    assert call(lambda p, b: (isinstance(b, p), isinstance(1, p)), Sized, Box()) == (True, False)


def test_generic_classes(call: Call) -> None:
    class Box[T: int, *Ts]:
        def __init__(self, value: T) -> None:
            self.value = value

        def get(self, value: T) -> T:
            return self.value

    U = typing.TypeVar("U", int, str)

    class Older(typing.Generic[U]):
        pass

    def use(box: Any) -> Any:
        kind = type(box)
        (t, ts), annotations = kind.__type_params__, kind.get.__annotations__
        return (
            repr(kind[int, str]).partition("<locals>.")[2],
            annotations["return"] in (t, "T"),
            kind.__parameters__ == (t, ts),
            t.__bound__ is int,
            type(ts).__name__,
            box.get(1),
        )

    assert call(use, Box(3)) == ("Box[int, str]", True, True, True, "TypeVarTuple", 3)
    told = call(lambda kind: (kind.__parameters__[0].__constraints__, kind[int].__args__), Older)
    assert told == ((int, str), (int,))
