/* net/sock_diag.h: questions to the kernel about TCP sockets (sock_diag(7)): what /proc/net/tcp tells too, which goes through every connection's place in a
 * table that may have half a million. No state; any thread. */
#ifndef GRID_NET_SOCK_DIAG_H
#define GRID_NET_SOCK_DIAG_H

#include <linux/inet_diag.h>
#include <stdbool.h>

#include "base/slice.h"

/* The descriptor to ask by, which the caller closes; GRID_EUNSUPPORTED where there is none. */
int sock_diag_open(void);

/* About one socket, or `all` that are like it. The kernel answers at once. 0 or GRID_EUNSUPPORTED. */
int sock_diag_ask(int fd, const struct inet_diag_req_v2 *about, bool all);

/* What there is of its answer, at most `max` bytes of it into `room`; the empty slice when there is nothing. */
struct slice sock_diag_take(int fd, void *room, size_t max);

/* The pure part: the next socket of a packet of the answer, which begins behind it from then on. 1; 0 when the packet says that the answer ends;
 * GRID_EUNSUPPORTED when it is a refusal or none. `packet` is not empty. */
int sock_diag_next(struct slice *packet, struct inet_diag_msg *out);

#endif
