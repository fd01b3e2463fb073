/* c-ares driven by uv_poll: one watcher per socket it opens, one timer for its retries. Answers that are known at once (numbers,
 * /etc/hosts) are given at the end of the loop's iteration. A resolv.conf that has changed (a network that came up, another one) is read anew
 * before the next question, once nothing is under way. */
#include "net/resolve.h"

#include <ares.h>
#include <ares_nameser.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "base/err.h"

enum { TRY_MS = 2000, TRIES = 2 };

static const char RESOLV_CONF[] = "/etc/resolv.conf";

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
    resolve_services_fn services_done; /* of the two, the one that is asked for */
    void *arg;
    uint16_t port;
    struct resolved answer;
    struct addr addresses[RESOLVE_ADDRESSES_MAX];
    struct dns_services *services;
};

/* Which resolv.conf was read. */
struct conf_stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
};

struct resolver {
    struct loop *loop;
    ares_channel channel;
    char *servers; /* instead of resolv.conf's; NULL */
    struct conf_stamp conf;
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
    free(r->servers);
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
    k->answer.addresses = k->addresses;
    if (k->done)
        k->done(k->arg, &k->answer);
    else
        k->services_done(k->arg, k->answer.err, k->services);
    free(k->services);
    free(k);
}

static void lookup_finish(struct lookup *k, int err)
{
    k->answer.err = err;
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
    struct resolved *to = &k->answer;
    for (const struct ares_addrinfo_node *n = info->nodes; n && to->count < RESOLVE_ADDRESSES_MAX; n = n->ai_next) {
        struct addr *a = &k->addresses[to->count];
        if ((n->ai_family != AF_INET && n->ai_family != AF_INET6) || (size_t) n->ai_addrlen > sizeof a->u)
            continue;
        *a = (struct addr){.size = (socklen_t) n->ai_addrlen};
        memcpy(&a->u, n->ai_addr, (size_t) n->ai_addrlen);
        addr_set_port(a, k->port);
        uint32_t ttl_s = n->ai_ttl > 0 ? (uint32_t) n->ai_ttl : 0;
        to->ttl_s = to->count == 0 || ttl_s < to->ttl_s ? ttl_s : to->ttl_s;
        to->count++;
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
    lookup_finish(k, err == 0 && k->answer.count == 0 ? GRID_ENOENT : err);
}

static int read_services(struct lookup *k, const unsigned char *bytes, int size)
{
    int err = bytes && size > 0 ? dns_services_read((struct slice){bytes, (size_t) size}, k->services) : GRID_ENOENT;
    return err == 0 && k->services->count == 0 ? GRID_ENOENT : err;
}

static void on_services(void *arg, int status, int timeouts, unsigned char *bytes, int size)
{
    struct lookup *k = arg;
    (void) timeouts;
    int err = error_of(status);
    lookup_finish(k, err == 0 ? read_services(k, bytes, size) : err);
}

static struct lookup *lookup_new(struct resolver *r, void *arg)
{
    struct lookup *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    *k = (struct lookup){.next = r->lookups, .resolver = r, .arg = arg};
    return k;
}

static void follow_resolv_conf(struct resolver *r);

static void lookup_begin(struct resolver *r, struct lookup *k)
{
    follow_resolv_conf(r);
    r->lookups = k;
}

static bool name_of(struct slice text, char name[DNS_NAME_MAX + 1])
{
    if (text.size == 0 || text.size > DNS_NAME_MAX || memchr(text.data, '\0', text.size))
        return false;
    memcpy(name, text.data, text.size);
    name[text.size] = '\0';
    return true;
}

int resolver_lookup(struct resolver *r, struct slice host_port, resolve_fn done, void *arg)
{
    const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct slice host;
    uint16_t port;
    char name[DNS_NAME_MAX + 1];
    if (addr_split(host_port, &host, &port) != 0 || !name_of(host, name))
        return GRID_EINVAL;
    struct lookup *k = lookup_new(r, arg);
    if (!k)
        return GRID_ENOMEM;
    k->done = done;
    k->port = port;
    lookup_begin(r, k);
    if (addr_parse(host_port, &k->addresses[0]) == 0) {
        k->answer.count = 1;
        k->answer.ttl_s = UINT32_MAX;
        lookup_finish(k, 0);
        return 0;
    }
    ares_getaddrinfo(r->channel, name, NULL, &hints, on_answer, k);
    arm_timer(r);
    return 0;
}

int resolver_lookup_services(struct resolver *r, struct slice name, resolve_services_fn done, void *arg)
{
    char text[DNS_NAME_MAX + 1];
    if (!name_of(name, text))
        return GRID_EINVAL;
    struct lookup *k = lookup_new(r, arg);
    struct dns_services *services = calloc(1, sizeof *services);
    if (!k || !services) {
        free(k);
        free(services);
        return GRID_ENOMEM;
    }
    k->services = services;
    k->services_done = done;
    lookup_begin(r, k);
    ares_search(r->channel, text, ns_c_in, ns_t_srv, on_services, k);
    arm_timer(r);
    return 0;
}

/* ---- life ---- */

static struct conf_stamp conf_stamp_now(void)
{
    struct stat st;
    if (stat(RESOLV_CONF, &st) != 0)
        return (struct conf_stamp){0};
    return (struct conf_stamp){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
}

static bool conf_stamp_equal(const struct conf_stamp *a, const struct conf_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size && a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec;
}

static int channel_open(struct resolver *r, ares_channel *out)
{
    char lookups[] = "fb"; /* files, then DNS */
    struct ares_options options = {
        .timeout = TRY_MS, .tries = TRIES, .lookups = lookups, .sock_state_cb = on_socket_state, .sock_state_cb_data = r};
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
    int status = ares_init_options(out, &options, mask);
    if (status != ARES_SUCCESS)
        return status == ARES_ENOMEM ? GRID_ENOMEM : GRID_EIO;
    if (!r->servers || ares_set_servers_ports_csv(*out, r->servers) == ARES_SUCCESS)
        return 0;
    ares_destroy(*out);
    return GRID_EINVAL;
}

/* One that cannot be read leaves the resolver as it is. */
static void follow_resolv_conf(struct resolver *r)
{
    struct conf_stamp now = conf_stamp_now();
    ares_channel fresh;
    if (r->lookups || conf_stamp_equal(&now, &r->conf) || channel_open(r, &fresh) != 0)
        return;
    ares_destroy(r->channel);
    r->channel = fresh;
    r->conf = now;
}

int resolver_create(struct loop *l, struct resolver **out)
{
    struct resolver *r = calloc(1, sizeof *r);
    if (!r)
        return GRID_ENOMEM;
    r->loop = l;
    r->conf = conf_stamp_now();
    int err = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS ? channel_open(r, &r->channel) : GRID_EIO;
    if (err != 0) {
        free(r);
        return err;
    }
    *out = r;
    return 0;
}

int resolver_use_servers(struct resolver *r, const char *servers)
{
    char *copy = slice_to_str(slice_of_str(servers));
    if (!copy)
        return GRID_ENOMEM;
    if (ares_set_servers_ports_csv(r->channel, copy) != ARES_SUCCESS) {
        free(copy);
        return GRID_EINVAL;
    }
    free(r->servers);
    r->servers = copy;
    return 0;
}

void resolver_close(struct resolver *r, loop_fn on_closed, void *arg)
{
    r->on_closed = on_closed;
    r->on_closed_arg = arg;
    loop_timer_stop(&r->timer);
    ares_destroy(r->channel); /* answers what is under way */
    while (r->lookups) {
        r->lookups->answer = (struct resolved){.err = GRID_ECANCELED};
        lookup_deliver(r->lookups);
    }
    while (r->watchers)
        watcher_close(r, r->watchers);
    r->closed = true;
    if (r->closing == 0)
        resolver_free(r);
}
