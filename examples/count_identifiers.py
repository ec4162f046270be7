"""Count Python identifiers: a script for `isthmus map`.

    isthmus map examples/count_identifiers.py some/*.py

`map` sees a chunk cut at line ends, `reduce` folds the counts of neighbouring chunks, `finish` makes the
report.
"""

from __future__ import annotations

import heapq
import keyword
import re
from collections import Counter

IDENTIFIER = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
KEYWORDS = frozenset(word.encode() for word in keyword.kwlist)


def map(chunk: bytes) -> Counter[bytes]:
    """How often each word of `chunk` occurs."""
    return Counter(IDENTIFIER.findall(chunk))


def reduce(a: Counter[bytes], b: Counter[bytes]) -> Counter[bytes]:
    """The counts of `a` and `b` together; the smaller goes into the larger, which is changed."""
    if len(a) < len(b):
        a, b = b, a
    count = a.get
    for word, times in b.items():
        a[word] = count(word, 0) + times
    return a


def finish(counts: Counter[bytes]) -> list[tuple[str, int]]:
    """The ten most common identifiers; of equally common ones, the first in the alphabet."""
    words = ((word, times) for word, times in counts.items() if word not in KEYWORDS)
    most = heapq.nsmallest(10, words, key=lambda item: (-item[1], item[0]))
    return [(word.decode(), times) for word, times in most]
