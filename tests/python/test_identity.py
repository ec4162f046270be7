"""What comes home is the original object itself, whatever way it took."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

import isthmus
from conftest import LARGE, Running

Create = Callable[..., isthmus.Interpreter]
Spawn = Callable[..., Running]
Make = Callable[[], Any]

# Functions, since a fixture's or a parameter's value would outlive its test.
each_kind = pytest.mark.parametrize(
    "make",
    [lambda: b"p" * LARGE, lambda: "p" * LARGE, lambda: "😀" * LARGE],
    ids=["bytes", "ascii", "ucs4"],
)


@each_kind
def test_there_and_back(interp: isthmus.Interpreter, make: Make) -> None:
    payload = make()
    r, s = isthmus.create_channel(1)
    interp.run("s.send(x)", x=payload, s=s)
    assert r.recv() is payload


@each_kind
def test_a_message_to_oneself(make: Make) -> None:
    payload = make()
    r, s = isthmus.create_channel(None)
    for value in (payload, (payload, 1), [payload], {"k": (payload,)}):
        s.send(value)
    assert r.recv() is payload
    assert r.recv()[0] is payload
    assert r.recv()[0] is payload
    assert r.recv()["k"][0] is payload


@each_kind
def test_sent_a_thousand_times(interp: isthmus.Interpreter, make: Make) -> None:
    payload = make()
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


@each_kind
def test_through_a_chain_of_interpreters(new_interp: Create, spawn: Spawn, make: Make) -> None:
    payload = make()
    channels = [isthmus.create_channel() for _ in range(4)]
    for (r, _), (_, s) in itertools.pairwise(channels):
        spawn(new_interp(), "s.send(r.recv())", r=r, s=s)
    channels[0][1].send(payload)
    assert channels[-1][0].recv() is payload


@each_kind
def test_after_the_sender_was_closed_it_is_still_one_object(new_interp: Create, make: Make) -> None:
    payload = make()
    r, s = isthmus.create_channel(None)
    interp = new_interp()
    # Concatenated, so that the payload is the other interpreter's own.
    interp.run("y = x + x\ns.send(y)\ns.send([y])\ns.send(y)", x=payload, s=s)
    interp.close()
    first, second, third = r.recv(), r.recv()[0], r.recv()
    assert first is second is third
    assert first == payload + payload


@each_kind
def test_a_copy_of_the_reference_here_is_no_second_object(interp: isthmus.Interpreter, make: Make) -> None:
    payload = make()
    interp.run("assert x is y and len({id(x), id(y)}) == 1", x=payload, y=payload)
    del payload
    interp.run("x == y")


@each_kind
def test_two_senders_of_one_payload(new_interp: Create, make: Make) -> None:
    payload = make()
    a, b, c = new_interp(), new_interp(), new_interp()
    r, s = isthmus.create_channel(None)
    for each in (a, b):
        each.run("s.send(x)\ndel x", x=payload, s=s)
    c.run("x = r.recv()\ny = r.recv()\nassert x is y", r=r)


@each_kind
def test_the_second_twin_after_the_first_died_is_as_good(interp: isthmus.Interpreter, make: Make) -> None:
    payload = make()
    made = isthmus.stats().twins_made
    for _ in range(3):
        interp.run("assert x[:1] * len(x) == x\ndel x", x=payload)
    assert isthmus.stats().twins_made == made + 3
