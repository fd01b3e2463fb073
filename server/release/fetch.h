/* server/release/fetch.h: brings the objects of one release into the store from the nodes that have them: fs/sync.h's planner over
 * SyncChunk.Fetch and SyncChunk.Have. Control thread; unpacking, hashing and everything of the store is done on the thread pool. Each peer gets a
 * connection of its own, so that bulk never delays a probe; at most eight at once, and when those have no more to give, others get their turn.
 * For little that has changed, one that runs the release is asked alone first.
 *
 * A peer that breaks off, stalls or refuses is left alone for a while, longer each time; one that sends wrong bytes for half a minute at
 * least. What it was asked for is asked of others, and what arrived before a break stays in the store: a fetch begun anew asks for the rest. */
#ifndef GRID_SERVER_RELEASE_FETCH_H
#define GRID_SERVER_RELEASE_FETCH_H

#include "base/pacer.h"
#include "fs/store.h"
#include "net/addr.h"
#include "net/loop.h"
#include "net/tls.h"
#include "server/release/sync_service.h"

enum { RELEASE_PEERS_MAX = 64, RELEASE_PEER_ADDRESSES_MAX = 8 };

/* A node that may have a release's objects. */
struct release_peer {
    char id[65];
    struct addr addresses[RELEASE_PEER_ADDRESSES_MAX]; /* dialled as net/race.h says, until the node itself answers */
    size_t address_count;
    bool runs_it; /* says it runs that root: asked first */
};

struct fetch;

struct fetch_options {
    struct loop *loop;
    struct store *store;
    struct tls_context *tls; /* NULL: in the clear (tests) */
    const char *self;        /* this node's id; NULL: none. Borrowed for the call */
    /* NULL, or the root of a release that is whole in the store: what the two have at the same place is not looked at. Borrowed for the call. */
    const struct object_id *base;
    struct sync_traffic *traffic; /* where what is received is counted; NULL: nowhere. Outlives the fetch */
    struct pacer *pacer; /* of what is received, bytes; NULL: as fast as it comes. Outlives the fetch */
    /* Who may have the objects of a root (hex); returns how many were filled in. */
    size_t (*peers)(void *ctx, const char *root, struct release_peer out[RELEASE_PEERS_MAX]);
    void *peers_ctx;
    uint32_t stall_ms;    /* a request without a byte for so long has failed; 0 means 20,000 */
    uint32_t patience_ms; /* GRID_ETIMEOUT when nothing new has come for so long; 0: waits for ever */
    /* More has come (fetch_had); may be NULL. Never inside fetch_start. */
    void (*on_progress)(void *ctx);
    /* Exactly once; the fetch is gone then, and the pool out of the store. err 0: everything is in the store. GRID_ECANCELED after
     * fetch_cancel. `sentence` is NULL or says what failed. */
    void (*on_done)(void *ctx, int err, const char *sentence);
    void *ctx;
};

/* Starts. on_done comes later, never inside. 0 or GRID_ENOMEM. */
int fetch_start(const struct fetch_options *options, const struct object_id *root, struct fetch **out);
/* Ends it: on_done comes later. */
void fetch_cancel(struct fetch *f);
/* Members changed: new peers may have what is missing. */
void fetch_peers_changed(struct fetch *f);
/* Closes the connections to those that `whom` names, as when they had broken off. */
void fetch_close_some(struct fetch *f, bool (*whom)(const void *arg, const struct tls_peer *peer), const void *arg);
/* Milliseconds since something new arrived (or the start). */
uint64_t fetch_idle_ms(const struct fetch *f);

/* What it has brought or found so far. */
struct fetch_sum {
    uint64_t objects_known, objects_had;
    uint64_t bytes_wanted;   /* contents still to come, as far as the listings tell */
    uint64_t bytes_received; /* contents */
};
void fetch_sum(const struct fetch *f, struct fetch_sum *out);

/* Numbers (sync.proto's HaveState) of the objects that are here, in the order in which they came to be; borrowed until the loop's next turn.
 * `serial` is another for each fetch. */
const uint32_t *fetch_had(const struct fetch *f, size_t *count, uint64_t *serial);
/* Whether a fetch that begins from `base` (NULL: none) numbers them the same. */
bool fetch_counts_from(const struct fetch *f, const struct object_id *base);

#endif
