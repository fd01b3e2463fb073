/* server/join_limit.h: how many nodes that know the password may be new within an hour: so many of a host (--join-limit), which is an IPv4 address or a /64 of IPv6, the
 * least that a host is given; and four times as many of a /48 of IPv6, the most that a site is given (RFC 6177, section 2; RIPE-690, section 4.2), so that whoever
 * has one does not count as 65,536 hosts. No sockets, no clock. One thread at a time. */
#ifndef GRID_SERVER_JOIN_LIMIT_H
#define GRID_SERVER_JOIN_LIMIT_H

#include "trust/attempts.h"

enum { JOIN_LIMIT_SITE_HOSTS = 4, JOIN_LIMIT_WINDOW_MS = 3600 * 1000, JOIN_LIMIT_SOURCES_MAX = 64 };

/* Zeroed: as after join_limit_dispose. */
struct join_limit {
    struct attempts *of_host, *of_site;
};

/* 0, GRID_EINVAL (a limit of 0, or above ATTEMPTS_LIMIT_MAX / JOIN_LIMIT_SITE_HOSTS) or GRID_ENOMEM. */
int join_limit_init(struct join_limit *l, unsigned limit);
void join_limit_dispose(struct join_limit *l);

/* One more from there, an IPv6 address or an IPv4 one in its mapped form: it counts when it is true. False: there are enough. */
bool join_limit_take(struct join_limit *l, const uint8_t source[ATTEMPTS_SOURCE_SIZE], uint64_t now_ms);

#endif
