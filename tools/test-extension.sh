#!/usr/bin/env bash
# test-extension.sh debug-ext|asan-ext|tsan-ext [pytest arguments]: the Python suite, or the files named, on that build
# of the extension, in a copy of the package under build/<preset>/site, so that the one in src/isthmus stays the
# release build. Hosts are built against it and, for tsan-ext, sanitized themselves. Under a sanitizer the
# tests see its name in ISTHMUS_TEST_SANITIZER, and a small arena. 75: cannot run here.
set -euo pipefail

preset=${1:?usage: tools/test-extension.sh debug-ext|asan-ext|tsan-ext [pytest arguments]}
shift
cd "$(dirname "${BASH_SOURCE[0]}")/.."
site=$PWD/build/$preset/site
reports=$PWD/build/$preset/report

cannot() { echo "$1" && exit 75; }

# sanitized NAME LIBRARY...: Python is not, so the sanitizer's libraries come first. Its reports go to files,
# since a test may swallow those of its subprocesses.
sanitized() {
    local name path
    local -a libraries=()
    for name in "${@:2}"; do
        path=$(g++ -print-file-name="$name")
        [[ $path == /* ]] || cannot "g++ has no $name"
        libraries+=("$(readlink -f "$path")")
    done
    environment+=(
        "LD_PRELOAD=${libraries[*]}"
        "ISTHMUS_TEST_SANITIZER=$1"
        "ISTHMUS_CAPACITY=${ISTHMUS_CAPACITY:-8589934592}"
        "ISTHMUS_WINDOWS=${ISTHMUS_WINDOWS:-16}"
    )
}

environment=("PYTHONPATH=$site")
pytest_options=(-p no:cacheprovider)
launch=()
case $preset in
asan-ext)
    sanitized address libasan.so libstdc++.so
    # CPython leaks on purpose at exit; a failed huge malloc must be a MemoryError, and a fault a signal, as they
    # are without ASan. UBSan's reports do not heed log_path here, so pytest must leave file descriptor 2 alone.
    pytest_options+=(--capture=sys)
    environment+=(
        "ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:handle_segv=0:handle_sigbus=0:log_path=$reports"
        "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1"
    )
    ;;
tsan-ext)
    sanitized thread libtsan.so
    # TSan of older compilers dies of a kernel that randomises more address bits than it knows.
    launch=(setarch "$(uname -m)" -R)
    "${launch[@]}" env "${environment[@]}" true 2>/dev/null || cannot "no program runs under ThreadSanitizer here"
    # Python is not instrumented; TSan sees its locks, which are the C library's, and so what a GIL orders.
    environment+=("TSAN_OPTIONS=second_deadlock_stack=1:history_size=4:log_path=$reports:suppressions=$PWD/tests/hosts/tsan.supp")
    ;;
esac

make --no-print-directory "build/$preset/build.ninja"
tools/setup.sh test
.venv/bin/cmake --build "build/$preset" --target _isthmus
find "$site" \( -name '*.py' -o -name '*.pyi' -o -name '*.pyc' \) -delete
tar -C src --exclude='*.so' --exclude=__pycache__ -cf - isthmus | tar -C "$site" -xf -

run=("${launch[@]}" env "${environment[@]}" "$PWD/.venv/bin/python")
used=$("${run[@]}" -c 'import isthmus._isthmus as m; print(m.__file__)')
[[ $used == "$site"/* ]] || { echo "isthmus: $used was imported, not the $preset build" >&2 && exit 1; }
files=(tests/python)
for each in "$@"; do
    if [[ -e ${each%%::*} ]]; then files=(); fi
done
status=0
rm -f "build/$preset"/report.*
"${run[@]}" -m pytest "${files[@]}" -n auto --dist loadfile --no-loadscope-reorder --max-worker-restart=0 "${pytest_options[@]}" "$@" || status=$?
for report in "build/$preset"/report.*; do
    if [[ -s $report ]]; then cat "$report" && status=1; fi
done
exit $status
