/* Slots, keepers and the inbox: the sharing protocol of native/core.
 *
 * Mirrors   slot.cpp: protocol::{share_by_owner, settle, settle_without_owner, make_orphan, drop}, drop_share
 *           inbox.hpp: inbox::{post, drain, close, reopen}
 *           memory_life.cpp: memory_system::{post, post_release, drain, give_back_orphan, owner_gone, disown,
 *           leave_block}; memory.cpp: memory_system::release; memory_blocks.cpp: make_idle
 * Proves    invariants 5, 6 and 7 (docs/invariants.md), half of 2, generations (hazard H9), and of 10 that
 *           releases posted = run and that no slot stays behind.
 * One step  is one atomic operation of the code: a compare-and-swap loop that succeeded, a load, a store. What
 *           the owner's GIL or the memory lock orders is done by one process, or with `memory_lock`.
 * Actors    one window with LIVES owners after each other, each of which sends, drops, receives its own object
 *           back, drains, and closes with or without tearing its objects down first; RECEIVERS that receive,
 *           read, forward, drop and die. All of them whenever they like.
 * Left out  page mappings, the budget, which thread drains (helper.pml), weak memory: steps are seen by
 *           everybody in one order.
 */
#ifndef SLOTS
#define SLOTS 1
#endif
#ifndef RECEIVERS
#define RECEIVERS 2
#endif
#ifndef LIVES
#define LIVES 2
#endif
#ifndef SENDS
#define SENDS 2 /* by each owner */
#endif
#ifndef FORWARDS
#define FORWARDS 1 /* by each receiver */
#endif

#define NIL 254    /* inbox: empty */
#define CLOSED 255 /* inbox: refuses */
#define OWNER RECEIVERS /* the owner's place among the lines */

mtype = {none, live, idle};

typedef slot_t {
    /* the protocol word */
    byte shares;
    bit queued;
    bit keeper;
    bit orphan;
    /* beside it */
    mtype use = none;
    bit owned = 0; /* owner_window: the window, or no_window */
    byte generation;
    byte next; /* inbox_node::next_posted */
    bit twin[RECEIVERS];
    /* what the code cannot see and the assertions need */
    bit held;   /* the keeper's strong reference on the owner's object */
    bit used;   /* the owner's user refers to the object */
    bit posted; /* lies in the inbox, or in a batch taken from it and not settled yet */
    byte life;  /* which owner made the object */
}
slot_t s[SLOTS];
byte head = CLOSED;
bit memory_lock;
bit dead[RECEIVERS + 1];
byte unsettled; /* releases posted and not run */
/* Messages in flight: slot, generation. Two fit, a third is refused: a send that fails half-way. */
chan line[RECEIVERS + 1] = [2] of {byte, byte};

#define nobody(i) (s[i].shares == 0 && !s[i].queued)
#define lock() atomic { !memory_lock; memory_lock = 1 }
#define unlock() memory_lock = 0

/* Somebody who holds a share looks at the payload (invariants 2, 7, H9). */
inline look(i, gen) {
    d_step {
        assert(s[i].use == live && s[i].generation == gen);
        assert(s[i].shares > 0);
        assert(s[i].held || !s[i].owned || s[i].orphan)
    }
}

/* memory_system::free_orphan; the memory lock is held. Once per slot (invariant 7). */
inline free_orphan(i) {
    d_step {
        assert(s[i].use == live && !s[i].owned && !s[i].posted);
        assert(nobody(i));
        s[i].generation++;
        s[i].use = none;
        s[i].keeper = 0; s[i].orphan = 0 /* fresh_block stores 0 */
    }
}

/* memory_system::post after protocol::drop claimed it; sets `frees`. */
inline post(i) {
    owned = s[i].owned;
    frees = 0;
    refused = 1;
    if
    :: owned ->
        d_step {
            if
            :: head == CLOSED
            :: else ->
                assert(!s[i].posted); /* invariant 6 */
                s[i].posted = 1;
                s[i].next = head;
                head = i;
                refused = 0
            fi
        }
    :: else
    fi;
    if
#ifdef BREAK_REFUSED_FORGOTTEN
    :: refused -> skip
#else
    :: refused -> settle_without_owner(i)
#endif
    :: else
    fi
}

inline settle_without_owner(i) {
    d_step {
        frees = !nobody(i);
        s[i].queued = 0;
        s[i].posted = 0;
        unsettled--;
        frees = frees && s[i].orphan && nobody(i)
    }
}

/* protocol::drop, then what drop_share does about it; `locked`: as in leave_block, which holds the lock. */
inline drop(i, locked) {
    d_step {
        assert(s[i].shares > 0);
        s[i].shares--;
        claims = 0;
        frees = 0;
        if
#ifdef BREAK_QUEUED_TWICE
        :: s[i].shares == 0 && !s[i].orphan -> s[i].queued = 1; claims = 1; unsettled++
#else
        :: s[i].shares == 0 && !s[i].orphan && !s[i].queued -> s[i].queued = 1; claims = 1; unsettled++
#endif
        :: s[i].shares == 0 && s[i].orphan && !s[i].queued -> frees = 1
        :: else
        fi
    }
    if
    :: claims -> post(i)
    :: else
    fi;
    if
    :: frees && !locked -> lock(); free_orphan(i); unlock()
    :: frees && locked -> free_orphan(i)
    :: else
    fi
}

/* memory_system::release, by the owner: its object of slot i was deallocated. */
inline release(i) {
    if
#ifdef BREAK_TEARDOWN_REUSES
    :: s[i].shares != 0 -> /* queued is not asked */
#else
    :: !nobody(i) ->
#endif
        d_step { s[i].owned = 0; s[i].held = 0 };
        make_orphan(i);
        if
        :: frees -> lock(); free_orphan(i); unlock()
        :: else
        fi
    :: else ->
        d_step { /* make_idle */
            assert(nobody(i) && !s[i].posted && !s[i].held);
            s[i].generation++;
            s[i].use = idle;
            s[i].keeper = 0
        }
    fi
}

inline make_orphan(i) {
    d_step {
        assert(!s[i].orphan);
        s[i].orphan = 1;
        s[i].keeper = 0;
#ifdef BREAK_ORPHAN_FREED
        frees = 1
#else
        frees = nobody(i)
#endif
    }
}

/* memory_system::drain: takes all, then settles one after the other, oldest first. */
inline take(replacement) {
    d_step {
        node = NIL;
        if
        :: head == CLOSED
        :: else ->
            other = head;
            head = replacement;
            do /* the batch is the drainer's alone while it turns it round */
            :: other == NIL -> break
            :: else -> nxt = s[other].next; s[other].next = node; node = other; other = nxt
            od
        fi;
        other = 0; nxt = 0
    }
}

inline drain() {
    take(NIL);
    do
    :: node == NIL -> break
    :: else ->
        i = node;
#ifndef BREAK_NEXT_READ_LATE
        node = s[i].next;
#endif
#ifdef BREAK_SHARES_READ_FIRST
        few = s[i].shares == 0;
#endif
        d_step { /* protocol::settle */
            s[i].queued = 0;
            s[i].posted = 0;
            unsettled--;
#ifdef BREAK_SHARES_READ_FIRST
            ended = s[i].keeper && few;
#else
#ifdef BREAK_KEEPER_REGARDLESS
            ended = s[i].keeper;
#else
            ended = s[i].keeper && s[i].shares == 0;
#endif
#endif
            if
            :: ended -> s[i].keeper = 0
            :: else
            fi;
#ifdef BREAK_FORMER_OWNER_FORGOTTEN
            frees = 0
#else
            frees = s[i].orphan && nobody(i)
#endif
        }
        if
        :: frees -> lock(); free_orphan(i); unlock()
        :: !frees && ended && !s[i].orphan -> /* drop_reference(object) */
            d_step { assert(s[i].held && s[i].life == life); s[i].held = 0 };
            if
            :: !s[i].used -> release(i)
            :: else
            fi
        :: else
        fi;
#ifdef BREAK_NEXT_READ_LATE
        node = s[i].next;
#endif
    od;
    atomic { i = 0; node = NIL; frees = 0; ended = 0 }
}

#define mine(i) (s[i].use == live && s[i].owned && s[i].life == life)

inline owner_gone() {
#ifdef BREAK_INBOX_STAYS_OPEN
    take(NIL);
#else
    take(CLOSED);
#endif
    do
    :: node == NIL -> break
    :: else ->
        i = node;
        node = s[i].next;
        settle_without_owner(i);
        if
        :: frees -> lock(); free_orphan(i); unlock()
        :: else
        fi
    od;
    lock();
    i = 0;
    do
    :: i == SLOTS -> break
    :: else ->
        if
        :: s[i].use == idle -> d_step { s[i].use = none; s[i].owned = 0 }
        :: s[i].use == live && s[i].owned -> /* disown */
            d_step { s[i].owned = 0; s[i].held = 0; s[i].used = 0 };
            make_orphan(i);
            if
            :: frees -> free_orphan(i)
            :: else
            fi
        :: else
        fi;
        i++
    od;
    unlock();
    i = 0
}

/* Sends slot i to somebody; a line that is full or dead refuses, and the share is dropped (invariant 5). */
inline deliver(i, gen, me) {
    atomic {
        if
        :: to = 0
        :: to = 1
#if RECEIVERS > 1
        :: to = 2
#endif
        fi;
        if
        :: to != me && !dead[to] && len(line[to]) < 2 -> line[to]!i, gen; sent = 1
        :: else -> sent = 0
        fi;
        to = 0
    }
    if
    :: !sent -> drop(i, 0)
    :: else -> sent = 0
    fi
}

proctype owner() {
    byte life, i, gen, budget, node = NIL, other, nxt, to;
    bit claims, frees, refused, owned, ended, sent, few, first;

    do
    :: life == LIVES -> break
    :: else ->
        head = NIL; /* take_window: box.reopen() */
        dead[OWNER] = 0;
        budget = SENDS;
        do
        :: budget > 0 -> /* sends: an object it has, or a new one in a free or idle slot */
            atomic {
                budget--;
                if
                :: i = 0
#if SLOTS > 1
                :: i = 1
#endif
                fi
            }
            if
            :: atomic { !memory_lock && (s[i].use == none || s[i].use == idle) ->
                d_step {
                    assert(nobody(i) && !s[i].posted);
                    s[i].use = live; s[i].owned = 1; s[i].life = life; s[i].used = 1
                } }
            :: mine(i) && s[i].used
            :: !(s[i].use == none || s[i].use == idle) && !(mine(i) && s[i].used) -> goto next
            fi;
            gen = s[i].generation;
            d_step { /* share_by_owner */
                assert(!s[i].orphan);
                first = !s[i].keeper;
                s[i].shares++;
                s[i].keeper = 1
            }
#ifdef BREAK_KEEPER_AFTER_SEND
            bit late = first;
#else
            if
            :: first -> s[i].held = 1
            :: else
            fi;
#endif
            deliver(i, gen, OWNER);
#ifdef BREAK_KEEPER_AFTER_SEND
            if
            :: late -> s[i].held = 1
            :: else
            fi;
#endif
        next:
            atomic { i = 0; gen = 0; first = 0 }
        :: line[OWNER]?i, gen -> /* it comes home: the original, if this owner made it */
            look(i, gen);
            if
            :: mine(i) -> s[i].used = 1
            :: else
            fi;
            drop(i, 0);
            d_step { i = 0; gen = 0 }
        :: mine(0) && s[0].used -> /* the user drops it */
            s[0].used = 0;
            if
            :: !s[0].held -> release(0)
            :: else
            fi
#if SLOTS > 1
        :: mine(1) && s[1].used ->
            s[1].used = 0;
            if
            :: !s[1].held -> release(1)
            :: else
            fi
#endif
        :: head != NIL -> drain()
        :: break /* ends */
        od;
        dead[OWNER] = 1;
        do
        :: line[OWNER]?i, gen -> drop(i, 0)
        :: empty(line[OWNER]) -> break
        od;
        atomic { i = 0; gen = 0 };
        if /* it may deallocate its objects whatever their counts say */
        :: mine(0) && (s[0].used || s[0].held) -> s[0].used = 0; release(0)
        :: true
        fi;
        owner_gone();
        life++
    od
}

inline drop_twin(i, locked) {
    s[i].twin[me] = 0;
    drop(i, locked)
}

proctype receiver(byte me) {
    byte i, gen, to, other, forwards = FORWARDS;
    byte twin_of[SLOTS];
    bit claims, frees, refused, owned, sent;

    do
    :: line[me]?i, gen ->
        look(i, gen);
        if
        :: s[i].twin[me] -> drop(i, 0) /* the same twin */
        :: else -> atomic { s[i].twin[me] = 1; twin_of[i] = gen } /* the message's share is the twin's */
        fi;
        d_step { i = 0; gen = 0 }
    :: s[0].twin[me] && forwards > 0 ->
        forwards--;
        look(0, twin_of[0]);
        s[0].shares++; /* add_share */
        deliver(0, twin_of[0], me)
    :: s[0].twin[me] -> look(0, twin_of[0]); drop_twin(0, 0)
#if SLOTS > 1
    :: s[1].twin[me] -> look(1, twin_of[1]); drop_twin(1, 0)
#endif
    :: break /* dies */
    od;
    dead[me] = 1;
    do
    :: line[me]?i, gen -> look(i, gen); drop(i, 0)
    :: empty(line[me]) -> break
    od;
    /* owner_gone of its window: leave_block for each */
    lock();
    i = 0;
    do
    :: i == SLOTS -> break
    :: else ->
        if
#ifndef BREAK_DEAD_TWINS_KEPT
        :: s[i].twin[me] -> look(i, twin_of[i]); drop_twin(i, 1)
#endif
        :: else
        fi;
        i++
    od;
    unlock()
}

init {
    byte i;
    atomic {
        do
        :: i == RECEIVERS -> break
        :: else -> run receiver(i); i++
        od;
        run owner()
    }
    /* Everybody is gone: so is everything (invariants 7 and 10). */
    _nr_pr == 1;
    d_step {
        assert(unsettled == 0 && head == CLOSED);
        i = 0;
        do
        :: i == SLOTS -> break
        :: else -> assert(s[i].use == none && s[i].shares == 0 && !s[i].queued && !s[i].posted); i++
        od
    }
}
