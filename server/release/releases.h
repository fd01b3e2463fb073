/* server/release/releases.h: which release this node runs, and how it comes to run the newest. Control thread; disk work, hashing and
 * compression go to the thread pool.
 *
 *   publish:  folder -> store -> tree -> tasks checked -> signed entry -> log on disk -> announce -> apply
 *   receive:  entry checked -> missing objects fetched -> tree -> tasks checked -> apply
 *
 * One job at a time; what arrives meanwhile is looked at when it ends, the newest first. A failed job leaves the release that runs. After a
 * restart the release that ran last is put in place first, since the newest may not be to be had. */
#ifndef GRID_SERVER_RELEASE_RELEASES_H
#define GRID_SERVER_RELEASE_RELEASES_H

#include "fs/publish.h"
#include "fs/release_keep.h"
#include "net/tls.h"
#include "server/release/fetch.h"
#include "server/release/sync_service.h"
#include "server/supervise/supervisor.h"

struct releases;

enum { ENTRY_SIGNATURE_BYTES = 80 };

struct releases_options {
    struct loop *loop;
    const char *state_dir;
    struct supervisor *supervisor;
    const char *publisher;        /* this node's id */
    const char *platform;         /* "linux-x64": which tasks run here */
    struct slice certificate_der; /* this node's, put into the entries it signs */
    struct tls_context *peer_tls; /* for chunk connections; empty in a grid of one, NULL in tests */
    struct sync_traffic *traffic; /* counted here; NULL: nowhere */
    uint64_t sync_rate;           /* bytes a second of objects that are fetched, and likewise of those that are given; 0: no bound */
    uint64_t store_max;           /* bytes that the store may have on disk; 0: as the disk has */
    struct release_keep keep;     /* which releases may be gone back to; count 0: RELEASE_KEPT */
    /* Signs an entry's bytes. 0 or GRID_E*. */
    int (*sign)(void *ctx, struct slice bytes, uint8_t signature[ENTRY_SIGNATURE_BYTES], size_t *size);
    /* Judges an entry's signature and its publisher's right to publish; `why` is a clause. */
    int (*verify)(void *ctx, struct slice certificate_der, const char *publisher, struct slice bytes, struct slice signature, char why[160]);
    /* Whether a certificate is of this node's grid, now or in former times; false for that of a grid which the node has left. NULL: all are. */
    bool (*is_of_grid)(const void *ctx, struct slice certificate_der);
    /* Who may have the objects of a root (hex); returns how many were filled in. */
    size_t (*peers)(void *ctx, const char *root, struct release_peer out[RELEASE_PEERS_MAX]);
    void (*announce)(void *ctx, struct slice packed_entry);
    /* Two entries of one sequence have met: published at the same time. The one of the greater publisher's id stays. May be NULL. */
    void (*on_conflict)(void *ctx, const struct release_entry *winner, const struct release_entry *loser);
    /* The current release, its progress or its tasks have changed. Never inside a call. */
    void (*on_change)(void *ctx);
    void *ctx;
};

/* Opens store and log, removes the rubbish of a crash. `why` is a sentence on failure. */
int releases_create(const struct releases_options *options, struct releases **out, char why[512]);
/* Runs the newest entry of the log, when there is one. */
void releases_start(struct releases *r);
/* Ends what is under way; `done` when the pool is out of the store. Frees it. */
void releases_close(struct releases *r, loop_fn done, void *arg);

struct release_events {
    void (*on_progress)(void *ctx, const char *phase, const struct publish_progress *progress); /* "store" */
    void (*on_warning)(void *ctx, const char *sentence);
    /* Exactly once, last. err 0: this node runs it now, as `entry` (borrowed) says. GRID_ECANCELED: another node published at the same time
     * and won, or this one is stopping. In any failure `sentence` says what failed and what to do. */
    void (*on_done)(void *ctx, int err, const char *sentence, const struct release_entry *entry);
};

/* Whose folder is published, and with whose rights it is read. */
struct release_folder {
    const char *path;            /* absolute */
    const struct rights *rights; /* NULL: the node's own */
    bool groups_unknown;         /* only the uid in `rights` is known: the user database tells the rest */
};

/* Publishes a folder (copied) that is not, and is not in, the state folder. `config` is a packed ReleaseConfig. Several are done in turn. Events follow, never inside.
 * 0 or GRID_ENOMEM. After releases_forget(ctx) no event of that ctx comes any more; the job goes on. */
int releases_publish(struct releases *r, const struct release_folder *folder, struct slice config, const struct release_events *events, void *ctx);
/* Publishes a kept root again, by hex prefix of at least 8 digits; empty: the one before the current. What this node lacks of it is fetched
 * from the others, for as long as something comes. */
int releases_rollback(struct releases *r, struct slice prefix, const struct release_events *events, void *ctx);
/* `r` may be NULL. */
void releases_forget(struct releases *r, void *ctx);
/* Forgets, and gives up what was asked for with that ctx unless it is being signed or is the grid's already: then it goes on. */
void releases_abandon(struct releases *r, void *ctx);

/* A packed ReleaseEntry arrived from a peer. Bad ones are logged and dropped. */
void releases_receive(struct releases *r, struct slice packed);
/* This node has another certificate from now on (borrowed until the next). Its own newest entry, where it is good
 * still, is published again when the certificate is of another authority than the entry's. */
void releases_set_certificate(struct releases *r, struct slice der);
/* Whether somebody of this grid published the entry; not this node when it was in no grid, or in another one. */
bool releases_is_of_grid(const struct releases *r, const struct release_entry *e);
/* Whether an entry of this node's is on its way: signed, when its turn comes, by the certificate of then. */
bool releases_is_publishing(const struct releases *r);
/* Ends the connections to those that `whom` names. */
void releases_close_some(struct releases *r, bool (*whom)(const void *arg, const struct tls_peer *peer), const void *arg);
/* Members came or changed: a fetch that waits for somebody who has the objects goes on. */
void releases_peers_changed(struct releases *r);
/* Stops the tasks until the next entry. */
void releases_clear(struct releases *r);

/* Hex root of what runs here, "" before the first. Lives until the next change. */
const char *releases_current(const struct releases *r);
/* Which entry that is: its sequence, 0 before the first, and its publisher, whose text lives until the next change. */
uint64_t releases_running(const struct releases *r, const char **publisher);
/* Contents that other nodes gave this one for that entry. */
uint64_t releases_fetched_bytes(const struct releases *r);
/* How far another node says it is with fetching a root (hex); NULL: it has not said. Until the loop's next turn. */
const struct fetch_claim *releases_claim(const struct releases *r, const char *node, const char *root);
/* The newest entry known, NULL before the first. */
const struct release_entry *releases_newest(const struct releases *r);
/* Tasks of what runs here that are for other platforms, sorted by name. Lives until the next change. */
const struct task_elsewhere *releases_elsewhere(const struct releases *r, size_t *count);
/* Objects that have turned out damaged in the store since the start. */
uint64_t releases_damage(const struct releases *r);
/* Something in the store has turned out damaged, and what runs here is not known to be whole again. */
bool releases_is_mending(const struct releases *r);
/* Hex root of a kept release that cannot be gone back to from here, since what was damaged of it is not to be had; "": none is known. Lives until the next change. */
const char *releases_lost(const struct releases *r);
/* Runs the newest entry known. */
bool releases_synchronized(const struct releases *r);
/* Why the newest entry does not run here, though it was tried: a sentence; "" when it runs, or nothing is known against it. Lives until the next change. */
const char *releases_trouble(const struct releases *r);
/* An entry is being fetched or put in place. Not any more while an older one runs and nobody gives what the newest lacks. */
bool releases_settling(const struct releases *r);
/* Kept entries, newest first. */
size_t releases_list(const struct releases *r, const struct release_entry **out, size_t max);

const struct grpc_service *releases_sync_service(const struct releases *r);

#endif
