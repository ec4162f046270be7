"""What `make coverage` judges by: explanations that fit the files, and each way in which they may not."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def _tool() -> Any:
    """tools/coverage.py, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("coverage_tool", ROOT / "tools" / "coverage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


tool = _tool()
TEXT = ["int f() {", "if (g()) {", "return 1;", "}", "if (h()) {", "return 1;", "}", "return 0;", "}"]


def judged(
    code: str, after: str = "", reason: str = "why", sometimes: bool = False
) -> tuple[set[int], list[str]]:
    source = tool.Source(TEXT, {1, 2, 3, 5, 6, 8}, {1, 2, 5, 8})
    one = tool.Explanation("core/f.cpp", code.splitlines(), after.splitlines(), reason, sometimes)
    explained, wrong = tool.judge({"core/f.cpp": source}, [one])
    return explained.get("core/f.cpp", set()), wrong


def test_every_explanation_fits_its_file() -> None:
    for each in tool.explanations():
        assert len(each.places(tool.text_of(ROOT / "native" / each.file))) == 1, each
        assert each.reason, each


def test_lines_are_known_by_their_text() -> None:
    assert judged("return 1;", "if (g()) {") == ({3}, [])
    assert judged("return 1;", "}\nif (h()) {") == ({6}, [])


def test_what_is_wrong_with_an_explanation() -> None:
    assert "2 times" in judged("return 1;")[1][0]
    assert "0 times" in judged("return 2;")[1][0]
    assert "was run" in judged("if (h()) {\nreturn 1;")[1][0]
    assert judged("if (h()) {\nreturn 1;", sometimes=True) == ({6}, [])
    assert "no code" in judged("}", "return 0;")[1][0]
    assert "no reason" in judged("return 1;", "if (h()) {", "")[1][0]
