/* tests/sim/sim_world.h: a grid of membership cores in one process under virtual time: each core with a driver as discovery/gossip.c is one
 * (what came in, a tick, what is to go out), the network between them, and the facts that an invariant needs to tell whose fault something is.
 * One seed makes one course of events. Any one thread at a time. */
#ifndef GRID_TESTS_SIM_WORLD_H
#define GRID_TESTS_SIM_WORLD_H

#include "tests/sim/sim_net.h"

#define SIM_NEVER UINT32_MAX

enum {
    SIM_SEEDS = 3, /* nodes whose addresses everybody is given */
    SIM_SWEEP_MS = 250,
    SIM_STATES = MEMBER_EVICTED + 2,
    SIM_UNKNOWN = MEMBER_EVICTED + 1, /* a view's state: not known, or of an earlier process */
};

struct sim_node {
    struct members *core; /* NULL: no process */
    uint32_t tick_at, tick_planned; /* when it must run next; for when that is planned */
    bool touched;         /* something came in: it runs before time goes on */
    char id[MEMBER_ID_SIZE], name[24], address[24];
    const char *addresses[1];
    int64_t wall_offset_ms, started_at_ms;
    uint64_t birth;       /* the incarnation it started with */
    uint32_t changes, delay_ms;
    /* the facts */
    uint32_t well_since;  /* runs undisturbed since; SIM_NEVER: it does not */
    uint32_t ended_at;    /* without a process since */
    int doubts;           /* reasons to take it for dead, now; */
    uint32_t doubtful_until; /* and until then claims of that time are about */
    bool mortal;          /* stopped for long */
    uint64_t frames_before; /* sent, at the last look at the budget */
    uint32_t right_since; /* how many facts there were when a sweep found all its views right; 0: one may be wrong */
};

/* What one node's events have told of another. */
struct sim_view {
    uint8_t state;
    uint32_t wrong_since; /* as the sweeps saw it; SIM_NEVER: it is right */
    uint32_t told_at;     /* of this process first */
    uint64_t incarnation;
    int64_t started_at_ms;
};

struct sim_worst { /* of a kind of wrong view: how long it lasted without cause */
    uint32_t ms, observer, target, at;
};

struct sim_world {
    struct sim_wheel *wheel;
    struct sim_net *net;
    uint64_t random;
    uint32_t count;
    struct sim_node *nodes;
    struct sim_view *views;      /* [observer * count + target] */
    uint32_t *path_well_since;   /* the same; symmetric */
    uint32_t net_well_since, sweep_at, sweeps, loss;
    uint32_t facts;              /* counts processes that begin and end: by them views that do not change become wrong */
    uint32_t *touched;           /* nodes */
    uint32_t touched_count;
    uint32_t wrong_pairs;        /* in the last sweep */
    struct sim_worst worst[SIM_STATES], unnoticed, undead;
    const struct members_times *times;
    uint32_t patience;
    bool calm;                   /* nothing happens to anybody: no view may change */
    bool great;                  /* too many for how soon small grids see the living, and for their frames: of times only an end's are judged, of sizes the protocol's own */
    bool trace;
    void (*on_fault)(struct sim_world *w, uint32_t place, uint32_t step); /* what SIM_FAULT events do */
    uint64_t events, false_deaths, disturbances;
    char broken[256]; /* "" or the invariant that did not hold, as a sentence */
};

/* Kinds of the wheel's events beside the network's. */
enum { SIM_TICK = SIM_NET_KINDS, SIM_START /* of node a */, SIM_FAULT };

struct sim_config {
    uint32_t nodes;
    uint64_t seed;
    bool trace;
    const struct members_times *times; /* the profile; NULL: MEMBERS_LAN */
    uint32_t patience; /* the bounds of sim_check.h, which are those of MEMBERS_LAN, times this; 0: once */
};

/* Nobody runs yet. Aborts without memory. The wheel is shared by one world after another. */
void sim_world_create(struct sim_world *w, const struct sim_config *config);
void sim_world_destroy(struct sim_world *w);

/* Goes on until this time, or until something is broken. */
void sim_world_run(struct sim_world *w, uint32_t until);

static inline uint32_t sim_now(const struct sim_world *w)
{
    return w->wheel->now;
}
bool sim_up(const struct sim_world *w, uint32_t node);

/* ---- what befalls nodes ---- */
void sim_start(struct sim_world *w, uint32_t node);
void sim_kill(struct sim_world *w, uint32_t node);
/* The host is switched off; sim_start switches it on. */
void sim_power_off(struct sim_world *w, uint32_t node);
void sim_leave(struct sim_world *w, uint32_t node);
/* SIGSTOP and SIGCONT. `mortal`: for so long that it may be taken for dead. */
void sim_stop(struct sim_world *w, uint32_t node, bool mortal);
void sim_continue(struct sim_world *w, uint32_t node);
void sim_jump_clock(struct sim_world *w, uint32_t node, int64_t by_ms);
/* Its record changes. */
void sim_change(struct sim_world *w, uint32_t node);
void sim_back_pressure(struct sim_world *w, uint32_t node, bool on);
/* From now on, or no more, the node is disturbed in a way that excuses silence but no death. */
void sim_disturb(struct sim_world *w, uint32_t node, bool on);

/* ---- what befalls the network ---- */
void sim_block(struct sim_world *w, uint32_t from, uint32_t to, int by);
void sim_set_loss(struct sim_world *w, uint32_t percent);
void sim_set_node_delay(struct sim_world *w, uint32_t node, uint32_t extra_ms);

/* ---- to those who judge ---- */
void sim_say(const struct sim_world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The first one stays. */
void sim_break(struct sim_world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The node of an id. */
uint32_t sim_index_of(const struct sim_world *w, const char *id);

static inline struct sim_view *sim_view_of(const struct sim_world *w, uint32_t observer, uint32_t target)
{
    return &w->views[observer * w->count + target];
}

#endif
