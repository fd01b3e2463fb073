/* One question for each family of addresses. */
#include "net/listening.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "net/sock_diag.h"

enum { PACKET_MAX = 16 * 1024, PACKETS_MAX = 64 };

static bool is_loopback(const struct inet_diag_msg *socket)
{
    struct in6_addr ip;
    memcpy(&ip, socket->id.idiag_src, sizeof ip);
    if (socket->idiag_family == AF_INET)
        return ip.s6_addr[0] == 127;
    return IN6_IS_ADDR_LOOPBACK(&ip) || (IN6_IS_ADDR_V4MAPPED(&ip) && ip.s6_addr[12] == 127);
}

static void add(const struct inet_diag_msg *socket, uint16_t port, struct listening *out)
{
    if (socket->idiag_state != TCP_LISTEN || socket->id.idiag_sport != htons(port))
        return;
    out->wide |= !is_loopback(socket);
    if (out->count < LISTENING_MAX)
        out->inodes[out->count++] = socket->idiag_inode;
}

int listening_take(struct slice packet, uint16_t port, struct listening *out)
{
    struct inet_diag_msg socket;
    while (packet.size > 0) {
        int err = sock_diag_next(&packet, &socket);
        if (err <= 0)
            return err;
        add(&socket, port, out);
    }
    return 1;
}

/* The kernel goes on with its answer whenever a part of it is taken: there is always one to take until it says that it is done. */
static int take_answer(int fd, uint16_t port, struct listening *out)
{
    uint8_t room[PACKET_MAX];
    for (unsigned i = 0; i < PACKETS_MAX; i++) {
        struct slice packet = sock_diag_take(fd, room, sizeof room);
        int more = packet.size > 0 ? listening_take(packet, port, out) : GRID_EUNSUPPORTED;
        if (more <= 0)
            return more;
    }
    return GRID_EUNSUPPORTED;
}

static int ask(int fd, uint8_t family, uint16_t port, struct listening *out)
{
    const struct inet_diag_req_v2 about = {.sdiag_family = family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = 1u << TCP_LISTEN, .id.idiag_sport = htons(port)};
    int err = sock_diag_ask(fd, &about, true);
    return err == 0 ? take_answer(fd, port, out) : err;
}

int listening_find(uint16_t port, struct listening *out)
{
    *out = (struct listening){0};
    int fd = sock_diag_open();
    if (fd < 0)
        return fd;
    int err = ask(fd, AF_INET, port, out);
    if (err == 0)
        err = ask(fd, AF_INET6, port, out);
    close(fd);
    return err;
}
