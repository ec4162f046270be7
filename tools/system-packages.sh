#!/usr/bin/env bash
# system-packages.sh PURPOSE: what the preset or purpose needs from the system, installed only if missing,
# and only where that needs no password; otherwise says what to install. Nothing else is touched.
set -euo pipefail

missing=()
need_program() { command -v "$1" >/dev/null || missing+=("$2"); }
need_header() {
    printf '#include <%s>\n' "$1" | g++ -std=c++20 -E -x c++ - >/dev/null 2>&1 || missing+=("$2")
}

case ${1:?usage: tools/system-packages.sh PURPOSE} in
release | debug-ext) need_program g++ g++ ;;
debug | asan-ext | tsan-ext | coverage) need_program g++ g++ && need_header gtest/gtest.h libgtest-dev ;;
fuzz)
    need_program g++ g++
    need_program clang++ clang
    runtime=libclang_rt.fuzzer_no_main-$(uname -m).a
    if command -v clang++ >/dev/null; then
        major=$(clang++ -dumpversion)
        [[ $(clang++ -print-file-name="$runtime") == /* ]] || missing+=("libclang-rt-${major%%.*}-dev")
    else
        missing+=(libclang-rt-dev)
    fi
    ;;
examples)
    need_program g++ g++
    need_program wrk wrk
    need_header boost/beast.hpp libboost-dev
    need_header CLI/CLI.hpp libcli11-dev
    ;;
bench) need_program g++ g++ && need_header benchmark/benchmark.h libbenchmark-dev ;;
lint)
    need_program g++ g++
    need_program clang-format clang-format
    need_program clang-tidy clang-tidy
    ;;
spin) need_program gcc gcc && need_program spin spin ;;
mmdebstrap) need_program mmdebstrap mmdebstrap ;;
*) echo "isthmus: unknown purpose '$1'" >&2 && exit 2 ;;
esac
[[ ${#missing[@]} -eq 0 ]] && exit 0

as_root=()
if [[ $(id -u) -ne 0 ]]; then as_root=(sudo -n); fi
if command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
    echo "isthmus: installing ${missing[*]} with apt-get"
    install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "${missing[@]}")
    "${install[@]}" >/dev/null 2>&1 && exit 0
    # The package index may be old.
    "${as_root[@]}" apt-get update -qq >/dev/null 2>&1 || true
    "${install[@]}" >/dev/null && exit 0
fi
echo "isthmus: please install ${missing[*]} (Debian: apt-get install ${missing[*]}), then try again" >&2
exit 1
