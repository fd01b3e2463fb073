/* fs/sync_internal.h: what the planner's files share: sync.c (the tree, answers, state), sync_rows.c (objects and queues), sync_peers.c (who there
 * is, and what they have), sync_ask.c (what to ask of whom). */
#ifndef GRID_FS_SYNC_INTERNAL_H
#define GRID_FS_SYNC_INTERNAL_H

#include "fs/id_map.h"
#include "fs/manifest.h"
#include "fs/sync.h"

#define SYNC_NOBODY UINT32_MAX
#define SYNC_REQUESTS_PER_PEER_MAX 16u
#define SYNC_SLOTS (SYNC_PEERS_MAX * SYNC_REQUESTS_PER_PEER_MAX)

enum row_state { ROW_WANTED, ROW_ASKED, ROW_HAD };

/* What is known of an object, beside its id in the map. */
struct row {
    uint64_t size;    /* by the manifest: of a chunk or directory its content, of a file its length; 0 for the root, which nobody names */
    uint64_t lacking; /* peers that said that they do not have it, one bit each */
    uint32_t next;    /* in its queue, by number */
    uint32_t prev;
    uint32_t twin; /* of a directory: the base's of the same path, by number in `twins`, or NOBODY */
    uint16_t slot; /* of its newest request, while asked */
    uint8_t type;
    uint8_t state;
    uint8_t given; /* to how many more peers, while one was slow */
};

/* A doubly linked list through rows, and where the last look at it ended. */
struct queue {
    uint32_t first;
    uint32_t last;
    uint32_t hand;
    uint32_t count;
};

enum { QUEUE_LISTINGS, QUEUE_CHUNKS, QUEUES };

struct peer {
    bool present;
    enum sync_peer_kind kind;
    uint32_t in_flight;
    uint32_t failures; /* in a row */
    uint32_t lies;
    uint64_t retry_at_ms;
    uint64_t key;
    uint64_t added_ms;
    uint64_t answer_ms; /* how long its answers take, smoothed; 0: none has come */
    uint64_t news_ms; /* when it last told of something */
    uint8_t *bits;    /* what it has told of, by number */
    size_t bits_size; /* bytes */
};

struct slot {
    bool used;
    uint32_t peer;
    uint32_t count;
    uint64_t asked_ms;
    uint32_t *numbers; /* SYNC_REQUEST_IDS_MAX, taken at first use */
};

struct sync {
    struct sync_source source;
    struct sync_options options;
    struct id_map ids;
    struct row *rows;
    uint32_t *had_log; /* as many as rows */
    uint32_t had_log_count;
    uint32_t row_capacity;
    uint32_t expand_at; /* the first listing that has not been looked into; rows.count when all have */
    struct id_map twins;
    bool misnumbered;
    struct queue queues[QUEUES];
    struct peer peers[SYNC_PEERS_MAX];
    struct slot slots[SYNC_SLOTS];
    uint32_t cursor; /* the peer asked last */
    uint32_t asked;  /* objects in flight */
    uint64_t active_ms; /* when something was asked, or came, last */
    bool large;         /* so much was to be fetched that the origin is spared */
    uint64_t had;
    uint64_t bytes_wanted;
    uint64_t bytes_received;
    int err;
    struct object_id request_ids[SYNC_REQUEST_IDS_MAX];
};

/* ---- sync_rows.c ---- */

void sync_queues_init(struct sync *s);
/* Bytes an answer will have for it, about; and at most, with what frames it. */
uint64_t sync_row_cost(const struct row *r);
uint64_t sync_row_cost_max(const struct row *r);
void sync_row_want(struct sync *s, uint32_t number, bool front);
/* Wanted becomes asked. */
void sync_row_ask(struct sync *s, uint32_t number, uint16_t slot);
/* Asked becomes wanted. */
void sync_row_return(struct sync *s, uint32_t number);
void sync_row_arrived(struct sync *s, uint32_t number);
/* What the store said to have, it cannot read. */
void sync_row_lost(struct sync *s, uint32_t number);
/* A listing names an object. One id with two types or sizes is a malformed manifest: GRID_EPROTO. */
int sync_row_meet(struct sync *s, const struct object_id *id, enum object_type type, uint64_t size, const struct object_id *twin);

static inline bool sync_row_open(const struct row *r)
{
    return r->state == ROW_ASKED || r->state == ROW_WANTED;
}

/* ---- sync_peers.c ---- */

static inline bool sync_peer_is(const struct sync *s, uint32_t peer)
{
    return peer < SYNC_PEERS_MAX && s->peers[peer].present;
}
bool sync_peer_bit(const struct peer *p, uint32_t number);
/* Wrong bytes: it is put aside, its requests go to others. */
void sync_peer_lied(struct sync *s, uint32_t peer, uint64_t now_ms);

/* ---- sync_ask.c ---- */

void sync_slots_dispose(struct sync *s);
void sync_slots_return(struct sync *s, uint32_t peer);
/* Whether anything can be asked of anybody now. */
bool sync_can_ask(const struct sync *s, uint64_t now_ms);
/* When a peer that is left alone now, or spared, can be asked. */
uint64_t sync_ask_later(const struct sync *s, uint64_t now_ms);

#endif
