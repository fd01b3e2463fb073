/* The uid of a local peer. A loopback TCP connection has two rows in the socket table, and the peer's is ours turned round. */
#include "net/conn_uid.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/err.h"

enum { ROW_MAX = 512 };

/* An address of the table, as 16 bytes of IPv6 (IPv4 mapped), so that both tables and both kinds of socket compare. */
struct endpoint {
    uint8_t ip[16];
    unsigned port;
};

static void endpoint_map_v4(struct endpoint *e, const void *four)
{
    memset(e->ip, 0, 10);
    e->ip[10] = e->ip[11] = 0xff;
    memcpy(e->ip + 12, four, 4);
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

static bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, 16) == 0;
}

/* Rows without an inode (TIME_WAIT, orphans) say uid 0 of everybody: they must not count. */
bool conn_uid_match(const char *line, const struct addr *from, const struct addr *to, uid_t *uid)
{
    char local[40], remote[40];
    unsigned owner;
    unsigned long inode;
    struct endpoint row_local, row_remote, want_local, want_remote;
    if (sscanf(line, " %*u: %39s %39s %*x %*x:%*x %*x:%*x %*x %u %*d %lu", local, remote, &owner, &inode) != 4 || inode == 0)
        return false;
    if (!endpoint_parse(local, &row_local) || !endpoint_parse(remote, &row_remote))
        return false;
    if (!endpoint_of_addr(from, &want_local) || !endpoint_of_addr(to, &want_remote))
        return false;
    if (!endpoint_equal(&row_local, &want_local) || !endpoint_equal(&row_remote, &want_remote))
        return false;
    *uid = owner;
    return true;
}

static int table_find(const char *path, const struct addr *from, const struct addr *to, uid_t *uid)
{
    char line[ROW_MAX];
    int err = GRID_ENOENT;
    FILE *table = fopen(path, "re");
    if (!table)
        return GRID_ENOENT;
    while (err != 0 && fgets(line, sizeof line, table))
        if (conn_uid_match(line, from, to, uid))
            err = 0;
    fclose(table);
    return err;
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
    if (table_find("/proc/net/tcp", peer, local, uid) != 0 && table_find("/proc/net/tcp6", peer, local, uid) != 0)
        return GRID_ENOENT;
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
