"""Which of CPython's tests do not apply to isthmus, and why; `docs/cpython-tests.md` is made from this."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Iterable
from typing import NamedTuple

#: Python versions whose tests are known here.
VERSIONS = ("3.13", "3.14", "3.15")
NEWER = ("3.14", "3.15")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


class Left(NamedTuple):
    """Tests that are not run: they are about something else than what isthmus stands in for."""

    tests: str  # a pattern of names
    why: str
    versions: tuple[str, ...] = VERSIONS


class Differs(NamedTuple):
    """A test that runs and must fail: what isthmus promises says otherwise."""

    test: str
    why: str
    parts: tuple[str, ...] = ("",)  # what of it fails: itself, or patterns of the names of subtests
    versions: tuple[str, ...] = VERSIONS


LEFT = (
    Left(
        "*.LowLevelTests.*", "tests the private modules `_interpreters`, `_interpqueues`, `_interpchannels`"
    ),
    Left(
        "*_created_with_capi",
        "makes interpreters with `_testinternalcapi` and `Interpreter`'s private arguments",
    ),
    Left("test_api.InterpreterObjectTests.test_init_interpreter_id", "reads the private attribute `_id`"),
    Left(
        "test_channels.*.test_id_type",
        "requires `_interpchannels.ChannelID`, a private type; the ids of isthmus are `int`",
    ),
    Left(
        "test_channels.TestSendRecv.test_send_recv_different_threads",
        "relies on a channel that buffers and whose `send` yet waits for the receiver: with `capacity=None` "
        "the test's own `recv` may take what it sent",
    ),
    Left(
        "test_queues.TestQueueOps.test_timeout_uses_monotonic_clock",
        "replaces `time` in the standard library's module",
        versions=("3.14",),
    ),
    Left(
        "test_stress.StressTests.test_create_interpreter_no_memory",
        "calls `_interpreters.create`",
        versions=NEWER,
    ),
)

RESULT = "`call` returns the result, functions with closures included"
BY_CODE = "functions of a script's `__main__` cross as code and run with the target's `__main__` globals"
ONE_END = "`close()` closes one end, not the channel"
EXISTS = "an end can only be made of a channel that exists: `RecvChannel(id)` fails, not its first use"
DELIVERED = "what a sender had sent before its interpreter ended is delivered; counts with `_interpchannels`"
SYNCOBJ = "`syncobj`, which 3.14 dropped, is ignored: a queue takes any value that can be sent"
SHAREABLE = "everything that can be sent is shareable"

DIFFERS = (
    Differs(
        "test_api.InterpreterObjectTests.test_cleanup_in_repl",
        "expects CPython's warning about interpreters that are open at exit; isthmus closes them",
        versions=NEWER,
    ),
    Differs(
        "test_api.InterpreterObjectTests.test_keyboard_interrupt_in_thread_running_interp",
        "C code (`time.sleep`) that keeps an interpreter busy for 5 s at exit ends the process with status 1",
        versions=("3.15",),
    ),
    Differs(
        "test_api.InterpreterObjectTests.test_whence",
        "isthmus makes interpreters through the C API, and `whence` says so",
        parts=("from _interpreters",),
    ),
    Differs(
        "test_api.ListAllTests.test_destroyed_by_gc",
        "expects the collector to run within `list_all`, which runs no bytecode here; "
        "the interpreter is there when it is listed",
        versions=("3.14",),
    ),
    Differs(
        "test_api.TestInterpreterCall.test_call",
        RESULT,
        versions=("3.13",),
        parts=(
            "success case #2",
            "success case #3",
            "invalid case #3",
            "invalid case #4",
            "invalid case #7",
            "invalid case #8",
        ),
    ),
    Differs(
        "test_api.TestInterpreterCall.test_call_in_thread",
        RESULT,
        versions=("3.13",),
        parts=(
            "invalid case #3",
            "invalid case #4",
            "invalid case #7",
            "invalid case #8",
        ),
    ),
    Differs(
        "test_api.TestInterpreterCall.test_call_in_thread",
        RESULT,
        versions=NEWER,
        parts=(
            "invalid case #1",
            "invalid case #2",
        ),
    ),
    Differs(
        "test_api.TestInterpreterCall.test_call_invalid",
        RESULT,
        versions=NEWER,
        parts=(
            "*call_func_complex> (closure)",
            "*call_func_complex> (custom-inner)",
            "*get_call_func_closure>",
            "*.call_func_closure>",
        ),
    ),
    Differs("test_api.TestInterpreterCall.test_func_in___main___hidden", BY_CODE, versions=NEWER),
    Differs(
        "test_api.TestInterpreterCall.test_func_in___main___invalid",
        BY_CODE,
        versions=NEWER,
        parts=(
            "pickleable, added dynamically",
            "lying about __main__",
        ),
    ),
    Differs("test_api.TestInterpreterCall.test_func_in___main___uses_globals", BY_CODE, versions=NEWER),
    Differs(
        "test_api.TestInterpreterCall.test_func_in___main___valid",
        BY_CODE,
        versions=NEWER,
        parts=(
            "no indirection",
            "indirect as func, direct interp",
            "indirect as func, indirect interp",
        ),
    ),
    Differs(
        "test_api.TestInterpreterCall.test_stateless_func_returns_arg",
        RESULT,
        versions=NEWER,
        parts=("unpickleable <function spam_*", "unpickleable mappingproxy*"),
    ),
    Differs(
        "test_api.TestInterpreterCall.test_stateless_funcs",
        RESULT,
        versions=NEWER,
        parts=("no args, returns unpickleable",),
    ),
    Differs("test_api.TestInterpreterClose.test_already_destroyed", "`close()` is idempotent"),
    Differs(
        "test_api.TestInterpreterExec.test_display_preserved_exception",
        "expects the source line of the standard library's `exec` in the caller's traceback",
    ),
    Differs(
        "test_api.TestInterpreterPrepareMain.test_not_shareable",
        "`prepare_main` takes any value that can be sent",
    ),
    Differs(
        "test_api.TestIsShareable.test_not_shareable",
        SHAREABLE,
        parts=(
            "Ellipsis",
            "NotImplemented",
            "<class 'object'>",
            "<class 'type'>",
            "<object object>",
            "Exception()",
            "*.Cheese'>",
            "<*.Cheese object>",
            "b'spam'",
        ),
    ),
    Differs("test_channels.TestChannels.test_is_closed", ONE_END),
    Differs("test_channels.TestChannels.test_list_all_closed", ONE_END, versions=NEWER),
    Differs("test_channels.TestRecvChannelAttrs.test_custom_id", EXISTS),
    Differs("test_channels.TestRecvChannelAttrs.test_id_readonly", EXISTS),
    Differs("test_channels.TestSendChannelAttrs.test_custom_id", EXISTS),
    Differs("test_channels.TestSendChannelAttrs.test_id_readonly", EXISTS),
    Differs("test_channels.TestSendRecv.test_recv_channel_does_not_exist", EXISTS),
    Differs("test_channels.TestSendRecv.test_recv_nowait_channel_does_not_exist", EXISTS),
    Differs("test_channels.TestSendRecv.test_send_channel_does_not_exist", EXISTS),
    Differs("test_channels.TestSendRecv.test_send_nowait_channel_does_not_exist", EXISTS),
    Differs(
        "test_channels.TestSendRecv.test_send_cleared_with_subinterpreter",
        DELIVERED,
        parts=("default", "UNBOUND", "UNBOUND_ERROR", "UNBOUND_REMOVE"),
    ),
    Differs("test_channels.TestSendRecv.test_send_cleared_with_subinterpreter_mixed", DELIVERED),
    Differs("test_channels.TestSendRecv.test_send_cleared_with_subinterpreter_multiple", DELIVERED),
    Differs("test_queues.TestQueueOps.test_put_get_default_syncobj", SYNCOBJ, versions=("3.13",)),
    Differs(
        "test_queues.TestQueueOps.test_put_syncobj",
        SYNCOBJ,
        versions=("3.13",),
        parts=("1, 2, 3", "{'a': 13, 'b': 17}"),
    ),
)


def left(test: str, version: str = HERE) -> Left | None:
    return next(
        (each for each in LEFT if version in each.versions and fnmatch.fnmatchcase(test, each.tests)), None
    )


def differs(test: str, version: str = HERE) -> Differs | None:
    return next((each for each in DIFFERS if each.test == test and version in each.versions), None)


def agrees(entry: Differs, failed: Iterable[str]) -> bool:
    """Whether just the listed parts failed."""
    matching = [[part for part in failed if fnmatch.fnmatchcase(part, each)] for each in entry.parts]
    return all(matching) and set(failed) == {part for parts in matching for part in parts}
