"""Classes that the other side can't import cross by code, and are one class wherever they are."""

from __future__ import annotations

import collections
import functools
import gc
import sys
import textwrap
import threading
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import _functions_sample as sample
import isthmus
from conftest import LARGE, run_script

type Call = Callable[..., Any]
type Bounce = Callable[[Any], Any]

LOCK = threading.Lock()
BLOB = b"x" * LARGE


@pytest.fixture
def call(interp: isthmus.Interpreter) -> Call:
    return interp.call


@pytest.fixture
def bounce(interp: isthmus.Interpreter) -> Bounce:
    """Send a value through another interpreter."""
    return functools.partial(interp.call, lambda value: value)


def local(source: str, name: str, **around: Any) -> Any:
    """A class as a script defines it: in `__main__`, with globals of its own."""
    namespace = {"__name__": "__main__", **around}
    exec(compile(textwrap.dedent(source), "<local>", "exec", dont_inherit=True), namespace)
    return namespace[name]


def refused(value: object) -> str:
    with pytest.raises(isthmus.NotShareableError) as caught:
        isthmus.create_channel(None)[1].send(value)
    assert not isthmus.is_shareable(value)
    return str(caught.value)


# ---- by reference


def test_classes_that_can_be_imported_are_imported(call: Call, bounce: Bounce) -> None:
    for each in (int, collections.OrderedDict, sample.Adder, isthmus.Interpreter, threading.Thread):
        assert bounce(each) is each
        assert call(lambda kind: kind.__module__, each) == each.__module__
    assert call(lambda kind: kind is sys.modules["_functions_sample"].Adder, sample.Adder) is True


def test_classes_without_a_name_of_their_own(bounce: Bounce) -> None:
    kinds = [type(None), type(...), type(NotImplemented), types.FunctionType, types.MappingProxyType]
    assert bounce(kinds) == kinds


def test_a_class_that_hides_behind_another_name_crosses_by_code(call: Call) -> None:
    module = types.ModuleType("made_by_hand")
    exec("class K:\n def f(self): return SHIFT\nSHIFT = 10", vars(module))
    assert call(lambda k: k().f(), module.K) == 10


# ---- by code


def test_a_class_of_a_script(call: Call, interp: isthmus.Interpreter) -> None:
    source = '''
        class Mine:
            """Said."""
            factor = 3
            def __init__(self, n): self.n = n
            def times(self): return helper(self.n) * self.factor
            @property
            def double(self): return self.n * 2
            @double.setter
            def double(self, value): self.n = value // 2
            @classmethod
            def made(cls, n): return cls(n)
            @staticmethod
            def static(n): return n + 1
            def __eq__(self, other): return self.n == other.n
        def helper(n): return n + STEP
    '''
    mine = local(source, "Mine", STEP=1)
    assert call(lambda m: m.times(), mine(2)) == 9
    told = call(
        lambda k: (k.made(4).n, k.static(1), k.__doc__, k.__module__, k.__qualname__, k.__hash__), mine
    )
    assert told == (4, 2, "Said.", "__main__", "Mine", None)

    def use(m: Any) -> Any:
        m.double = 10
        return m.n, m.double

    assert call(use, mine(1)) == (5, 10)
    interp.run("assert STEP == 1")


def test_instances_come_back_as_what_they_were(bounce: Bounce, call: Call) -> None:
    class Mine:
        def __init__(self) -> None:
            self.data = [1, self]

    given = Mine()
    got = bounce(given)
    assert type(got) is Mine
    assert got is not given
    assert got.data == [1, got]
    assert bounce(Mine) is Mine
    made = call(lambda kind: kind(), Mine)
    assert type(made) is Mine


def test_one_class_in_many_messages(interp: isthmus.Interpreter) -> None:
    class Mine:
        pass

    r, s = isthmus.create_channel(None)
    for value in (Mine(), [Mine(), Mine], Mine()):
        s.send(value)
    interp.run(
        "a, (b, kind), c = r.recv(), r.recv(), r.recv()\n"
        "assert type(a) is type(b) is kind is type(c)\nkind.mark = 'set here'",
        r=r,
    )
    interp.run("assert type(again).mark == 'set here'", again=Mine())
    assert not hasattr(Mine, "mark")


def test_an_interpreter_that_passes_it_on(new_interp: Callable[..., isthmus.Interpreter]) -> None:
    class Mine:
        def f(self) -> str:
            return "f"

    one, two = new_interp(), new_interp()
    r, s = isthmus.create_channel(None)
    back_r, back_s = isthmus.create_channel(None)
    one.run("s.send(value)", s=s, value=Mine())
    two.run("held = r.recv()\nassert held.f() == 'f'\nassert type(held) is type(direct)", r=r, direct=Mine())
    two.run("back.send([held, type(held)])", back=back_s)
    instance, kind = back_r.recv()
    assert type(instance) is kind is Mine


def test_a_class_that_was_made_over_there(interp: isthmus.Interpreter, call: Call) -> None:
    interp.run("class There:\n  def f(self): return __name__")
    there = call(lambda: There)  # type: ignore[name-defined]  # noqa: F821
    assert there().f() == "__main__"
    assert type(call(lambda: There())) is there  # type: ignore[name-defined]  # noqa: F821
    assert call(lambda kind: kind is There, there) is True  # type: ignore[name-defined]  # noqa: F821


def test_equal_classes_of_two_interpreters_are_two(new_interp: Callable[..., isthmus.Interpreter]) -> None:
    one, two = new_interp(), new_interp()
    for each in (one, two):
        each.run("class Same: pass")
    get = local("def get(): return Same", "get")
    assert one.call(get) is not two.call(get)


def test_a_class_goes_when_nobody_holds_it(interp: isthmus.Interpreter) -> None:
    class Mine:
        pass

    interp.run(
        "import gc, weakref\nw = weakref.ref(kind)\ndel kind\ngc.collect()\nassert w() is None", kind=Mine
    )
    interp.run("assert kind.__name__ == 'Mine'", kind=Mine)  # made anew
    gone = weakref.ref(Mine)
    del Mine
    gc.collect()
    assert gone() is None
    again = interp.call(lambda: kind)  # type: ignore[name-defined]  # noqa: F821
    assert again.__name__ == "Mine"


def test_many_threads_receive_a_class_at_once(interp: isthmus.Interpreter) -> None:
    class Mine:
        def f(self) -> Any:
            return Mine

    r, s = isthmus.create_channel(None)
    for _ in range(400):
        s.send(Mine())
    s.close()
    interp.run(
        """if True:
            import threading
            seen, errors = set(), []
            def receive():
                for value in r:
                    if value.f() is not type(value):
                        errors.append(value)
                    seen.add(type(value))
            threads = [threading.Thread(target=receive) for _ in range(4)]
            for each in threads: each.start()
            for each in threads: each.join()
            assert len(seen) == 1 and not errors, (seen, errors)
        """,
        r=r,
    )


# ---- circles


def test_a_class_that_refers_to_itself(call: Call, bounce: Bounce) -> None:
    class Node:
        nodes: list[Node] = []  # noqa: RUF012
        root: Any = None

        def __init__(self, parent: Node | None = None) -> None:
            super().__init__()
            self.parent = parent

        def child(self) -> Node:
            return Node(self)

        def same(self) -> bool:
            return __class__ is type(self)  # type: ignore[name-defined]

        @classmethod
        def top(cls) -> Any:
            return cls.root

    Node.root = Node()
    Node.nodes.append(Node.root)
    told = call(
        lambda n: (
            type(n.child().parent) is type(n),
            n.same(),
            type(n).root is n.nodes[0],
            type(n.top()) is type(n),
        ),
        Node(),
    )
    assert told == (True, True, True, True)
    assert bounce(Node).root is Node.root


@pytest.mark.parametrize("name", ["Even", "Odd", "ALL", "make"])
def test_classes_and_functions_that_refer_to_each_other(interp: isthmus.Interpreter, name: str) -> None:
    source = """
        class Even:
            def next(self): return Odd()
            @property
            def made(self): return make()
        class Odd(Even):
            def next(self): return super().next(), Even(), ALL
        def make(): return Even()
        ALL = [Even, Odd, make]
        Even.successor = Odd
    """
    # Whatever is reached first, it leads to all the others.
    interp.prepare_main(**{name: local(source, name)})
    start = {"Even": "Even", "Odd": "Odd.__bases__[0]", "ALL": "ALL[0]", "make": "type(make())"}[name]
    interp.run(
        f"""if True:
            even = {start}
            odd = even.successor
            first, second, everything = odd().next()
            assert type(first) is odd and type(second) is even and issubclass(odd, even)
            assert everything[:2] == [even, odd]
            assert type(even().made) is even and type(everything[2]()) is even
        """
    )


def test_an_instance_that_its_class_needs(call: Call) -> None:
    source = """
        import dataclasses
        @dataclasses.dataclass(frozen=True, slots=True)
        class Point:
            x: int
            def origin(self): return ORIGIN
        ORIGIN = Point(0)
    """
    told = call(lambda p: (p.origin(), p.origin().x, type(p.origin()) is type(p)), local(source, "Point")(3))
    assert told[1:] == (0, True)


def test_a_large_attribute_arrives_without_a_copy(call: Call) -> None:
    class Mine:
        blob = BLOB

    start = isthmus.stats().payload_bytes_copied
    assert call(lambda kind: len(kind.blob), Mine) == LARGE
    assert isthmus.stats().payload_bytes_copied == start


# ---- what can't cross is named


def test_the_part_that_can_not_cross_is_named() -> None:
    class Mine:
        lock = LOCK

    class Uses:
        def f(self) -> Any:
            return LOCK

        @property
        def p(self) -> Any:
            return LOCK

    class Derived(Mine):
        pass

    assert refused(Mine).startswith(".lock: _thread.lock can't be sent")
    assert refused([Mine()]).startswith(
        "[0]<class test_the_part_that_can_not_cross_is_named.<locals>.Mine>.lock"
    )
    assert ".f<the global 'LOCK' of " in refused(Uses)
    del Uses.f
    assert ".p.fget<the global 'LOCK' of " in refused(Uses)
    assert refused(Derived).startswith("<base 0 of ")
    assert ">.lock: _thread.lock can't be sent" in refused(Derived)


def test_a_class_made_in_c_is_refused() -> None:
    hidden = type(iter([]))
    assert "builtins.list_iterator can't be imported under its name" in refused(hidden)
    import ctypes

    class Record(ctypes.Structure):
        _fields_ = (("n", ctypes.c_int),)

    assert "the metaclass of" in refused(Record)


def test_an_annotation_that_can_not_cross_is_left_out(call: Call) -> None:
    class Mine:
        a: int
        b: LOCK  # type: ignore[valid-type]
        c: Mine

        def f(self, x: Mine, y: LOCK) -> None:  # type: ignore[valid-type]
            pass

    Mine.__annotations__.update(a=int, b=LOCK, c=Mine)
    Mine.f.__annotations__.update(x=Mine, y=LOCK)
    told = call(
        lambda k: (sorted(k.__annotations__), k.__annotations__["c"] is k, k.f.__annotations__["x"] is k),
        Mine,
    )
    assert told == (["a", "c"], True, True)
    assert call(lambda k: "y" in k.f.__annotations__, Mine) is False


def test_a_script_from_end_to_end(tmp_path: Any) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            print("script runs")
            import dataclasses, enum, isthmus
            class Color(enum.Enum):
                RED = 1
            @dataclasses.dataclass
            class Task:
                name: str
                color: Color = Color.RED
                def run(self): return Done(self, LIMIT)
            @dataclasses.dataclass(frozen=True)
            class Done:
                task: Task
                limit: int
            class Failed(Exception):
                def __init__(self, task, *, code):
                    super().__init__(f"{task.name} failed")
                    self.code = code
            LIMIT = 5
            if __name__ == "__main__":
                with isthmus.create() as interp:
                    done = interp.call(Task.run, Task("a"))
                    print(done, type(done) is Done, done.task.color is Color.RED)
                    error = interp.call(lambda t: Failed(t, code=3), Task("b"))
                    print(repr(error), error.code, type(error) is Failed)
            """
        ),
        encoding="ascii",
    )
    done = run_script(f"import runpy\nrunpy.run_path({str(script)!r}, run_name='__main__')")
    assert done.stdout.splitlines() == [
        "script runs",
        "Done(task=Task(name='a', color=<Color.RED: 1>), limit=5) True True",
        "Failed('b failed') 3 True",
    ]
