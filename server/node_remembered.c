/* A look every few seconds at who is there; the file is written when that is news, and seldom. */
#include "server/node_remembered.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "discovery/remembered.h"
#include "server/kept_file.h"

enum {
    LOOK_MS = 2000,
    KEEP_MS = 60 * 1000, /* between two writings */
};

struct node_remembered {
    struct node *node;
    const struct node_remembered_events *events;
    void *ctx;
    struct remembered table;
    struct loop_timer timer;
    bool news; /* that is not written yet */
    bool closing;
    uint64_t keep_ms; /* not written before */
    struct kept_file file;
    loop_fn done;
    void *done_arg;
};

static const struct kept_file_words WORDS = {.not_read = "where other nodes lived cannot be read: they are looked for anew", .not_kept = "where other nodes live cannot be kept for the next start"};

/* ---- keeping ---- */

static void end(void *arg)
{
    struct node_remembered *r = arg;
    loop_fn done = r->done;
    void *done_arg = r->done_arg;
    free(r);
    done(done_arg);
}

static void keep(struct node_remembered *r)
{
    struct buf *out = kept_file_pack(&r->file);
    r->news = !out || remembered_pack(&r->table, out) != 0 || !kept_file_write(&r->file);
    r->keep_ms = loop_now_ms(r->node->loop) + KEEP_MS;
}

/* ---- looking ---- */

static const char *authority_of(const struct node *n)
{
    return n->authority ? authority_id(n->authority) : "";
}

/* A node may change sides: those of the other side are nobody to it. An authority that has followed the one before is the same side's. */
static bool is_of_grid(const struct node *n, const struct remembered *table)
{
    if (strcmp(table->grid, n->grid) != 0)
        return false;
    return strcmp(table->authority, authority_of(n)) == 0 || standing_is_former(&n->standing, table->authority);
}

/* False: it is another side's table. */
static bool take_grid(struct node_remembered *r)
{
    const struct node *n = r->node;
    bool same = is_of_grid(n, &r->table);
    if (!same)
        r->table.count = 0;
    snprintf(r->table.grid, sizeof r->table.grid, "%s", n->grid);
    snprintf(r->table.authority, sizeof r->table.authority, "%s", authority_of(n));
    return same;
}

/* Where it was reached stands before what it says of itself. */
static bool see(struct node_remembered *r, const struct member *m, int64_t now_s)
{
    const struct addr *way = ways_of(gossip_ways(r->node->gossip), m->id);
    const char *addresses[1 + MEMBER_ADDRESSES_MAX];
    char reached[ADDR_TEXT_MAX];
    size_t count = 0;
    if (way) {
        addr_format(way, reached);
        addresses[count++] = reached;
    }
    for (size_t i = 0; i < m->address_count && i < MEMBER_ADDRESSES_MAX; i++)
        addresses[count++] = m->addresses[i];
    return remembered_see(&r->table, m->id, addresses, count, now_s);
}

static bool take_member(struct node_remembered *r, const struct member *m, int64_t now_s)
{
    if (m->state == MEMBER_EVICTED)
        return remembered_forget(&r->table, m->id);
    return m->state != MEMBER_DEAD && see(r, m, now_s);
}

static void look_around(struct node_remembered *r)
{
    const struct node *n = r->node;
    int64_t now_s = (int64_t) time(NULL);
    if (!take_grid(r) && !r->closing)
        r->events->on_withdrawn(r->ctx);
    for (size_t i = 1; n->gossip && i < node_member_count(n); i++)
        r->news |= take_member(r, node_member(n, i), now_s);
    r->news |= remembered_age(&r->table, now_s);
}

static void on_timer(void *arg)
{
    struct node_remembered *r = arg;
    look_around(r);
    if (r->news && !kept_file_is_writing(&r->file) && loop_now_ms(r->node->loop) >= r->keep_ms)
        keep(r);
    loop_timer_start(r->node->loop, &r->timer, LOOK_MS, on_timer, r);
}

/* ---- life ---- */

static void read_table(struct node_remembered *r)
{
    struct slice kept = kept_file_read(&r->file);
    int err = kept.size > 0 ? remembered_unpack(kept, &r->table) : 0;
    if (err != 0)
        kept_file_complain(&r->file, err);
}

int node_remembered_open(struct node *n, const struct node_remembered_events *events, void *ctx, struct node_remembered **out)
{
    struct node_remembered *r = calloc(1, sizeof *r);
    if (!r)
        return GRID_ENOMEM;
    r->node = n;
    r->events = events;
    r->ctx = ctx;
    kept_file_init(&r->file, n->loop, n->options->state, "peers", &WORDS);
    read_table(r);
    (void) take_grid(r);
    (void) remembered_age(&r->table, (int64_t) time(NULL));
    for (size_t rank = 0; rank < REMEMBERED_ADDRESSES_MAX; rank++)
        for (size_t i = 0; i < r->table.count; i++)
            if (rank < r->table.peers[i].address_count)
                events->on_address(ctx, r->table.peers[i].addresses[rank], UINT64_MAX);
    loop_timer_start(n->loop, &r->timer, LOOK_MS, on_timer, r);
    *out = r;
    return 0;
}

void node_remembered_close(struct node_remembered *r, loop_fn done, void *arg)
{
    r->done = done;
    r->done_arg = arg;
    r->closing = true;
    loop_timer_stop(&r->timer);
    look_around(r);
    if (r->news && !kept_file_is_writing(&r->file))
        keep(r);
    kept_file_close(&r->file, end, r);
}
