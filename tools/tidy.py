"""Run clang-tidy over native/**/*.cpp, as many at a time as there are CPUs.

usage: tidy.py BUILD_DIR (holding compile_commands.json of a unity build: most of the time would go into the
headers of Python and the standard library, once per file). A batch of files that was clean is not looked at
again until one of them, any header, or the configuration changes. Exit status 1 when a file is not clean.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# clang 14 denies having __atomic_load, and CPython's pyatomic.h then gives up. g++, which builds, has it.
EXTRA = ["--extra-arg=-D_Py_USE_GCC_BUILTIN_ATOMICS=1"]


def common_digest(build: Path) -> bytes:
    """Hash everything that all results depend on."""
    digest = hashlib.sha256()
    headers = sorted(path for top in ("native", "include") for path in (ROOT / top).rglob("*.hpp"))
    for path in [ROOT / ".clang-tidy", build / "compile_commands.json", *headers]:
        digest.update(str(path).encode())
        digest.update(path.read_bytes())
    return digest.digest()


def batches(build: Path) -> dict[Path, list[Path]]:
    """The files that are compiled together, by the file that includes them."""
    commands = json.loads((build / "compile_commands.json").read_text())
    units = {Path(command["file"]) for command in commands}
    included = {
        unit: [Path(p) for p in re.findall(r'#include "(.*\.cpp)"', unit.read_text())] for unit in units
    }
    return {unit: files or [unit] for unit, files in sorted(included.items())}


def check(unit: Path, files: list[Path], build: Path, common: bytes) -> tuple[bool, str]:
    """Check one batch, unless a stamp says that the very same input was clean."""
    digest = hashlib.sha256(common)
    for path in files:
        digest.update(str(path).encode() + path.read_bytes())
    stamp = build / "tidy" / digest.hexdigest()
    if stamp.exists():
        return True, ""
    command = ["clang-tidy", "--quiet", f"--config-file={ROOT / '.clang-tidy'}", "-p", str(build), *EXTRA]
    done = subprocess.run([*command, str(unit)], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        stamp.touch()
        return True, ""
    return False, done.stdout or done.stderr


def main() -> int:
    """Check all files; print what is wrong, by batch."""
    build = Path(sys.argv[1]).resolve()
    (build / "tidy").mkdir(parents=True, exist_ok=True)
    sources = set((ROOT / "native").rglob("*.cpp"))
    units = batches(build)
    missed = sources - {path for files in units.values() for path in files}
    if missed or not sources:
        print("tidy: not in the build:", *map(str, sorted(missed) or ["native/**/*.cpp"]), file=sys.stderr)
        return 1
    common = common_digest(build)
    clean = True
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for ok, output in pool.map(lambda unit: check(unit, units[unit], build, common), units):
            if not ok:
                clean = False
                print(output, flush=True)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
