#!/usr/bin/env bash
# coverage.sh [pytest arguments]: the core's tests and the Python suite on builds that count, then whether each
# line of native/core and native/cpython was run or tests/coverage/explained.toml says why not (tools/coverage.py).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$PWD/build/coverage
site=$build/site

make --no-print-directory build/coverage/build.ninja
tools/setup.sh test
tools/setup.sh coverage
.venv/bin/cmake --build "$build"
find "$build" -name '*.gcda' -delete
find "$site" \( -name '*.py' -o -name '*.pyi' -o -name '*.pyc' \) -delete
tar -C src --exclude='*.so' --exclude=__pycache__ -cf - isthmus | tar -C "$site" -xf -
cp tests/coverage/sitecustomize.py "$site"

status=0
for program in isthmus_core_tests isthmus_cxx_tests isthmus_fault_tests; do
    # That one is about what only builds with checks count.
    "$build/$program" --gtest_brief=1 --gtest_filter=-held_locks.are_counted || status=$?
done
# A value a million deep takes too long with each line counted.
PYTHONPATH=$site .venv/bin/python -m pytest tests/python -q -n auto --dist loadfile --no-loadscope-reorder -p no:cacheprovider \
    --native-only --deselect=tests/python/test_crossing.py::test_any_depth "$@" || status=$?

.venv/bin/gcovr --root . --filter native/core/ --filter native/cpython/ --exclude-noncode-lines \
    -j "$(nproc)" --json "$build/report.json" "$build"
.venv/bin/python tools/coverage.py "$build/report.json" || status=$?
exit "$status"
