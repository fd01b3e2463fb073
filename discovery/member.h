/* discovery/member.h: a member's record as a plain struct, and its packed form (grid.v1.Member). No sockets, no clock, no state. */
#ifndef GRID_DISCOVERY_MEMBER_H
#define GRID_DISCOVERY_MEMBER_H

#include <endian.h>
#include <stdbool.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"

enum {
    MEMBER_ID_SIZE = 65,
    MEMBER_ID_BYTES = 32, /* as bytes */
    MEMBER_NAME_MAX = 63,
    MEMBER_FAULT_MAX = 160, /* of a task: as many as MEMBER_TASKS_MAX fit into a load */
    MEMBER_TEXT_MAX = 255, /* hostname, platform, user, version, a task's name, an address, a capability */
    MEMBER_ADDRESSES_MAX = 8,
    MEMBER_TASKS_MAX = 1024,
    MEMBER_CAPABILITIES_MAX = 32,
    MEMBER_RECORD_MAX = 32 * 1024,
    MEMBER_LOAD_MAX = 256 * 1024,
    MEMBER_CERTIFICATE_MAX = 8192,
    MEMBER_SIGNATURE_MAX = 80,
    MEMBER_SEALED_MAX = MEMBER_RECORD_MAX + MEMBER_CERTIFICATE_MAX + MEMBER_SIGNATURE_MAX + 4096, /* with what a newer version may add */
};
/* An incarnation at or above it is garbage: nobody could refute it for long. */
#define MEMBER_INCARNATION_LIMIT (UINT64_C(1) << 53)
/* A capability: `tasks` are all that its release has, those that are not ready with 0 instances. */
#define MEMBER_NAMES_ALL_TASKS "all-tasks"

enum member_state { MEMBER_ALIVE, MEMBER_STALLED, MEMBER_DEAD, MEMBER_LEFT, MEMBER_EVICTED };

struct member_task {
    const char *name;
    uint32_t instances; /* ready ones */
    const char *fault;  /* why none is, or none of its newest version, "" when that is not known */
    bool renewing;      /* a ready one is of a version before, since its newest is not ready yet */
};

/* Strings are never NULL. What it points to belongs to whoever made it: an arena, or the members it was read from. What is looked at most stands together. */
struct member {
    enum member_state state;
    bool local;           /* this node itself */
    bool linked;          /* a control link to it is up */
    bool leaving;         /* its record is its last word */
    bool synchronized;
    uint64_t incarnation; /* Unix milliseconds at its start, raised to refute */
    uint64_t revision;    /* counts changes within the incarnation */
    int64_t started_at_ms; /* Unix time */
    uint32_t in_flight, queued; /* load, which is not in its record: calls at its tasks, and waiting for a free instance */
    uint32_t cpu_percent;
    uint32_t rtt_us; /* of the last probe */
    char id[MEMBER_ID_SIZE]; /* 64 lowercase hex digits */
    char name[MEMBER_NAME_MAX + 1];
    char release[MEMBER_ID_SIZE]; /* hex root it runs, "" before the first */
    char release_publisher[MEMBER_ID_SIZE]; /* hex id of who published the entry it runs; "" when unknown */
    uint64_t release_sequence; /* of that entry; 0 before the first, and from versions that tell the root alone */
    uint64_t release_fetched_bytes; /* contents that other nodes gave it for that entry */
    const char *const *addresses; /* "host:port", best first */
    size_t address_count;
    uint32_t api_port;
    const char *hostname, *platform, *user, *version;
    const char *const *capabilities;
    size_t capability_count;
    const struct member_task *tasks; /* load again */
    size_t task_count;
    uint64_t tasks_sequence; /* of the release entry that `tasks` are of; 0 before the first, and from versions that do not tell it */
};

/* "alive", "stalled", "dead", "left", "evicted". Static storage. */
const char *member_state_name(enum member_state state);

/* True when it may be called: alive, and not silent. */
static inline bool member_routable(const struct member *m)
{
    return m->state == MEMBER_ALIVE;
}

/* True when it names all its tasks (MEMBER_NAMES_ALL_TASKS) and this one is not among them. */
bool member_lacks_task(const struct member *m, const char *task);

/* Why it cannot start this task, or its newest version; NULL when it can or does not know. As long as `m`. */
const char *member_task_fault(const struct member *m, const char *task);

/* A task's fault as a record may carry it: one line, cut at MEMBER_FAULT_MAX between characters. In the arena; NULL without memory. */
const char *member_fault_shown(struct arena *arena, const char *fault);

/* True when it says that it runs this entry of the release log. A record that tells the root alone is judged by that. */
bool member_runs(const struct member *m, const char *root, uint64_t sequence, struct slice publisher);

/* Appends the packed record (everything but state, local, linked and what is load). 0, GRID_ELIMIT or GRID_ENOMEM. */
int member_pack(const struct member *m, struct buf *out);

/* Reads a packed record; what `out` points to lives in the arena. state is ALIVE. 0; GRID_EPROTO (garbage, a bad id, text that is not UTF-8 or
 * has control characters, an incarnation over the limit); GRID_ELIMIT; GRID_ENOMEM. */
int member_unpack(struct slice record, struct arena *arena, struct member *out);

/* ---- load (grid.v1.Load) ---- */

struct member_load {
    int64_t started_at_ms; /* the process it is about, as its record says */
    uint64_t revision;     /* counts changes within the process */
    uint32_t in_flight, queued, cpu_percent;
    const struct member_task *tasks;
    size_t task_count;
    uint64_t tasks_sequence; /* as in struct member */
};

/* As member_pack and member_unpack; at most MEMBER_LOAD_MAX. */
int member_load_pack(const struct member_load *load, struct buf *out);
int member_load_unpack(struct slice packed, struct arena *arena, struct member_load *out);

/* Numbers as they are told: exact below 8, else three binary digits of them, so that little is told of little. */
uint32_t member_load_quantized(uint32_t number);

/* ---- sealed records: what travels (grid.v1.SealedMember) ---- */

struct member_seal {
    struct slice record, certificate, signature; /* the last two are empty where nobody signs */
};

/* Appends the sealed record. 0, GRID_ELIMIT or GRID_ENOMEM. */
int member_seal_pack(const struct member_seal *seal, struct buf *out);

/* Reads one; the slices live in the arena or point into `sealed`. What is inside is not judged. 0, GRID_EPROTO, GRID_ELIMIT, GRID_ENOMEM. */
int member_seal_unpack(struct slice sealed, struct arena *arena, struct member_seal *out);

/* Where a sealed record as member_seal_pack packs it has its id, unchecked, in place; empty when the bytes begin otherwise. */
struct slice member_seal_peek_id(struct slice sealed);

/* Appends what the owner signs (docs/formats/member-record.md): a context that no other signature of a node has, the certificate, so that nobody can
 * pass the record on with another one, and the record. 0, GRID_ELIMIT or GRID_ENOMEM. */
int member_seal_signed_bytes(struct slice record, struct slice certificate, struct buf *out);

/* A deep copy into the arena. 0 or GRID_ENOMEM. */
int member_copy(const struct member *m, struct arena *arena, struct member *out);

/* True for 64 lowercase hex digits. */
bool member_id_valid(struct slice id);

/* The first bytes of an id, a multiple of 4; garbage of what is none. Eight digits at once: the low half of each, and 9 more for a letter. */
static inline void member_id_bytes(const char *id, uint8_t *out, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 4) {
        uint64_t eight;
        memcpy(&eight, id + 2 * i, sizeof eight);
        eight = le64toh(eight);
        eight = (eight & UINT64_C(0x0f0f0f0f0f0f0f0f)) + 9 * (eight >> 6 & UINT64_C(0x0101010101010101));
        eight = (eight << 4 | eight >> 8) & UINT64_C(0x00ff00ff00ff00ff);
        eight = (eight | eight >> 8) & UINT64_C(0x0000ffff0000ffff);
        uint32_t four = htole32((uint32_t) (eight | eight >> 16));
        memcpy(out + i, &four, sizeof four);
    }
}

#endif
