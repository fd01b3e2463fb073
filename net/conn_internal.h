/* net/conn_internal.h: what conn.c lends to carrier.c: a connection that has no stream yet. The loop's thread. */
#ifndef GRID_NET_CONN_INTERNAL_H
#define GRID_NET_CONN_INTERNAL_H

#include "net/carrier.h"

/* One to a member, waiting; its time is that of `options`. 0 or errors of conn_dial. */
int conn_await(struct loop *l, const struct addr *to, const struct conn_options *options, const struct conn_events *events, void *ctx, struct conn **out);
/* Called once when a waiting one ends, whatever way. */
void carrier_forget(struct carrier *k, const struct conn *c);
/* Registers it, and asks. 0 or GRID_ENOMEM. */
int carrier_want(struct carrier *k, struct conn *c, const struct addr *to, const struct tls_context *tls);

/* The stream has come: TLS begins. Takes the descriptor. */
void conn_begin(struct conn *c, int fd);
/* Nobody leads there. */
void conn_give_up(struct conn *c);
/* Takes an open connection apart: `taken` is called, later, with what conn_assume takes over; or with its descriptor gone when it broke. */
void conn_release(struct conn *open, void (*taken)(void *ctx, struct conn *open), void *ctx);
/* `c`, which waited, becomes what `released` was, whose memory goes; NULL: that is closed. */
void conn_assume(struct conn *c, struct conn *released);

#endif
