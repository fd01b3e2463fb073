/* Binding: the local API and the peers' port, at once or later. */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "server/worker_internal.h"

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

int worker_bind(struct worker *w, char why[256])
{
    struct worker_set_options *o = &w->set->options;
    struct listener_options shared = {.reuse_port = true, .first = w->index == 0, .dual_stack = true};
    for (unsigned i = 0; i < o->api_count; i++) {
        if (o->api[i].size == 0)
            continue;
        int err = worker_listen(w, &o->api[i], &shared, worker_on_api_accept, why, "--api");
        if (err != 0 && o->api_optional[i] && err != GRID_EBUSY)
            o->api[i].size = 0;
        else if (err != 0)
            return err;
    }
    if (o->peer.size != 0) {
        int err = worker_listen(w, &o->peer, &shared, worker_on_peer_accept, why, "--listen");
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
        int err = worker_listen(w, &path, &unix_options, worker_on_api_accept, why, "--api-socket");
        if (err != 0 && o->api_socket_optional) {
            log_line(LOG_INFO, "the API is not on its Unix socket", LOGF_STR("why", why));
            return 0;
        }
        return err;
    }
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
    job->err = worker_listen(w, &job->at, &shared, worker_on_peer_accept, job->why, "--listen");
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
