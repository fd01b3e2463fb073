/*     the loop of the node                       the thread
 *       mdns_create  ----------------------->  begin: daemon, or built in
 *       on_address   <-----------------------  told
 *       mdns_close   ----------------------->  stop: close, leave the loop
 *       on_closed    <-----------------------  over
 * `lock` guards what both look at: once `left` is set the thread keeps to itself. Each side, and each word on its way, has a reference. */
#include "discovery/mdns.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <avahi-common/error.h>
#include <avahi-common/strlst.h>

#include <bsd/stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "discovery/avahi_poll.h"
#include "discovery/mdns_responder.h"

enum {
    DAEMON_LOOK_MS = 10 * 1000, /* whether there is one, while the built-in responder is used */
    RETRY_MS = 5 * 1000,        /* when there is no responder at all */
    PAUSE_MS = 500,             /* before what has failed is done again */
    MDNS_OWN_NAME_SIZE = 16,
};

struct mdns {
    /* Fixed. */
    struct loop *home;
    const struct mdns_events *events;
    void *ctx;
    uint16_t port;
    char tag[MDNS_TAG_HEX + 1];
    pthread_t thread;

    /* The home loop's. */
    bool closing;
    loop_fn on_closed;
    void *on_closed_arg;
    struct loop_timer patience;

    pthread_mutex_t lock;
    bool left;     /* the home loop waits no longer */
    bool finished; /* the thread has told that it is over */
    unsigned references;

    /* The thread's. */
    struct loop *loop;
    AvahiPoll poll;
    AvahiStringList *txt;
    char name[MDNS_OWN_NAME_SIZE];
    const struct mdns_responder *kind; /* NULL: none is open */
    void *responder;
    struct mdns_services services;
    struct loop_timer look_timer, daemon_timer;
    bool ended, collided, said; /* ended, collided: to be seen to outside Avahi's callback */
};

/* ---- to the home loop ---- */

struct told {
    struct mdns *m;
    char address[MDNS_ADDRESS_MAX + 1]; /* "": a fault */
    char why[160];
};

static void unref(struct mdns *m)
{
    pthread_mutex_lock(&m->lock);
    bool last = --m->references == 0;
    pthread_mutex_unlock(&m->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static void deliver(void *arg)
{
    struct told *t = arg;
    if (t->m->closing)
        ; /* nobody wants to know */
    else if (t->address[0])
        t->m->events->on_address(t->m->ctx, t->address, MDNS_GOOD_MS);
    else
        t->m->events->on_fault(t->m->ctx, "multicast DNS", t->why);
    unref(t->m);
    free(t);
}

static void tell(struct mdns *m, const char *address, const char *why)
{
    struct told *t = calloc(1, sizeof *t);
    if (!t)
        return;
    t->m = m;
    snprintf(t->address, sizeof t->address, "%s", address);
    snprintf(t->why, sizeof t->why, "%s", why);
    pthread_mutex_lock(&m->lock);
    bool posted = !m->left && loop_post(m->home, deliver, t) == 0;
    m->references += posted;
    pthread_mutex_unlock(&m->lock);
    if (!posted)
        free(t);
}

/* ---- what the responder tells ---- */

static void look(void *arg);

static void look_soon(struct mdns *m)
{
    loop_timer_start(m->loop, &m->look_timer, 0, look, m);
}

static bool is_own(const struct mdns *m, const struct mdns_key *key)
{
    return strcmp(key->name, m->name) == 0;
}

static void on_service(void *ctx, const struct mdns_key *key)
{
    struct mdns *m = ctx;
    if (is_own(m, key))
        return;
    log_line(LOG_DEBUG, "multicast DNS: a service is there", LOGF_STR("service", key->name));
    (void) mdns_services_add(&m->services, key, loop_now_ms(m->loop)); /* no room: this one is not known */
    look_soon(m);
}

static void on_gone(void *ctx, const struct mdns_key *key)
{
    struct mdns *m = ctx;
    log_line(LOG_DEBUG, "multicast DNS: a service is gone", LOGF_STR("service", key->name));
    mdns_services_remove(&m->services, key);
    look_soon(m);
}

static bool is_of_grid(const struct mdns *m, AvahiStringList *txt)
{
    AvahiStringList *row = avahi_string_list_find(txt, "grid");
    size_t size = strlen(m->tag), start = sizeof "grid=" - 1;
    return row && avahi_string_list_get_size(row) == start + size && memcmp(avahi_string_list_get_text(row) + start, m->tag, size) == 0;
}

static void on_looked(void *ctx, const struct mdns_key *key, const char *address, AvahiStringList *txt)
{
    struct mdns *m = ctx;
    uint64_t now = loop_now_ms(m->loop);
    if (address)
        mdns_services_found(&m->services, key, is_of_grid(m, txt) && !is_own(m, key) ? address : NULL, now);
    else
        mdns_services_failed(&m->services, key, now);
    look_soon(m);
}

static void on_collision(void *ctx)
{
    struct mdns *m = ctx;
    m->collided = true;
    loop_timer_start(m->loop, &m->look_timer, PAUSE_MS, look, m);
}

static void on_end(void *ctx, const char *why)
{
    struct mdns *m = ctx;
    m->ended = true;
    log_line(LOG_DEBUG, "multicast DNS: the responder has ended", LOGF_STR("why", why));
    loop_timer_start(m->loop, &m->look_timer, PAUSE_MS, look, m);
}

static const struct mdns_responder_events RESPONDER_EVENTS = {on_service, on_gone, on_looked, on_collision, on_end};

/* ---- which responder ---- */

static void close_one(struct mdns *m)
{
    if (m->kind)
        m->kind->close(m->responder);
    m->kind = NULL;
    m->responder = NULL;
}

static void make_name(char out[MDNS_OWN_NAME_SIZE])
{
    snprintf(out, MDNS_OWN_NAME_SIZE, "grid-%08x", arc4random());
}

/* From now on this one, in place of the one before, with a name of its own: for a moment both are heard on the network. */
static bool use(struct mdns *m, const struct mdns_responder *kind, char why[160])
{
    char name[MDNS_OWN_NAME_SIZE];
    void *opened;
    make_name(name);
    const struct mdns_responder_options options = {&m->poll, name, m->port, m->txt, &RESPONDER_EVENTS, m};
    if (kind->open(&options, &opened, why) != 0)
        return false;
    close_one(m);
    mdns_services_clear(&m->services);
    memcpy(m->name, name, sizeof name);
    m->kind = kind;
    m->responder = opened;
    m->said = false;
    log_line(LOG_DEBUG, "multicast DNS", LOGF_STR("responder", kind->label), LOGF_STR("service", m->name));
    return true;
}

/* D-Bus is not even asked where its socket is missing. */
static bool may_have_daemon(void)
{
    return getenv("DBUS_SYSTEM_BUS_ADDRESS") || access("/run/dbus/system_bus_socket", W_OK) == 0 || access("/var/run/dbus/system_bus_socket", W_OK) == 0;
}

/* A daemon is better than a second responder on the host, also when it comes later. */
static void choose(void *arg)
{
    struct mdns *m = arg;
    char why[160] = "";
    bool has_one = (may_have_daemon() && use(m, &MDNS_DAEMON, why)) || m->kind || use(m, &MDNS_BUILT_IN, why);
    if (!has_one && !m->said) {
        m->said = true;
        tell(m, "", why);
    }
    if (m->kind != &MDNS_DAEMON)
        loop_timer_start(m->loop, &m->daemon_timer, m->kind ? DAEMON_LOOK_MS : RETRY_MS, choose, m);
}

/* ---- the thread's own work ---- */

static void look_into_some(struct mdns *m, uint64_t now)
{
    for (const struct mdns_service *s; (s = mdns_services_next(&m->services, now));) {
        struct mdns_key key = s->key;
        if (m->kind->look(m->responder, &key) != 0)
            mdns_services_failed(&m->services, &key, now);
    }
}

static void look(void *arg)
{
    struct mdns *m = arg;
    uint64_t now = loop_now_ms(m->loop);
    if (m->ended) {
        close_one(m);
        m->ended = false;
        choose(m);
    }
    if (m->collided && m->kind) {
        m->collided = false;
        make_name(m->name);
        m->kind->rename(m->responder, m->name);
    }
    if (m->kind)
        look_into_some(m, now);
    for (const struct mdns_service *s; (s = mdns_services_due(&m->services, now));)
        tell(m, s->address, "");
    uint64_t wait = mdns_services_wait_ms(&m->services, now);
    if (!m->ended && !m->collided && wait != UINT64_MAX)
        loop_timer_start(m->loop, &m->look_timer, wait, look, m);
}

static void stop(void *arg)
{
    struct mdns *m = arg;
    loop_timer_stop(&m->look_timer);
    loop_timer_stop(&m->daemon_timer);
    close_one(m);
    loop_stop(m->loop);
}

static void over(void *arg)
{
    struct mdns *m = arg;
    loop_fn on_closed = m->on_closed;
    void *on_closed_arg = m->on_closed_arg;
    loop_timer_stop(&m->patience);
    pthread_join(m->thread, NULL);
    unref(m);
    on_closed(on_closed_arg);
}

static void *thread_main(void *arg)
{
    struct mdns *m = arg;
    pthread_setname_np(pthread_self(), "mdns");
    loop_run(m->loop);
    loop_destroy(m->loop);
    mdns_services_dispose(&m->services);
    avahi_string_list_free(m->txt);
    pthread_mutex_lock(&m->lock);
    m->finished = !m->left && loop_post(m->home, over, m) == 0;
    pthread_mutex_unlock(&m->lock);
    unref(m);
    return NULL;
}

/* ---- life, on the home loop ---- */

static void dispose_unstarted(struct mdns *m)
{
    if (m->loop)
        loop_destroy(m->loop);
    mdns_services_dispose(&m->services);
    avahi_string_list_free(m->txt);
    m->references = 1;
    unref(m);
}

int mdns_create(const struct mdns_options *options, struct mdns **out)
{
    char row[sizeof "grid=" + MDNS_TAG_HEX];
    struct mdns *m = calloc(1, sizeof *m);
    if (!m)
        return GRID_ENOMEM;
    m->home = options->loop;
    m->events = options->events;
    m->ctx = options->ctx;
    m->port = options->port;
    m->references = 2;
    pthread_mutex_init(&m->lock, NULL);
    mdns_tag(options->grid, m->tag);
    snprintf(row, sizeof row, "grid=%s", m->tag);
    m->txt = avahi_string_list_new(row, "v=1", NULL);
    mdns_services_init(&m->services, (uint64_t) arc4random() << 32 | arc4random());
    int err = m->txt ? loop_create(&m->loop) : GRID_ENOMEM;
    if (err == 0)
        err = loop_post(m->loop, choose, m);
    if (err == 0) {
        avahi_poll_init(&m->poll, m->loop);
        err = pthread_create(&m->thread, NULL, thread_main, m) == 0 ? 0 : GRID_EIO;
    }
    if (err != 0) {
        dispose_unstarted(m);
        return err;
    }
    *out = m;
    return 0;
}

/* It hangs in a call to the daemon. What is shared is its own now; the end of the process ends it. */
static void leave(void *arg)
{
    struct mdns *m = arg;
    loop_fn on_closed = m->on_closed;
    void *on_closed_arg = m->on_closed_arg;
    pthread_mutex_lock(&m->lock);
    bool finished = m->finished;
    m->left = true;
    pthread_mutex_unlock(&m->lock);
    if (finished)
        return; /* over() is on its way */
    pthread_detach(m->thread);
    unref(m);
    on_closed(on_closed_arg);
}

void mdns_close(struct mdns *m, loop_fn on_closed, void *arg)
{
    m->closing = true;
    m->on_closed = on_closed;
    m->on_closed_arg = arg;
    loop_timer_start(m->home, &m->patience, MDNS_CLOSE_MS, leave, m);
    (void) loop_post(m->loop, stop, m); /* no memory: the patience ends it */
}
