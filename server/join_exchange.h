/* server/join_exchange.h: one exchange of joining (trust/join.h) on one connection: carries its bytes, and ends it after ten
 * seconds. Dialling has ten of its own. Control thread.
 *
 *   dialling -> talking -> over (on_end) -> closing in order -> memory gone */
#ifndef GRID_SERVER_JOIN_EXCHANGE_H
#define GRID_SERVER_JOIN_EXCHANGE_H

#include "net/conn.h"
#include "net/race.h"
#include "trust/join.h"

struct join_exchange;

enum { JOIN_EXCHANGE_MS = 10000 };

struct join_exchange_events {
    /* Of one that dials: an address came to nothing, `why` as in on_end; `own`: this very node is there. Not closed inside. */
    void (*on_unreached)(void *ctx, struct join_exchange *x, const struct addr *at, bool own, const char *why);
    /* TLS has come about with join_exchange_peer, and the other addresses are left alone. */
    void (*on_reached)(void *ctx, struct join_exchange *x);
    /* The other side waits for our standing: call join_stand or join_refuse on `j`. */
    void (*on_stand)(void *ctx, struct join_exchange *x, struct join *j);
    /* It asks for a certificate: join_request_of; call join_give or join_refuse. */
    void (*on_issue)(void *ctx, struct join_exchange *x, struct join *j);
    /* Exactly once, when it is over. `j` is NULL when no TLS connection came about, and in JOIN_STEP_RECEIVE when the other side
     * went away or took too long; `why` is a clause for that ("it took too long"). */
    void (*on_end)(void *ctx, struct join_exchange *x, const struct join *j, const char *why);
    /* Last: the connection is gone, and x with it. */
    void (*on_gone)(void *ctx, struct join_exchange *x);
};

struct join_exchange_config {
    struct loop *loop;
    const struct join_config *terms; /* what the connection tells is filled in: joiner, keys, exporter, seed, now_s. Borrowed for
                                      * the call when serving, until on_end when dialling */
    const struct join_exchange_events *events;
    void *ctx;
};

/* As the member, on a guest's open connection, which it takes over; when that fails it is closed and nothing is called. `refuse`
 * other than 0 says only that. 0 or GRID_E*. */
int join_exchange_serve(const struct join_exchange_config *config, struct conn *c, enum join_reason refuse,
                        struct join_exchange **out);

/* As the joiner, with one of these addresses (net/conn_race.h): the first one where TLS comes about, and which is not this very node; nothing of the exchange is said anywhere else.
 * `to` is copied. `tls` is a context for guests alone. 0 or GRID_E*, and then nothing is called. */
int join_exchange_dial(const struct join_exchange_config *config, const struct race *to, struct tls_context *tls,
                       struct join_exchange **out);

/* Of one that dials: one more address. */
void join_exchange_add(struct join_exchange *x, const struct addr *to);

/* How far it is; NULL while it dials. */
const struct join *join_exchange_core(const struct join_exchange *x);
/* It has reached this very node alone, at all of the addresses: whoever answered has this side's key. */
bool join_exchange_is_own(const struct join_exchange *x);
/* Who is at the other end; of size 0 while it dials. */
const struct addr *join_exchange_peer(const struct join_exchange *x);

/* Ends it at once, with on_end(why) unless it is over; on_gone comes later. */
void join_exchange_end(struct join_exchange *x, const char *why);
/* Ends it at once, without on_end; on_gone comes later. */
void join_exchange_close(struct join_exchange *x);

#endif
