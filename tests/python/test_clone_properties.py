"""Whatever graph of objects is sent arrives as it was: equal, of the same types, with the same sharing.

With ISTHMUS_TEST_FULL=1, more than 100,000 graphs. The same ones are drawn each time.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, reject, settings

import isthmus
from _graph_matching import Matching
from _graphs import eight_graphs, graphs
from _subprocess import FULL
from conftest import PATIENCE
from isthmus._isthmus import clone

Bounce = Callable[[Any], Any]


def cases(usual: int, full: int) -> settings:
    return settings(
        deadline=None,
        max_examples=full if FULL else usual,
        derandomize=True,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def assert_same(original: Any, arrived: Any, *, links: bool = True) -> Matching:
    matching = Matching(links)
    matching.walk(original, arrived)
    return matching


@pytest.fixture
def bounce() -> Iterator[Bounce]:
    """Send a value to another interpreter, which decodes it and sends it back.

    One a test: the cycles that it is left with go with it.
    """
    interp = isthmus.create()
    there, back = isthmus.create_channel(1), isthmus.create_channel(1)
    interp.prepare_main(r=there[0], s=back[1])
    thread = interp.run_in_thread("for item in r: s.send(item); del item")

    def there_and_back(value: Any) -> Any:
        there[1].send(value, timeout=PATIENCE)
        return back[0].recv(timeout=PATIENCE)

    yield there_and_back
    there[1].close()
    thread.join()
    interp.close()


@cases(150, 5_000)
@given(graphs())
def test_a_clone_has_the_same_graph(value: Any) -> None:
    assert not assert_same(value, clone(value)).aliased()


@cases(60, 12_500)
@given(eight_graphs())
def test_clones_of_many_graphs(values: list[Any]) -> None:
    """100,000 in full."""
    for value in values:
        assert not assert_same(value, clone(value)).aliased()


@cases(120, 5_000)
@given(graphs())
def test_a_graph_comes_back_from_another_interpreter(bounce: Bounce, value: Any) -> None:
    assert not assert_same(value, bounce(value)).aliased()


@cases(150, 10_000)
@given(graphs(links=False))
def test_what_pickle_keeps_the_clone_keeps(value: Any) -> None:
    try:
        pickled = pickle.loads(pickle.dumps(value, protocol=5))
    except ValueError:  # what is in a group refers to the group
        reject()
    assert_same(value, pickled, links=False)
    assert_same(pickled, clone(value), links=False)
