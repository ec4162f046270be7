#!/usr/bin/env bash
# lint.sh [--fix]: every check of style and types; goes on after a failure and names what failed.
# --fix lets clang-format and ruff rewrite instead, and checks nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bin=$PWD/.venv/bin

existing() { for path in "$@"; do if [[ -e $path ]]; then printf '%s\n' "$path"; fi; done; }
mapfile -t cpp_roots < <(existing native include tests/allocations tests/core tests/cxx tests/embedding tests/fuzz tests/hosts bench examples)
mapfile -t python_roots < <(existing src tests bench examples tools)
mapfile -t cpp < <(find "${cpp_roots[@]}" -name '*.hpp' -o -name '*.cpp' | sort)

if [[ ${1:-} == --fix ]]; then
    tools/system-packages.sh lint
    clang-format -i "${cpp[@]}"
    "$bin/ruff" check --quiet --fix-only "${python_roots[@]}"
    "$bin/ruff" format "${python_roots[@]}"
    exit
fi

failed=()
check() {
    local name=$1
    shift
    if "$@"; then echo "ok      $name"; else failed+=("$name") && echo "FAILED  $name"; fi
}
check clang-format clang-format --dry-run -Werror "${cpp[@]}"
check "ruff check" "$bin/ruff" check --quiet "${python_roots[@]}"
check "ruff format" "$bin/ruff" format --quiet --check "${python_roots[@]}"
check "mypy --strict" "$bin/mypy" --strict --no-error-summary
check "pyright, strict" "$bin/basedpyright" --pythonpath "$bin/python"
# Files may have come or gone since it was configured.
"$bin/cmake" --log-level=NOTICE build/lint >/dev/null
check clang-tidy "$bin/python" tools/tidy.py build/lint
if [[ ${#failed[@]} -gt 0 ]]; then
    printf 'lint failed: %s\n' "${failed[*]}" >&2
    exit 1
fi
