/* Whose a local peer is. A loopback TCP connection is two sockets of this machine, and the peer's is ours turned round. */
#include "net/conn_uid.h"

#include <errno.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "net/sock_diag.h"

enum { ROW_MAX = 512, ANSWER_MAX = 1024, V4_AT = 12 };

/* An address of a socket, as 16 bytes of IPv6 (IPv4 mapped), so that both tables and both kinds of socket compare. */
struct endpoint {
    uint8_t ip[16];
    unsigned port;
};

static void endpoint_map_v4(struct endpoint *e, const void *four)
{
    memset(e->ip, 0, 10);
    e->ip[10] = e->ip[11] = 0xff;
    memcpy(e->ip + V4_AT, four, 4);
}

static bool endpoint_is_v4(const struct endpoint *e)
{
    static const uint8_t mapped[V4_AT] = {[10] = 0xff, [11] = 0xff};
    return memcmp(e->ip, mapped, V4_AT) == 0;
}

static bool endpoint_of_addr(const struct addr *a, struct endpoint *e)
{
    e->port = addr_port(a);
    if (a->u.any.sa_family == AF_INET)
        endpoint_map_v4(e, &a->u.v4.sin_addr);
    else if (a->u.any.sa_family == AF_INET6)
        memcpy(e->ip, &a->u.v6.sin6_addr, 16);
    else
        return false;
    return true;
}

static bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, 16) == 0;
}

/* True when these are the two ends, in this order. */
static bool endpoints_are(const struct endpoint *local, const struct endpoint *remote, const struct addr *from,
                          const struct addr *to)
{
    struct endpoint want_local, want_remote;
    if (!endpoint_of_addr(from, &want_local) || !endpoint_of_addr(to, &want_remote))
        return false;
    return endpoint_equal(local, &want_local) && endpoint_equal(remote, &want_remote);
}

/* ---- one question to the kernel ---- */

static bool question_make(const struct addr *from, const struct addr *to, struct inet_diag_req_v2 *q)
{
    struct endpoint local, remote;
    if (!endpoint_of_addr(from, &local) || !endpoint_of_addr(to, &remote))
        return false;
    bool v4 = endpoint_is_v4(&local) && endpoint_is_v4(&remote);
    size_t at = v4 ? V4_AT : 0;
    *q = (struct inet_diag_req_v2){.sdiag_family = v4 ? AF_INET : AF_INET6, .sdiag_protocol = IPPROTO_TCP, .idiag_states = UINT32_MAX};
    struct inet_diag_sockid *id = &q->id;
    id->idiag_sport = htons((uint16_t) local.port);
    id->idiag_dport = htons((uint16_t) remote.port);
    id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    memcpy(id->idiag_src, local.ip + at, 16 - at);
    memcpy(id->idiag_dst, remote.ip + at, 16 - at);
    return true;
}

static void endpoint_of_answer(uint8_t family, const __be32 ip[4], __be16 port, struct endpoint *e)
{
    e->port = ntohs(port);
    if (family == AF_INET)
        endpoint_map_v4(e, ip);
    else
        memcpy(e->ip, ip, 16);
}

/* Where there is no such connection the kernel offers a listener; and sockets without an inode say uid 0 of everybody. */
bool conn_uid_match_answer(struct slice answer, const struct addr *from, const struct addr *to, struct conn_owner *owner)
{
    struct inet_diag_msg socket;
    struct endpoint local, remote;
    if (sock_diag_next(&answer, &socket) != 1 || socket.idiag_inode == 0)
        return false;
    endpoint_of_answer(socket.idiag_family, socket.id.idiag_src, socket.id.idiag_sport, &local);
    endpoint_of_answer(socket.idiag_family, socket.id.idiag_dst, socket.id.idiag_dport, &remote);
    if (!endpoints_are(&local, &remote, from, to))
        return false;
    *owner = (struct conn_owner){socket.idiag_uid, socket.idiag_inode};
    return true;
}

int conn_uid_ask(const struct addr *from, const struct addr *to, struct conn_owner *owner)
{
    struct inet_diag_req_v2 question;
    uint8_t room[ANSWER_MAX];
    bool found = false;
    if (!question_make(from, to, &question))
        return GRID_ENOENT;
    int fd = sock_diag_open();
    if (fd < 0)
        return GRID_ENOENT;
    if (sock_diag_ask(fd, &question, false) == 0)
        found = conn_uid_match_answer(sock_diag_take(fd, room, sizeof room), from, to, owner);
    close(fd);
    return found ? 0 : GRID_ENOENT;
}

/* ---- the tables in /proc ---- */

/* The kernel prints each 32-bit word of the address as a number in host order. */
static bool endpoint_parse(const char *text, struct endpoint *e)
{
    uint32_t words[4];
    if (strlen(text) == 13 && sscanf(text, "%8x:%4x", &words[0], &e->port) == 2) {
        endpoint_map_v4(e, words);
        return true;
    }
    if (strlen(text) == 37 && sscanf(text, "%8x%8x%8x%8x:%4x", &words[0], &words[1], &words[2], &words[3], &e->port) == 5) {
        memcpy(e->ip, words, 16);
        return true;
    }
    return false;
}

/* Rows without an inode (TIME_WAIT, orphans) say uid 0 of everybody: they must not count. */
bool conn_uid_match_line(const char *line, const struct addr *from, const struct addr *to, struct conn_owner *owner)
{
    char local[40], remote[40];
    unsigned uid;
    unsigned long inode;
    struct endpoint row_local, row_remote;
    if (sscanf(line, " %*u: %39s %39s %*x %*x:%*x %*x:%*x %*x %u %*d %lu", local, remote, &uid, &inode) != 4 || inode == 0)
        return false;
    if (!endpoint_parse(local, &row_local) || !endpoint_parse(remote, &row_remote))
        return false;
    if (!endpoints_are(&row_local, &row_remote, from, to))
        return false;
    *owner = (struct conn_owner){uid, inode};
    return true;
}

static int table_find(const char *path, const struct addr *from, const struct addr *to, struct conn_owner *owner)
{
    char line[ROW_MAX];
    int err = GRID_ENOENT;
    FILE *table = fopen(path, "re");
    if (!table)
        return GRID_ENOENT;
    while (err != 0 && fgets(line, sizeof line, table))
        if (conn_uid_match_line(line, from, to, owner))
            err = 0;
    fclose(table);
    return err;
}

int conn_uid_scan(const struct addr *from, const struct addr *to, struct conn_owner *owner)
{
    return table_find("/proc/net/tcp", from, to, owner) == 0 ? 0 : table_find("/proc/net/tcp6", from, to, owner);
}

/* ---- either ---- */

int conn_uid_find(const struct addr *from, const struct addr *to, struct conn_owner *owner)
{
    return conn_uid_ask(from, to, owner) == 0 ? 0 : conn_uid_scan(from, to, owner);
}

static gid_t primary_group(uid_t uid)
{
    struct passwd entry, *found = NULL;
    char room[4096];
    return getpwuid_r(uid, &entry, room, sizeof room, &found) == 0 && found ? found->pw_gid : (gid_t) -1;
}

int conn_uid_lookup(int fd, const struct addr *local, const struct addr *peer, uid_t *uid, gid_t *gid)
{
    struct ucred credentials;
    struct conn_owner owner;
    socklen_t size = sizeof credentials;
    if (local->u.any.sa_family == AF_UNIX) {
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0 || credentials.uid == (uid_t) -1)
            return GRID_ENOENT;
        *uid = credentials.uid;
        *gid = credentials.gid;
        return 0;
    }
    if (!addr_is_loopback(peer) && !addr_is_loopback(local))
        return GRID_ENOENT;
    if (conn_uid_find(peer, local, &owner) != 0)
        return GRID_ENOENT;
    *uid = owner.uid;
    *gid = primary_group(*uid);
    return 0;
}

int conn_uid_groups(int fd, const struct addr *local, gid_t *groups, size_t max, size_t *count)
{
    socklen_t size = (socklen_t) (max * sizeof *groups);
    if (local->u.any.sa_family != AF_UNIX)
        return GRID_ENOENT;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0)
        return errno == ERANGE ? GRID_ELIMIT : GRID_ENOENT;
    *count = size / sizeof *groups;
    return 0;
}
