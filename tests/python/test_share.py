"""`share`: equal objects that lie in shared memory."""

from __future__ import annotations

import re
import sys

import pytest

import isthmus
from _sample_types import Text
from conftest import LARGE, run_script

PAYLOADS = [bytes(LARGE), "a" * LARGE, "é" * LARGE, "€" * LARGE, "😀" * LARGE]


def test_share_copies_once() -> None:
    for value in PAYLOADS:
        shared = isthmus.share(value)
        assert type(shared) is type(value)
        assert shared == value
        assert isthmus.describe(shared)["slot"] is not None
        assert isthmus.share(shared) is shared
    assert isthmus.share("small") == "small"
    for other in (5, None, bytearray(LARGE), Text("x" * LARGE), [1, ("x",)]):
        shared = isthmus.share(other)
        assert type(shared) is type(other)
        assert shared == other
    with pytest.raises(isthmus.NotShareableError, match=re.escape("[1]: builtins.module")):
        isthmus.share([1, sys])


def test_share_places_what_a_container_holds() -> None:
    run_script(
        """
        import isthmus
        data, text = bytes(100_000), "é" * 100_000  # made before anything is placed
        value = {"data": [data, data], "text": (text, "small")}
        shared = isthmus.share(value)
        assert shared == value
        first, second = shared["data"]
        assert first is second
        assert first is not data
        assert isthmus.describe(first)["slot"] is not None
        copied = isthmus.stats().payload_bytes_copied
        interp = isthmus.create()
        interp.run("kept = x", x=shared)
        assert isthmus.stats().payload_bytes_copied == copied
        assert isthmus.describe(first)["shares"] == 1
        assert isthmus.describe(shared["text"][0])["shares"] == 1
        assert isthmus.share(shared)["data"][0] is first
        """
    )
