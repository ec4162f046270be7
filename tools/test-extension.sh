#!/usr/bin/env bash
# test-extension.sh debug-ext|asan-ext [pytest arguments]: the Python suite on that build of the extension, in
# a copy of the package under build/<preset>/site, so that the one in src/isthmus stays the release build.
# Under a sanitizer the tests see ISTHMUS_TEST_SANITIZER=address and a small arena. 75: cannot run here.
set -euo pipefail

preset=${1:?usage: tools/test-extension.sh debug-ext|asan-ext [pytest arguments]}
shift
cd "$(dirname "${BASH_SOURCE[0]}")/.."
site=$PWD/build/$preset/site

environment=("PYTHONPATH=$site")
pytest_options=(-p no:cacheprovider)
if [[ $preset == asan-ext ]]; then
    libraries=()
    for name in libasan.so libstdc++.so; do
        path=$(g++ -print-file-name=$name)
        [[ $path == /* ]] || { echo "g++ has no $name" && exit 75; }
        libraries+=("$(readlink -f "$path")")
    done
    # CPython leaks on purpose at exit; a failed huge malloc must be a MemoryError, and a fault a signal, as they
    # are without ASan. ASan's reports go to files, since a test may swallow those of its subprocesses; UBSan's
    # do not heed log_path here, so pytest must leave file descriptor 2 alone.
    pytest_options+=(--capture=sys)
    reports=$PWD/build/$preset/report
    environment+=(
        "LD_PRELOAD=${libraries[*]}"
        "ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:handle_segv=0:handle_sigbus=0:log_path=$reports"
        "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1"
        "ISTHMUS_TEST_SANITIZER=address"
        "ISTHMUS_CAPACITY=${ISTHMUS_CAPACITY:-8589934592}"
        "ISTHMUS_WINDOWS=${ISTHMUS_WINDOWS:-16}"
    )
fi

make --no-print-directory "build/$preset/build.ninja"
tools/setup.sh test
.venv/bin/cmake --build "build/$preset"
find "$site" \( -name '*.py' -o -name '*.pyi' -o -name '*.pyc' \) -delete
tar -C src --exclude='*.so' --exclude=__pycache__ -cf - isthmus | tar -C "$site" -xf -

run=(env "${environment[@]}" "$PWD/.venv/bin/python")
used=$("${run[@]}" -c 'import isthmus._isthmus as m; print(m.__file__)')
[[ $used == "$site"/* ]] || { echo "isthmus: $used was imported, not the $preset build" >&2 && exit 1; }
status=0
rm -f "build/$preset"/report.*
"${run[@]}" -m pytest tests/python -n auto --dist loadfile --no-loadscope-reorder --max-worker-restart=0 "${pytest_options[@]}" "$@" || status=$?
for report in "build/$preset"/report.*; do
    if [[ -s $report ]]; then cat "$report" && status=1; fi
done
exit $status
