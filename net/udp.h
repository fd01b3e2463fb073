/* net/udp.h: a UDP socket on the loop. Datagrams are sent at once or not at all. The loop's thread. */
#ifndef GRID_NET_UDP_H
#define GRID_NET_UDP_H

#include "net/addr.h"
#include "net/loop.h"

struct udp;

/* A datagram, whole; both borrowed for the call. */
typedef void (*udp_fn)(void *arg, const struct addr *from, struct slice datagram);

/* Binds (port 0: any free one) and receives; an IPv6 socket takes no IPv4. 0, GRID_EBUSY (the port is in use), GRID_EIO (no such address or family here),
 * GRID_ENOMEM. */
int udp_create(struct loop *l, const struct addr *at, udp_fn on_datagram, void *arg, struct udp **out);

/* 0, or GRID_EIO: it could not go out now, and is lost, as others are on their way. */
int udp_send(struct udp *u, const struct addr *to, struct slice datagram);

/* Receives nothing until udp_go_on: what comes meanwhile waits in the kernel's buffer, and is lost beyond it. Both may be called again and again. */
void udp_pause(struct udp *u);
void udp_go_on(struct udp *u);

uint16_t udp_port(const struct udp *u);

/* Receives no more; `on_closed` comes later, when its memory is gone. */
void udp_close(struct udp *u, loop_fn on_closed, void *arg);

#endif
