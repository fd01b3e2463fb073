/* The data plane's threads: bind, accept and hand on evenly, serve, drain, stop. */
#include "server/worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "server/half_open.h"
#include "server/handshake_gate.h"
#include "server/route/peer_link.h"

enum { PEER_STREAMS_MAX = 1000, LISTENERS_MAX = WORKER_API_ADDRESSES_MAX + 2, SENT_AWAY_SAID_MS = 60 * 1000 };

struct worker {
    struct worker_set *set;
    unsigned index;
    pthread_t thread;
    struct loop *loop;
    struct dispatch *dispatch;
    struct ingress *ingress;
    struct http_server *api_server;
    struct http_server *peer_server;
    struct listener *listeners[LISTENERS_MAX];
    unsigned listener_count;
    struct half_open handshakes;   /* of peers, unfinished */
    struct handshake_gate *gate;   /* NULL: every handshake begins at once */
    struct loop_timer turns;
    uint64_t sent_away, sent_away_said_ms; /* by the gate, since it was said */
    struct verdict *verdict;       /* NULL before the first change of it */
    struct loop_timer cut;
    unsigned closing;              /* steps of closing not yet done */
    _Atomic uint32_t connections;  /* handed to this worker since the start, for an even spread */
};

struct worker_set {
    struct worker_set_options options;
    struct worker *workers;
    struct addr api_bound;
    struct addr peer_bound;
    bool started;
    bool stopped;
    /* Draining. */
    unsigned draining;
    bool drained;
    struct loop_timer drain_timer;
    loop_fn drain_done;
    void *drain_arg;
};

/* ---- news from workers to control: one small message each ---- */

enum worker_news_kind { NEWS_INSTANCE_REFUSED, NEWS_TASK_WANTED, NEWS_PEER_FAILED, NEWS_DRAINED };

struct worker_news {
    struct worker_set *set;
    enum worker_news_kind kind;
    uint64_t instance_id;
    char text[129];
};

static void drain_finish(struct worker_set *s)
{
    if (s->drained || !s->drain_done)
        return;
    s->drained = true;
    loop_timer_stop(&s->drain_timer);
    s->drain_done(s->drain_arg);
}

static void news_deliver(void *arg)
{
    struct worker_news *news = arg;
    struct worker_set *s = news->set;
    switch (news->kind) {
    case NEWS_INSTANCE_REFUSED:
        s->options.on_instance_refused(s->options.ctx, news->instance_id);
        break;
    case NEWS_TASK_WANTED:
        s->options.on_task_wanted(s->options.ctx, news->text);
        break;
    case NEWS_PEER_FAILED:
        s->options.on_peer_failed(s->options.ctx, news->text);
        break;
    case NEWS_DRAINED:
        if (--s->draining == 0)
            drain_finish(s);
        break;
    }
    free(news);
}

static void news_send(struct worker_set *s, enum worker_news_kind kind, uint64_t instance_id, const char *text)
{
    struct worker_news *news = calloc(1, sizeof *news);
    if (!news)
        return; /* news only hastens what the supervisor and the gossip find out themselves */
    news->set = s;
    news->kind = kind;
    news->instance_id = instance_id;
    snprintf(news->text, sizeof news->text, "%s", text ? text : "");
    if (loop_post(s->options.control, news_deliver, news) != 0)
        free(news);
}

static void on_instance_refused(void *ctx, uint64_t instance_id)
{
    news_send(((struct worker *) ctx)->set, NEWS_INSTANCE_REFUSED, instance_id, NULL);
}

static void on_task_wanted(void *ctx, const char *task)
{
    news_send(((struct worker *) ctx)->set, NEWS_TASK_WANTED, 0, task);
}

static void on_peer_failed(void *ctx, const char *node_id)
{
    news_send(((struct worker *) ctx)->set, NEWS_PEER_FAILED, 0, node_id);
}

/* ---- messages to one worker ---- */

struct worker_message {
    struct worker *worker;
    union {
        struct route_table *table;
        uint64_t instance_id;
        struct verdict *verdict;
        struct {
            int fd;
            bool peer;
            struct addr from;
        } accepted;
    } u;
};

/* False when memory is short: what the message holds is still the caller's then. */
static bool worker_send(struct worker *w, loop_fn deliver, const struct worker_message *message)
{
    struct worker_message *copy = malloc(sizeof *copy);
    if (!copy)
        return false;
    *copy = *message;
    copy->worker = w;
    if (loop_post(w->loop, deliver, copy) == 0)
        return true;
    free(copy);
    return false;
}

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

/* ---- accepting ---- */

/* A peer's connection: the handshake's ALPN decides who owns it. Calls ("h2", "http/1.1") stay, the control plane's go to its loop. */

static void peer_on_read(void *ctx, struct conn *c, struct slice bytes)
{
    (void) ctx;
    (void) bytes; /* nothing is read before on_open gave the connection away */
    conn_close(c);
}

static void peer_moving_on_close(void *ctx, struct conn *c, int err)
{
    (void) ctx;
    (void) c;
    (void) err;
}

static const struct conn_events PEER_MOVING_EVENTS = {.on_read = peer_on_read, .on_close = peer_moving_on_close};

static void peer_on_open(void *ctx, struct conn *c)
{
    struct worker *w = ctx;
    const struct worker_set_options *o = &w->set->options;
    half_open_remove(&w->handshakes, c);
    if (w->gate && conn_tls_peer(c)->roles != TLS_ROLE_NONE)
        handshake_gate_know(w->gate, conn_peer_addr(c), loop_now_ms(w->loop));
    if (w->verdict && verdict_refuses(w->verdict, conn_tls_peer(c))) { /* its handshake began before the verdict did */
        conn_set_events(c, &PEER_MOVING_EVENTS, w);
        conn_close(c);
        return;
    }
    if (strcmp(conn_alpn(c), "h2") == 0 || strcmp(conn_alpn(c), "http/1.1") == 0) {
        http_server_adopt(w->peer_server, c);
        return;
    }
    conn_set_events(c, &PEER_MOVING_EVENTS, w);
    conn_migrate(c, o->control, o->on_control_conn, o->ctx); /* it may arrive when the workers are gone */
}

static void peer_on_close(void *ctx, struct conn *c, int err)
{
    struct worker *w = ctx;
    (void) err;
    half_open_remove(&w->handshakes, c);
}

static const struct conn_events PEER_HANDSHAKE_EVENTS = {.on_open = peer_on_open, .on_read = peer_on_read, .on_close = peer_on_close};

static void peer_handshake(struct worker *w, int fd)
{
    struct conn *c, *dropped;
    struct conn_options options = {.tls = w->set->options.peer_tls};
    if (conn_adopt(w->loop, fd, &options, &PEER_HANDSHAKE_EVENTS, w, &c) != 0)
        return;
    dropped = half_open_add(&w->handshakes, c, conn_peer_addr(c));
    if (dropped)
        conn_close(dropped);
}

/* Says at most once a minute that some were. */
static void send_away(struct worker *w, int fd)
{
    uint64_t now_ms = loop_now_ms(w->loop);
    close(fd);
    w->sent_away++;
    if (w->sent_away_said_ms != 0 && now_ms < w->sent_away_said_ms + SENT_AWAY_SAID_MS)
        return;
    log_line(LOG_WARN, "more TLS connections come to the peers' port than --handshake-rate lets begin: some are sent away", LOGF_INT("sent_away", w->sent_away));
    w->sent_away = 0;
    w->sent_away_said_ms = now_ms;
}

/* Begins the handshakes whose turn it is, and looks again when it is the next one's. */
static void peer_turns(void *arg)
{
    struct worker *w = arg;
    uint64_t now_ms = loop_now_ms(w->loop), wait_ms;
    int fd;
    bool begins;
    while (handshake_gate_next(w->gate, now_ms, &fd, &begins))
        if (begins)
            peer_handshake(w, fd);
        else
            send_away(w, fd);
    wait_ms = handshake_gate_wait_ms(w->gate, now_ms);
    if (wait_ms != UINT64_MAX)
        loop_timer_start(w->loop, &w->turns, wait_ms > 0 ? wait_ms : 1, peer_turns, w);
}

/* Known by the addresses that members have in the routes. */
static bool is_members(const struct worker *w, const struct addr *from)
{
    const struct route_view *view = dispatch_view(w->dispatch);
    uint8_t source[ADDR_SOURCE_SIZE], own[ADDR_SOURCE_SIZE];
    addr_source(from, source);
    for (size_t i = 1; view && i < view->table->node_count; i++)
        for (unsigned a = 0; a < view->table->nodes[i].address_count; a++) {
            addr_source(&view->table->nodes[i].addresses[a], own);
            if (memcmp(source, own, sizeof own) == 0)
                return true;
        }
    return false;
}

static void peer_came(struct worker *w, int fd, const struct addr *from)
{
    if (!w->gate) {
        peer_handshake(w, fd);
        return;
    }
    int dropped = handshake_gate_come(w->gate, fd, from, is_members(w, from), loop_now_ms(w->loop));
    if (dropped >= 0)
        send_away(w, dropped);
    peer_turns(w);
}

static void worker_serve(struct worker *w, int fd, const struct addr *from, bool peer)
{
    if (peer)
        peer_came(w, fd, from);
    else
        http_server_accept(w->api_server, fd, NULL);
}

static void deliver_accepted(void *arg)
{
    struct worker_message *message = arg;
    struct worker *w = message->worker;
    if (w->closing > 0 || !w->dispatch) /* it was on its way when this worker stopped */
        close(message->u.accepted.fd);
    else
        worker_serve(w, message->u.accepted.fd, &message->u.accepted.from, message->u.accepted.peer);
    free(message);
}

/* The kernel spreads many connections evenly and a few fat ones badly: whoever has had more than the least gives the next one away. */
static struct worker *worker_for_next(struct worker *self)
{
    struct worker *least = self;
    uint32_t own = atomic_load_explicit(&self->connections, memory_order_relaxed), fewest = own;
    for (unsigned i = 0; i < self->set->options.count; i++) {
        uint32_t n = atomic_load_explicit(&self->set->workers[i].connections, memory_order_relaxed);
        if (n < fewest) {
            fewest = n;
            least = &self->set->workers[i];
        }
    }
    return fewest < own ? least : self;
}

static bool worker_hand_on(struct worker *to, int fd, const struct addr *from, bool peer)
{
    if (!worker_send(to, deliver_accepted, &(struct worker_message){.u.accepted = {.fd = fd, .peer = peer, .from = *from}}))
        return false;
    atomic_fetch_add_explicit(&to->connections, 1, memory_order_relaxed);
    return true;
}

/* Whoever cannot hand a connection on serves it, as far as memory allows. */
static void worker_accepted(struct worker *w, int fd, const struct addr *from, bool peer)
{
    struct worker *owner = worker_for_next(w);
    if (owner != w && worker_hand_on(owner, fd, from, peer))
        return;
    if (owner != w)
        log_line(LOG_WARN, "a connection was not handed on to another worker: out of memory");
    atomic_fetch_add_explicit(&w->connections, 1, memory_order_relaxed);
    worker_serve(w, fd, from, peer);
}

static void on_api_accept(void *ctx, int fd, const struct addr *from)
{
    worker_accepted(ctx, fd, from, false);
}

static void on_peer_accept(void *ctx, int fd, const struct addr *from)
{
    worker_accepted(ctx, fd, from, true);
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
    dispatch.on_instance_refused = on_instance_refused;
    dispatch.on_task_wanted = on_task_wanted;
    dispatch.on_peer_failed = on_peer_failed;
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
    return err == 0 ? make_gate(w) : err;
}

/* The sentence about an address that could not be had. */
static void listen_fault(int err, const struct addr *at, const char *option, char why[256])
{
    char text[ADDR_TEXT_MAX];
    bool path = at->u.any.sa_family == AF_UNIX;
    addr_format(at, text);
    if (err == GRID_EEXIST)
        snprintf(why, 256, "%s: %s is there already and is no socket: move it away, or give another path", option, text);
    else if (err == GRID_EBUSY)
        snprintf(why, 256, "%s: %s is in use: stop the other program, or give another %s", option, text,
                 path ? "path" : "port (0 for any free one)");
    else if (err == GRID_EPERM)
        snprintf(why, 256, "%s: %s may not be bound by this user: give another %s", option, text, path ? "path" : "address or port");
    else
        snprintf(why, 256, "%s: %s cannot be bound (%s): give %s", option, text, grid_err_text(err),
                 path ? "a path in a folder that is there" : "an address of this machine");
}

static int worker_listen(struct worker *w, struct addr *at, const struct listener_options *options, listener_fn on_accept, char why[256], const char *option)
{
    struct addr bound;
    int err = listener_create(w->loop, at, options, on_accept, w, &bound, &w->listeners[w->listener_count]);
    if (err == 0) {
        w->listener_count++;
        *at = bound; /* a port 0 became a real one, for the workers after this one */
        return 0;
    }
    listen_fault(err, at, option, why);
    return err;
}

static int worker_bind(struct worker *w, char why[256])
{
    struct worker_set_options *o = &w->set->options;
    struct listener_options shared = {.reuse_port = true, .first = w->index == 0, .dual_stack = true};
    for (unsigned i = 0; i < o->api_count; i++) {
        if (o->api[i].size == 0)
            continue;
        int err = worker_listen(w, &o->api[i], &shared, on_api_accept, why, "--api");
        if (err != 0 && o->api_optional[i] && err != GRID_EBUSY)
            o->api[i].size = 0;
        else if (err != 0)
            return err;
    }
    if (o->peer.size != 0) {
        int err = worker_listen(w, &o->peer, &shared, on_peer_accept, why, "--listen");
        if (err != 0)
            return err;
    }
    if (o->api_socket && w->index == 0) {
        struct addr path;
        struct listener_options unix_options = {.socket_mode = o->api_socket_mode, .socket_group = o->api_socket_group};
        if (addr_unix(o->api_socket, &path) != 0) {
            snprintf(why, 256, "--api-socket: %.160s is longer than a socket's path may be: give a shorter one", o->api_socket);
            return GRID_EINVAL;
        }
        int err = worker_listen(w, &path, &unix_options, on_api_accept, why, "--api-socket");
        return o->api_socket_optional ? 0 : err;
    }
    return 0;
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

/* ---- listening later: worker after worker on its own thread, since the first one's real port is the others' ---- */

struct listen_job {
    struct worker_set *set;
    unsigned next; /* worker asked */
    struct addr at;
    int err;
    char why[256];
    void (*done)(void *ctx, int err, const char *why);
    void *ctx;
};

static void listen_bind(void *arg);

/* Control thread. */
static void listen_step(void *arg)
{
    struct listen_job *job = arg;
    struct worker_set *s = job->set;
    if (job->err == 0 && !s->stopped && job->next < s->options.count && loop_post(s->workers[job->next].loop, listen_bind, job) == 0)
        return;
    if (job->err == 0 && job->next < s->options.count) {
        job->err = GRID_ECANCELED;
        snprintf(job->why, sizeof job->why, "the node is stopping");
    }
    if (job->err == 0)
        s->peer_bound = job->at;
    job->done(job->ctx, job->err, job->why);
    free(job);
}

static void listen_bind(void *arg)
{
    struct listen_job *job = arg;
    struct worker *w = &job->set->workers[job->next++];
    struct listener_options shared = {.reuse_port = true, .first = w->index == 0, .dual_stack = true};
    job->err = worker_listen(w, &job->at, &shared, on_peer_accept, job->why, "--listen");
    loop_post(job->set->options.control, listen_step, job);
}

void worker_set_listen(struct worker_set *s, const struct addr *at, void (*done)(void *ctx, int err, const char *why), void *ctx)
{
    struct listen_job *job = calloc(1, sizeof *job);
    if (!job)
        abort(); /* a node that told nobody it is deaf would be looked for in vain */
    *job = (struct listen_job){.set = s, .at = *at, .done = done, .ctx = ctx};
    if (loop_post(s->options.control, listen_step, job) != 0)
        abort();
}

/* ---- publishing ---- */

void worker_set_judge(struct worker_set *s, struct verdict *v)
{
    for (unsigned i = 0; i < s->options.count && !s->stopped; i++)
        worker_send(&s->workers[i], deliver_verdict, &(struct worker_message){.u.verdict = verdict_ref(v)});
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
    loop_timer_stop(&w->turns);
    for (int fd; w->gate && (fd = handshake_gate_take(w->gate)) >= 0;)
        close(fd);
}

static void peer_server_drained(void *arg)
{
    struct worker *w = arg;
    news_send(w->set, NEWS_DRAINED, 0, NULL);
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
    drain_finish(arg);
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
        w->loop = NULL;
        w->ingress = NULL;
    }
}

void worker_set_destroy(struct worker_set *s)
{
    free(s->workers);
    free(s);
}

/* ---- calls in flight ---- */

struct processing_gather {
    struct worker_set *set;
    unsigned next; /* worker asked */
    struct buf records;
    void (*each)(void *ctx, const struct worker_processing *call);
    void (*done)(void *ctx);
    void *ctx;
};

static void gather_ask(struct processing_gather *g);

static void gather_put(struct buf *out, struct slice s)
{
    buf_append_u32be(out, (uint32_t) s.size);
    buf_append(out, s);
}

static struct slice gather_get(struct slice *in)
{
    uint32_t size = (uint32_t) in->data[0] << 24 | (uint32_t) in->data[1] << 16 | (uint32_t) in->data[2] << 8 | in->data[3];
    struct slice s = slice_of(in->data + 4, size);
    *in = slice_from(*in, 4 + (size_t) size);
    return s;
}

static void gather_collected(void *arg)
{
    struct processing_gather *g = arg;
    struct slice in = buf_slice(&g->records);
    while (in.size > 0) {
        struct worker_processing call;
        struct slice id = gather_get(&in), started;
        char id_text[37] = "";
        memcpy(id_text, id.data, id.size < 36 ? id.size : 36);
        call.id = id_text;
        call.task = gather_get(&in);
        call.handler = gather_get(&in);
        call.from = gather_get(&in);
        started = gather_get(&in);
        memcpy(&call.started_wall_ms, started.data, sizeof call.started_wall_ms);
        g->each(g->ctx, &call);
    }
    buf_clear(&g->records);
    if (++g->next < g->set->options.count && !g->set->stopped) {
        gather_ask(g);
        return;
    }
    g->done(g->ctx);
    buf_dispose(&g->records);
    free(g);
}

/* On the worker's thread. */
static void gather_collect(void *arg)
{
    struct processing_gather *g = arg;
    struct dispatch *dispatch = g->set->workers[g->next].dispatch;
    for (const struct invocation *inv = dispatch ? dispatch_processing(dispatch) : NULL; inv; inv = inv->next) {
        gather_put(&g->records, slice_of_str(inv->id));
        gather_put(&g->records, inv->task);
        gather_put(&g->records, inv->handler);
        gather_put(&g->records, inv->from);
        gather_put(&g->records, slice_of(&inv->started_wall_ms, sizeof inv->started_wall_ms));
    }
    loop_post(g->set->options.control, gather_collected, g);
}

static void gather_ask(struct processing_gather *g)
{
    loop_post(g->set->workers[g->next].loop, gather_collect, g);
}

void worker_set_processing(struct worker_set *s, void (*each)(void *ctx, const struct worker_processing *call), void (*done)(void *ctx), void *ctx)
{
    struct processing_gather *g = s->stopped ? NULL : calloc(1, sizeof *g);
    if (!g) {
        done(ctx);
        return;
    }
    *g = (struct processing_gather){.set = s, .each = each, .done = done, .ctx = ctx};
    buf_init(&g->records, 0);
    gather_ask(g);
}
