/* libuv's UDP handle; what is read goes through the loop's scratch. */
#include "net/udp.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

struct udp {
    uv_udp_t handle;
    struct loop *loop;
    udp_fn on_datagram;
    void *arg;
    loop_fn on_closed;
    void *on_closed_arg;
};

static void take_scratch(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct udp *u = handle->data;
    struct loop_scratch scratch = loop_scratch(u->loop);
    (void) suggested;
    *out = uv_buf_init((char *) scratch.data, (unsigned) scratch.size);
}

static void on_read(uv_udp_t *handle, ssize_t size, const uv_buf_t *bytes, const struct sockaddr *from, unsigned flags)
{
    struct udp *u = handle->data;
    struct addr at = {.size = 0};
    if (size < 0 || !from || flags & UV_UDP_PARTIAL) /* an error of one datagram (RFC 1122, 4.1.3.3), nothing more to read, or cut */
        return;
    at.size = from->sa_family == AF_INET6 ? sizeof at.u.v6 : sizeof at.u.v4;
    memcpy(&at.u, from, at.size);
    u->on_datagram(u->arg, &at, slice_of(bytes->base, (size_t) size));
}

static void free_closed(uv_handle_t *handle)
{
    struct udp *u = handle->data;
    loop_fn on_closed = u->on_closed;
    void *arg = u->on_closed_arg;
    free(u);
    if (on_closed)
        on_closed(arg);
}

int udp_create(struct loop *l, const struct addr *at, udp_fn on_datagram, void *arg, struct udp **out)
{
    struct udp *u = calloc(1, sizeof *u);
    if (!u)
        return GRID_ENOMEM;
    *u = (struct udp){.loop = l, .on_datagram = on_datagram, .arg = arg};
    u->handle.data = u;
    int err = uv_udp_init(loop_uv(l), &u->handle);
    if (err != 0) {
        free(u);
        return GRID_EIO;
    }
    err = uv_udp_bind(&u->handle, &at->u.any, at->u.any.sa_family == AF_INET6 ? UV_UDP_IPV6ONLY : 0);
    if (err == 0)
        err = uv_udp_recv_start(&u->handle, take_scratch, on_read);
    if (err != 0) {
        udp_close(u, NULL, NULL);
        return err == UV_EADDRINUSE ? GRID_EBUSY : GRID_EIO;
    }
    *out = u;
    return 0;
}

int udp_send(struct udp *u, const struct addr *to, struct slice datagram)
{
    uv_buf_t bytes = uv_buf_init((char *) (uintptr_t) datagram.data, (unsigned) datagram.size); /* libuv does not write to it */
    return uv_udp_try_send(&u->handle, &bytes, 1, &to->u.any) < 0 ? GRID_EIO : 0;
}

void udp_pause(struct udp *u)
{
    uv_udp_recv_stop(&u->handle);
}

void udp_go_on(struct udp *u)
{
    (void) uv_udp_recv_start(&u->handle, take_scratch, on_read); /* refused where it receives already */
}

uint16_t udp_port(const struct udp *u)
{
    struct addr at = {.size = sizeof at.u};
    int size = (int) sizeof at.u;
    return uv_udp_getsockname(&u->handle, &at.u.any, &size) == 0 ? addr_port(&at) : 0;
}

void udp_close(struct udp *u, loop_fn on_closed, void *arg)
{
    u->on_closed = on_closed;
    u->on_closed_arg = arg;
    uv_close((uv_handle_t *) &u->handle, free_closed);
}
