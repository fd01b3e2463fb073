/* net/conn_uid.h: whose process is at the other end of a local socket. */
#ifndef GRID_NET_CONN_UID_H
#define GRID_NET_CONN_UID_H

#include <sys/types.h>

#include "net/addr.h"

/* SO_PEERCRED for a Unix socket, the kernel's socket table for loopback TCP (gid: the user's primary group, (gid_t) -1 when unknown).
 * 0 or GRID_ENOENT. Any thread. */
int conn_uid_lookup(int fd, const struct addr *local, const struct addr *peer, uid_t *uid, gid_t *gid);

/* SO_PEERGROUPS (Linux 4.13): the groups besides that gid, for a Unix socket alone. 0, GRID_ENOENT, GRID_ELIMIT for more than `max`. Any thread. */
int conn_uid_groups(int fd, const struct addr *local, gid_t *groups, size_t max, size_t *count);

/* The pure part: the uid in one line of /proc/net/tcp or tcp6 when that line is a live socket from `from` to `to`. */
bool conn_uid_match(const char *line, const struct addr *from, const struct addr *to, uid_t *uid);

#endif
