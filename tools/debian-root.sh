#!/usr/bin/env bash
# debian-root.sh: prints the path of a Debian testing tree for chroot, with newer Pythons and their own tests.
# Makes it at first, and anew when this script has changed, in a cache outside the checkout; takes a minute and
# the network. 75: cannot here, the last line says why.
set -euo pipefail

suite=${ISTHMUS_DEBIAN_SUITE:-forky}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/isthmus
root=$cache/debian-$suite

cannot() { echo "$1" && exit 75; }
[[ $(id -u) -eq 0 ]] || cannot "a Debian root needs root for mmdebstrap and chroot"
recipe=$(cksum <"${BASH_SOURCE[0]}")
if [[ $(cat "$root/isthmus-complete" 2>/dev/null) != "$recipe" ]]; then
    "$(dirname "${BASH_SOURCE[0]}")/system-packages.sh" mmdebstrap >&2 || cannot "mmdebstrap is not installed"
    mkdir -p "$cache"
    tools=g++,cmake,ninja-build,make,ca-certificates,git,procps
    tools+=,clang,libgtest-dev,pkgconf,libsqlite3-dev # for tests of C++ hosts
    # The suite moves: a Python that has left it must not stop the others.
    newer=python3.14-dev,python3.14-venv,libpython3.14-testsuite,python3.15-dev,python3.15-venv,libpython3.15-testsuite
    for pythons in "$newer" python3-dev,python3-venv; do
        # A /proc or /dev that somebody mounted there is the machine's own.
        if grep -qF " $root" /proc/self/mounts; then cannot "something is mounted below $root"; fi
        rm -rf --one-file-system "$root"
        if mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' \
            --include="$pythons,$tools" "$suite" "$root" </dev/null >&2; then
            echo "$recipe" >"$root/isthmus-complete"
            break
        fi
    done
    [[ -e $root/isthmus-complete ]] || cannot "mmdebstrap could not make a Debian $suite root (offline?)"
fi
echo "$root"
