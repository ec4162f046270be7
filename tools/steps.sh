# Sourced by scripts that run many steps, go on after a failure, and sum up at the end.
# A step is a command; exit status 75 means that this machine cannot run it, and its last line of output says
# why. Results go to the file $ISTHMUS_RESULTS, which an inner script may share, as kind<TAB>name<TAB>reason;
# the lines of a failed step's output that say what failed follow as detail<TAB>name<TAB>line.

ISTHMUS_RESULTS=${ISTHMUS_RESULTS:-$(mktemp)}
export ISTHMUS_RESULTS
# All steps together end before this: seconds since the epoch.
ISTHMUS_DEADLINE=${ISTHMUS_DEADLINE:-$(($(date +%s) + ${ISTHMUS_CI_SECONDS:-1680}))}
export ISTHMUS_DEADLINE

# report pass|fail|skip|detail NAME [REASON]
report() { printf '%s\t%s\t%s\n' "$1" "$2" "${3:-}" >>"$ISTHMUS_RESULTS"; }

# tell NAME LOG: adds what failed in a step that did, or else the end of its output. Few lines and short ones,
# since whoever reads them may be shown only the end of everything.
tell() {
    # Verdicts of pytest and ctest, then what compilers, linkers and sanitizers say.
    local verdicts='^(FAILED|ERROR|RUNNING) |^ *[0-9]+ - .*\([A-Z][A-Za-z_ ]*\)'
    local causes='(^|[^[:alnum:]_])error: |undefined reference to |: [A-Za-z]+Sanitizer: |runtime error: '
    local plain line
    local -a lines
    # Without colours; tabs separate what is in the results.
    plain=$(tr -d '\0' <"$2" | sed $'s/\x1b\\[[0-9;]*[A-Za-z]//g; s/\t/ /g; s/\r$//')
    mapfile -t lines < <({ grep -aE "$verdicts" <<<"$plain"; grep -aE "$causes" <<<"$plain"; } |
        awk '!seen[$0]++' | head -n 12)
    if [[ ${#lines[@]} -eq 0 ]]; then mapfile -t lines < <(tail -n 8 <<<"$plain"); fi
    for line in "${lines[@]}"; do
        if [[ $line ]]; then report detail "$1" "${line:0:200}"; fi
    done
}

_failures() { grep -c '^fail' "$ISTHMUS_RESULTS" || true; }

# step NAME SECONDS COMMAND...: runs it within SECONDS and the deadline; never fails itself.
step() {
    local name=$1 limit=$2 left=$((ISTHMUS_DEADLINE - $(date +%s))) log status=0 began=$SECONDS before
    shift 2
    if ((left < 20)); then
        echo "=== $name: no time left"
        report skip "$name" "no time left"
        return 0
    fi
    local cut=''
    ((limit > left)) && limit=$left cut=yes
    echo "=== $name"
    log=$(mktemp)
    before=$(_failures)
    timeout --kill-after=20 "$limit" "$@" 2>&1 | tee "$log" || status=${PIPESTATUS[0]}
    local took="$((SECONDS - began)) s" failed=''
    case $status in
    0) report pass "$name" "$took" ;;
    75) report skip "$name" "$(tail -n 1 "$log")" ;;
    124 | 137)
        # Out of all time is no verdict on this step; out of its own is.
        if [[ $cut ]]; then report skip "$name" "no time left after $limit s"; else failed="not done after $limit s"; fi
        ;;
    *) failed="exit status $status after $took" ;;
    esac
    if [[ $failed ]]; then
        # Steps of an inner script have told what failed.
        local inner=$(($(_failures) - before))
        report fail "$name" "$failed"
        ((inner)) || tell "$name" "$log"
    fi
    rm -f "$log"
}

# summary: prints all results, failures last; false if any step failed or nothing passed.
summary() {
    local kind title
    for kind in pass:passed "skip:COULD NOT BE TESTED" fail:FAILED; do
        title=${kind#*:}
        awk -F '\t' -v kind="${kind%%:*}" -v title="$title" '
            $1 == kind { if (!n++) print "\n" title ":"; print "  " $2 ($3 == "" ? "" : ": " $3) }
            $1 == "detail" && kind == "fail" { print "    " $3 }' \
            "$ISTHMUS_RESULTS"
    done
    grep -q '^pass' "$ISTHMUS_RESULTS" && ! grep -q '^fail' "$ISTHMUS_RESULTS"
}
