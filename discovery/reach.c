/* A small table: a row is an address and its connection, while there is one. */
#include "discovery/reach.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "net/conn.h"

struct row {
    struct reach *r;
    char address[ADDR_TEXT_MAX]; /* "": free, or forgotten while its connection closes */
    enum reach_state state;
    uint64_t answered; /* the how manieth answer it was */
    struct conn *conn;
};

struct reach {
    struct loop *loop;
    struct tls_context *tls; /* NULL: in the clear */
    struct row rows[REACH_MAX];
    uint64_t answers;
    unsigned open; /* connections */
    bool closing;
    loop_fn on_closed;
    void *on_closed_arg;
};

static void answer(struct row *w, enum reach_state state)
{
    w->state = state;
    w->answered = ++w->r->answers;
}

static void on_open(void *ctx, struct conn *c)
{
    struct row *w = ctx;
    struct tls_channel channel;
    bool self = w->r->tls && conn_tls_channel(c, &channel) == 0 && tls_channel_is_own(&channel);
    answer(w, self ? REACH_SELF : REACH_YES);
    conn_close(c);
}

static void on_read(void *ctx, struct conn *c, struct slice bytes)
{
    (void) ctx;
    (void) c;
    (void) bytes;
}

static void end_if_closed(struct reach *r)
{
    loop_fn on_closed = r->on_closed;
    void *arg = r->on_closed_arg;
    if (!r->closing || r->open > 0)
        return;
    tls_context_unref(r->tls);
    free(r);
    on_closed(arg);
}

static void on_close(void *ctx, struct conn *c, int err)
{
    struct row *w = ctx;
    (void) c;
    (void) err;
    w->conn = NULL;
    if (w->state == REACH_ASKING)
        answer(w, REACH_NO);
    w->r->open--;
    end_if_closed(w->r);
}

static const struct conn_events EVENTS = {.on_open = on_open, .on_read = on_read, .on_close = on_close};

static struct row *find(struct reach *r, const char *address)
{
    for (size_t i = 0; i < REACH_MAX; i++)
        if (strcmp(r->rows[i].address, address) == 0)
            return &r->rows[i];
    return NULL;
}

/* A free row, else the one that was answered first; NULL while all have connections. */
static struct row *place(struct reach *r)
{
    struct row *oldest = NULL;
    for (size_t i = 0; i < REACH_MAX; i++) {
        struct row *w = &r->rows[i];
        if (w->conn)
            continue;
        if (w->address[0] == '\0')
            return w;
        if (!oldest || w->answered < oldest->answered)
            oldest = w;
    }
    return oldest;
}

static void ask(struct row *w, const char *address)
{
    struct conn_options options = {.tls = w->r->tls, .handshake_timeout_ms = REACH_WITHIN_MS};
    struct addr at;
    struct reach *r = w->r;
    snprintf(w->address, sizeof w->address, "%s", address);
    w->state = REACH_ASKING;
    if (addr_parse(slice_of_str(address), &at) != 0 || conn_dial(r->loop, &at, &options, &EVENTS, w, &w->conn) != 0)
        answer(w, REACH_NO);
    else
        r->open++;
}

enum reach_state reach_look(struct reach *r, const char *address)
{
    struct row *w = find(r, address);
    if (w)
        return w->state;
    w = r->closing ? NULL : place(r);
    if (!w)
        return REACH_ASKING;
    ask(w, address);
    return w->state;
}

void reach_forget(struct reach *r, const char *address)
{
    struct row *w = address[0] != '\0' ? find(r, address) : NULL;
    if (!w)
        return;
    w->address[0] = '\0';
    if (w->conn)
        conn_close(w->conn);
}

int reach_create(struct loop *l, struct tls_context *tls, struct reach **out)
{
    struct reach *r = calloc(1, sizeof *r);
    if (!r)
        return GRID_ENOMEM;
    r->loop = l;
    r->tls = tls ? tls_context_ref(tls) : NULL;
    for (size_t i = 0; i < REACH_MAX; i++)
        r->rows[i].r = r;
    *out = r;
    return 0;
}

void reach_close(struct reach *r, loop_fn on_closed, void *arg)
{
    r->on_closed = on_closed;
    r->on_closed_arg = arg;
    r->open++; /* not to be over before all are told */
    r->closing = true;
    for (size_t i = 0; i < REACH_MAX; i++)
        if (r->rows[i].conn)
            conn_close(r->rows[i].conn);
    r->open--;
    end_if_closed(r);
}
