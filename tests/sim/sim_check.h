/* tests/sim/sim_check.h: the invariants of membership, judged after every event of a core and in a sweep over all pairs every SIM_SWEEP_MS.
 *
 *   - an incarnation never goes backward in anybody's view
 *   - a process that was never silent for SIM_LONG_STOP_MS and never cut off is never called dead
 *   - two nodes that run undisturbed, with an undisturbed path between them, see each other as alive: within SIM_RESUME_MS when one was
 *     silent for the other (counted anew when loss took dial after dial between them), SIM_REFUTE_MS when one was dead for it, SIM_MEET_MS when one did not know the other's process
 *   - a process that ended is not routed to after SIM_NOTICE_MS, and dead after SIM_DEAD_MS; counted from when the observer first heard of that process, if that was
 *     after its end
 *   - nobody sends more than its budget of frames, and none larger than SIM_FRAME_MAX
 *   - a core takes every frame of another core
 *   - in calm all views are equal, true, linked, and stay as they are, and nobody finds that his differs from another's */
#ifndef GRID_TESTS_SIM_CHECK_H
#define GRID_TESTS_SIM_CHECK_H

#include "tests/sim/sim_world.h"

enum {
    SIM_RESUME_MS = 4000,
    SIM_REFUTE_MS = 10000,
    SIM_MEET_MS = 5000,
    SIM_NOTICE_MS = 6000,
    SIM_DEAD_MS = 16000,
    SIM_CONVERGE_MS = 10000,
    SIM_SETTLE_MS = 4000,        /* after the faults: what they left on the way, such as what TCP sends again */
    SIM_QUIET_MS = 3000,         /* after views are equal: nothing may change */
    SIM_LONG_STOP_MS = 10000,    /* a process that stands still as long may be taken for dead */
    SIM_DOUBT_MS = 60000,        /* after a cut: claims of that time are still about */
    SIM_LOSS_BORNE = 25,         /* percent: no death up to this */
    SIM_LOSS_TIMELY = 10,        /* percent: times hold up to this */
    SIM_DELAY_BORNE = 60,        /* ms on a node's ways: a handshake takes three rounds, and must fit into the time for a dial */
    SIM_FRAME_MAX = 64 * 1024,
};

/* An event of the observer's core about another member. */
void sim_check_event(struct sim_world *w, uint32_t observer, const struct members_event *e);
void sim_check_frame(struct sim_world *w, uint32_t sender, struct slice frame);
/* All pairs; counts the wrong ones into wrong_pairs. */
void sim_check_sweep(struct sim_world *w);

/* True when no view is wrong and, in a grid with all links, everybody is linked to everybody alive. */
bool sim_check_converged(const struct sim_world *w);
/* The events told the whole view: compares the cores' own views with them, record by record. */
void sim_check_views(struct sim_world *w);

#endif
