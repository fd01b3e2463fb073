/* server/release/sync_service.h: grid.v1.SyncChunk: gives other nodes the objects of this node's store, and tells them which it has of a release,
 * also while it is fetching it, and which releases it keeps. Control thread; the store is read on the thread pool, a batch at a time, few at once, no faster than the peer
 * takes them and than the rate allows. */
#ifndef GRID_SERVER_RELEASE_SYNC_SERVICE_H
#define GRID_SERVER_RELEASE_SYNC_SERVICE_H

#include "fs/store.h"
#include "net/grpc_server.h"
#include "server/release/fetch_claims.h"
#include "server/release/release_codec.h"

struct sync_service;

/* Bytes of objects as they travel, and what became of those in the store, for /metrics: any thread may read. */
struct sync_traffic {
    _Atomic uint64_t sent, received;
    _Atomic uint64_t scrubbed; /* bytes of the store that were read through in the background */
    _Atomic uint64_t damaged;  /* objects that turned out damaged in the store since the start */
};

/* `store` is borrowed and must outlive it. 0 or GRID_ENOMEM. */
int sync_service_create(struct loop *l, struct store *store, struct sync_service **out);
/* After the server that serves it is gone, and when sync_service_idle. */
void sync_service_destroy(struct sync_service *s);
/* Bytes a second that all peers together get; 0: no bound, as at first. */
void sync_service_set_rate(struct sync_service *s, uint64_t bytes_per_s);
/* Counts what is sent; `t` outlives the service. NULL, as at first: nowhere. */
void sync_service_count(struct sync_service *s, struct sync_traffic *t);
/* `damaged` is told when an object that was asked for has turned out damaged (and is gone therefore). */
void sync_service_set_damaged(struct sync_service *s, loop_fn damaged, void *ctx);
/* What a node says of its fetch of that release; NULL: nothing. Until the loop's next turn. */
const struct fetch_claim *sync_service_claim(const struct sync_service *s, const char *node, const struct object_id *root);
/* No read is under way on the thread pool. */
bool sync_service_idle(const struct sync_service *s);
const struct grpc_service *sync_service_grpc(const struct sync_service *s);

enum sync_have_kind { SYNC_HAVE_NOTHING_YET, SYNC_HAVE_MAYBE, SYNC_HAVE_FILLING, SYNC_HAVE_WHOLE };

/* What this node has of a release now. */
struct sync_have {
    enum sync_have_kind kind;
    /* FILLING: which fetch it is, for numbers begin anew with the next; what came, by number, in order; borrowed until the loop's next turn. */
    uint64_t serial;
    const uint32_t *had;
    size_t had_count;
};

/* Asks `look` for it; `base` is NULL when the caller began from none. Without this the answer is MAYBE. */
typedef void (*sync_have_fn)(void *ctx, const struct object_id *root, const struct object_id *base, struct sync_have *out);
void sync_service_set_have(struct sync_service *s, sync_have_fn look, void *ctx);
/* What `look` says has changed: those who listen are told, soon. */
void sync_service_have_changed(struct sync_service *s);

/* Appends the newest entry that is older than `told` (sequence 0: of all) and not among `known`, packed, and makes `told` name it. False: there is none. */
typedef bool (*sync_history_fn)(void *ctx, const struct entry_key *known, size_t count, struct entry_key *told, struct buf *packed);
/* Who asks which releases there were is told what `next` gives. Without this: nothing. */
void sync_service_set_history(struct sync_service *s, sync_history_fn next, void *ctx);

#endif
