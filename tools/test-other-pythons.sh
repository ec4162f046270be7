#!/usr/bin/env bash
# test-other-pythons.sh [--here]: installs the project with pip, as a user would, into each CPython >= 3.13 on
# PATH, under pyenv and in a root of Debian testing, and runs the Python suite there. --here: without that
# root. The Python of .venv, which `make test` covers, is only installed into and asked what it supports.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/steps.sh

cache=${XDG_CACHE_HOME:-$HOME/.cache}/isthmus
of_venv=$(cut -d' ' -f1 .venv/isthmus-identity 2>/dev/null || true)

test_python() {
    local python=$1 label=$2 venv
    venv=$cache/venv-$(printf '%s %s' "$python" "$label" | sha256sum | cut -c1-12)
    [[ -x $venv/bin/python ]] || "$python" -I -m venv --clear "$venv"
    local pip=("$venv/bin/python" -I -m pip -qq --disable-pip-version-check)
    local -a needed
    mapfile -t needed < <("$python" -I -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))
print(*p["project"]["dependencies"], *p["dependency-groups"]["test"], sep="\n")')
    "${pip[@]}" install "${needed[@]}" || { echo "pip cannot reach PyPI for $label" && return 75; }
    # Always anew: the sources may have changed under the same version. In batches: file by file is make's way.
    SKBUILD_CMAKE_DEFINE="CMAKE_UNITY_BUILD=ON" "${pip[@]}" install --force-reinstall --no-deps .
    if [[ $python == "$of_venv" ]]; then
        "$venv/bin/isthmus" doctor
    else
        "$venv/bin/python" -m pytest tests/python -p no:cacheprovider -q -n auto --dist loadfile --no-loadscope-reorder --max-worker-restart=0
    fi
}

# Which files pip reads and names on this machine: what a chroot must see too to install as we do.
pip_paths() {
    local name
    for name in /etc/pip.conf "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf" "${PIP_CONFIG_FILE:-}" \
        "${PIP_CERT:-}" "${SSL_CERT_FILE:-}" "${REQUESTS_CA_BUNDLE:-}" "${SSL_CERT_DIR:-}"; do
        if [[ -n $name && -e $name ]]; then readlink -f "$name"; fi
    done
    python3 -m pip config list 2>/dev/null | grep -oE "/[^ '\",]+" | sed 's#^//*#/#' |
        while IFS= read -r name; do
            # The pages of an index on disk link to files beside it.
            if [[ $name == */simple || $name == */simple/ ]]; then name=$(dirname "$name"); fi
            if [[ -e $name ]]; then readlink -f "$name"; fi
        done
}

# enter_root ROOT COMMAND...: in ROOT, with /proc, /dev and pip's set-up, in mounts that end with the command.
enter_root() {
    local root=$1
    shift
    local name file
    for name in resolv.conf hosts; do
        rm -f "$root/etc/$name" && cp -L "/etc/$name" "$root/etc/$name"
    done
    rm -f "$root/etc/pip.conf"
    for file in "$HOME/.pip/pip.conf" "$HOME/.config/pip/pip.conf" /etc/pip.conf; do
        if [[ -e $file ]]; then cat "$file" >"$root/etc/pip.conf" && break; fi
    done
    local -a binds
    mapfile -t binds < <(pip_paths | grep -v 'pip\.conf$' | sort -u)
    unshare --mount --propagation private bash -euc '
        root=$1 count=$2
        shift 2
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount -t tmpfs tmpfs "$root/tmp"
        for path in "${@:1:count}"; do
            if [[ -d $path ]]; then mkdir -p "$root$path"; else mkdir -p "$root${path%/*}" && touch "$root$path"; fi
            mount --rbind "$path" "$root$path"
        done
        shift "$count"
        exec chroot "$root" "$@"
    ' enter_root "$root" "${#binds[@]}" "${binds[@]}" "$@"
}

# Our sources, without what git ignores; a plain download has no git to ask.
copy_sources() {
    rm -rf "$1" && mkdir -p "$1"
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files -z --cached --others --exclude-standard |
            while IFS= read -r -d '' file; do if [[ -e $file ]]; then printf '%s\0' "$file"; fi; done |
            tar --null -T - -cf -
    else
        tar --exclude=./build --exclude=./.venv --exclude='*.so' -cf - .
    fi | tar -C "$1" -xf -
}

test_root() {
    local root
    root=$(tools/debian-root.sh) || { local status=$? && echo "${root##*$'\n'}" && return $status; }
    unshare --mount true 2>/dev/null || { echo "this process may not make mounts" && return 75; }
    copy_sources "$root/root/isthmus"
    local inner=/root/isthmus-results status=0
    : >"$root$inner"
    enter_root "$root" env -u PYENV_ROOT -u PYTHON -u XDG_CACHE_HOME HOME=/root PATH=/usr/bin:/bin \
        ISTHMUS_NESTED=1 ISTHMUS_RESULTS=$inner ISTHMUS_WHERE="Debian testing" /root/isthmus/tools/test-other-pythons.sh --here ||
        status=$?
    cat "$root$inner" >>"$ISTHMUS_RESULTS"
    [[ -s $root$inner ]] || status=1
    return $status
}

case ${1:-} in
--python) test_python "$2" "$3" && exit || exit $? ;;
--root) test_root && exit || exit $? ;;
esac

mapfile -t pythons < <(env -u PYTHON tools/find-python.sh --all)
for python in "${pythons[@]}"; do
    label="Python $("$python" -I -c 'import sys; print(sys.version.split()[0])') (${ISTHMUS_WHERE:-$python})"
    step "$label" 600 "$0" --python "$python" "$label"
done
if [[ ${#pythons[@]} -eq 0 ]]; then report skip "Pythons ${ISTHMUS_WHERE:-of this machine}" "none is fit"; fi
if [[ ${1:-} != --here ]]; then step "Debian testing" 1200 "$0" --root; fi
# Whoever shares the results file sums up.
if [[ -z ${ISTHMUS_NESTED:-} ]]; then summary; else ! grep -q '^fail' "$ISTHMUS_RESULTS"; fi
