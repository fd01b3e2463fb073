/* The calls in flight, asked of one worker after the other. */
#include <stdlib.h>
#include <string.h>

#include "server/worker_internal.h"

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
