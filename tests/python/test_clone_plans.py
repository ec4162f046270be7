"""How an object is taken apart is decided by its class: whoever has a say in it is asked."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus._isthmus import clone


class WithState:
    """Says what its state is, and nothing else about how it crosses."""

    def __init__(self) -> None:
        self.kept, self.dropped = [1], "not to be sent"

    def __getstate__(self) -> dict[str, Any]:
        return {"kept": self.kept}


class WithSetState:
    def __init__(self) -> None:
        self.value = [1]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.value = [*state["value"], "set"]


class WithArguments:
    def __new__(cls, value: list[Any]) -> WithArguments:
        made = super().__new__(cls)
        made.value = [*value, "new"]  # type: ignore[attr-defined]
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        return ([],)

    def __getstate__(self) -> None:
        return None


class WithNames:
    def __new__(cls, *, value: list[Any]) -> WithNames:
        made = super().__new__(cls)
        made.value = [*value, "new"]  # type: ignore[attr-defined]
        return made

    def __getnewargs_ex__(self) -> tuple[Any, ...]:
        return (), {"value": ["named"]}

    def __getstate__(self) -> None:
        return None


class WithReduce:
    def __reduce__(self) -> tuple[Any, ...]:
        return reduced, ()


class WithReduceEx:
    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return reduced, ()


def reduced() -> str:
    return "reduced"


def test_a_state_of_ones_own() -> None:
    got = clone(WithState())
    assert vars(got) == {"kept": [1]}


def test_who_takes_its_state_is_given_it() -> None:
    assert clone(WithSetState()).value == [1, "set"]


@pytest.mark.parametrize(
    ("made", "value"), [(WithArguments([1]), ["new"]), (WithNames(value=[1]), ["named", "new"])]
)
def test_arguments_of_new(made: Any, value: list[Any]) -> None:
    assert clone(made).value == value


@pytest.mark.parametrize("kind", [WithReduce, WithReduceEx])
def test_reductions(kind: type) -> None:
    assert clone(kind()) == "reduced"


def test_a_tuple_in_a_list_that_only_it_refers_to() -> None:
    """What is in it was not remembered, since just one refers to it; met inside itself, it must be."""
    inner: list[Any] = []
    ring = (inner, {"only": "here"})
    inner.append(ring)
    del inner
    got = clone(ring)
    assert got[0][0] is got
    assert got[1] == {"only": "here"}
    ring[0].clear()
    got[0].clear()
