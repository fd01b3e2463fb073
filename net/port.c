/* Trying a port by listening on it. */
#include "net/port.h"

#include <sys/socket.h>
#include <unistd.h>

#include "net/addr.h"

static bool can_listen(const struct addr *a)
{
    int fd = socket(a->u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return a->u.any.sa_family == AF_INET6; /* no IPv6 here: nobody listens on it */
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bool can = bind(fd, &a->u.any, a->size) == 0 && listen(fd, 1) == 0;
    close(fd);
    return can;
}

bool port_has_address(const struct addr *a)
{
    struct addr any_port = *a;
    addr_set_port(&any_port, 0);
    int fd = socket(a->u.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool has = bind(fd, &any_port.u.any, any_port.size) == 0;
    close(fd);
    return has;
}

bool port_is_free(uint16_t port)
{
    struct addr loopback, every = {.size = sizeof every.u.v6};
    addr_loopback_v4(port, &loopback);
    every.u.v6.sin6_family = AF_INET6;
    addr_set_port(&every, port);
    return can_listen(&loopback) && can_listen(&every);
}
