"""Run clang-tidy over native/**/*.cpp, as many at a time as there are CPUs.

usage: tidy.py BUILD_DIR (holding compile_commands.json). A file that was clean is not looked at again until
it, any header, or the configuration changes. Exit status 1 when a file is not clean.
"""

from __future__ import annotations

import hashlib
import os
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


def check(source: Path, build: Path, common: bytes) -> tuple[Path, bool, str]:
    """Check one file, unless a stamp says that the very same input was clean."""
    key = hashlib.sha256(common + str(source).encode() + source.read_bytes()).hexdigest()
    stamp = build / "tidy" / key
    if stamp.exists():
        return source, True, ""
    command = ["clang-tidy", "--quiet", "-p", str(build), *EXTRA, str(source)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        stamp.touch()
        return source, True, ""
    return source, False, done.stdout or done.stderr


def main() -> int:
    """Check all files; print what is wrong, by file."""
    build = Path(sys.argv[1]).resolve()
    (build / "tidy").mkdir(parents=True, exist_ok=True)
    sources = sorted((ROOT / "native").rglob("*.cpp"))
    if not sources:
        print("tidy: no native/**/*.cpp", file=sys.stderr)
        return 1
    common = common_digest(build)
    clean = True
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for source, ok, output in pool.map(lambda path: check(path, build, common), sources):
            if not ok:
                clean = False
                print(f"{source.relative_to(ROOT)}:\n{output}", flush=True)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
