#!/usr/bin/env bash
# Prints the CPython to use: the newest >= 3.13 with headers and venv, on PATH or under pyenv; releases
# before pre-releases. PYTHON=... is taken instead, if it is fit. --all prints every fit one, best first.
# stdout: paths only; stderr: why a candidate, or all of them, will not do.
set -euo pipefail

probe='
import sys, sysconfig
from pathlib import Path
def unfit(why):
    print("-", why); raise SystemExit
if sys.implementation.name != "cpython": unfit(f"is {sys.implementation.name}, not CPython")
if sys.version_info < (3, 13): unfit(f"is {sys.version.split()[0]}, older than 3.13")
if sysconfig.get_config_var("Py_GIL_DISABLED"): unfit("is a free-threaded build")
paths = sysconfig.get_paths()
if not Path(paths["include"], "Python.h").exists(): unfit("has no headers (Debian: python3.x-dev)")
try: import venv, ensurepip
except ImportError: unfit("has no venv (Debian: python3.x-venv)")
v = sys.version_info
base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
final = int(v.releaselevel == "final")
print(f"+ {final}{v.major:03}{v.minor:03}{v.micro:03} {base}")
'

# Says "+ <sort key> <path>" or "- <reason>".
probe_python() {
    local said
    said=$(env -u PYTHONHOME -u PYTHONPATH timeout 20 "$1" -I -c "$probe" 2>/dev/null) || said="- does not run"
    printf '%s\n' "$said"
}

list_candidates() {
    local dir file pyenv_root=${PYENV_ROOT:-$HOME/.pyenv}
    local IFS=:
    for dir in $PATH; do
        # pyenv's shims are scripts that may refuse; the versions behind them are looked at directly.
        [[ $dir == "$pyenv_root/shims" || $dir == */pyenv-virtualenv/shims || $dir == */.venv/bin ]] && continue
        for file in "$dir"/python3 "$dir"/python3.[1-9][0-9]; do
            [[ -x $file && ${file##*.} != 1[0-2] ]] && printf '%s\n' "$file"
        done
    done
    for file in "$pyenv_root"/versions/*/bin/python3; do
        [[ -x $file && ! $file =~ /versions/(2\.|3\.([0-9]|1[0-2])(\.|-)) ]] && printf '%s\n' "$file"
    done
    return 0
}

if [[ -n ${PYTHON:-} && ${1:-} != --all ]]; then
    path=$(command -v "$PYTHON") || { echo "isthmus: PYTHON=$PYTHON: no such program" >&2; exit 1; }
    said=$(probe_python "$path")
    [[ $said == +* ]] || { echo "isthmus: PYTHON=$PYTHON ${said#- }" >&2; exit 1; }
    printf '%s\n' "${said#+ * }"
    exit 0
fi

fit=() unfit=()
declare -A seen=()
while IFS= read -r candidate; do
    real=$(readlink -f "$candidate")
    [[ -n ${seen[$real]:-} ]] && continue
    seen[$real]=1
    said=$(probe_python "$candidate")
    if [[ $said == +* ]]; then fit+=("${said#+ }"); else unfit+=("$candidate ${said#- }"); fi
done < <(list_candidates)

if [[ ${#fit[@]} -eq 0 ]]; then
    {
        echo "isthmus: no CPython >= 3.13 (ordinary build, with headers and venv) on PATH or under pyenv."
        for line in "${unfit[@]}"; do echo "  $line"; done
        echo "Get one with 'pyenv install 3.13', on Debian 13 with 'apt-get install python3-dev python3-venv',"
        echo "or name one: make PYTHON=/path/to/python3.13"
    } >&2
    exit 1
fi
printf '%s\n' "${fit[@]}" | sort -rk1,1 | cut -d' ' -f2- | awk '!seen[$0]++' |
    if [[ ${1:-} == --all ]]; then cat; else sed -n 1p; fi
