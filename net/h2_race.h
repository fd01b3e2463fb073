/* net/h2_race.h: an HTTP/2 connection to a peer of several addresses, which are dialled as net/race.h says; the first handshake that is done and taken wins, the others are closed.
 * The loop's thread. */
#ifndef GRID_NET_H2_RACE_H
#define GRID_NET_H2_RACE_H

#include "net/http.h"
#include "net/race.h"

struct h2_race;

struct h2_race_events {
    /* An address is being dialled. May be NULL. */
    void (*on_dial)(void *ctx, struct http_client *client);
    /* A handshake is done: true takes it. `last`: nothing else is left. False: the connection is closed, and counts as failed. NULL: all are taken. */
    bool (*may_win)(void *ctx, struct http_client *client, bool last);
    /* An address came to nothing: `client` as in http_client_events.on_close, NULL when the dial could not begin. May be NULL. */
    void (*on_failed)(void *ctx, struct http_client *client, int err);
    /* The winner: its events are `client`'s from now on, of which this is on_open. The race is over, and its pointer nobody's any more; the same holds after on_lost. */
    struct http_client_events client;
    /* All have failed. */
    void (*on_lost)(void *ctx);
};

struct h2_race_options {
    struct conn_options conn;
    bool awaits; /* addresses follow by h2_race_add: it is not lost before h2_race_complete */
};

/* Begins at the end of the loop's iteration: no event comes inside. `addresses` is copied; `events` is kept. 0 or GRID_ENOMEM. */
int h2_race_create(struct loop *l, const struct race *addresses, const struct h2_race_options *options, const struct h2_race_events *events, void *ctx, struct h2_race **out);
void h2_race_add(struct h2_race *r, const struct addr *at);
void h2_race_complete(struct h2_race *r);

/* True once TCP's handshake with one of the addresses under way is done. */
bool h2_race_is_connected(const struct h2_race *r);

/* Gives up: no event comes any more, inside or later. */
void h2_race_close(struct h2_race *r);

#endif
