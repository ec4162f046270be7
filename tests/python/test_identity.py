"""What comes home is the original object itself, whatever way it took."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import LARGE, Running

import isthmus

Create = Callable[..., isthmus.Interpreter]
Spawn = Callable[..., Running]

PAYLOADS = {"bytes": lambda: b"p" * LARGE, "ascii": lambda: "p" * LARGE, "ucs4": lambda: "😀" * LARGE}


@pytest.fixture(params=PAYLOADS)
def payload(request: pytest.FixtureRequest) -> Any:
    made: Callable[[], Any] = PAYLOADS[request.param]
    return made()


def test_there_and_back(interp: isthmus.Interpreter, payload: Any) -> None:
    r, s = isthmus.create_channel(1)
    interp.run("s.send(x)", x=payload, s=s)
    assert r.recv() is payload


def test_a_message_to_oneself(payload: Any) -> None:
    r, s = isthmus.create_channel(None)
    for value in (payload, (payload, 1), [payload], {"k": (payload,)}):
        s.send(value)
    assert r.recv() is payload
    assert r.recv()[0] is payload
    assert r.recv()[0] is payload
    assert r.recv()["k"][0] is payload


def test_sent_a_thousand_times(interp: isthmus.Interpreter, payload: Any) -> None:
    there, back = isthmus.create_channel(1), isthmus.create_channel(1)
    before = isthmus.stats()
    interp.prepare_main(r=there[0], s=back[1])
    for _ in range(10):
        for _ in range(10):
            there[1].send(payload)
            interp.run("x = r.recv()\ns.send(x)\ndel x")
            assert back[0].recv() is payload
        assert isthmus.describe(payload)["shares"] == 0
    after = isthmus.stats()
    assert after.payload_bytes_copied == before.payload_bytes_copied
    assert after.twins_made == before.twins_made + 100
    assert after.releases_posted <= before.releases_posted + 100


def test_through_a_chain_of_interpreters(new_interp: Create, spawn: Spawn, payload: Any) -> None:
    channels = [isthmus.create_channel() for _ in range(4)]
    for (r, _), (_, s) in zip(channels, channels[1:], strict=False):
        spawn(new_interp(), "s.send(r.recv())", r=r, s=s)
    channels[0][1].send(payload)
    assert channels[-1][0].recv() is payload


def test_after_the_sender_was_closed_it_is_still_one_object(new_interp: Create, payload: Any) -> None:
    r, s = isthmus.create_channel(None)
    interp = new_interp()
    # Concatenated, so that the payload is the other interpreter's own.
    interp.run("y = x + x\ns.send(y)\ns.send([y])\ns.send(y)", x=payload, s=s)
    interp.close()
    first, second, third = r.recv(), r.recv()[0], r.recv()
    assert first is second is third
    assert first == payload + payload


def test_a_copy_of_the_reference_here_is_no_second_object(interp: isthmus.Interpreter, payload: Any) -> None:
    interp.run("assert x is y and len({id(x), id(y)}) == 1", x=payload, y=payload)
    del payload
    interp.run("x == y")


def test_two_senders_of_one_payload(new_interp: Create, payload: Any) -> None:
    a, b, c = new_interp(), new_interp(), new_interp()
    r, s = isthmus.create_channel(None)
    for each in (a, b):
        each.run("s.send(x)\ndel x", x=payload, s=s)
    c.run("x = r.recv()\ny = r.recv()\nassert x is y", r=r)


def test_the_second_twin_after_the_first_died_is_as_good(interp: isthmus.Interpreter, payload: Any) -> None:
    made = isthmus.stats().twins_made
    for _ in range(3):
        interp.run("assert x[:1] * len(x) == x\ndel x", x=payload)
    assert isthmus.stats().twins_made == made + 3
