/* server/release/fetch.h: brings the objects of one release into the store from the nodes that have them: fs/sync.h's planner over
 * SyncChunk.Fetch. Control thread. Each peer gets a connection of its own, so that bulk never delays a probe. */
#ifndef GRID_SERVER_RELEASE_FETCH_H
#define GRID_SERVER_RELEASE_FETCH_H

#include "fs/store.h"
#include "fs/sync.h"
#include "server/release/releases.h"

struct fetch;

struct fetch_options {
    struct loop *loop;
    struct store *store;
    struct tls_context *tls;
    size_t (*peers)(void *ctx, const char *root, struct release_peer out[RELEASE_PEERS_MAX]);
    void *peers_ctx;
    /* Exactly once unless fetch_cancel came first; the fetch is gone then. err 0: everything is in the store. */
    void (*on_done)(void *ctx, int err, const char *sentence);
    void *ctx;
};

/* Starts. on_done comes later, never inside; it waits, however long, for somebody who has what is missing. 0 or GRID_ENOMEM. */
int fetch_start(const struct fetch_options *options, const struct object_id *root, struct fetch **out);
/* Ends it without on_done. */
void fetch_cancel(struct fetch *f);
/* Members changed: new peers may have what is missing. */
void fetch_peers_changed(struct fetch *f);
void fetch_progress(const struct fetch *f, struct sync_progress *out);

#endif
