/* net/conn_race.h: a connection to a peer of several addresses, which are dialled as net/race.h says: the first one that is open (under TLS: whose handshake is done) and taken
 * wins, the others are closed. The loop's thread. */
#ifndef GRID_NET_CONN_RACE_H
#define GRID_NET_CONN_RACE_H

#include "net/conn.h"
#include "net/race.h"

struct conn_race;

struct conn_race_events {
    /* One is open: true takes it. False: it is closed, and counts as failed. NULL: all are taken. */
    bool (*may_win)(void *ctx, struct conn *c);
    /* An address came to nothing: `err` as in conn_events.on_close, 0 for one that was not taken. The race is not closed inside. May be NULL. */
    void (*on_failed)(void *ctx, const struct addr *at, int err);
    /* The winner's events from now on, of which on_open is called. The race is over, and its pointer nobody's any more; the same holds after on_lost. */
    struct conn_events conn;
    /* All have failed. `err` is of the one that says most for somebody's life, as conn_events.on_close has it: neither of these, GRID_ETIMEOUT,
     * GRID_EREFUSED; 0 when all were open and none was taken. */
    void (*on_lost)(void *ctx, int err);
};

/* Begins at the end of the loop's iteration: no event comes inside. `addresses` and `options` are copied; `events` is kept. 0 or GRID_ENOMEM. */
int conn_race_create(struct loop *l, const struct race *addresses, const struct conn_options *options, const struct conn_race_events *events, void *ctx, struct conn_race **out);

/* One more address, behind the others; one that is there already, or more than fit, is left out. */
void conn_race_add(struct conn_race *r, const struct addr *at);

/* Gives up: no event comes any more, inside or later. */
void conn_race_close(struct conn_race *r);

#endif
