/* net/addr.h: socket addresses as values and as text. */
#ifndef GRID_NET_ADDR_H
#define GRID_NET_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#include "base/slice.h"

enum { ADDR_TEXT_MAX = 128, ADDR_MEMBER_ID_SIZE = 65 };

/* A member of the grid by its id alone, wherever it is: no family of the kernel's. */
enum { ADDR_FAMILY_MEMBER = 0xfffe };
struct addr_member {
    sa_family_t family;
    char id[ADDR_MEMBER_ID_SIZE]; /* 64 hex digits */
};

/* An IPv4, IPv6 or Unix socket address, or a member: who dials one gets a connection by the loop's carrier (net/carrier.h). */
struct addr {
    socklen_t size;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un path;
        struct addr_member member;
    } u;
};

/* Parses "127.0.0.1:80", "[::1]:80" (numeric only). 0, or GRID_EINVAL. */
int addr_parse(struct slice text, struct addr *out);

/* Splits "host:port", "[v6]:port"; host borrows from text. 0, or GRID_EINVAL. */
int addr_split(struct slice text, struct slice *host, uint16_t *port);

/* A Unix socket address. 0, or GRID_ELIMIT when the path is too long. */
int addr_unix(const char *path, struct addr *out);
void addr_loopback_v4(uint16_t port, struct addr *out);
/* A member by its id (64 lowercase hex digits). */
void addr_member(const char *id, struct addr *out);
bool addr_is_member(const struct addr *a);

uint16_t addr_port(const struct addr *a);
void addr_set_port(struct addr *a, uint16_t port);
bool addr_equal(const struct addr *a, const struct addr *b);
/* 127.0.0.0/8, ::1, ::ffff:127.0.0.0/104, or a Unix socket. */
bool addr_is_loopback(const struct addr *a);
/* 0.0.0.0 or ::. */
bool addr_is_any(const struct addr *a);
/* An IPv4 address, or one in its mapped form. */
bool addr_is_v4(const struct addr *a);

/* How far an address leads. Nowhere: unspecified, multicast, broadcast and reserved ones, and what is none of IP. Private: RFC 1918, RFC 6598 (a provider's own), RFC 4193. */
enum addr_scope { ADDR_SCOPE_NONE, ADDR_SCOPE_HOST, ADDR_SCOPE_LINK, ADDR_SCOPE_PRIVATE, ADDR_SCOPE_GLOBAL };
enum addr_scope addr_scope(const struct addr *a);
/* The same host, whatever the port; an IPv4-mapped address is the IPv4 one. */
bool addr_same_host(const struct addr *a, const struct addr *b);

/* Of what who has one address has many: an IPv4 address (in its mapped form), the network half of an IPv6 one; zeros for a Unix socket. */
enum { ADDR_SOURCE_SIZE = 16 };
void addr_source(const struct addr *a, uint8_t out[ADDR_SOURCE_SIZE]);

/* "127.0.0.1:80", "[::1]:80", a path, "member-0123abcd". addr_format_host leaves the port out ("::1", IPv4-mapped as IPv4). */
void addr_format(const struct addr *a, char out[ADDR_TEXT_MAX]);
void addr_format_host(const struct addr *a, char out[ADDR_TEXT_MAX]);

#endif
