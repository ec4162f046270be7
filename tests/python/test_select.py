"""`select`: one of several operations happens, exactly one, whichever is ready first."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import isthmus
from _subprocess import FULL
from conftest import LARGE, PATIENCE, Running

Create = Callable[..., isthmus.Interpreter]
Spawn = Callable[..., Running]


def test_the_ready_case_happens() -> None:
    r, s = isthmus.create_channel(1)
    other_r, other_s = isthmus.create_channel(1)
    q = isthmus.create_queue()
    s.send("c")
    assert isthmus.select(other_r, r, q) == (r, "c")
    q.put("q")
    assert isthmus.select(other_r, r, q) == (q, "q")
    case = (other_s, "sent")
    chosen, value = isthmus.select(r, case, q)
    assert chosen is case
    assert value is None
    assert other_r.recv() == "sent"
    for each in (r, s, other_r, other_s):
        each.close()


def test_only_the_chosen_case_has_an_effect() -> None:
    channels = [isthmus.create_channel(1) for _ in range(5)]
    cases = [(s, i) for i, (_, s) in enumerate(channels)]
    chosen, _ = isthmus.select(*cases)
    got = [r.recv_nowait() for r, _ in channels]
    assert got == [i if cases[i] is chosen else None for i in range(5)]
    for r, s in channels:
        r.close()
        s.close()


@pytest.mark.parametrize("what", ["channel", "queue"])
def test_waits_for_another_interpreter(interp: isthmus.Interpreter, spawn: Spawn, what: str) -> None:
    r, s = isthmus.create_channel()
    q = isthmus.create_queue()
    spawn(interp, "s.send(5)" if what == "channel" else "q.put(5)", s=s, q=q)
    assert isthmus.select(q, r, timeout=PATIENCE) == ((r if what == "channel" else q), 5)
    r.close()


def test_large_values_are_not_copied(interp: isthmus.Interpreter, spawn: Spawn) -> None:
    r, s = isthmus.create_channel()
    back_r, back_s = isthmus.create_channel()
    data = b"x" * LARGE
    before = isthmus.stats().payload_bytes_copied
    with r, s, back_r, back_s:
        spawn(
            interp,
            "import isthmus\n_, x = isthmus.select(r)\nisthmus.select((s, x))\ndel x, _",
            r=r,
            s=back_s,
        )
        isthmus.select((s, data), timeout=PATIENCE)
        _, value = isthmus.select(back_r, timeout=PATIENCE)
        assert value is data
    assert isthmus.stats().payload_bytes_copied == before


def test_timeout() -> None:
    r, s = isthmus.create_channel()
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        isthmus.select(r, (s, b"x" * LARGE), isthmus.create_queue(), timeout=0.2)
    assert 0.2 <= time.monotonic() - start < PATIENCE
    with pytest.raises(TimeoutError):
        isthmus.select(r, timeout=0)
    with pytest.raises(TimeoutError):
        isthmus.select(timeout=0.01)
    assert r.recv_nowait() is None  # what was offered in vain is not there
    r.close()
    s.close()


def test_bad_calls() -> None:
    r, s = isthmus.create_channel()
    with r, s:
        for bad in (s, 1, None, (r, 1), (s,), (s, 1, 2), [s, 1]):
            with pytest.raises(TypeError, match="case"):
                isthmus.select(r, bad, timeout=0)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            isthmus.select(r, wait=1)  # type: ignore[call-arg]
        with pytest.raises(ValueError, match="timeout"):
            isthmus.select(r, timeout=-1)
        with pytest.raises(ValueError, match="for ever"):
            isthmus.select()
        with pytest.raises(isthmus.NotShareableError):
            isthmus.select((s, threading.Lock()))


def test_a_closed_case_raises_with_its_channel(interp: isthmus.Interpreter) -> None:
    r, s = isthmus.create_channel()
    other_r, other_s = isthmus.create_channel()
    s.close()
    with pytest.raises(EOFError) as caught:
        isthmus.select(other_r, r)
    assert caught.value.channel is r  # type: ignore[attr-defined]
    other_r.close()
    with pytest.raises(EOFError) as caught:
        isthmus.select((other_s, 1))
    assert caught.value.channel is other_s  # type: ignore[attr-defined]
    r.close()
    other_s.close()
    mine_r, mine_s = isthmus.create_channel()
    interp.prepare_main(mine_s=mine_s, mine_r=mine_r)
    mine_r.close()
    with pytest.raises(ValueError, match="closed") as refused:
        isthmus.select(mine_r)
    assert refused.value.channel is mine_r  # type: ignore[attr-defined]
    mine_s.close()
    q = isthmus.create_queue()
    q.shutdown()
    with pytest.raises(isthmus.QueueShutDown) as shut:
        isthmus.select(q)
    assert shut.value.channel is q  # type: ignore[attr-defined]


ENDINGS = {
    "closed": ("s.close()", EOFError),
    "poisoned": ("s.poison(KeyError('poison'))", KeyError),
    "shut down": ("q.shutdown()", isthmus.QueueShutDown),
}


@pytest.mark.parametrize("how", ENDINGS)
def test_what_ends_while_it_waits(interp: isthmus.Interpreter, how: str) -> None:
    """The other side ends it once the select is parked, which its own statistics tell."""
    r, s = isthmus.create_channel()
    q = isthmus.create_queue()
    source, expected = ENDINGS[how]
    interp.prepare_main(s=s, q=q)
    s.close()  # this interpreter's: the other one's is open

    def end() -> None:
        while r.statistics().waiting_receivers == 0:
            time.sleep(0)
        interp.exec(source)

    ending = threading.Thread(target=end)
    ending.start()
    with pytest.raises(expected) as caught:
        isthmus.select(r, q, timeout=PATIENCE)
    assert caught.value.channel is (q if how == "shut down" else r)
    ending.join()
    interp.exec("s.close()")
    r.close()


def test_the_other_interpreter_dies(new_interp: Create) -> None:
    r, s = isthmus.create_channel()
    other = new_interp()
    other.run("s.send_nowait(0)", s=s)
    del s

    def close() -> None:
        while r.statistics().waiting_receivers == 0:
            time.sleep(0)
        other.close()

    closing = threading.Thread(target=close)
    closing.start()
    with pytest.raises(EOFError):
        isthmus.select(r, timeout=PATIENCE)
    closing.join()
    r.close()


def test_unbound_items(new_interp: Create) -> None:
    q = isthmus.create_queue()
    other = new_interp()
    other.run("import isthmus; q.put(1); q.put(2, unbounditems=isthmus.UNBOUND_ERROR)", q=q)
    other.close()
    assert isthmus.select(q) == (q, isthmus.UNBOUND)
    with pytest.raises(isthmus.ItemInterpreterDestroyed):
        isthmus.select(q)


def test_a_select_never_meets_itself_but_another() -> None:
    r, s = isthmus.create_channel()
    with pytest.raises(TimeoutError):
        isthmus.select(r, (s, 1), timeout=0.05)
    results: list[Any] = []

    def meet(value: int) -> None:
        results.append(isthmus.select(r, (s, value), timeout=PATIENCE)[1])

    both = [threading.Thread(target=meet, args=(value,)) for value in (1, 2)]
    for each in both:
        each.start()
    for each in both:
        each.join(PATIENCE)
    assert sorted(results, key=str) in ([1, None], [2, None])
    r.close()
    s.close()


def test_none_of_several_ready_ones_is_preferred() -> None:
    queues = [isthmus.create_queue() for _ in range(4)]
    for q in queues:
        for i in range(600):
            q.put(i)
    chosen = Counter(isthmus.select(*queues)[0].id for _ in range(600))
    assert all(chosen[q.id] > 50 for q in queues), chosen


def test_a_thousand_cases(interp: isthmus.Interpreter, spawn: Spawn) -> None:
    channels = [isthmus.create_channel() for _ in range(1000)]
    s = channels[777][1]
    sender = spawn(interp, "s.send(5); s.close()", s=s)
    chosen, value = isthmus.select(*(r for r, _ in channels), timeout=PATIENCE)
    assert (chosen, value) == (channels[777][0], 5)
    sender.join()
    used = time.thread_time()
    with pytest.raises(TimeoutError):
        isthmus.select(*(r for r, _ in channels[:700]), timeout=0.5)
    assert time.thread_time() - used < 0.1  # a wait, not a poll
    assert all(r.statistics().waiting_receivers == 0 for r, _ in channels)
    for r, s in channels:
        r.close()
        s.close()


def test_ten_thousand_channels_and_a_thousand_waiters() -> None:
    channels = [isthmus.create_channel() for _ in range(10_000)]
    got: list[int] = []
    waiters = [
        threading.Thread(target=lambda r=channels[i * 10][0]: got.append(r.recv())) for i in range(1000)
    ]
    for each in waiters:
        each.start()
    for i in range(1000):
        channels[i * 10][1].send(i, PATIENCE)
    for each in waiters:
        each.join(PATIENCE)
    assert sorted(got) == list(range(1000))
    for r, s in channels:
        r.close()
        s.close()


#: Each is some 2 seconds of random scheduling; all of them, an hour.
SEEDS = range(1, 1801 if FULL else 4)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_waiter_starves(new_interp: Create, spawn: Spawn, seed: int) -> None:
    """Interpreters that send, receive and select at random: everybody gets on in so many steps."""
    steps, count = 400, 4
    rendezvous, buffered = isthmus.create_channel(), isthmus.create_channel(2)
    q, done = isthmus.create_queue(3), isthmus.create_queue()
    source = """
import isthmus, random
chance = random.Random({seed})
sent = received = 0
for step in range({steps}):
    case = chance.choice([rr, br, q, (rs, 1), (bs, 1), "put"])
    others = chance.sample([rr, br, q, (rs, 1), (bs, 1)], chance.randrange(4))
    if case == "put":
        try:
            q.put(1, timeout=0.01)
            sent += 1
        except isthmus.QueueFull:
            pass
        continue
    try:
        chosen, value = isthmus.select(case, *others, timeout=0.01)
    except TimeoutError:
        continue
    if value is None:
        sent += 1
    else:
        received += 1
done.put((sent, received))
"""
    chance = random.Random(seed)
    shared = {
        "rr": rendezvous[0], "rs": rendezvous[1], "br": buffered[0], "bs": buffered[1], "q": q, "done": done,
    }  # fmt: skip
    for _ in range(count):
        seeded = source.format(seed=chance.randrange(2**32), steps=steps)
        spawn(new_interp(), seeded, **shared)
    results = [done.get(timeout=2 * PATIENCE) for _ in range(count)]
    left = q.qsize() + len(list(iter(lambda: buffered[0].recv_nowait(), None)))
    assert sum(sent for sent, _ in results) == sum(received for _, received in results) + left
    assert all(sent > steps // 20 and received > steps // 20 for sent, received in results), results
    while not q.empty():
        q.get()
    for each in (*rendezvous, *buffered):
        each.close()
