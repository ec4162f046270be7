#!/usr/bin/env bash
# test-core.sh debug|asan|tsan [TIMES]: the core's GoogleTest suite, each test TIMES times; sanitized in the build of
# test-extension.sh, which has the same core. 75: cannot run here.
set -euo pipefail

preset=${1:?usage: tools/test-core.sh debug|asan|tsan [TIMES]}
times=${2:-1}
configuration=$preset
[[ $preset == debug ]] || configuration=$preset-ext
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# TSan of older compilers dies of a kernel that randomises more address bits than it knows.
launch=()
if [[ $preset == tsan ]] && setarch "$(uname -m)" -R true 2>/dev/null; then
    launch=(setarch "$(uname -m)" -R)
fi
make --no-print-directory "build/$configuration/build.ninja"

sanitizers=$(sed -n 's/^ISTHMUS_SANITIZE:[A-Z]*=//p' "build/$configuration/CMakeCache.txt")
if [[ -n $sanitizers ]]; then
    probe=$(mktemp)
    trap 'rm -f "$probe"' EXIT
    if ! echo 'int main() {}' | g++ -fsanitize="$sanitizers" -x c++ - -o "$probe" || ! "${launch[@]}" "$probe"; then
        echo "an empty program does not build and run under -fsanitize=$sanitizers here"
        exit 75
    fi
fi
.venv/bin/cmake --build "build/$configuration" --target isthmus_core_tests isthmus_cxx_tests isthmus_fault_tests
"${launch[@]}" .venv/bin/ctest --preset "$preset" --parallel "$(nproc)" --repeat "until-fail:$times"
