/* Those who wait, by ticket, and what comes for them. */
#include "net/carrier.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "net/conn_internal.h"

struct waiting {
    struct waiting *next;
    struct conn *conn;
    uint64_t ticket;
};

struct carrier {
    struct loop *loop;
    carrier_wanted_fn wanted;
    void *ctx;
    struct waiting *waiting;
    uint64_t last_ticket;
};

/* What is brought to the loop's thread. */
struct gift {
    struct carrier *carrier;
    uint64_t ticket;
    int fd; /* -1: nobody leads there */
};

int carrier_create(struct loop *l, carrier_wanted_fn wanted, void *ctx, struct carrier **out)
{
    struct carrier *k = calloc(1, sizeof *k);
    if (!k)
        return GRID_ENOMEM;
    *k = (struct carrier){.loop = l, .wanted = wanted, .ctx = ctx};
    loop_set_carrier(l, k);
    *out = k;
    return 0;
}

void carrier_destroy(struct carrier *k)
{
    if (!k)
        return;
    while (k->waiting) {
        struct waiting *w = k->waiting;
        k->waiting = w->next;
        free(w);
    }
    free(k);
}

struct loop *carrier_loop(const struct carrier *k)
{
    return k->loop;
}

/* ---- waiting ---- */

int carrier_want(struct carrier *k, struct conn *c, const struct addr *to, const struct tls_context *tls)
{
    struct waiting *w = calloc(1, sizeof *w);
    if (!w)
        return GRID_ENOMEM;
    *w = (struct waiting){.next = k->waiting, .conn = c, .ticket = ++k->last_ticket};
    k->waiting = w;
    k->wanted(k->ctx, k, w->ticket, to->u.member.id, tls);
    return 0;
}

void carrier_forget(struct carrier *k, const struct conn *c)
{
    for (struct waiting **at = &k->waiting; *at; at = &(*at)->next)
        if ((*at)->conn == c) {
            struct waiting *w = *at;
            *at = w->next;
            free(w);
            return;
        }
}

/* NULL: it has ended. */
static struct conn *find(const struct carrier *k, uint64_t ticket)
{
    for (const struct waiting *w = k->waiting; w; w = w->next)
        if (w->ticket == ticket)
            return w->conn;
    return NULL;
}

/* ---- what comes ---- */

static void deliver(void *arg)
{
    struct gift *g = arg;
    struct conn *c = find(g->carrier, g->ticket);
    if (!c && g->fd >= 0)
        close(g->fd);
    else if (c && g->fd >= 0)
        conn_begin(c, g->fd);
    else if (c)
        conn_give_up(c);
    free(g);
}

static int bring(struct carrier *k, uint64_t ticket, int fd)
{
    struct gift *g = malloc(sizeof *g);
    if (g)
        *g = (struct gift){.carrier = k, .ticket = ticket, .fd = fd};
    if (g && loop_post(k->loop, deliver, g) == 0)
        return 0;
    free(g);
    return GRID_ENOMEM;
}

int carrier_give_fd(struct carrier *k, uint64_t ticket, int fd)
{
    int err = bring(k, ticket, fd);
    if (err != 0)
        close(fd);
    return err;
}

void carrier_refuse(struct carrier *k, uint64_t ticket)
{
    (void) bring(k, ticket, -1); /* without memory its time runs out */
}

struct handing {
    struct carrier *carrier;
    uint64_t ticket;
};

static void on_released(void *ctx, struct conn *open)
{
    struct handing *h = ctx;
    conn_assume(find(h->carrier, h->ticket), open);
    free(h);
}

static void on_arrived(void *ctx, struct conn *open)
{
    conn_release(open, on_released, ctx);
}

static void lost_on_read(void *ctx, struct conn *c, struct slice bytes)
{
    (void) ctx, (void) bytes;
    conn_close(c);
}

/* It broke before it left the loop it came on. */
static void lost_on_close(void *ctx, struct conn *c, int err)
{
    (void) c, (void) err;
    free(ctx);
}

static const struct conn_events MOVING_EVENTS = {.on_read = lost_on_read, .on_close = lost_on_close};

void carrier_give_conn(struct carrier *k, uint64_t ticket, struct conn *open)
{
    struct handing *h = malloc(sizeof *h);
    conn_set_events(open, &MOVING_EVENTS, h);
    if (!h) {
        conn_close(open);
        return;
    }
    *h = (struct handing){.carrier = k, .ticket = ticket};
    conn_migrate(open, k->loop, on_arrived, h);
}
