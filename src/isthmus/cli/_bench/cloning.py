"""Rows about the structured clone: a value taken apart and put together again, beside pickle and marshal."""

from __future__ import annotations

import json
import marshal
import math
import pickle
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

from isthmus._isthmus import clone
from isthmus.cli._bench.measure import Contender, Settings, measure
from isthmus.cli._bench.rows import Row, WithinPeer

__all__ = ["GROUPS", "corpus"]

PICKLE, MARSHAL = "pickle 5", "marshal"


@dataclass
class Item:
    """An object of a class of the user's, as programs keep them in lists."""

    number: int
    name: str
    price: float
    tags: list[str]


def _post(number: int, chance: random.Random) -> dict[str, Any]:
    words = ["lorem", "ipsum", "dolor", "sit", "amet", "consectetur", "adipiscing", "elit"]
    return {
        "id": 10**15 + number,
        "created_at": "Sun Nov 22 19:00:00 +0000 2026",
        "text": " ".join(chance.choices(words, k=20)),
        "user": {
            "id": number * 7,
            "name": f"user {number}",
            "screen_name": f"user_{number}",
            "followers_count": chance.randrange(100_000),
            "verified": number % 10 == 0,
            "url": None,
        },
        "entities": {
            "hashtags": [{"text": word, "indices": [at, at + 5]} for at, word in enumerate(words[:3])],
            "urls": [],
        },
        "coordinates": [chance.random() * 180, chance.random() * 90],
        "retweet_count": chance.randrange(1000),
        "lang": "en",
    }


def _tree(depth: int) -> list[Any]:
    return [_tree(depth - 1), _tree(depth - 1), depth] if depth else []


def corpus(scale: int = 1) -> dict[str, Any]:
    """What is cloned, by name; the same in each run. `scale` divides the sizes."""
    chance = random.Random(2017)
    many = 100_000 // scale
    return {
        "a page of posts": json.loads(json.dumps([_post(n, chance) for n in range(100 // scale or 1)])),
        "100,000 ints": [chance.randrange(-(10**9), 10**9) for _ in range(many)],
        "100,000 floats": [chance.random() for _ in range(many)],
        "100,000 short str": [f"item {n:x}" for n in range(many)],
        "a small dict": {"name": "isthmus", "size": 3, "ratio": 0.5, "ok": True},
        "a tuple of ten ints": tuple(range(1000, 1010)),
        "a nested tree": _tree(12 if scale == 1 else 4),
        "1,000 dataclasses": [Item(n, f"name {n}", n * 1.5, ["a", "b"]) for n in range(1000 // scale)],
    }


def _contender(name: str, work: Callable[[Any], Any], value: Any) -> Contender:
    def batch(count: int) -> list[float]:
        start = perf_counter_ns()
        for _ in range(count):
            work(value)
        return [(perf_counter_ns() - start) / count]

    return Contender(name, batch)


def _contenders(value: Any) -> list[Contender]:
    made = [
        _contender("isthmus", clone, value),
        _contender(PICKLE, lambda v: pickle.loads(pickle.dumps(v, 5)), value),
    ]
    try:
        marshal.dumps(value)
    except ValueError:  # it knows no classes
        return made
    return [*made, _contender(MARSHAL, lambda v: marshal.loads(marshal.dumps(v)), value)]


def _geometric(groups: Sequence[Sequence[Contender]], name: str) -> list[float]:
    """One sample a round: the geometric mean over all values."""
    samples = [one.samples for group in groups for one in group if one.name == name]
    return [math.exp(sum(map(math.log, each)) / len(each)) for each in zip(*samples, strict=True)]


def clones(settings: Settings) -> list[Row]:
    """Encode and decode in one interpreter, without transport."""
    values = corpus(50 if settings.quick else 1)
    measured: dict[str, list[Contender]] = {}
    for name, value in values.items():
        measured[name] = _contenders(value)
        measure(measured[name], settings)
    rows = [
        Row.of(f"clone of {name}", "encoded and decoded, without transport", "µs", contenders, scale=1000)
        for name, contenders in measured.items()
    ]
    groups = list(measured.values())
    with_marshal = [group for group in groups if len(group) == 3]
    ours, theirs = (_geometric(with_marshal, name) for name in ("isthmus", MARSHAL))
    rows.append(
        Row(
            "clone, geometric mean",
            f"of the above; {MARSHAL} stands for the ones it can take, scaled to the same mean",
            "µs",
            [sample / 1000 for sample in _geometric(groups, "isthmus")],
            peers={
                PICKLE: [sample / 1000 for sample in _geometric(groups, PICKLE)],
                MARSHAL: [
                    all_ours / 1000 * their / our
                    for all_ours, their, our in zip(_geometric(groups, "isthmus"), theirs, ours, strict=True)
                ],
            },
            goals=[WithinPeer(PICKLE, 0.5)],
        )
    )
    return rows


GROUPS = {"clone": clones}
