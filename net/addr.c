/* Socket addresses: parsing, formatting and comparing. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

static int parse_port(struct slice text, uint16_t *port)
{
    uint64_t value;
    if (text.size > 5 || slice_parse_u64(text, UINT16_MAX, &value) != 0)
        return GRID_EINVAL;
    *port = (uint16_t) value;
    return 0;
}

int addr_split(struct slice text, struct slice *host, uint16_t *port)
{
    ptrdiff_t end;
    bool bracketed = text.size > 0 && text.data[0] == '[';
    struct slice name = slice_from(text, bracketed ? 1 : 0);
    end = slice_find_byte(name, 0, bracketed ? ']' : ':');
    if (end <= 0)
        return GRID_EINVAL;
    struct slice rest = slice_from(name, (size_t) end + (bracketed ? 1 : 0));
    if (rest.size < 2 || rest.data[0] != ':')
        return GRID_EINVAL;
    if (parse_port(slice_from(rest, 1), port) != 0)
        return GRID_EINVAL;
    *host = slice_first(name, (size_t) end);
    return 0;
}

static void make_v4(struct in_addr address, uint16_t port, struct addr *out)
{
    *out = (struct addr){.size = sizeof(struct sockaddr_in)};
    out->u.v4.sin_family = AF_INET;
    out->u.v4.sin_addr = address;
    out->u.v4.sin_port = htons(port);
}

static void make_v6(const struct in6_addr *address, uint16_t port, struct addr *out)
{
    *out = (struct addr){.size = sizeof(struct sockaddr_in6)};
    out->u.v6.sin6_family = AF_INET6;
    out->u.v6.sin6_addr = *address;
    out->u.v6.sin6_port = htons(port);
}

int addr_parse(struct slice text, struct addr *out)
{
    struct slice host;
    uint16_t port;
    char name[INET6_ADDRSTRLEN];
    struct in_addr v4;
    struct in6_addr v6;
    if (addr_split(text, &host, &port) != 0 || host.size >= sizeof name)
        return GRID_EINVAL;
    memcpy(name, host.data, host.size);
    name[host.size] = '\0';
    bool bracketed = text.data[0] == '[';
    if (strlen(name) != host.size)
        return GRID_EINVAL;
    if (bracketed && inet_pton(AF_INET6, name, &v6) == 1)
        make_v6(&v6, port, out);
    else if (!bracketed && inet_pton(AF_INET, name, &v4) == 1)
        make_v4(v4, port, out);
    else
        return GRID_EINVAL;
    return 0;
}

int addr_unix(const char *path, struct addr *out)
{
    size_t length = strlen(path);
    *out = (struct addr){.size = 0};
    if (length == 0 || length >= sizeof out->u.path.sun_path)
        return GRID_ELIMIT;
    out->u.path.sun_family = AF_UNIX;
    memcpy(out->u.path.sun_path, path, length + 1);
    out->size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + length + 1);
    return 0;
}

void addr_loopback_v4(uint16_t port, struct addr *out)
{
    make_v4((struct in_addr){htonl(INADDR_LOOPBACK)}, port, out);
}

void addr_member(const char *id, struct addr *out)
{
    *out = (struct addr){.size = sizeof(struct addr_member)};
    out->u.member.family = ADDR_FAMILY_MEMBER;
    snprintf(out->u.member.id, sizeof out->u.member.id, "%s", id);
}

bool addr_is_member(const struct addr *a)
{
    return a->u.any.sa_family == ADDR_FAMILY_MEMBER;
}

uint16_t addr_port(const struct addr *a)
{
    switch (a->u.any.sa_family) {
    case AF_INET:
        return ntohs(a->u.v4.sin_port);
    case AF_INET6:
        return ntohs(a->u.v6.sin6_port);
    default:
        return 0;
    }
}

void addr_set_port(struct addr *a, uint16_t port)
{
    if (a->u.any.sa_family == AF_INET)
        a->u.v4.sin_port = htons(port);
    else if (a->u.any.sa_family == AF_INET6)
        a->u.v6.sin6_port = htons(port);
}

/* "" for the unnamed socket of a client. */
static const char *unix_path(const struct addr *a)
{
    return a->size > offsetof(struct sockaddr_un, sun_path) ? a->u.path.sun_path : "";
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    if (a->u.any.sa_family != b->u.any.sa_family)
        return false;
    switch (a->u.any.sa_family) {
    case AF_INET:
        return a->u.v4.sin_port == b->u.v4.sin_port && a->u.v4.sin_addr.s_addr == b->u.v4.sin_addr.s_addr;
    case AF_INET6:
        return a->u.v6.sin6_port == b->u.v6.sin6_port && a->u.v6.sin6_scope_id == b->u.v6.sin6_scope_id
               && IN6_ARE_ADDR_EQUAL(&a->u.v6.sin6_addr, &b->u.v6.sin6_addr);
    case AF_UNIX:
        return strcmp(unix_path(a), unix_path(b)) == 0;
    case ADDR_FAMILY_MEMBER:
        return strcmp(a->u.member.id, b->u.member.id) == 0;
    default:
        return false;
    }
}

/* The IPv4 address of an IPv4 or IPv4-mapped address in host order; false for others. */
static bool addr_v4(const struct addr *a, uint32_t *out)
{
    const struct in6_addr *v6 = &a->u.v6.sin6_addr;
    if (a->u.any.sa_family == AF_INET) {
        *out = ntohl(a->u.v4.sin_addr.s_addr);
        return true;
    }
    if (a->u.any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(v6))
        return false;
    *out = (uint32_t) v6->s6_addr[12] << 24 | (uint32_t) v6->s6_addr[13] << 16 | (uint32_t) v6->s6_addr[14] << 8 | v6->s6_addr[15];
    return true;
}

bool addr_is_v4(const struct addr *a)
{
    uint32_t v4;
    return addr_v4(a, &v4);
}

static enum addr_scope scope_v4(uint32_t a)
{
    static const struct {
        uint32_t network;
        unsigned bits;
        enum addr_scope scope;
    } NETWORKS[] = {
        {0x00000000, 8, ADDR_SCOPE_NONE},     {0x7f000000, 8, ADDR_SCOPE_HOST},     {0xa9fe0000, 16, ADDR_SCOPE_LINK},    {0x0a000000, 8, ADDR_SCOPE_PRIVATE},
        {0xac100000, 12, ADDR_SCOPE_PRIVATE}, {0xc0a80000, 16, ADDR_SCOPE_PRIVATE}, {0x64400000, 10, ADDR_SCOPE_PRIVATE}, {0xe0000000, 3, ADDR_SCOPE_NONE},
    };
    for (size_t i = 0; i < sizeof NETWORKS / sizeof *NETWORKS; i++)
        if ((a ^ NETWORKS[i].network) >> (32 - NETWORKS[i].bits) == 0)
            return NETWORKS[i].scope;
    return ADDR_SCOPE_GLOBAL;
}

static enum addr_scope scope_v6(const struct in6_addr *a)
{
    if (IN6_IS_ADDR_UNSPECIFIED(a) || IN6_IS_ADDR_MULTICAST(a))
        return ADDR_SCOPE_NONE;
    if (IN6_IS_ADDR_LOOPBACK(a))
        return ADDR_SCOPE_HOST;
    if (IN6_IS_ADDR_LINKLOCAL(a))
        return ADDR_SCOPE_LINK;
    return (a->s6_addr[0] & 0xfe) == 0xfc ? ADDR_SCOPE_PRIVATE : ADDR_SCOPE_GLOBAL;
}

enum addr_scope addr_scope(const struct addr *a)
{
    uint32_t v4;
    if (addr_v4(a, &v4))
        return scope_v4(v4);
    return a->u.any.sa_family == AF_INET6 ? scope_v6(&a->u.v6.sin6_addr) : ADDR_SCOPE_NONE;
}

bool addr_is_loopback(const struct addr *a)
{
    uint32_t v4;
    if (addr_v4(a, &v4))
        return v4 >> 24 == 127;
    if (a->u.any.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&a->u.v6.sin6_addr);
    return a->u.any.sa_family == AF_UNIX;
}

bool addr_is_any(const struct addr *a)
{
    if (a->u.any.sa_family == AF_INET)
        return a->u.v4.sin_addr.s_addr == htonl(INADDR_ANY);
    return a->u.any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->u.v6.sin6_addr);
}

bool addr_same_host(const struct addr *a, const struct addr *b)
{
    uint32_t x, y;
    bool v4 = addr_v4(a, &x);
    if (v4 != addr_v4(b, &y))
        return false;
    if (v4)
        return x == y;
    return a->u.any.sa_family == AF_INET6 && b->u.any.sa_family == AF_INET6 && IN6_ARE_ADDR_EQUAL(&a->u.v6.sin6_addr, &b->u.v6.sin6_addr);
}

void addr_source(const struct addr *a, uint8_t out[ADDR_SOURCE_SIZE])
{
    memset(out, 0, ADDR_SOURCE_SIZE);
    if (a->u.any.sa_family == AF_INET6) {
        memcpy(out, &a->u.v6.sin6_addr, IN6_IS_ADDR_V4MAPPED(&a->u.v6.sin6_addr) ? 16 : 8);
    } else if (a->u.any.sa_family == AF_INET) {
        out[10] = out[11] = 0xff;
        memcpy(out + 12, &a->u.v4.sin_addr, 4);
    }
}

void addr_format_host(const struct addr *a, char out[ADDR_TEXT_MAX])
{
    uint32_t v4;
    out[0] = '\0';
    if (addr_v4(a, &v4)) {
        struct in_addr network = {htonl(v4)};
        inet_ntop(AF_INET, &network, out, ADDR_TEXT_MAX);
    } else if (a->u.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->u.v6.sin6_addr, out, ADDR_TEXT_MAX);
    } else if (addr_is_member(a)) {
        snprintf(out, ADDR_TEXT_MAX, "member-%.8s", a->u.member.id);
    } else {
        snprintf(out, ADDR_TEXT_MAX, "%s", unix_path(a)[0] ? unix_path(a) : "unix");
    }
}

void addr_format(const struct addr *a, char out[ADDR_TEXT_MAX])
{
    char host[ADDR_TEXT_MAX];
    addr_format_host(a, host);
    if (a->u.any.sa_family == AF_UNIX || addr_is_member(a))
        snprintf(out, ADDR_TEXT_MAX, "%s", host);
    else if (strchr(host, ':'))
        snprintf(out, ADDR_TEXT_MAX, "[%.*s]:%u", INET6_ADDRSTRLEN, host, addr_port(a));
    else
        snprintf(out, ADDR_TEXT_MAX, "%.*s:%u", INET6_ADDRSTRLEN, host, addr_port(a));
}
