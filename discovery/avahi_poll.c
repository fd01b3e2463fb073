/* A watch is a uv_poll on a copy of the descriptor, since libuv takes one watch a descriptor, and D-Bus has two, one for each direction. */
#include "discovery/avahi_poll.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <avahi-common/timeval.h>

struct AvahiWatch {
    uv_poll_t poll;
    int given, own; /* descriptors */
    AvahiWatchEvent wanted, happened;
    AvahiWatchCallback callback;
    void *arg;
};

struct AvahiTimeout {
    struct loop *loop;
    struct loop_timer timer;
    AvahiTimeoutCallback callback;
    void *arg;
};

/* ---- watches ---- */

static int events_of(AvahiWatchEvent wanted)
{
    return (wanted & AVAHI_WATCH_IN ? UV_READABLE : 0) | (wanted & AVAHI_WATCH_OUT ? UV_WRITABLE : 0) | (wanted & AVAHI_WATCH_HUP ? UV_DISCONNECT : 0);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    AvahiWatch *w = poll->data;
    int happened = (events & UV_READABLE ? AVAHI_WATCH_IN : 0) | (events & UV_WRITABLE ? AVAHI_WATCH_OUT : 0) | (events & UV_DISCONNECT ? AVAHI_WATCH_HUP : 0);
    w->happened = status == 0 ? (AvahiWatchEvent) happened : AVAHI_WATCH_ERR;
    w->callback(w, w->given, w->happened, w->arg);
}

static void watch_update(AvahiWatch *w, AvahiWatchEvent wanted)
{
    w->wanted = wanted;
    if (events_of(wanted) == 0)
        uv_poll_stop(&w->poll);
    else
        uv_poll_start(&w->poll, events_of(wanted), on_poll);
}

static AvahiWatch *watch_new(const AvahiPoll *api, int fd, AvahiWatchEvent wanted, AvahiWatchCallback callback, void *arg)
{
    AvahiWatch *w = calloc(1, sizeof *w);
    int own = w ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (own < 0 || uv_poll_init(loop_uv(api->userdata), &w->poll, own) != 0) {
        if (own >= 0)
            close(own);
        free(w);
        return NULL;
    }
    w->poll.data = w;
    w->given = fd;
    w->own = own;
    w->callback = callback;
    w->arg = arg;
    watch_update(w, wanted);
    return w;
}

static AvahiWatchEvent watch_get_events(AvahiWatch *w)
{
    return w->happened;
}

static void on_watch_closed(uv_handle_t *handle)
{
    AvahiWatch *w = handle->data;
    close(w->own);
    free(w);
}

/* Avahi may do so within the watch's own callback. */
static void watch_free(AvahiWatch *w)
{
    uv_close((uv_handle_t *) &w->poll, on_watch_closed);
}

/* ---- timeouts ---- */

static void on_timer(void *arg)
{
    AvahiTimeout *t = arg;
    t->callback(t, t->arg);
}

/* `due` is by the wall clock, as Avahi counts; a moment that has passed is now. */
static void timeout_update(AvahiTimeout *t, const struct timeval *due)
{
    loop_timer_stop(&t->timer);
    if (!due)
        return;
    AvahiUsec left = -avahi_age(due);
    loop_timer_start(t->loop, &t->timer, left > 0 ? ((uint64_t) left + 999) / 1000 : 0, on_timer, t);
}

static AvahiTimeout *timeout_new(const AvahiPoll *api, const struct timeval *due, AvahiTimeoutCallback callback, void *arg)
{
    AvahiTimeout *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->loop = api->userdata;
    t->callback = callback;
    t->arg = arg;
    timeout_update(t, due);
    return t;
}

static void timeout_free(AvahiTimeout *t)
{
    loop_timer_stop(&t->timer);
    free(t);
}

void avahi_poll_init(struct AvahiPoll *out, struct loop *l)
{
    *out = (struct AvahiPoll){l, watch_new, watch_update, watch_get_events, watch_free, timeout_new, timeout_update, timeout_free};
}
