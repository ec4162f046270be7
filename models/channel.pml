/* The rendezvous channel, its waiters and select.
 *
 * Mirrors   channel.cpp: channel::{try_send, send, send_or_park, offer_under_tail, hand_over_under_tail, recv,
 *           recv_or_park, recv_under_both, take_from_sender_under_both}, at capacity 0
 *           channel_waits.cpp: {park_under_both, unpark_under_tail, wait_parked, possible_under_both, park,
 *           unpark}; channel_ends.cpp: {settle_under_both, end_parked_under_both}
 *           waiter.cpp: waiter::{complete, wait, sleep}; party.cpp: party::{begin_close, enroll, withdraw}
 *           select.cpp: try_select, select, waiting_select::{run, park_all, unpark}; futex.cpp: wait, wake
 * Proves    W1 "one end" and W2 "no lost wake" (waiter.hpp), C1 and C3 (channel.hpp), invariant 5 for messages:
 *           received by exactly one if its send returned ok, else still the sender's; that a completer never
 *           touches a waiter that is gone; that a select does exactly one of its cases. An operation without
 *           a limit that has a partner ends: no invalid end state.
 * One step  is one atomic operation, or one access to what a lock guards; locks are waited for.
 * SCENARIO  1 two sends meet two receives, nobody gives up. 2 a send and a receive, another of each with a time
 *           limit, a try, and somebody who closes the channel. 3 two selects that offer each other two messages.
 *           4 those and a receive with a limit, both channels close. 5 a select of both ends of one channel, and a
 *           receive. 6 as 1 with one of each, and their party closes. 7 a send with
 *           a time limit, a receive without, and somebody who closes the channel.
 * Left out  spinning (a wait that sleeps at once allows more), buffers, associations (closed for one is closed
 *           for all here), weak memory. That two selects which keep meeting half-parked retry for ever is
 *           possible here under a scheduler that alternates them exactly; the code starts at a random case.
 */
#ifndef SCENARIO
#define SCENARIO 1
#endif
#define NONE 255
#define WAITERS 5

mtype = {waiting, sleeping, done, would_block, timed_out, closed, party_closing}; /* done: outcome::ok */
mtype = {send, recv};
mtype = {once, limited, forever};

mtype state[WAITERS] = waiting;
byte tag[WAITERS];
bit asleep[WAITERS];  /* in the kernel */
bit enrolled[WAITERS];
bit party_lock;
bit party_ended;
byte offered[WAITERS];  /* a sender's message: 0 or its number + 1 */
byte received[WAITERS];
/* Ghosts. */
bit alive[WAITERS];   /* its stack frame exists */
byte ends[WAITERS];
bit sent[WAITERS];
byte got[WAITERS];

bit head_lock[2];
bit tail_lock[2];
bit shut[2];
chan receivers0 = [WAITERS] of {byte};
chan receivers1 = [WAITERS] of {byte};
chan senders0 = [WAITERS] of {byte};
chan senders1 = [WAITERS] of {byte};

#define pending(w) (state[w] == waiting || state[w] == sleeping)
#define take(lock) atomic { !lock; lock = 1 }
#define parked_in(queue, w) (queue??[eval(w)])

inline take_both(c) { take(head_lock[c]); take(tail_lock[c]) }
inline give_both(c) { tail_lock[c] = 0; head_lock[c] = 0 }
inline fire() {
    if
    :: owed != NONE -> atomic { asleep[owed] = 0; owed = NONE }
    :: else
    fi
}

/* waiter::complete */
inline complete(w, how, which_case) {
#ifdef BREAK_COMPLETED_IN_TWO_STEPS
    won = pending(w);
    if
    :: won -> d_step { state[w] = how; tag[w] = which_case; ends[w]++; owed = w; assert(ends[w] == 1) }
    :: else
    fi
#else
    d_step {
        assert(alive[w]);
        won = 0;
        if
        :: pending(w) ->
            owed = (state[w] == sleeping -> w : owed);
            state[w] = how;
            tag[w] = which_case;
            ends[w]++;
            assert(ends[w] == 1); /* W1 */
            won = 1
        :: else
        fi
    }
#endif
}

inline finish(how) {
    complete(me, how, 0);
    owed = NONE
}

inline begin_wait() {
    d_step { assert(!alive[me]); state[me] = waiting; ends[me] = 0; tag[me] = 0; alive[me] = 1 }
}

inline wait(patience) {
    atomic { !party_lock;
        if
        :: party_ended -> entered = 0
        :: else -> enrolled[me] = 1; entered = 1
        fi }
    if
    :: !entered -> finish(party_closing)
    :: else ->
        atomic { if
        :: state[me] == waiting -> state[me] = sleeping
        :: else
        fi }
        do
        :: !pending(me) -> break
        :: pending(me) ->
#ifdef BREAK_SLEEPS_UNASKED
            asleep[me] = 1;
#else
            atomic { if /* the kernel compares the word again: W2 */
            :: state[me] == sleeping -> asleep[me] = 1
            :: else
            fi }
#endif
            if
            :: !asleep[me]
            :: asleep[me] && patience == limited -> asleep[me] = 0; finish(timed_out)
            fi
        od;
        atomic { !party_lock; enrolled[me] = 0 }
    fi
}

/* The frame is left: nobody may know of it any more. */
inline leave() {
    d_step {
        assert(!parked_in(receivers0, me) && !parked_in(receivers1, me));
        assert(!parked_in(senders0, me) && !parked_in(senders1, me));
        assert(ends[me] == 1 && !enrolled[me]);
        alive[me] = 0
    }
}

/* offer_under_tail at capacity 0: result is done or would_block. `queue` is the receivers'. */
inline offer(queue, m) {
    result = would_block;
    do
    :: len(queue) == 0 -> break
    :: len(queue) > 0 ->
        atomic { queue?partner; assert(alive[partner]) }
#ifdef BREAK_MESSAGE_AFTER_COMPLETION
        complete(partner, done, recv);
        if
        :: won -> atomic { assert(alive[partner]); received[partner] = m; m = 0 } result = done; break
        :: else
        fi
#else
        atomic { assert(alive[partner] && received[partner] == 0); received[partner] = m; m = 0 }
        complete(partner, done, recv);
        if
        :: won -> result = done; break
        :: else -> atomic { assert(alive[partner]); m = received[partner]; received[partner] = 0 }
        fi
#endif
    od;
    partner = 0
}

/* recv_under_both at capacity 0. `queue` is the senders'. */
inline accept(queue, m) {
    result = would_block;
    do
    :: len(queue) == 0 -> break
    :: len(queue) > 0 ->
        atomic { queue?partner; assert(alive[partner]) }
        atomic { m = offered[partner]; offered[partner] = 0 }
        complete(partner, done, send);
        if
        :: won -> result = done; break
        :: else -> atomic { assert(alive[partner]); offered[partner] = m; m = 0 }
        fi
    od;
    partner = 0
}

inline attempt_send(c, rq) {
    take(tail_lock[c]);
    if
    :: !shut[c] -> offer(rq, offered[me]); tail_lock[c] = 0
    :: else -> tail_lock[c] = 0; result = closed /* looked at again under both locks: closed stays closed */
    fi;
    fire()
}
inline attempt_recv(c, sq) {
    take_both(c);
    if
    :: !shut[c] -> accept(sq, received[me])
    :: else -> result = closed
    fi;
    give_both(c);
    fire()
}
inline attempt(which, c, rq, sq) {
    if
    :: which == send -> attempt_send(c, rq)
    :: else -> attempt_recv(c, sq)
    fi
}

/* C1: whoever parks has found nobody to meet but itself. */
inline push(queue, others) {
    d_step {
        assert(len(others) == 0 || (len(others) == 1 && parked_in(others, me)));
        queue!me
    }
}

inline unpark(c, queue) {
    take(tail_lock[c]);
    if
    :: parked_in(queue, me) -> queue??eval(me)
    :: else
    fi;
    tail_lock[c] = 0
}

#if SCENARIO != 3 /* what a scenario has no use for would only be compiled */
proctype operation(byte me; mtype which; mtype patience) {
    mtype result = would_block;
    byte owed = NONE, partner;
    bit won, entered;
    if
    :: which == send -> offered[me] = me + 1
    :: else
    fi;
    if
    :: patience != forever ->
        attempt(which, 0, receivers0, senders0);
        if
        :: result != would_block || patience == once -> goto over
        :: else
        fi
    :: else
    fi;
    begin_wait();
    if
    :: which == send ->
        attempt_send(0, receivers0);
        if
        :: result == would_block ->
            take_both(0);
            if
            :: shut[0] -> result = closed
            :: else ->
#ifndef BREAK_PARKS_WITHOUT_A_LOOK
                offer(receivers0, offered[me]);
#endif
                if
                :: result == would_block -> push(senders0, receivers0)
                :: else
                fi
            fi;
            give_both(0);
            fire()
        :: else
        fi
    :: else ->
        take_both(0);
        if
        :: shut[0] -> result = closed
        :: else ->
            accept(senders0, received[me]);
            if
            :: result == would_block -> push(receivers0, senders0)
            :: else
            fi
        fi;
        give_both(0);
        fire()
    fi;
    if
    :: result == would_block ->
        wait(patience);
        result = state[me];
        if
#ifndef BREAK_STAYS_PARKED
        :: result == timed_out || result == party_closing ->
            if
            :: which == send -> unpark(0, senders0)
            :: else -> unpark(0, receivers0)
            fi
#endif
        :: else
        fi
    :: else -> ends[me] = 1
    fi;
    leave();
over:
    sent[me] = (which == send && result == done);
    got[me] = received[me];
    assert((which == recv && result == done) == (received[me] != 0));
    assert((which == send && result != done) == (offered[me] != 0));
#if SCENARIO == 1
    assert(result == done)
#endif
}
#endif

#if SCENARIO == 3 || SCENARIO == 4 || SCENARIO == 5
/* conduit::park of one case; would_block: it is parked now. */
inline park_send(c, rq, sq) {
    take_both(c);
    if
    :: shut[c] -> result = closed
    :: !shut[c] && (len(rq) > 1 || (len(rq) == 1 && !parked_in(rq, me))) -> result = done
#ifdef BREAK_SELECT_ACTS_WHILE_PARKING
        offer(rq, offered[me]); fire();
#endif
    :: else -> push(sq, rq); result = would_block
    fi;
    give_both(c)
}
inline park_recv(c, rq, sq) {
    take_both(c);
    if
    :: shut[c] -> result = closed
    :: !shut[c] && (len(sq) > 1 || (len(sq) == 1 && !parked_in(sq, me))) -> result = done
#ifdef BREAK_SELECT_ACTS_WHILE_PARKING
        accept(sq, received[me]); fire();
#endif
    :: else -> push(rq, sq); result = would_block
    fi;
    give_both(c)
}

/* Sends over one channel or receives over another, whichever comes first. */
inline selects(SC, SRQ, SSQ, RC, RRQ, RSQ, send_first) {
    offered[me] = me + 1;
    do
    :: true ->
        if /* next_start */
        :: attempt_send(SC, SRQ);
            if
            :: result == would_block -> attempt_recv(RC, RSQ)
            :: else
            fi
        :: attempt_recv(RC, RSQ);
            if
            :: result == would_block -> attempt_send(SC, SRQ)
            :: else
            fi
        fi;
        if
        :: result != would_block -> break
        :: else
        fi;
        begin_wait();
        if
        :: send_first -> park_send(SC, SRQ, SSQ)
        :: else -> park_recv(RC, RRQ, RSQ)
        fi;
        if
        :: result == would_block && pending(me) ->
            if
            :: send_first -> park_recv(RC, RRQ, RSQ)
            :: else -> park_send(SC, SRQ, SSQ)
            fi
        :: else
        fi;
        if
        :: result != would_block -> finish(would_block)
        :: else
        fi;
        wait(forever);
#ifdef BREAK_ONE_CASE_STAYS_PARKED
        if
        :: tag[me] != recv -> unpark(SC, SSQ)
        :: else
        fi;
#else
        unpark(SC, SSQ);
#endif
        unpark(RC, RRQ);
        result = state[me];
        leave();
        if
        :: result != would_block -> break
        :: else
        fi
    od;
    sent[me] = (offered[me] == 0);
    got[me] = received[me];
    /* Exactly one case happened, or none and it ended. */
    assert((result == done) == ((offered[me] == 0) != (received[me] != 0)));
    assert(result == done || (offered[me] != 0 && received[me] == 0))
}
#if SCENARIO != 5
proctype select_ab(byte me) {
    mtype result = would_block;
    byte owed = NONE, partner;
    bit won, entered;
    selects(0, receivers0, senders0, 1, receivers1, senders1, 1)
}
proctype select_ba(byte me) {
    mtype result = would_block;
    byte owed = NONE, partner;
    bit won, entered;
    selects(1, receivers1, senders1, 0, receivers0, senders0, 1)
}
#endif
#if SCENARIO == 5
proctype select_aa(byte me) {
    mtype result = would_block;
    byte owed = NONE, partner;
    bit won, entered;
    selects(0, receivers0, senders0, 0, receivers0, senders0, 1)
}
#endif
#endif

#if SCENARIO != 1 && SCENARIO != 3 && SCENARIO != 6
inline end_parked(queue) {
    do
    :: len(queue) == 0 -> break
    :: len(queue) > 0 ->
        atomic { queue?partner; assert(alive[partner]) }
        complete(partner, closed, 0);
        fire()
    od
}
/* Closes for good: settle_under_both. */
proctype closer(byte c) {
    byte owed = NONE, partner;
    bit won;
    take_both(c);
    shut[c] = 1;
#ifndef BREAK_CLOSE_FORGETS_WAITERS
    if
    :: c == 0 -> end_parked(receivers0); end_parked(senders0)
    :: else -> end_parked(receivers1); end_parked(senders1)
    fi;
#endif
    give_both(c)
}
#endif

proctype ending_party() {
    byte owed = NONE, w;
    bit won;
    take(party_lock);
    party_ended = 1;
    do
    :: w == WAITERS -> break
    :: else ->
        if
        :: enrolled[w] -> complete(w, party_closing, 0); fire()
        :: else
        fi;
        w++
    od;
    party_lock = 0
}

init {
    byte m, w, takers;
    atomic {
#if SCENARIO == 1
        run operation(0, send, forever); run operation(1, recv, forever);
        run operation(2, send, forever); run operation(3, recv, forever)
#elif SCENARIO == 2
        run operation(0, send, forever); run operation(1, recv, forever);
        run operation(2, send, limited); run operation(3, recv, limited);
        run closer(0)
#elif SCENARIO == 3
        run select_ab(0); run select_ba(1)
#elif SCENARIO == 4
        run select_ab(0); run select_ba(1); run operation(2, recv, limited);
        run closer(0); run closer(1)
#elif SCENARIO == 5
        run select_aa(0); run operation(1, recv, limited); run operation(2, send, limited); run closer(0)
#elif SCENARIO == 6
        run operation(0, send, forever); run operation(1, recv, forever); run operation(2, send, once);
        run ending_party()
#else
        run operation(0, send, limited); run operation(1, recv, forever); run closer(0)
#endif
    }
    _nr_pr == 1;
    /* What was sent was received, by one; what was not, by nobody. */
    d_step {
        m = 0;
        do
        :: m == WAITERS -> break
        :: else ->
            w = 0; takers = 0;
            do
            :: w == WAITERS -> break
            :: else -> takers = takers + (got[w] == m + 1 -> 1 : 0); w++
            od;
            assert(takers == (sent[m] -> 1 : 0));
            m++
        od
    }
}
