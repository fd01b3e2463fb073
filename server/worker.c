/* The data plane's threads: made, started, told what is new, drained, stopped. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "server/route/peer_link.h"
#include "server/worker_internal.h"

enum { PEER_STREAMS_MAX = 1000 };

/* ---- told ---- */

static void on_cut(void *arg)
{
    struct worker *w = arg;
    http_server_close_some(w->peer_server, verdict_refuses, w->verdict);
    peer_links_close_some(dispatch_peer_links(w->dispatch), verdict_refuses, w->verdict);
}

static void deliver_verdict(void *arg)
{
    struct worker_message *message = arg;
    struct worker *w = message->worker;
    struct peer_links *links = dispatch_peer_links(w->dispatch);
    verdict_unref(w->verdict);
    w->verdict = message->u.verdict;
    http_server_close_some(w->peer_server, verdict_evicts, w->verdict);
    peer_links_close_some(links, verdict_evicts, w->verdict);
    http_server_drain_some(w->peer_server, verdict_refuses, w->verdict);
    peer_links_leave_some(links, verdict_refuses, w->verdict);
    loop_timer_start(w->loop, &w->cut, WORKER_CUT_MS, on_cut, w);
    free(message);
}

static bool is_peer(const void *id, const struct tls_peer *peer)
{
    return strcmp(peer->id, id) == 0;
}

static void deliver_leave_peer(void *arg)
{
    struct worker_message *message = arg;
    if (message->worker->dispatch) /* it has not stopped */
        peer_links_leave_some(dispatch_peer_links(message->worker->dispatch), is_peer, message->u.peer_id);
    free(message);
}

static void deliver_close_idle(void *arg)
{
    struct worker_message *message = arg;
    dispatch_close_idle(message->worker->dispatch, message->u.instance_id);
    free(message);
}

static void on_close_idle_elsewhere(void *ctx, uint64_t instance_id)
{
    struct worker *self = ctx;
    for (unsigned i = 0; i < self->set->options.count; i++)
        if (i != self->index)
            worker_send(&self->set->workers[i], deliver_close_idle, &(struct worker_message){.u.instance_id = instance_id});
}

/* ---- creation ---- */

/* Connections are spread evenly over the workers, so each has its part of the rate. */
static int make_gate(struct worker *w)
{
    const struct worker_set_options *o = &w->set->options;
    return o->handshakes_per_s == 0 ? 0 : handshake_gate_create((o->handshakes_per_s + o->count - 1) / o->count, &w->gate);
}

static int worker_init(struct worker_set *s, unsigned index)
{
    struct worker *w = &s->workers[index];
    struct dispatch_options dispatch = s->options.dispatch;
    struct http_server_limits limits = HTTP_SERVER_LIMITS_DEFAULT, peer_limits = HTTP_SERVER_LIMITS_DEFAULT;
    w->set = s;
    w->index = index;
    dispatch.worker = index;
    dispatch.on_instance_refused = worker_instance_refused;
    dispatch.on_task_wanted = worker_task_wanted;
    dispatch.on_peer_failed = worker_peer_failed;
    dispatch.close_idle_elsewhere = s->options.count > 1 ? on_close_idle_elsewhere : NULL;
    dispatch.ctx = w;
    peer_limits.streams = PEER_STREAMS_MAX;
    limits.connections_max = peer_limits.connections_max = s->options.connections_max;
    int err = loop_create(&w->loop);
    if (err == 0)
        loop_busy_poll(w->loop, s->options.busy_poll_us);
    if (err == 0)
        err = dispatch_create(w->loop, &dispatch, &w->dispatch);
    if (err == 0)
        err = ingress_create(w->loop, &s->options.ingress, w->dispatch, s->options.admin, &w->ingress);
    if (err == 0)
        err = http_server_create(w->loop, &limits, ingress_on_api_request, w->ingress, &w->api_server);
    if (err == 0)
        err = http_server_create(w->loop, &peer_limits, ingress_on_peer_request, w->ingress, &w->peer_server);
    if (err == 0 && s->options.on_wanted)
        err = carrier_create(w->loop, s->options.on_wanted, s->options.ctx, &w->carrier);
    return err == 0 ? make_gate(w) : err;
}

int worker_set_create(const struct worker_set_options *options, struct worker_set **out, char why[256])
{
    struct worker_set *s = calloc(1, sizeof *s);
    int err = GRID_ENOMEM;
    snprintf(why, 256, "out of memory");
    if (!s)
        return err;
    s->options = *options;
    s->workers = calloc(options->count, sizeof *s->workers);
    for (unsigned i = 0; s->workers && i < options->count; i++) {
        err = worker_init(s, i);
        if (err == 0)
            err = worker_bind(&s->workers[i], why);
        if (err != 0)
            break;
    }
    if (err != 0) {
        if (s->workers)
            worker_set_stop(s);
        worker_set_end(s);
        worker_set_destroy(s);
        return err;
    }
    for (unsigned i = 0; i < s->options.api_count && s->api_bound.size == 0; i++)
        s->api_bound = s->options.api[i];
    s->peer_bound = s->options.peer;
    *out = s;
    return 0;
}

const struct addr *worker_set_api(const struct worker_set *s)
{
    return &s->api_bound;
}

const struct addr *worker_set_peer(const struct worker_set *s)
{
    return &s->peer_bound;
}

unsigned worker_set_count(const struct worker_set *s)
{
    return s->options.count;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    char name[16];
    snprintf(name, sizeof name, "worker-%u", w->index);
    pthread_setname_np(pthread_self(), name);
    loop_run(w->loop);
    invocation_thread_cleanup();
    return NULL;
}

int worker_set_start(struct worker_set *s)
{
    for (unsigned i = 0; i < s->options.count; i++)
        if (pthread_create(&s->workers[i].thread, NULL, worker_main, &s->workers[i]) != 0)
            return GRID_EIO;
    s->started = true;
    return 0;
}

/* ---- publishing ---- */

void worker_set_judge(struct worker_set *s, struct verdict *v)
{
    for (unsigned i = 0; i < s->options.count && !s->stopped; i++)
        worker_send(&s->workers[i], deliver_verdict, &(struct worker_message){.u.verdict = verdict_ref(v)});
}

void worker_set_leave_peer(struct worker_set *s, const char *id)
{
    struct worker_message message = {0};
    snprintf(message.u.peer_id, sizeof message.u.peer_id, "%s", id);
    for (unsigned i = 0; i < s->options.count && !s->stopped; i++)
        worker_send(&s->workers[i], deliver_leave_peer, &message);
}

static void deliver_table(void *arg)
{
    struct worker_message *message = arg;
    dispatch_publish(message->worker->dispatch, message->u.table);
    free(message);
}

void worker_set_publish(struct worker_set *s, struct route_table *table)
{
    for (unsigned i = 0; i < s->options.count && !s->stopped; i++) {
        if (worker_send(&s->workers[i], deliver_table, &(struct worker_message){.u.table = route_table_ref(table)}))
            continue;
        log_line(LOG_WARN, "a worker was not told the new routes: out of memory", LOGF_INT("worker", (int) i));
        route_table_unref(table);
    }
}

void worker_set_close_idle(struct worker_set *s, uint64_t instance_id)
{
    for (unsigned i = 0; i < s->options.count && !s->stopped; i++)
        worker_send(&s->workers[i], deliver_close_idle, &(struct worker_message){.u.instance_id = instance_id});
}

/* ---- draining ---- */

static void close_listeners(struct worker *w)
{
    while (w->listener_count > 0)
        listener_close(w->listeners[--w->listener_count]);
    worker_forget_turns(w);
}

static void peer_server_drained(void *arg)
{
    struct worker *w = arg;
    worker_drained(w);
}

static void api_server_drained(void *arg)
{
    struct worker *w = arg;
    http_server_drain(w->peer_server, peer_server_drained, w);
}

static void deliver_drain(void *arg)
{
    struct worker_message *message = arg;
    struct worker *w = message->worker;
    free(message);
    close_listeners(w);
    http_server_drain(w->api_server, api_server_drained, w);
}

static void on_drain_timeout(void *arg)
{
    worker_drain_finish(arg);
}

void worker_set_drain(struct worker_set *s, uint64_t timeout_ms, loop_fn done, void *arg)
{
    s->drain_done = done;
    s->drain_arg = arg;
    s->draining = s->options.count;
    loop_timer_start(s->options.control, &s->drain_timer, timeout_ms, on_drain_timeout, s);
    for (unsigned i = 0; i < s->options.count; i++) /* one that could not be told is waited for until the time is over */
        worker_send(&s->workers[i], deliver_drain, &(struct worker_message){0});
}

/* ---- stopping ---- */

static void stop_step_done(void *arg)
{
    struct worker *w = arg;
    if (--w->closing == 0)
        loop_stop(w->loop);
}

/* Servers first, so that their exchanges cancel their invocations; then the dispatch under them. */
static void servers_closed(void *arg)
{
    struct worker *w = arg;
    if (--w->closing > 1)
        return;
    dispatch_close(w->dispatch, stop_step_done, w);
    w->dispatch = NULL;
}

static void deliver_stop(void *arg)
{
    struct worker *w = arg;
    close_listeners(w);
    loop_timer_stop(&w->cut);
    w->closing = 3; /* two servers, one dispatch */
    http_server_close(w->api_server, servers_closed, w);
    http_server_close(w->peer_server, servers_closed, w);
}

void worker_set_stop(struct worker_set *s)
{
    loop_timer_stop(&s->drain_timer);
    s->drain_done = NULL;
    s->stopped = true;
    for (unsigned i = 0; i < s->options.count; i++) {
        struct worker *w = &s->workers[i];
        if (!w->loop || !w->dispatch || !w->api_server || !w->peer_server)
            continue;
        if (!s->started && pthread_create(&w->thread, NULL, worker_main, w) != 0)
            continue;
        loop_post(w->loop, deliver_stop, w);
        pthread_join(w->thread, NULL);
    }
}

void worker_set_end(struct worker_set *s)
{
    for (unsigned i = 0; s->workers && i < s->options.count; i++) {
        struct worker *w = &s->workers[i];
        if (w->loop)
            loop_destroy(w->loop); /* runs what was still in the mailbox */
        ingress_destroy(w->ingress);
        handshake_gate_destroy(w->gate);
        w->gate = NULL;
        verdict_unref(w->verdict);
        w->verdict = NULL;
        carrier_destroy(w->carrier);
        w->carrier = NULL;
        w->loop = NULL;
        w->ingress = NULL;
    }
}

void worker_set_destroy(struct worker_set *s)
{
    free(s->workers);
    free(s);
}
