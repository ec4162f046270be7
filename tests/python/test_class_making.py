"""What runs when a class is defined does not run again where it arrives by code."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

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


def test_bases_that_look_at_their_subclasses(call: Call) -> None:
    class Plugin:
        found: ClassVar[list[Any]] = []

        def __init_subclass__(cls, *, name: str) -> None:
            super().__init_subclass__()
            cls.name = name  # type: ignore[attr-defined]
            Plugin.found.append(cls)

    class Mine(Plugin, name="mine"):
        pass

    class Slotted(Plugin, int, name="slotted"):
        __slots__ = ()

    class Both(Mine, Slotted, name="both"):
        pass

    def use(kind: Any, plugin: Any) -> Any:
        names = [each.name for each in plugin.found]
        return kind.name, names, [each.__name__ for each in kind.__mro__], kind.__bases__[0].__name__

    names = ["mine", "slotted", "both"]
    assert call(use, Mine, Plugin) == ("mine", names, ["Mine", "Plugin", "object"], "Plugin")
    assert call(use, Both, Plugin)[2] == [each.__name__ for each in Both.__mro__]
    assert call(lambda value: value + 1, Both(4)) == 5

    def derive(plugin: Any) -> Any:
        class Later(plugin, name="later"):  # type: ignore[misc]
            pass

        return Later.name, len(plugin.found)  # type: ignore[attr-defined]

    assert call(derive, Plugin) == ("later", 4)
    assert len(Plugin.found) == 3


def test_metaclasses_with_keywords(call: Call, bounce: Bounce) -> None:
    class Meta(type):
        made = 0

        def __new__(mcs, name: str, bases: Any, namespace: Any, *, tag: str) -> Any:
            mcs.made += 1
            namespace["tag"] = tag
            return super().__new__(mcs, name, bases, namespace)

        def __init__(cls, name: str, bases: Any, namespace: Any, *, tag: str) -> None:
            super().__init__(name, bases, namespace)

        def __setattr__(cls, name: str, value: object) -> None:
            raise AttributeError("sealed")

        def __len__(cls) -> int:
            return len(cls.tag)  # type: ignore[attr-defined]

    class Mine(metaclass=Meta, tag="abc"):
        pass

    told = call(lambda m: (len(type(m)), type(m).tag, type(type(m)).__name__, type(type(m)).made), Mine())
    assert told == (3, "abc", "Meta", 1)
    assert bounce(Mine) is Mine


def test_descriptors(call: Call) -> None:
    class Named:
        def __set_name__(self, owner: type, name: str) -> None:
            self.name = name
            self.times = getattr(self, "times", 0) + 1

        def __get__(self, obj: object, kind: Any = None) -> Any:
            return self.name, self.times

    class Mine:
        field = Named()

        def __init__(self) -> None:
            self.calls = 0

        @functools.cached_property
        def once(self) -> int:
            self.calls += 1
            return self.calls

        @functools.lru_cache(maxsize=5, typed=True)  # noqa: B019
        def cached(self, n: int) -> int:
            self.calls += 1
            return n

        part = functools.partialmethod(cached, 4)

    told = call(lambda m: (m.field, m.once, m.once, m.cached(2), m.cached(2), m.part(), m.calls), Mine())
    assert told == (("field", 1), 1, 1, 2, 2, 4, 3)
    assert call(lambda k: k.cached.cache_parameters(), Mine) == {"maxsize": 5, "typed": True}
