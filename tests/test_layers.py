"""The layers of the project: each may use only itself and those before it, and `core` knows no Python."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("core", "cxx", "cpython", "crossing", "module", "host", "extension")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^">]+)[">]', re.MULTILINE)
PYTHON_HEADER = re.compile(
    r"(python[\d.]+t?/)?(Python|pyconfig|patchlevel|structmember|frameobject|datetime)\.h$"
)

#: The one header that includes Python.h: debug builds replace there what counts references.
REFERENCES = Path("cpython/refs.hpp")
COMMENT = re.compile(r"//.*")
#: What counts references past that header: its macros redefined, the functions below them, counts written.
UNCHECKED = re.compile(
    r"#[ \t]*(?:define|undef)[ \t]+Py_\w+"
    r"|\bPy_X?(?:INCREF|DECREF|NewRef)\b(?![ \t]*\()"
    r"|\b(?:_?Py_(?:Inc|Dec)Ref|_Py_X?NewRef|_Py_NewReference|_?Py_(?:SET_REFCNT|SetRefcnt)|ob_refcnt\w*)\b"
)


def unchecked_references(native: Path) -> list[str]:
    """Name every place in `native` that counts references, or may, unseen by the checks of debug builds."""
    found: list[str] = []
    for path in sorted(native.rglob("*.[ch]pp")):
        where = path.relative_to(native)
        if where == REFERENCES:
            continue
        text = COMMENT.sub("", path.read_text(encoding="utf-8"))
        headers = [name for name in INCLUDE.findall(text) if Path(name).name == "Python.h"]
        found += [f"{where}: includes {name}: {REFERENCES} does" for name in headers]
        found += [f"{where}: {use}: unchecked" for use in UNCHECKED.findall(text)]
    return found


def layer_violations(native: Path) -> list[str]:
    """Name every include in `native` that breaks the order of the layers, as `file: what is wrong`."""
    found: list[str] = []
    for layer in LAYERS:
        for path in sorted((native / layer).rglob("*.[ch]pp")):
            where = path.relative_to(native)
            found += [f"{where}: {why}" for why in file_violations(path, layer, native)]
    return found


def file_violations(path: Path, layer: str, native: Path) -> list[str]:
    """Say what is wrong with the includes of one file of `layer`."""
    found: list[str] = []
    for name in INCLUDE.findall(path.read_text(encoding="utf-8")):
        top = name.split("/")[0]
        if ".." in Path(name).parts:
            found.append(f"includes {name}: name it from native/")
        elif name.endswith(".cpp"):
            found.append(f"includes {name}: a source file")
        elif top in LAYERS and LAYERS.index(top) > LAYERS.index(layer):
            found.append(f"includes {name}: {top} comes after {layer}")
        elif top in LAYERS and name.endswith(".hpp") and not (native / name).is_file():
            found.append(f"includes {name}: no such header")
        elif layer in ("core", "cxx") and PYTHON_HEADER.search(name):
            found.append(f"includes {name}: {layer} must not know Python")
    return found


def cli_imports(package: Path) -> list[str]:
    """Name every module outside isthmus.cli that imports it, except the entry point `__main__`."""
    found: list[str] = []
    for path in sorted(package.rglob("*.py")):
        where = path.relative_to(package)
        if where.parts[0] in ("cli", "cli.py", "__main__.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = "isthmus." if node.level else ""
                module = base + (node.module or "")
                names = [module, *(f"{module.rstrip('.')}.{alias.name}" for alias in node.names)]
            if any(name == "isthmus.cli" or name.startswith("isthmus.cli.") for name in names):
                found.append(f"{where}: imports isthmus.cli")
    return found


def test_native_layers_keep_their_order() -> None:
    assert layer_violations(ROOT / "native") == []


def test_every_native_source_belongs_to_a_layer() -> None:
    sources = {path.relative_to(ROOT / "native") for path in (ROOT / "native").rglob("*.[ch]pp")}
    assert sources
    assert {path for path in sources if path.parts[0] not in LAYERS} == set()
    assert {path.parts[0] for path in sources} >= {"core", "module"}


def test_headers_are_guarded() -> None:
    headers = [path for top in ("native", "include") for path in (ROOT / top).rglob("*.hpp")]
    assert headers
    unguarded = [path.name for path in headers if "#pragma once" not in path.read_text(encoding="utf-8")]
    assert unguarded == []


def test_package_does_not_depend_on_its_command_line() -> None:
    package = ROOT / "src" / "isthmus"
    assert list(package.glob("*.py"))
    assert cli_imports(package) == []


def test_debug_builds_see_every_reference_counted() -> None:
    assert "Python.h" in INCLUDE.findall((ROOT / "native" / REFERENCES).read_text(encoding="utf-8"))
    assert unchecked_references(ROOT / "native") == []


@pytest.mark.parametrize(
    "line",
    [
        "#include <Python.h>",
        "#include <python3.13/Python.h>",
        "#undef Py_INCREF",
        "# define Py_SETREF(a, b)",
        "(Py_DECREF)(o);",
        "auto* const drop = &Py_XDECREF;",
        "Py_DecRef(o);",
        "return _Py_NewRef(o);",
        "Py_SET_REFCNT(o, 1);",
        "o->ob_refcnt = 1;",
        "Py_REFCNT(o) + o->ob_base.ob_refcnt_full;",
    ],
)
def test_an_unchecked_reference_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "module").mkdir()
    checked = "Py_INCREF(o); Py_CLEAR(o); Py_REFCNT(o); // as Py_INCREF does, ob_refcnt\n"
    (tmp_path / "module" / "a.cpp").write_text(
        f'#include "{REFERENCES}"\n{checked}{line}\n', encoding="utf-8"
    )
    violations = unchecked_references(tmp_path)
    assert len(violations) == 1
    assert violations[0].startswith("module/a.cpp: ")


@pytest.mark.parametrize(
    ("file", "line", "why"),
    [
        ("core/a.hpp", '#include "cpython/b.hpp"', "cpython comes after core"),
        ("core/sub/a.cpp", "#  include <crossing/b.hpp>", "crossing comes after core"),
        ("cpython/a.cpp", '#include "module/b.hpp"', "module comes after cpython"),
        ("core/a.cpp", "#include <Python.h>", "core must not know Python"),
        ("core/a.cpp", "#include <python3.13/Python.h>", "core must not know Python"),
        ("core/a.cpp", '#include "../cpython/b.hpp"', "name it from native/"),
        ("crossing/a.cpp", '#include "core/b.cpp"', "a source file"),
        ("crossing/a.cpp", '#include "core/missing.hpp"', "no such header"),
    ],
)
def test_a_broken_layer_is_found(tmp_path: Path, file: str, line: str, why: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    path.write_text(f"#pragma once\n{line}\n", encoding="utf-8")
    violations = layer_violations(tmp_path)
    assert len(violations) == 1
    assert violations[0].startswith(file)
    assert why in violations[0]


def test_the_right_direction_is_allowed(tmp_path: Path) -> None:
    for layer in LAYERS:
        (tmp_path / layer).mkdir()
        (tmp_path / layer / "own.hpp").write_text("#pragma once\n", encoding="utf-8")
    includes = "".join(f'#include "{layer}/own.hpp"\n' for layer in LAYERS) + "#include <Python.h>\n"
    (tmp_path / LAYERS[-1] / "all.cpp").write_text(includes, encoding="utf-8")
    assert layer_violations(tmp_path) == []


@pytest.mark.parametrize(
    "line",
    ["import isthmus.cli", "from isthmus.cli import main", "from . import cli", "from isthmus import cli"],
)
def test_an_import_of_the_command_line_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "pool.py").write_text(f"def f():\n    {line}\n", encoding="utf-8")
    (tmp_path / "__main__.py").write_text(f"{line}\n", encoding="utf-8")
    assert cli_imports(tmp_path) == ["pool.py: imports isthmus.cli"]


def test_the_fuzzers_find_what_they_read() -> None:
    """They run last in .ci/run, if there is time: what they need of the sources is looked at here as well."""
    hostile = runpy.run_path(str(ROOT / "tests" / "fuzz" / "hostile.py"))
    assert hostile["TAGS"]["nothing"] == 0
    assert len(hostile["TAGS"]) > 30
    harness = (ROOT / "tests" / "fuzz" / "harness.cpp").read_text()
    exported = re.findall(r"^ +(isthmus_fuzz\w*);", (ROOT / "cmake" / "exports-fuzz.map").read_text(), re.M)
    assert sorted(exported) == sorted(re.findall(r'visibility\("default"\)\]\] \w+\W+(\w+)\(', harness))
