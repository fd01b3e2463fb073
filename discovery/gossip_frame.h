/* discovery/gossip_frame.h: the frames of PeerGossip.Link (grid.v1.GossipFrame) as plain structs. No sockets, no clock, no state. */
#ifndef GRID_DISCOVERY_GOSSIP_FRAME_H
#define GRID_DISCOVERY_GOSSIP_FRAME_H

#include "discovery/member.h"

enum {
    GOSSIP_FRAME_MAX = 1 << 20,
    GOSSIP_ENTRIES_MAX = 1024,
    GOSSIP_PROTOCOL = 2,
    GOSSIP_PROTOCOL_MIN = 2, /* records of 1 were signed by nobody */
    GOSSIP_VERSIONS_MAX = 2048,
    GOSSIP_ALSO_MAX = 3,
    GOSSIP_DIGEST_SIZE = 32,
};

enum gossip_kind {
    GOSSIP_HELLO, GOSSIP_PING, GOSSIP_ACK, GOSSIP_TABLE, GOSSIP_RELEASE, GOSSIP_PROBE, GOSSIP_WITNESS, GOSSIP_REFUSAL, GOSSIP_LEDGER,
    GOSSIP_NEWS, GOSSIP_DIGEST, GOSSIP_SUMMARY, GOSSIP_LOAD, /* from protocol 2 on */
    GOSSIP_UNKNOWN, /* of a newer version: passed over */
};

enum gossip_refusal { GOSSIP_REFUSAL_NONE, GOSSIP_REFUSAL_OTHER_GRID, GOSSIP_REFUSAL_VERSION, GOSSIP_REFUSAL_NAME, GOSSIP_REFUSAL_HELLO,
                      GOSSIP_REFUSAL_FULL };

/* A claim about a member: its sealed record, what is said of that incarnation, and the load of that process. What follows is filled by gossip_frame_unpack. */
struct gossip_entry {
    struct slice record;     /* member_seal_pack's */
    enum member_state state; /* ALIVE, STALLED, DEAD or LEFT; read as LEFT when the record is `leaving`, and then only: DEAD else, which can be refuted */
    struct slice load; /* member_load_pack's; empty: none is told, or the one that is known */
    bool met;          /* who says so has had a link with it */
    const struct member *known; /* what gossip_known has found: `seal` is empty, and `member` NULL, but that of a Hello, which is a copy; NULL: it was read */
    struct member_seal seal;
    struct member_load loaded;
    const struct member *member;
};

/* What the reader has read before. Most of what is told in a grid is told again. */
struct gossip_known {
    /* The member whose sealed record is these very bytes, and its load as it was packed (empty: none); NULL when there is none. */
    const struct member *(*find)(void *ctx, struct slice record, struct slice *load);
    void *ctx;
};

/* What one node has seen of another: said at once to all, and checked by who hears it. */
enum gossip_news { GOSSIP_NEWS_STALLED, GOSSIP_NEWS_RESUMED, GOSSIP_NEWS_SUSPECT };

/* Which state of a member a view holds. */
struct gossip_version {
    uint8_t id[MEMBER_ID_BYTES];
    uint64_t incarnation, revision;
    enum member_state state; /* ALIVE, DEAD or LEFT */
};

struct gossip_frame {
    enum gossip_kind kind;
    struct slice authority, grid; /* hello */
    struct slice also[GOSSIP_ALSO_MAX]; /* hello: further authorities */
    size_t also_count;
    struct slice digest, ledger;  /* ledger: 32 bytes; a pack, or nothing */
    bool last;                    /* ledger, summary: not to be answered */
    uint32_t protocol;            /* hello */
    struct gossip_entry *entries; /* hello: one, none of a protocol before GOSSIP_PROTOCOL_MIN; table */
    size_t entry_count;
    uint64_t sequence, sent_at_ms;    /* ping, ack */
    struct member_load loaded;        /* ack: its numbers; load */
    struct slice load;                /* load: packed */
    struct slice release;             /* release: a packed ReleaseEntry */
    char target[MEMBER_ID_SIZE];      /* probe, witness, news, load */
    uint64_t incarnation;             /* witness, news */
    enum gossip_news news;            /* news */
    char observer[MEMBER_ID_SIZE];    /* news: who has seen it; "": the sender */
    uint64_t view;                    /* digest: of all living members and their versions */
    uint32_t view_count;              /* digest: how many they are */
    const struct gossip_version *versions; /* summary */
    size_t version_count;
    bool refused;                     /* witness */
    enum gossip_refusal refusal;      /* refusal */
    struct slice reason;              /* refusal: checked text of at most 256 bytes */
};

/* Appends the packed frame. 0, GRID_ELIMIT or GRID_ENOMEM. */
int gossip_frame_pack(const struct gossip_frame *frame, struct buf *out);

/* Reads a frame; everything in `out` lives in the arena or points into `bytes`, but what is `known`. NULL: nothing is. 0; GRID_EPROTO for garbage or any text or record in it that
 * member_unpack refuses; GRID_ELIMIT; GRID_ENOMEM. */
int gossip_frame_unpack(struct slice bytes, struct arena *arena, const struct gossip_known *known, struct gossip_frame *out);

/* Reads an entry's record, which gossip_frame_unpack has left to what was known, into the arena; `seal` may point into it. Errors as there. */
int gossip_entry_read(struct arena *arena, struct gossip_entry *entry);

#endif
