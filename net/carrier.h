/* net/carrier.h: connections of a loop to members that cannot be dialled. Who dials a member instead of an address (addr_member) gets a connection that waits until
 * somebody who knows a way there gives it a stream:
 *
 *   conn_dial --> waiting --carrier_give_fd: a descriptor whose other end leads there; TLS begins--------------> open
 *                   |     --carrier_give_conn: one that the member has dialled, open already; it is taken over--> open
 *                   +-----carrier_refuse, or the dial's time is over--> on_close (GRID_ETIMEOUT: nobody answered)
 *
 * One for each loop that needs it. Those who wait are named by tickets: what comes for one that has ended meanwhile is closed. Functions marked so may be called on any
 * thread, others on the loop's. */
#ifndef GRID_NET_CARRIER_H
#define GRID_NET_CARRIER_H

#include "net/conn.h"

struct carrier;

/* Inside conn_dial, on the loop's thread: a way to the member is wanted. `tls` is what the connection was dialled with, borrowed. The answer comes later, never inside. */
typedef void (*carrier_wanted_fn)(void *ctx, struct carrier *k, uint64_t ticket, const char *member, const struct tls_context *tls);

/* Becomes the loop's (loop_set_carrier). 0 or GRID_ENOMEM. */
int carrier_create(struct loop *l, carrier_wanted_fn wanted, void *ctx, struct carrier **out);
/* After its loop was destroyed, or with no connection of it left. */
void carrier_destroy(struct carrier *k);

/* The loop it was made for. Any thread. */
struct loop *carrier_loop(const struct carrier *k);

/* Any thread. The descriptor (a stream socket) is the carrier's from now on. 0 or GRID_ENOMEM, where it is closed. */
int carrier_give_fd(struct carrier *k, uint64_t ticket, int fd);
/* Any thread. */
void carrier_refuse(struct carrier *k, uint64_t ticket);
/* `open` is an open connection under TLS on any loop, of which nothing was read; its thread. It is the carrier's from now on. */
void carrier_give_conn(struct carrier *k, uint64_t ticket, struct conn *open);

#endif
