#!/usr/bin/env bash
# check-models.sh [--large]: searches the models of models/ exhaustively with spin, then breaks each on purpose and
# sees that spin finds it. --large: bigger sizes, minutes more. Two searches at a time. 75: no spin here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! tools/system-packages.sh spin; then
    echo "spin (Debian: spin), which searches the models, is not here"
    exit 75
fi

# MODEL DEFINES: must hold. The sizes are in docs/models.md.
holds=(
    "slot SENDS=1"
    "slot SENDS=2 FORWARDS=0 LIVES=1"
    "slot SENDS=2 FORWARDS=0 RECEIVERS=1"
    "slot SLOTS=2 SENDS=3 FORWARDS=0 RECEIVERS=1 LIVES=1"
    "channel SCENARIO=1"
    "channel SCENARIO=3"
    "channel SCENARIO=6"
    "channel SCENARIO=7"
    "gate SCENARIO=1"
    "gate SCENARIO=2"
    "gate SCENARIO=3"
    "helper SCENARIO=1 CALLS=3"
    "helper SCENARIO=2"
    "helper SCENARIO=3"
    "helper SCENARIO=4"
    "helper SCENARIO=5"
)
large=(
    "slot SENDS=2"
    "slot SLOTS=2 SENDS=2 FORWARDS=0 RECEIVERS=1"
    "channel SCENARIO=5"
    "gate SCENARIO=4"
)
# The same with a deliberate break: must be found.
small_slot="slot SENDS=2 FORWARDS=0 RECEIVERS=1"
breaks=(
    "$small_slot BREAK_QUEUED_TWICE"
    "$small_slot BREAK_SHARES_READ_FIRST"
    "$small_slot BREAK_KEEPER_REGARDLESS"
    "$small_slot BREAK_KEEPER_AFTER_SEND"
    "$small_slot BREAK_TEARDOWN_REUSES"
    "$small_slot BREAK_ORPHAN_FREED"
    "$small_slot BREAK_REFUSED_FORGOTTEN"
    "$small_slot BREAK_FORMER_OWNER_FORGOTTEN"
    "$small_slot BREAK_INBOX_STAYS_OPEN"
    "$small_slot BREAK_DEAD_TWINS_KEPT"
    "slot SLOTS=2 SENDS=3 FORWARDS=0 RECEIVERS=1 LIVES=1 BREAK_NEXT_READ_LATE"
    "channel SCENARIO=6 BREAK_COMPLETED_IN_TWO_STEPS"
    "channel SCENARIO=1 BREAK_SLEEPS_UNASKED"
    "channel SCENARIO=1 BREAK_MESSAGE_AFTER_COMPLETION"
    "channel SCENARIO=1 BREAK_PARKS_WITHOUT_A_LOOK"
    "channel SCENARIO=7 BREAK_STAYS_PARKED"
    "channel SCENARIO=7 BREAK_CLOSE_FORGETS_WAITERS"
    "channel SCENARIO=3 BREAK_SELECT_ACTS_WHILE_PARKING"
    "channel SCENARIO=3 BREAK_ONE_CASE_STAYS_PARKED"
    "gate SCENARIO=1 BREAK_LOOKS_BEFORE_IT_COUNTS"
    "gate SCENARIO=1 BREAK_REFUSED_LEAVES_SILENTLY"
    "gate SCENARIO=1 BREAK_GATE_SLEEPS_UNASKED"
    "gate SCENARIO=1 BREAK_CLOSES_AN_OPEN_GATE"
    "gate SCENARIO=2 BREAK_ONLY_LATER_POSTS_WAKE"
    "gate SCENARIO=2 BREAK_SIGNAL_CLEARED_AFTER_WORK"
    "gate SCENARIO=3 BREAK_STOP_DOES_NOT_NOTIFY"
    "gate SCENARIO=3 BREAK_INBOX_STAYS_OPEN"
    "helper SCENARIO=1 BREAK_LEAVES_WITHOUT_A_LOOK"
    "helper SCENARIO=1 BREAK_MADE_WITHOUT_A_LOOK"
    "helper SCENARIO=1 BREAK_NO_LOOK_AFTER_THE_LOCK"
    "helper SCENARIO=1 BREAK_POSTER_DOES_NOT_LOOK_AGAIN"
    "helper SCENARIO=2 BREAK_STOPPED_IT_FORGETS"
    "helper SCENARIO=2 BREAK_STOPPER_DOES_NOT_LOOK_AGAIN"
    "helper SCENARIO=3 BREAK_WAKES_ONLY_THE_IDLE"
    "helper SCENARIO=3 BREAK_SAYS_WITHOUT_COMPARING"
    "helper SCENARIO=5 BREAK_LISTENER_FORGETS_THE_STOP"
    "helper SCENARIO=4 BREAK_STOP_LOOKED_FOR_BEFORE_THE_CLEARING"
    "helper SCENARIO=4 BREAK_RESTER_DOES_NOT_LOOK_AGAIN"
)
if [[ ${1:-} == --large ]]; then holds+=("${large[@]}"); fi

# search "MODEL DEFINE..." : prints one line; 0: searched all of it and found nothing, 1: found an error,
# 2: neither (out of memory, search cut short, no compiler).
search() {
    local -a words flags=()
    read -ra words <<<"$1"
    local place model=$PWD/models/${words[0]}.pml states
    for word in "${words[@]:1}"; do
        flags+=("-D$word")
        if [[ $word == BREAK_* ]]; then
            grep -q "$word" "$model" || { echo "$1: the model has no such break" && return 2; }
        fi
    done
    place=$(mktemp -d)
    trap 'rm -rf "$place"' RETURN
    cd "$place"
    spin -a "${flags[@]}" "$model" >log 2>&1 || { cat log && return 2; }
    # SAFETY: assertions and invalid end states. COLLAPSE packs states without loss. Not optimised: compiling
    # would take longer than all but the largest searches.
    gcc -O0 -w -DSAFETY -DCOLLAPSE -DMEMLIM=4000 -o pan pan.c || return 2
    ./pan -m1000000 >log 2>&1 || true
    states=$(awk '/states, stored/ { print $1 }' log)
    if grep -q 'errors: 0' log && ! grep -qE 'max search depth too small|out of memory|Search not completed' log; then
        echo "$1: $states states, no error"
        return 0
    fi
    if grep -qE '^pan:1: (assertion violated|invalid end state)' log; then
        echo "$1: $(sed -n 's/^pan:1: //p' log | head -n 1)"
        return 1
    fi
    cat log
    return 2
}

# judge STATUS "MODEL DEFINE...": the search must end with that status.
judge() {
    local status=0 line
    line=$(search "$2") || status=$?
    if [[ $status == "$1" ]]; then echo "ok      $line"; else echo "FAILED  $line" && return 1; fi
}
export -f search judge
{
    printf '0\0%s\0' "${holds[@]}"
    printf '1\0%s\0' "${breaks[@]}"
} | xargs -0 -n 2 -P "${ISTHMUS_MODEL_JOBS:-2}" bash -c 'judge "$@"' judge
