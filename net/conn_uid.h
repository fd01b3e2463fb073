/* net/conn_uid.h: whose process is at the other end of a local socket. */
#ifndef GRID_NET_CONN_UID_H
#define GRID_NET_CONN_UID_H

#include <sys/types.h>

#include "net/addr.h"

/* SO_PEERCRED for a Unix socket; for loopback TCP the kernel's word on the peer's own socket (gid: the user's primary group,
 * (gid_t) -1 when unknown). 0 or GRID_ENOENT. Any thread. */
int conn_uid_lookup(int fd, const struct addr *local, const struct addr *peer, uid_t *uid, gid_t *gid);

/* SO_PEERGROUPS (Linux 4.13): the groups besides that gid, for a Unix socket alone. 0, GRID_ENOENT, GRID_ELIMIT for more than
 * `max`. Any thread. */
int conn_uid_groups(int fd, const struct addr *local, gid_t *groups, size_t max, size_t *count);

/* Whose a socket is. */
struct conn_owner {
    uid_t uid;
    uint64_t inode;
};

/* The owner of the socket that goes from `from` to `to`, by either of two ways: one question to the kernel (net/sock_diag.h), which costs the same however
 * many sockets there are; and the tables in /proc, for where that is not to be had. 0 or GRID_ENOENT. */
int conn_uid_find(const struct addr *from, const struct addr *to, struct conn_owner *owner);
int conn_uid_ask(const struct addr *from, const struct addr *to, struct conn_owner *owner);
int conn_uid_scan(const struct addr *from, const struct addr *to, struct conn_owner *owner);

/* Their pure parts: the owner in the kernel's answer, or in one line of /proc/net/tcp or tcp6, when it is of a live socket from
 * `from` to `to`, and not of its other end, a listener, or one that no process has any more. */
bool conn_uid_match_answer(struct slice answer, const struct addr *from, const struct addr *to, struct conn_owner *owner);
bool conn_uid_match_line(const char *line, const struct addr *from, const struct addr *to, struct conn_owner *owner);

#endif
