"""CPython's own tests of interpreters, queues and channels, pointed at isthmus.

Nothing of them is copied: they are imported from where this Python has them. `expected.py` lists what does
not apply.
"""

from __future__ import annotations

import expected
import harness
import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cpython_test" not in metafunc.fixturenames:
        return
    tests = harness.all_tests()
    if isinstance(tests, str):
        metafunc.parametrize("cpython_test", [pytest.param("", marks=pytest.mark.skip(tests))], ids=["none"])
    else:
        metafunc.parametrize("cpython_test", [test for test in tests if expected.left(test) is None])


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest) -> dict[str, harness.Outcome]:
    """What came of the selected tests; those of one module run in one process."""
    selected = [
        item.callspec.params["cpython_test"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == "test_as_cpython_has_it"
    ]
    modules = dict.fromkeys(name.partition(".")[0] for name in selected)
    found: dict[str, harness.Outcome] = {}
    for module in modules:
        found |= harness.run([name for name in selected if name.startswith(module + ".")])
    return found


def test_as_cpython_has_it(cpython_test: str, outcomes: dict[str, harness.Outcome]) -> None:
    outcome = outcomes[cpython_test]
    if outcome.skipped is not None and not outcome.failed:
        pytest.skip(outcome.skipped)
    entry = expected.differs(cpython_test)
    if entry is None:
        assert outcome.failed == (), outcome.text
    else:
        assert outcome.failed, f"it passes, though it is listed as different: {entry.why}"
        assert expected.agrees(entry, outcome.failed), f"{outcome.failed} failed\n{outcome.text}"


def test_what_is_listed_exists() -> None:
    tests = harness.all_tests()
    if isinstance(tests, str):
        pytest.skip(tests)
    for entry in expected.DIFFERS:
        if expected.HERE in entry.versions:
            assert entry.test in tests
            assert expected.left(entry.test) is None, f"{entry.test} is listed twice"
    for pattern in expected.LEFT:
        assert expected.HERE not in pattern.versions or any(
            expected.left(test) is pattern for test in tests
        ), f"{pattern.tests} names nothing"


def test_the_tests_meet_isthmus() -> None:
    if isinstance(harness.all_tests(), str):
        pytest.skip(str(harness.all_tests()))
    done = harness.check()
    assert done.returncode == 0, done.stderr
