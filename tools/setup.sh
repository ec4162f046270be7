#!/usr/bin/env bash
# setup.sh run|test|lint|coverage: makes .venv with the best Python and what that purpose needs from PyPI.
# Quick when nothing changed. .venv is made anew when the interpreter is another one or the checkout moved.
set -euo pipefail

purpose=${1:?usage: tools/setup.sh run|test|lint|coverage}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
cd "$root"

make_venv() {
    local python=$1 version=$2
    echo "isthmus: Python $version ($python) -> .venv"
    rm -rf "$venv"
    "$python" -I -m venv "$venv"
    local site
    site=$("$venv/bin/python" -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    # The package is imported from the checkout; the build puts the extension beside it.
    printf '%s\n' "$root/src" >"$site/isthmus-checkout.pth"
    printf '#!%s\nimport sys\n\nfrom isthmus.cli import main\n\nsys.exit(main())\n' "$venv/bin/python" \
        >"$venv/bin/isthmus"
    chmod +x "$venv/bin/isthmus"
}

ensure_venv() {
    local python version identity
    python=$(tools/find-python.sh)
    version=$("$python" -I -c 'import sys; print(sys.version.split()[0])')
    identity="$python $version $root"
    if [[ ! -x $venv/bin/python || $(cat "$venv/isthmus-identity" 2>/dev/null) != "$identity" ]]; then
        make_venv "$python" "$version"
        printf '%s\n' "$identity" >"$venv/isthmus-identity"
    fi
}

# requirements GROUP...: the project's own dependencies and those of the groups, one per line.
requirements() {
    "$venv/bin/python" -I - "$@" <<'PY'
import sys
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)
for requirement in project["project"]["dependencies"]:
    print(requirement)
for group in sys.argv[1:]:
    print(*project["dependency-groups"][group], sep="\n")
PY
}

install_groups() {
    local stamp=$venv/isthmus-$purpose.stamp wanted
    if [[ $stamp -nt pyproject.toml ]]; then return; fi
    wanted=$(requirements "$@")
    if [[ $(cat "$stamp" 2>/dev/null) != "$wanted" ]]; then
        echo "isthmus: installing from PyPI: $(tr '\n' ' ' <<<"$wanted")"
        local -a list
        mapfile -t list <<<"$wanted"
        if ! "$venv/bin/python" -m pip install -qq --disable-pip-version-check "${list[@]}"; then
            echo "isthmus: pip could not install the packages above. Offline? They come from PyPI; an index" >&2
            echo "of your own can be named with PIP_INDEX_URL, a folder of wheels with PIP_FIND_LINKS." >&2
            exit 1
        fi
    fi
    printf '%s\n' "$wanted" >"$stamp"
}

case $purpose in
run) ensure_venv && install_groups build ;;
test) install_groups test ;;
lint) install_groups lint ;;
coverage) install_groups coverage ;;
*) echo "isthmus: unknown purpose '$purpose'" >&2 && exit 2 ;;
esac
