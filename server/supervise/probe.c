/* Readiness: connect, then make sure that it is our own process who accepted. */
#include "server/supervise/probe.h"

#include <stdlib.h>

#include "net/addr.h"
#include "server/supervise/proc.h"

enum { PROBE_FIRST_MS = 5, PROBE_MAX_MS = 25 };

struct probe {
    struct loop *loop;
    uv_tcp_t tcp;
    uv_connect_t request;
    struct loop_timer timer;
    uint64_t pause_ms;
    uint16_t port;
    int group;
    bool once, stopped;
    bool connected;
    bool busy; /* the tcp handle is open */
    void (*done)(void *ctx, enum probe_result result);
    void *ctx;
};

static void attempt(void *arg);

static void finish(struct probe *p, enum probe_result result)
{
    void (*done)(void *, enum probe_result) = p->done;
    void *ctx = p->ctx;
    free(p);
    done(ctx, result);
}

static void again(struct probe *p)
{
    loop_timer_start(p->loop, &p->timer, p->pause_ms, attempt, p);
    p->pause_ms = p->pause_ms * 3 / 2 < PROBE_MAX_MS ? p->pause_ms * 3 / 2 : PROBE_MAX_MS;
}

static void judge(struct probe *p)
{
    bool wide = false;
    enum proc_owner owner = p->connected ? proc_port_owner(p->port, p->group, &wide) : PROC_OWNER_NOBODY;
    if (owner == PROC_OWNER_GROUP || owner == PROC_OWNER_UNKNOWN)
        finish(p, wide ? PROBE_ACCEPTED_WIDE : PROBE_ACCEPTED);
    else if (owner == PROC_OWNER_OTHER)
        finish(p, PROBE_FOREIGN);
    else if (p->once)
        finish(p, PROBE_REFUSED);
    else
        again(p);
}

static void on_closed(uv_handle_t *handle)
{
    struct probe *p = handle->data;
    p->busy = false;
    if (p->stopped)
        free(p);
    else
        judge(p);
}

static void on_connect(uv_connect_t *request, int status)
{
    struct probe *p = request->data;
    p->connected = status == 0;
    if (!uv_is_closing((uv_handle_t *) &p->tcp))
        uv_close((uv_handle_t *) &p->tcp, on_closed);
}

static void attempt(void *arg)
{
    struct probe *p = arg;
    struct addr a;
    addr_loopback_v4(p->port, &a);
    p->connected = false;
    if (uv_tcp_init(loop_uv(p->loop), &p->tcp) != 0) {
        again(p);
        return;
    }
    p->busy = true;
    p->tcp.data = p->request.data = p;
    if (uv_tcp_connect(&p->request, &p->tcp, &a.u.any, on_connect) != 0)
        uv_close((uv_handle_t *) &p->tcp, on_closed);
}

struct probe *probe_start(struct loop *l, uint16_t port, int group, bool once, void (*done)(void *ctx, enum probe_result result), void *ctx)
{
    struct probe *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    *p = (struct probe){.loop = l, .pause_ms = PROBE_FIRST_MS, .port = port, .group = group, .once = once, .done = done, .ctx = ctx};
    loop_timer_start(l, &p->timer, 0, attempt, p);
    return p;
}

void probe_stop(struct probe *p)
{
    if (!p)
        return;
    loop_timer_stop(&p->timer);
    p->stopped = true;
    if (!p->busy)
        free(p);
    else if (!uv_is_closing((uv_handle_t *) &p->tcp))
        uv_close((uv_handle_t *) &p->tcp, on_closed);
}
