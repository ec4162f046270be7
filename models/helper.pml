/* The helper's comings and goings: told of releases and of calls, stopped with the gate open, leaving, made anew.
 *
 * Mirrors   helper.hpp: notify, notify_at_once, told_again_soon; helper.cpp: ensure, leave, stop, serve, sleep_while,
 *           take_signal; posted_call.cpp: post_call
 *           exit.cpp: start_calls, start_errands, rest_helper, enter_and_drain, told_again, may_rest
 *           interruption.cpp: wake_courier, rest_courier (a courier is a helper that never leaves by itself)
 * Proves    a call that is posted is run, whatever happens to the helper meanwhile, also without the end of the
 *           grace; who stops the helper gets through; at most one helper serves, and none is joined twice.
 * One step  is one atomic operation. The GIL is waited for like a lock. A sleep ends by a wake-up, or, in the
 *           grace, at any time; so does the spinning after a call.
 * SCENARIO  1 two posters; the interpreter is alone, so the helper leaves whenever nothing is left to do, and each
 *           poster makes a new one. 2 the same, and the owner rests: it stops the helper, or tells it to go.
 *           3 a release is posted before the calls, and the grace never ends by itself. 4 a courier is asked by
 *           two threads and stopped by a third. 5 as 2, but it is alone only once the owner rests, if it does: until
 *           then the helper spins after calls.
 * Left out  the interpreter's end, and what is refused then (gate.pml); a thread that can't be made.
 */
#ifndef SCENARIO
#define SCENARIO 1
#endif
#ifndef CALLS
#define CALLS 2
#endif

bit waiting[CALLS]; /* the inbox */
bit run_already[CALLS];
bit gil;
bit resting = (SCENARIO < 3);
#define OWNER_RESTS (SCENARIO == 2 || SCENARIO == 5)

/* helper */
#define PENDING 1
#define URGENT 2
#define ASLEEP 4
#define is_told(what) ((signal & (PENDING | URGENT)) == (what))
byte signal;
bit stopping;
bit running;
bit ending; /* the mutex */
bit to_join;
bit asleep;          /* somebody sleeps on the signal */
bit thread_over;     /* the thread that was made last has ended */
bit in_users_code;
byte serving;        /* ghost: threads between their making and their end */
byte done;           /* ghost: posters and owner that have gone */

#if CALLS == 2
#define inbox_empty (!waiting[0] && !waiting[1])
#define all_run (run_already[0] && run_already[1])
#else
#define inbox_empty (!waiting[0] && !waiting[1] && !waiting[2])
#define all_run (run_already[0] && run_already[1] && run_already[2])
#endif
#define take(lock) atomic { !lock; lock = 1 }

inline notify() {
    atomic { was = signal; signal = signal | PENDING }
    if
    :: was == ASLEEP -> asleep = 0
    :: else
    fi
}
inline notify_at_once() {
    atomic { was = signal; signal = signal | URGENT }
    if
#ifdef BREAK_WAKES_ONLY_THE_IDLE
    :: was == ASLEEP -> asleep = 0
#else
    :: (was & ASLEEP) != 0 && (was & URGENT) == 0 -> asleep = 0
#endif
    :: else
    fi
}

/* That it sleeps is said by a compare-and-swap; then futex::wait, in which the kernel compares. */
inline sleep_while(what) {
#ifdef BREAK_SAYS_WITHOUT_COMPARING
    seen = signal;
    if
    :: seen == what -> signal = what | ASLEEP
    :: else
    fi;
#else
    atomic { seen = signal; if
    :: seen == what -> signal = what | ASLEEP
    :: else
    fi }
#endif
    if
    :: (seen | ASLEEP) == (what | ASLEEP) ->
        atomic { if
        :: signal == (what | ASLEEP) -> asleep = 1
        :: else
        fi }
    :: else
    fi
}

/* In told_again_soon: the stop is left to serve. */
inline take_signal_in_work() {
    atomic { told = signal & (PENDING | URGENT); signal = 0 };
    hurried = (told & URGENT) != 0;
    if
    :: stopping ->
        again = 0;
#ifndef BREAK_LISTENER_FORGETS_THE_STOP
        signal = signal | told
#endif
    :: else -> again = 1
    fi;
    told = 0
}

/* The spinning ends at any time. */
inline listen() {
    again = 0;
    if
    :: hurried && !resting ->
        gil = 0;
        if
        :: (signal & URGENT) != 0 -> take_signal_in_work()
        :: skip
        fi;
        take(gil);
        if
        :: !inbox_empty -> again = 1
        :: else
        fi
    :: else
    fi
}

inline ensure() {
    do
    :: running -> break
    :: else ->
        got = 0;
        atomic { if
        :: !ending -> ending = 1; got = 1
        :: else
        fi }
        if
#ifdef BREAK_MADE_WITHOUT_A_LOOK
        :: got ->
#else
        :: got && running -> ending = 0
        :: got && !running ->
#endif
            if
            :: to_join -> thread_over; to_join = 0
            :: else
            fi;
            stopping = 0;
            running = 1;
            atomic { thread_over = 0; serving++; assert(serving == 1); run server() }
            to_join = 1;
            ending = 0
        :: !got -> break /* somebody is just starting or stopping it */
        fi;
#ifdef BREAK_NO_LOOK_AFTER_THE_LOCK
        break
#else
        if
        :: running -> break
        :: else ->
            if
            :: is_told(0) -> break
            :: else
            fi
        fi
#endif
    od
}

inline stop() {
    take(ending);
    if
    :: to_join ->
        stopping = 1;
        notify_at_once();
        thread_over; /* pthread_join */
        to_join = 0;
        running = 0
    :: else
    fi;
    ending = 0
}

inline leave() {
    running = 0;
    if
#ifndef BREAK_LEAVES_WITHOUT_A_LOOK
    :: signal != 0 ->
        got = 0;
        atomic { if
        :: !ending -> ending = 1; got = 1
        :: else
        fi }
        if
        :: got -> running = 1; ending = 0
        :: else -> leaves = 1 /* its holder is about to join this thread, and looks afterwards */
        fi
    :: else -> leaves = 1
#else
    :: leaves = 1
#endif
    fi
}

inline drain() {
    do
    :: inbox_empty -> break
    :: else ->
        n = 0;
        do
        :: n == CALLS -> break
        :: n < CALLS ->
            if
            :: waiting[n] -> d_step { waiting[n] = 0; assert(!run_already[n]); run_already[n] = 1 }
            :: else
            fi;
            n++
        od
    od;
    n = 0
}

proctype server() {
    byte told, n, seen;
    bit leaves, got, hurried, again;
    do
    :: true ->
        do
        :: !is_told(0) -> break
        :: else ->
            sleep_while(0);
end_idle:   !asleep
        od;
        do /* the grace */
        :: is_told(PENDING) ->
            sleep_while(PENDING);
#if SCENARIO == 3
end_grace:  !asleep
#else
            if
            :: !asleep
            :: asleep = 0; break
            fi
#endif
        :: else -> break
        od;
#ifdef BREAK_STOP_LOOKED_FOR_BEFORE_THE_CLEARING
        if
        :: stopping -> break
        :: else
        fi;
        atomic { told = signal & (PENDING | URGENT); signal = 0 };
#else
        atomic { told = signal & (PENDING | URGENT); signal = 0 };
        if
        :: stopping ->
#ifndef BREAK_STOPPED_IT_FORGETS
            signal = signal | told;
#endif
            break
        :: else
        fi;
#endif
        hurried = (told & URGENT) != 0;
        told = 0;
        /* the work */
        if
        :: inbox_empty && !resting -> skip
        :: else ->
            take(gil);
            do
            :: true ->
                in_users_code = 1;
                drain();
                in_users_code = 0;
                listen();
                if
                :: again
                :: else -> break
                fi
            od;
            if
            :: resting && inbox_empty -> leave()
            :: else
            fi;
            gil = 0
        fi;
        if
        :: leaves -> break
        :: else
        fi
    od;
    atomic { serving--; thread_over = 1 }
}

proctype poster(byte first; byte count) {
    byte was, k = first;
    bit got;
    do
    :: k == first + count -> break
    :: else ->
        ensure();
        waiting[k] = 1;
        notify_at_once();
#ifndef BREAK_POSTER_DOES_NOT_LOOK_AGAIN
        ensure();
#endif
        k++
    od;
    done++
}

/* rest_helper, under the owner's GIL */
proctype owner() {
    byte was;
    bit got;
    take(gil);
    if
    :: resting = 1
#if SCENARIO == 5
    :: skip /* it stops the helper for another reason */
#endif
    fi;
    if
    :: !inbox_empty || in_users_code -> notify()
    :: else ->
        gil = 0;
        stop();
        take(gil);
#ifndef BREAK_STOPPER_DOES_NOT_LOOK_AGAIN
        if
        :: !inbox_empty ->
            ensure();
            if
            :: running && !inbox_empty -> notify()
            :: else
            fi
        :: else
        fi
#endif
    fi;
    gil = 0;
    done++
}

bit courier_lock;

inline wake_courier() {
    take(courier_lock);
    ensure();
    notify();
    courier_lock = 0
}

proctype asker(byte k) {
    byte was;
    bit got;
    waiting[k] = 1;
    wake_courier();
    done++
}

/* rest_courier */
proctype rester() {
    byte was;
    bit got;
    stop();
#ifndef BREAK_RESTER_DOES_NOT_LOOK_AGAIN
    if
    :: !inbox_empty -> wake_courier()
    :: else
    fi;
#endif
    done++
}

init {
    byte was;
    bit got;
#if SCENARIO == 3
    ensure();
    notify(); /* of a release: it may wait */
#endif
    atomic {
#if SCENARIO == 4
        run asker(0); run asker(1); run rester()
#elif OWNER_RESTS
        run poster(0, 1); run poster(1, 1); run owner()
#elif CALLS == 2
        run poster(0, 1); run poster(1, 1)
#else
        run poster(0, 1); run poster(1, 2)
#endif
    }
    /* All have gone, but for a helper that sleeps. */
    atomic {
        done == (OWNER_RESTS || SCENARIO == 4 -> 3 : 2) && (serving == 0 || (asleep && (signal == ASLEEP || SCENARIO == 3)));
        assert(all_run && inbox_empty && !gil && !ending)
    }
}
