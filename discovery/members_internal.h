/* discovery/members_internal.h: what the parts of the membership core share: members.c (links, queues, the view), members_merge.c (claims)
 * and members_detect.c (probes, convictions, dials). */
#ifndef GRID_DISCOVERY_MEMBERS_INTERNAL_H
#define GRID_DISCOVERY_MEMBERS_INTERNAL_H

#include <uthash.h>

#include "base/map.h"
#include "discovery/members.h"

enum { MEMBERS_WITNESSES_MAX = 4, MEMBERS_QUEUE_MAX = 256, MEMBERS_TABLE_BYTES = 256 * 1024, MEMBERS_TABLE_ENTRIES = 256 };

/* Times of the core as it was before profiles. */
enum {
    MEMBERS_PROBE_MS = 500,
    MEMBERS_STALL_MS = 1000,
    MEMBERS_SILENT_MS = 15000,
    MEMBERS_GONE_MS = 5000,
    MEMBERS_HELLO_MS = 5000,
    MEMBERS_REDIAL_MIN_MS = 250,
    MEMBERS_REDIAL_MAX_MS = 30000,
    MEMBERS_REAP_MS = 24 * 3600 * 1000,
};

struct members_frame {
    struct members_frame *next;
    size_t size;
    uint8_t data[];
};

struct members_link {
    struct members_link *next;
    uint64_t id;
    char peer[MEMBER_ID_SIZE];
    bool dialled, ready, closing, paused;
    struct members_entry *entry; /* once ready */
    uint64_t opened_ms, heard_ms;
    uint64_t ping_at_ms, unanswered_ms; /* when the oldest unanswered ping went out, 0: none */
    uint64_t sequence;
    struct members_frame *head, **tail;
    size_t queued;
    bool any_dirty;
    uint64_t dirty[MEMBERS_MAX / 64]; /* by slot: members to be sent */
};

struct members_entry {
    UT_hash_handle hh;
    size_t slot;
    struct arena *arena;
    struct member member;
    struct slice record; /* packed by its owner; in the arena */
    struct members_link *link;
    uint64_t heard_ms, known_ms, vouched_ms, ended_ms, asked_ms;
    uint64_t token, dial_at_ms; /* token of the dial under way, 0: none */
    unsigned failures, refusals; /* of our dials in a row, and those of them that were refused */
    char witnesses[MEMBERS_WITNESSES_MAX][MEMBER_ID_SIZE];
    unsigned witness_count;
};

struct members_seed {
    char *address;
    uint64_t token, dial_at_ms;
    unsigned failures;
    char id[MEMBER_ID_SIZE]; /* who answered there */
};

struct members_note { /* an event that waits */
    enum members_event_kind kind;
    char id[MEMBER_ID_SIZE];
    char *bytes;
    size_t size;
    enum gossip_refusal refusal;
    bool by_peer;
};

struct members {
    char authority[MEMBER_ID_SIZE];
    char grid[MEMBER_NAME_MAX + 1];
    const struct members_times *times;
    bool (*admit)(void *ctx, const struct gossip_entry *entry);
    int (*seal)(void *ctx, struct slice record, struct buf *out);
    void *ctx;
    uint64_t now_ms, ticked_ms, random, next_token;
    bool leaving;
    struct members_entry *self;
    struct members_entry *by_id; /* uthash */
    struct members_entry *slots[MEMBERS_MAX];
    size_t slot_end;
    struct members_entry **order; /* for members_at; MEMBERS_MAX of them */
    size_t count;
    struct members_link *links;
    struct members_seed *seeds;
    size_t seed_count;
    struct members_note *notes;
    size_t note_count, note_capacity, note_at;
    struct members_note given; /* the one the caller holds */
    struct buf out;
    struct buf release;
    char also[GOSSIP_ALSO_MAX][MEMBER_ID_SIZE]; /* further authorities */
    size_t also_count;
    struct buf digest, ledger;
    struct map *evicted; /* ids; NULL before the first */
    uint32_t in_flight, cpu_percent;
    struct members_counters counters;
};

/* members.c */
struct members_entry *members_entry_find(const struct members *m, const char *id);
/* A new, empty entry with an id; evicts the oldest dead one when full. NULL when full of the living, or out of memory. */
struct members_entry *members_entry_add(struct members *m, const char *id);
void members_entry_remove(struct members *m, struct members_entry *e);
/* Replaces record and public struct, keeping state and what only this node knows. 0 or GRID_ENOMEM. */
int members_entry_set(struct members_entry *e, const struct member *member, struct slice record);
void members_note(struct members *m, enum members_event_kind kind, const char *id);
void members_note_bytes(struct members *m, struct members_note note, struct slice bytes);
void members_queue(struct members *m, struct members_link *l, const struct gossip_frame *frame);
/* To be sent on every ready link but `but`. */
void members_spread(struct members *m, const struct members_entry *e, const struct members_link *but);
void members_link_mark(struct members_link *l, const struct members_entry *e);
void members_link_close(struct members_link *l);
int members_self_repack(struct members *m, const struct member *self);

/* members_merge.c */
void members_claim(struct members *m, struct members_link *from, const struct gossip_entry *claim);
void members_hello(struct members *m, struct members_link *l, const struct gossip_frame *hello);

/* members_trust.c */
bool members_is_evicted(const struct members *m, const char *id);
/* True when the Hello names an authority that this node goes by. */
bool members_shares_authority(const struct members *m, const struct gossip_frame *hello);
void members_tell_digest(struct members *m, struct members_link *l);
void members_receive_ledger(struct members *m, struct members_link *l, const struct gossip_frame *f);

/* members_detect.c */
bool members_link_fresh(const struct members *m, const struct members_link *l);
void members_heard(struct members *m, struct members_link *l);
void members_stall(struct members *m, struct members_entry *e);
void members_convict(struct members *m, struct members_entry *e);
void members_lost(struct members *m, struct members_entry *e, enum members_loss loss);
void members_witness(struct members *m, const char *witness, const struct gossip_frame *frame);
void members_probe_asked(struct members *m, struct members_link *l, const char *target);
/* Forgets what counted against it. */
void members_acquit(struct members_entry *e);
uint64_t members_backoff(struct members *m, unsigned failures, uint64_t max_ms);

static inline uint64_t members_later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif
