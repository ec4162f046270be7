#!/usr/bin/env bash
# build-host-bench.sh: builds bench/host, a C++ program that embeds Python, over the release build, for `make bench`;
# into build/bench/bench. A Python that can't be embedded leaves it out, and says so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cmake=.venv/bin/cmake
build=build/bench/host
program=build/bench/bench/host_bench
rm -f "$program"
"$cmake" --install build/release --prefix build/bench/prefix >/dev/null
found=$(find "$PWD/build/bench/prefix" -path '*/cmake/isthmus/isthmusConfig.cmake' | head -n 1)
"$cmake" -S bench/host -B "$build" --fresh -G Ninja -DCMAKE_MAKE_PROGRAM="$PWD/.venv/bin/ninja" \
    -Disthmus_DIR="${found%/*}" -DPython_EXECUTABLE="$PWD/.venv/bin/python" \
    -DCMAKE_RUNTIME_OUTPUT_DIRECTORY="$PWD/build/bench/bench" >"$build.log" 2>&1 || { cat "$build.log" >&2 && exit 1; }
"$cmake" --build "$build" >"$build.log" 2>&1 || { cat "$build.log" >&2 && exit 1; }
[[ -x $program ]] || echo "isthmus: this Python has no shared library to embed: the C++ host is not measured"
