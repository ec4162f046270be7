#!/usr/bin/env bash
# fuzz.sh [SECONDS]: the decoder's fuzzer and the round trip's, SECONDS together (60), under clang's sanitizers.
# fuzz.sh --replay decoder|round-trip FILE...: only these inputs. 75: cannot run here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
site=$PWD/build/fuzz/site

if ! make --no-print-directory build/fuzz/build.ninja; then
    echo "clang++ and its runtime with libFuzzer (Debian: clang, libclang-rt-dev) are not here"
    exit 75
fi
.venv/bin/cmake --build build/fuzz
find "$site" \( -name '*.py' -o -name '*.pyi' -o -name '*.pyc' \) -delete
tar -C src --exclude='*.so' --exclude=__pycache__ -cf - isthmus | tar -C "$site" -xf -

asan=$(clang++ -print-file-name="libclang_rt.asan-$(uname -m).so")
standard=$(clang++ -print-file-name=libstdc++.so)
# Python's small objects are malloc's, so that AddressSanitizer sees their ends. CPython leaks on purpose at exit.
environment=(
    "LD_PRELOAD=$asan $(readlink -f "$standard")"
    "PYTHONPATH=$site" PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0
    "ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:handle_abort=1"
    "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1"
    "ISTHMUS_CAPACITY=${ISTHMUS_CAPACITY:-8589934592}"
    "ISTHMUS_WINDOWS=${ISTHMUS_WINDOWS:-16}"
)
# fuzz WHICH OPTIONS...
fuzz() {
    local which=$1
    shift
    env "${environment[@]}" "$PWD/.venv/bin/python" tests/fuzz/run.py "$which" "build/fuzz/$which" \
        "-artifact_prefix=build/fuzz/$which/" -max_len=512 -timeout=60 -rss_limit_mb=3072 -print_final_stats=1 "$@"
}

if [[ ${1:-} == --replay ]]; then
    which=${2:?usage: tools/fuzz.sh --replay decoder|round-trip FILE...}
    shift 2
    fuzz "$which" "$@"
    exit
fi
seconds=${1:-60}
fuzz decoder "-max_total_time=$((seconds * 2 / 3))"
fuzz round-trip "-max_total_time=$((seconds - seconds * 2 / 3))"
