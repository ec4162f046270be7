# Sourced by scripts that run many steps, go on after a failure, and sum up at the end.
# A step is a command; exit status 75 means that this machine cannot run it, and its last line of output says
# why. Results go to the file $ISTHMUS_RESULTS, which an inner script may share, as kind<TAB>name<TAB>reason.

ISTHMUS_RESULTS=${ISTHMUS_RESULTS:-$(mktemp)}
export ISTHMUS_RESULTS
# All steps together end before this: seconds since the epoch.
ISTHMUS_DEADLINE=${ISTHMUS_DEADLINE:-$(($(date +%s) + ${ISTHMUS_CI_SECONDS:-1680}))}
export ISTHMUS_DEADLINE

# report pass|fail|skip NAME [REASON]
report() { printf '%s\t%s\t%s\n' "$1" "$2" "${3:-}" >>"$ISTHMUS_RESULTS"; }

# step NAME SECONDS COMMAND...: runs it within SECONDS and the deadline; never fails itself.
step() {
    local name=$1 limit=$2 left=$((ISTHMUS_DEADLINE - $(date +%s))) log status=0 began=$SECONDS
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
    timeout --kill-after=20 "$limit" "$@" 2>&1 | tee "$log" || status=${PIPESTATUS[0]}
    local took="$((SECONDS - began)) s"
    case $status in
    0) report pass "$name" "$took" ;;
    75) report skip "$name" "$(tail -n 1 "$log")" ;;
    124 | 137)
        # Out of all time is no verdict on this step; out of its own is.
        if [[ $cut ]]; then report skip "$name" "no time left after $limit s"; else report fail "$name" "not done after $limit s"; fi
        ;;
    *) report fail "$name" "exit status $status after $took" ;;
    esac
    rm -f "$log"
}

# summary: prints all results; false if any step failed or nothing passed.
summary() {
    local kind title
    for kind in pass:passed fail:FAILED "skip:COULD NOT BE TESTED"; do
        title=${kind#*:}
        awk -F '\t' -v kind="${kind%%:*}" -v title="$title" \
            '$1 == kind { if (!n++) print "\n" title ":"; print "  " $2 ($3 == "" ? "" : ": " $3) }' \
            "$ISTHMUS_RESULTS"
    done
    grep -q '^pass' "$ISTHMUS_RESULTS" && ! grep -q '^fail' "$ISTHMUS_RESULTS"
}
