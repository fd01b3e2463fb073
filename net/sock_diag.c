/* A netlink socket that is connected to the kernel, and so hears nobody else. */
#include "net/sock_diag.h"

#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"

int sock_diag_open(void)
{
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (fd >= 0 && connect(fd, (const struct sockaddr *) &kernel, sizeof kernel) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return GRID_EUNSUPPORTED;
}

int sock_diag_ask(int fd, const struct inet_diag_req_v2 *about, bool all)
{
    const struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 about;
    } question = {
        .head = {.nlmsg_len = sizeof question, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = (__u16) (NLM_F_REQUEST | (all ? NLM_F_DUMP : 0))},
        .about = *about,
    };
    return send(fd, &question, sizeof question, 0) == (ssize_t) sizeof question ? 0 : GRID_EUNSUPPORTED;
}

struct slice sock_diag_take(int fd, void *room, size_t max)
{
    ssize_t size = recv(fd, room, max, MSG_DONTWAIT);
    return slice_of(room, size > 0 ? (size_t) size : 0);
}

int sock_diag_next(struct slice *packet, struct inet_diag_msg *out)
{
    struct nlmsghdr head;
    if (packet->size < NLMSG_HDRLEN)
        return GRID_EUNSUPPORTED;
    memcpy(&head, packet->data, sizeof head);
    if (head.nlmsg_type == NLMSG_DONE)
        return 0;
    if (head.nlmsg_type != SOCK_DIAG_BY_FAMILY || head.nlmsg_len < NLMSG_HDRLEN + sizeof *out || head.nlmsg_len > packet->size)
        return GRID_EUNSUPPORTED;
    memcpy(out, packet->data + NLMSG_HDRLEN, sizeof *out);
    size_t aligned = NLMSG_ALIGN(head.nlmsg_len);
    *packet = slice_from(*packet, aligned < packet->size ? aligned : packet->size);
    return 1;
}
