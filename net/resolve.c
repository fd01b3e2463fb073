/* c-ares driven by uv_poll: one watcher per socket it opens, one timer for its retries. Answers that are known at once (numbers,
 * /etc/hosts) are given at the end of the loop's iteration. */
#include "net/resolve.h"

#include <ares.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "base/err.h"

enum { HOST_MAX = 255, TRY_MS = 2000, TRIES = 2 };

struct watcher {
    uv_poll_t poll;
    struct watcher *next;
    struct resolver *resolver;
    ares_socket_t fd;
};

struct lookup {
    struct lookup *next;
    struct resolver *resolver;
    struct loop_deferred deferred;
    resolve_fn done;
    void *arg;
    uint16_t port;
    int err;
    size_t count;
    struct addr addresses[RESOLVE_ADDRESSES_MAX];
};

struct resolver {
    struct loop *loop;
    ares_channel channel;
    struct watcher *watchers;
    struct lookup *lookups;
    struct loop_timer timer;
    size_t closing; /* watchers whose close callback has not come */
    bool closed;
    loop_fn on_closed;
    void *on_closed_arg;
};

/* ---- sockets and time ---- */

static void arm_timer(struct resolver *r);

static void on_timer(void *arg)
{
    struct resolver *r = arg;
    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm_timer(r);
}

static void arm_timer(struct resolver *r)
{
    struct timeval left;
    if (r->closed || !ares_timeout(r->channel, NULL, &left)) {
        loop_timer_stop(&r->timer);
        return;
    }
    uint64_t ms = (uint64_t) left.tv_sec * 1000 + (uint64_t) left.tv_usec / 1000 + 1;
    loop_timer_start(r->loop, &r->timer, ms, on_timer, r);
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct watcher *w = poll->data;
    struct resolver *r = w->resolver;
    bool failed = status < 0;
    ares_process_fd(r->channel, failed || (events & UV_READABLE) ? w->fd : ARES_SOCKET_BAD,
                    failed || (events & UV_WRITABLE) ? w->fd : ARES_SOCKET_BAD);
    arm_timer(r);
}

static void resolver_free(struct resolver *r)
{
    loop_fn on_closed = r->on_closed;
    void *arg = r->on_closed_arg;
    free(r);
    if (on_closed)
        on_closed(arg);
}

static void on_watcher_closed(uv_handle_t *handle)
{
    struct watcher *w = handle->data;
    struct resolver *r = w->resolver;
    free(w);
    if (--r->closing == 0 && r->closed)
        resolver_free(r);
}

static struct watcher *watcher_create(struct resolver *r, ares_socket_t fd)
{
    struct watcher *w = calloc(1, sizeof *w);
    if (!w || uv_poll_init(loop_uv(r->loop), &w->poll, fd) != 0) {
        free(w);
        return NULL;
    }
    *w = (struct watcher){.poll = w->poll, .next = r->watchers, .resolver = r, .fd = fd};
    w->poll.data = w;
    r->watchers = w;
    return w;
}

static void watcher_close(struct resolver *r, struct watcher *w)
{
    struct watcher **at = &r->watchers;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    r->closing++;
    uv_close((uv_handle_t *) &w->poll, on_watcher_closed);
}

static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = arg;
    struct watcher *w = r->watchers;
    while (w && w->fd != fd)
        w = w->next;
    if (!readable && !writable) {
        if (w)
            watcher_close(r, w);
        return;
    }
    if (!w)
        w = watcher_create(r, fd);
    if (w)
        uv_poll_start(&w->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_socket);
}

/* ---- lookups ---- */

static void lookup_deliver(void *arg)
{
    struct lookup *k = arg;
    struct lookup **at = &k->resolver->lookups;
    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    loop_defer_cancel(&k->deferred);
    k->done(k->arg, k->err, k->addresses, k->count);
    free(k);
}

static void lookup_finish(struct lookup *k, int err)
{
    k->err = err;
    loop_defer(k->resolver->loop, &k->deferred, lookup_deliver, k);
}

static int error_of(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return 0;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EBADNAME:
    case ARES_ENONAME:
        return GRID_ENOENT;
    case ARES_ETIMEOUT:
        return GRID_ETIMEOUT;
    case ARES_EDESTRUCTION:
    case ARES_ECANCELLED:
        return GRID_ECANCELED;
    case ARES_ENOMEM:
        return GRID_ENOMEM;
    default:
        return GRID_EUNAVAILABLE;
    }
}

static void take_addresses(struct lookup *k, const struct ares_addrinfo *info)
{
    for (const struct ares_addrinfo_node *n = info->nodes; n && k->count < RESOLVE_ADDRESSES_MAX; n = n->ai_next) {
        struct addr *a = &k->addresses[k->count];
        if ((n->ai_family != AF_INET && n->ai_family != AF_INET6) || (size_t) n->ai_addrlen > sizeof a->u)
            continue;
        *a = (struct addr){.size = (socklen_t) n->ai_addrlen};
        memcpy(&a->u, n->ai_addr, (size_t) n->ai_addrlen);
        addr_set_port(a, k->port);
        k->count++;
    }
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct lookup *k = arg;
    (void) timeouts;
    if (info) {
        take_addresses(k, info);
        ares_freeaddrinfo(info);
    }
    int err = error_of(status);
    lookup_finish(k, err == 0 && k->count == 0 ? GRID_ENOENT : err);
}

static void lookup_ask(struct resolver *r, struct lookup *k, const char *host)
{
    const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    ares_getaddrinfo(r->channel, host, NULL, &hints, on_answer, k);
    arm_timer(r);
}

int resolver_lookup(struct resolver *r, struct slice host_port, resolve_fn done, void *arg)
{
    struct slice host;
    uint16_t port;
    char name[HOST_MAX + 1];
    int err = addr_split(host_port, &host, &port);
    if (err != 0 || host.size == 0 || host.size > HOST_MAX || memchr(host.data, '\0', host.size))
        return GRID_EINVAL;
    struct lookup *k = calloc(1, sizeof *k);
    if (!k)
        return GRID_ENOMEM;
    *k = (struct lookup){.next = r->lookups, .resolver = r, .done = done, .arg = arg, .port = port};
    r->lookups = k;
    if (addr_parse(host_port, &k->addresses[0]) == 0) {
        k->count = 1;
        lookup_finish(k, 0);
        return 0;
    }
    memcpy(name, host.data, host.size);
    name[host.size] = '\0';
    lookup_ask(r, k, name);
    return 0;
}

/* ---- life ---- */

int resolver_create(struct loop *l, struct resolver **out)
{
    char lookups[] = "fb"; /* files, then DNS */
    struct resolver *r = calloc(1, sizeof *r);
    if (!r)
        return GRID_ENOMEM;
    r->loop = l;
    struct ares_options options = {
        .timeout = TRY_MS, .tries = TRIES, .lookups = lookups, .sock_state_cb = on_socket_state, .sock_state_cb_data = r};
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS || ares_init_options(&r->channel, &options, mask) != ARES_SUCCESS) {
        free(r);
        return GRID_EIO;
    }
    *out = r;
    return 0;
}

void resolver_close(struct resolver *r, loop_fn on_closed, void *arg)
{
    r->on_closed = on_closed;
    r->on_closed_arg = arg;
    loop_timer_stop(&r->timer);
    ares_destroy(r->channel); /* answers what is under way */
    while (r->lookups) {
        r->lookups->err = GRID_ECANCELED;
        r->lookups->count = 0;
        lookup_deliver(r->lookups);
    }
    while (r->watchers)
        watcher_close(r, r->watchers);
    r->closed = true;
    if (r->closing == 0)
        resolver_free(r);
}
