/* server/release/fetch_internal.h: what fetch.c (events, the pool, what comes next), fetch_peers.c (connections, who is left alone) and fetch_calls.c
 * (requests and what peers say they have) share. Control thread, but for what is said to be the pool's. */
#ifndef GRID_SERVER_RELEASE_FETCH_INTERNAL_H
#define GRID_SERVER_RELEASE_FETCH_INTERNAL_H

#include "fs/sync.h"
#include "net/h2_race.h"
#include "server/release/fetch.h"

enum {
    FETCH_PEERS_MAX = 8, /* connections at once */
    FETCH_ASIDE_MAX = 64,
    FETCH_BREAK_MS = 500, FETCH_BREAK_MAX_MS = 30000,
    FETCH_LIE_MS = 30000, FETCH_LIE_MAX_MS = 600000,
};

/* dialling (as net/race.h says) -> open -> asked. The planner knows of it from the first dial on, so that it waits for what it has; later dials are not waited for. */
struct fetch_peer {
    struct fetch *fetch; /* NULL once the fetch is gone: only the connection's end is awaited */
    struct h2_race *race;       /* while dialling */
    struct http_client *client; /* from then on */
    struct loop_deferred gone;  /* given up while dialling */
    struct release_peer at;
    uint32_t number;
    bool open;
    bool known; /* to the planner, by number */
    bool asked; /* what it has, or is known to have all */
    bool failed;   /* told so, and being closed: what its calls still say is not heard */
    bool stranger; /* another node answered at one of the addresses */
    struct fetch_peer *next;
};

enum fetch_event_kind { EVENT_MESSAGE, EVENT_END, EVENT_FAILED, EVENT_REMOVED, EVENT_FORGET, EVENT_HAVE, EVENT_MAYBE };

/* Something the planner must hear of. */
struct fetch_event {
    struct fetch_event *next;
    enum fetch_event_kind kind;
    uint32_t peer, number;
    size_t size; /* of a message */
    uint8_t bytes[];
};

/* A peer that is left alone. */
struct fetch_aside {
    char id[65];
    uint64_t until_ms;
    unsigned times;
};

struct fetch {
    struct fetch_options options;
    struct object_id root, base;
    bool has_base;
    uint64_t serial;
    char root_hex[OBJECT_ID_HEX + 1];
    struct fetch_peer *peers;
    unsigned peer_count;
    uint64_t ahead; /* bytes spent of the rate, for answers that have not come */
    struct loop_deferred pump;
    struct loop_timer tick;
    uint64_t started_ms;
    uint64_t retry_at_ms; /* when others are looked for again, 0: not stuck */
    struct fetch_aside asides[FETCH_ASIDE_MAX];
    unsigned aside_count;
    uint64_t progress_ms; /* when something new arrived last */
    struct sync_progress progress;
    uint32_t *had; /* as sync_had, as it was when the pool was out last */
    size_t had_count, had_capacity;
    bool misnumbered; /* its numbers mean nothing to others */
    struct fetch_event *events, **events_tail;
    size_t events_bytes;
    bool working;
    bool ended;
    int end_err;
    const char *end_sentence; /* may point to `full` */
    char full[STORE_FULL_MAX];
    /* The pool's while working. */
    struct sync *sync;
    struct store_batch batch;
    struct fetch_event *taken;
    struct arena *arena; /* of one message */
    struct buf content;
    uint64_t now_ms;
    uint64_t liars; /* bits by peer number */
    bool walks;     /* more listings to look into */
    int err;
};

/* ---- fetch.c ---- */

void fetch_pump_later(struct fetch *f);
/* The first reason counts. `sentence` is static or lives in the fetch. */
void fetch_end(struct fetch *f, int err, const char *sentence);
void fetch_event_add(struct fetch *f, enum fetch_event_kind kind, uint32_t peer, uint32_t number, struct slice bytes);

/* ---- fetch_peers.c ---- */

/* Dials who may be asked, as many as the work is worth. */
void fetch_peers_connect(struct fetch *f);
/* Those whose connection is open are asked what they have. Nobody works. */
void fetch_peers_ask(struct fetch *f);
/* As many are connected as may be, and none of them has what is missing: where others are left, the one of longest standing that does not run the release makes
 * room for one of them. */
void fetch_peers_rotate(struct fetch *f);
/* What the pool found out. */
void fetch_peers_close_liars(struct fetch *f);
void fetch_peers_leave(struct fetch *f);
/* Its connection is closed and it is left alone for a while, longer each time. */
void fetch_peer_fail(struct fetch_peer *peer, uint64_t base_ms, uint64_t max_ms);
/* The same for long, and said. */
void fetch_peer_lied(struct fetch_peer *peer);
/* It has given something: the next failure is the first. */
void fetch_peer_gave(struct fetch_peer *peer);
struct fetch_peer *fetch_peer_of(struct fetch *f, uint32_t number);
/* A number that hashes a node's id, the same on every node. */
uint64_t fetch_key_of(const char *id);

/* ---- fetch_calls.c ---- */

/* All that the planner wants to ask now. Nobody works. Returns milliseconds until the rate allows more, 0 when that holds up nothing. */
uint64_t fetch_calls_send(struct fetch *f);
/* Nothing of what was asked for is awaited any more: what was spent of the rate for it is given back. */
void fetch_calls_leave(struct fetch *f);
/* Asks what it has of the release. 0 or GRID_E*. */
int fetch_calls_ask_have(struct fetch_peer *peer);

/* On the pool: a HaveState. 0, GRID_ECORRUPT for what is none. */
int fetch_take_have(struct fetch *f, uint32_t peer, struct slice packed);

#endif
