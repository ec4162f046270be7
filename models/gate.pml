/* Entering and closing an interpreter; posting to it, and the helper that is woken for it.
 *
 * Mirrors   gate.hpp: gate::{enter, leave, shut, wait_until_empty, step_out}
 *           inbox.hpp: post, drain, close; errand.cpp: post, run_errands, end_errands
 *           helper.hpp: helper::notify; helper.cpp: helper::{serve, stop}; futex.cpp: wait, wake
 * Proves    hazard H7: nobody is inside an interpreter that has ended, and its closer gets through; that an owner
 *           which never drains has all that is posted run by its helper ("no lost wake-up"); that stopping the
 *           helper always joins it; invariant 6: what is posted is run once, or refused or abandoned by the close.
 * One step  is one atomic operation. The GIL is waited for like a lock.
 * SCENARIO  1 two entrants, twice each, and a closer. 2 three posts by two threads, the owner idle for ever. 3 the
 *           same, the owner drains when it likes, stops the helper and closes, as interpreters do. 4 as 3, and the
 *           posters enter the interpreter too.
 * Left out  what is told at once, leaving, stopping with the gate open (helper.pml); time: the grace before the helper works is a wait that ends whenever it likes; weak memory.
 */
#ifndef SCENARIO
#define SCENARIO 1
#endif
#define POSTERS 2
#define VISITS 2

bit ended; /* ghost: the interpreter state is freed */

/* gate */
byte counted;
bit shut;
bit closer_asleep;

inline enter() {
#ifdef BREAK_LOOKS_BEFORE_IT_COUNTS
    in = !shut;
    counted++;
#else
    atomic { counted++; in = !shut }
#endif
    if
    :: !in -> step_out()
    :: else
    fi
}
inline step_out() {
#ifdef BREAK_REFUSED_LEAVES_SILENTLY
    atomic { counted--; last = (in && counted == 0 && shut) }
#else
    atomic { counted--; last = (counted == 0 && shut) }
#endif
    if
    :: last -> closer_asleep = 0
    :: else
    fi
}
inline wait_until_empty() {
    do
    :: true ->
        now = counted;
        if
        :: now == 0 -> break
        :: else ->
#ifdef BREAK_GATE_SLEEPS_UNASKED
            closer_asleep = 1;
#else
            atomic { if
            :: counted == now && shut -> closer_asleep = 1
            :: else
            fi }
#endif
            !closer_asleep
        fi
    od
}

/* inbox: errands by number; what a drain took is its own */
#define POSTS 3
bit waiting[POSTS];
bit refuses;
bit run_already[POSTS];
bit over[POSTS]; /* refused or abandoned */
bit gil;

#define take(lock) atomic { !lock; lock = 1 }
#define inbox_empty (!waiting[0] && !waiting[1] && !waiting[2])

inline drain() {
    d_step {
        batch[0] = waiting[0]; batch[1] = waiting[1]; batch[2] = waiting[2];
        waiting[0] = 0; waiting[1] = 0; waiting[2] = 0
    }
    n = 0;
    do
    :: n == POSTS -> break
    :: n < POSTS && batch[n] ->
        assert(!ended && !run_already[n] && !over[n]);
        run_already[n] = 1; batch[n] = 0; n++
    :: n < POSTS && !batch[n] -> n++
    od;
    n = 0
}

/* helper */
bit signal;
bit stopping;
bit asleep_on_signal;
bit asleep_on_stopping;
bit helper_over;

inline notify() {
    atomic { was = signal; signal = 1 }
    if
    :: !was -> asleep_on_signal = 0 /* futex::wake */
    :: else
    fi
}

proctype poster(byte first; byte count) {
    bit was, behind, refused, in, last;
    byte k = first;
    do
    :: k == first + count -> break
    :: else ->
        d_step { /* the push that sticks */
            refused = refuses;
            behind = !inbox_empty;
            if
            :: !refused -> waiting[k] = 1
            :: else -> over[k] = 1
            fi
        }
        if
#ifdef BREAK_ONLY_LATER_POSTS_WAKE
        :: !refused && behind -> notify()
#else
        :: !refused && !behind -> notify()
#endif
        :: else
        fi;
#if SCENARIO == 4
        enter();
        if
        :: in -> take(gil); assert(!ended); gil = 0; step_out()
        :: else
        fi;
#endif
        k++
    od
}

proctype server() {
    bit batch[POSTS];
    byte n;
    bit in, last;
    do
    :: true ->
        do
        :: signal -> break
        :: !signal ->
            atomic { if
            :: !signal -> asleep_on_signal = 1
            :: else
            fi }
end_idle:   !asleep_on_signal
        od;
        /* The grace: ends when it likes, or at once when stop() wakes it. */
        if
        :: true
        :: stopping
        fi;
#ifndef BREAK_SIGNAL_CLEARED_AFTER_WORK
        signal = 0;
#endif
        if
        :: stopping -> break
        :: else
        fi;
        enter();
        if
        :: in ->
            take(gil);
            assert(!ended);
            do
            :: inbox_empty -> break
            :: else -> drain()
            od;
            gil = 0;
            step_out()
        :: else -> break /* the work may not enter any more */
        fi
#ifdef BREAK_SIGNAL_CLEARED_AFTER_WORK
        ;
        signal = 0
#endif
    od;
    helper_over = 1
}

proctype owner() {
    bit batch[POSTS];
    byte n, now;
    bit was;
    take(gil);
    do
    :: drain()
    :: gil = 0; take(gil) /* waits for something, or lets others run */
    :: break
    od;
    gil = 0;
#ifndef BREAK_CLOSES_AN_OPEN_GATE
    shut = 1;
#endif
    wait_until_empty();
    stopping = 1;
#ifndef BREAK_STOP_DOES_NOT_NOTIFY
    notify();
#endif
    helper_over; /* pthread_join */
    take(gil);
    drain();
    d_step { /* end_errands: inbox.close() */
#ifndef BREAK_INBOX_STAYS_OPEN
        refuses = 1;
#endif
        batch[0] = waiting[0]; batch[1] = waiting[1]; batch[2] = waiting[2];
        waiting[0] = 0; waiting[1] = 0; waiting[2] = 0;
        over[0] = over[0] || batch[0]; over[1] = over[1] || batch[1]; over[2] = over[2] || batch[2]
    }
    ended = 1;
    gil = 0
}

proctype entrant() {
    byte visits;
    bit in, last;
    do
    :: visits == VISITS -> break
    :: else ->
        enter();
        if
        :: in ->
            assert(!ended);
            take(gil);
            assert(!ended);
            gil = 0;
            assert(!ended);
            step_out()
        :: else
        fi;
        visits++
    od
}

proctype closer() {
    byte now;
#ifndef BREAK_CLOSES_AN_OPEN_GATE
    shut = 1;
#endif
    wait_until_empty();
    take(gil);
    ended = 1;
    gil = 0
}

#define settled(k) (run_already[k] != over[k])

init {
    atomic {
#if SCENARIO == 1
        run entrant(); run entrant(); run closer()
#elif SCENARIO == 2
        run server(); run poster(0, 1); run poster(1, 2) /* pids end in reverse */
#else
        run poster(0, 1); run poster(1, 2); run server(); run owner()
#endif
    }
#if SCENARIO == 1
    _nr_pr == 1;
    assert(ended && counted == 0)
#elif SCENARIO == 2
    /* The posters are done and the helper sleeps: then everything has been run. */
    _nr_pr == 2 && asleep_on_signal;
    assert(run_already[0] && run_already[1] && run_already[2])
#else
    _nr_pr == 1;
    assert(settled(0) && settled(1) && settled(2) && inbox_empty && counted == 0)
#endif
}
