/* fs/sync.h: which objects of a release to ask of whom. Starts from the root, goes down as listings arrive, asks several peers at once,
 * gives what one fails to deliver, or is slow with, to another, and leaves alone for a while who fails or lies. No sockets, no clock, no
 * threads, and no disk but through the callbacks. Any one thread at a time.
 *
 *     sync_walk while GRID_EAGAIN;  while (sync_next_request) send it;  for each object of an answer: sync_receive, then put it into the
 *     store (commit before sync_walk); sync_missing; at the answer's end sync_request_end;  at a break sync_peer_failed;  ask sync_status
 *
 * An object:  wanted -> asked -> had;  asked -> wanted again when its request ends without it;  what the store has: had from the start
 *
 * Objects are numbered in the order in which a walk of the tree, level by level and in order of names, comes upon them (what a base has at the
 * same place is passed over). So the same release beside the same base is numbered alike on every node, and nodes that fetch it at the same
 * time tell one another by bitmaps what they have got. Then each asks the origin for a share of its own (rendezvous hashing over those who
 * fetch), and the others for the rest, rarest first, so that the origin gives each object about once. */
#ifndef GRID_FS_SYNC_H
#define GRID_FS_SYNC_H

#include "base/buf.h"
#include "fs/hash.h"

#define SYNC_PEERS_MAX 64u
#define SYNC_REQUEST_IDS_MAX 256u
#define SYNC_REQUEST_BYTES_MAX (1024u * 1024) /* of contents, by the manifest; one object may be larger */
#define SYNC_OBJECTS_MAX 4000000u
#define SYNC_SWARM_BYTES (64u * 1024) /* from so much on that is to be fetched, the origin is spared */

struct sync;

/* The node's store, as the planner sees it. */
struct sync_source {
    bool (*have)(void *arg, const struct object_id *id);
    /* The content of a listing that `have` is true for. GRID_ENOENT or GRID_ECORRUPT: it is fetched instead. */
    int (*load)(void *arg, const struct object_id *id, enum object_type type, struct buf *out);
    void *arg;
};

struct sync_options {
    uint32_t requests_per_peer; /* in flight; 0 means 4, at most 16 */
    uint32_t backoff_ms;        /* after the first failure, doubled by each that follows; 0 means 500 */
    uint32_t backoff_max_ms;    /* 0 means 60,000 */
    uint32_t liar_backoff_ms;   /* likewise after wrong bytes; 0 means 30,000 */
    const struct object_id *base; /* NULL, or the root of a release that is whole in the store: what it has at the same place is not looked at */
    uint64_t key;                 /* of this node among those who fetch: any number that hashes its id */
};

struct sync_request {
    uint32_t peer;
    uint32_t number; /* for sync_request_end */
    const struct object_id *ids; /* until the next call */
    uint32_t count;
    uint64_t bytes;     /* of contents, about, by the manifest */
    uint64_t bytes_max; /* more than an honest answer can have */
};

enum sync_state {
    SYNC_DONE,   /* everything is there */
    SYNC_WALK,   /* sync_walk has work, and nothing else can be done */
    SYNC_MORE,   /* a request can be made, or one is in flight */
    SYNC_STUCK,  /* wanted objects, but nobody to ask now: wait for the time given, another peer, or sync_forget_missing */
    SYNC_FAILED, /* the manifest is malformed (GRID_EPROTO), over a limit, or memory was short: see sync_error */
};

enum sync_peer_kind {
    SYNC_PEER_AWAITED, /* is about to be connected, or to say what it has: not asked before; others are waited for a moment, and then it has a share like one that fetches */
    SYNC_PEER_MAYBE,   /* may have anything, or nothing */
    SYNC_PEER_FILLING, /* fetches the same, and tells by sync_peer_has what it has got */
    SYNC_PEER_WHOLE,   /* has come to have everything */
    SYNC_PEER_ORIGIN,  /* had everything before the fetch began: spared while others fetch too */
};

struct sync_progress {
    uint64_t objects_known; /* so far: it grows while listings arrive */
    uint64_t objects_had;   /* of them, there */
    uint64_t bytes_wanted;  /* contents still to come, by the manifest */
    uint64_t bytes_received;
};

/* `options` may be NULL. 0 or GRID_ENOMEM. `source` is copied; its arg outlives the planner. */
int sync_create(const struct object_id *root, const struct sync_source *source, const struct sync_options *options, struct sync **out);
void sync_destroy(struct sync *s);

/* The peer's number, from 0 and used again after sync_remove_peer; `key` as this node's own. 0, or GRID_ELIMIT. */
int sync_add_peer(struct sync *s, uint64_t key, enum sync_peer_kind kind, uint64_t now_ms, uint32_t *peer);
/* What is known of it has changed. An origin stays one when it is said to be whole; and who is awaited and whole is one. */
void sync_peer_set_kind(struct sync *s, uint32_t peer, enum sync_peer_kind kind, uint64_t now_ms);
/* Objects that it has got, by number, or by bits of numbers from 0 on, the lowest bit of a byte first; it is FILLING from then on unless it
 * is whole. Numbers that mean nothing here yet are kept. 0, GRID_ELIMIT for numbers that no release has, GRID_ENOMEM. */
int sync_peer_has(struct sync *s, uint32_t peer, const uint32_t *numbers, size_t count, uint64_t now_ms);
int sync_peer_has_bits(struct sync *s, uint32_t peer, struct slice bits, uint64_t now_ms);
/* Its requests go to others. */
void sync_remove_peer(struct sync *s, uint32_t peer);

/* Looks into at most `max_objects` listings that are in the store already, calling `load`. 0 when no more are left, GRID_EAGAIN when
 * some are, or the error that made the state SYNC_FAILED. */
int sync_walk(struct sync *s, uint32_t max_objects);

/* The next request to send, false when there is none now. Listings come before chunks. `now_ms` is monotonic. */
bool sync_next_request(struct sync *s, uint64_t now_ms, struct sync_request *out);

/* One object of an answer, unpacked; borrowed for the call. The hash is checked here: on 0 the caller may store it unchecked.
 * GRID_ENOENT when it is not wanted (any more): ignore it. GRID_ECORRUPT: wrong bytes; the peer has been put aside and its requests given
 * to others: close its connection. Other errors: the state is SYNC_FAILED. */
int sync_receive(struct sync *s, uint32_t peer, const struct object_id *id, enum object_type type, struct slice content,
                 uint64_t now_ms);

/* The peer said that it does not have the object; it is asked of others. */
void sync_missing(struct sync *s, uint32_t peer, const struct object_id *id);

/* The answer to a request ended well. What it did not mention counts as missing there. */
void sync_request_end(struct sync *s, uint32_t number, uint64_t now_ms);

/* The connection broke, a deadline passed, or what came could not be read: all its requests go to others, it waits. */
void sync_peer_failed(struct sync *s, uint32_t peer, uint64_t now_ms);

/* Peers may have got meanwhile what they lacked (a swarm fills): ask them again. */
void sync_forget_missing(struct sync *s);

/* `retry_at_ms` (may be NULL) is, for SYNC_STUCK, when somebody may be asked (again); UINT64_MAX when time helps nothing. */
enum sync_state sync_status(const struct sync *s, uint64_t now_ms, uint64_t *retry_at_ms);
int sync_error(const struct sync *s);
void sync_progress_get(const struct sync *s, struct sync_progress *out);

/* Numbers of the objects that are there, in the order in which they came to be; it only grows, and is where it is until the next call. */
const uint32_t *sync_had(const struct sync *s, size_t *count);
/* Whether objects are numbered as others number them: not when a part of the base could not be read. */
bool sync_is_numbered_alike(const struct sync *s);

#endif
