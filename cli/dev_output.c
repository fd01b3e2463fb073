/* Lines of tasks in, lines for people out. */
#include "cli/dev_output.h"

#include <stdlib.h>

#include "cli/dev_repeat.h"
#include "cli/log_line.h"

enum { ARENA_BLOCK = 16 * 1024 };

struct dev_output {
    struct dev_repeat *repeat;
    struct arena *arena; /* of one line */
    const struct merge *merges[DEV_OUTPUT_SOURCES_MAX];
    uint64_t now_ms;
    struct buf *out; /* of the call under way */
};

/* As a dev_line_fn. */
static void show(void *ctx, const struct dev_line *line)
{
    struct dev_output *o = ctx;
    Grid__V1__LogLine shown = GRID__V1__LOG_LINE__INIT;
    struct buf text;
    shown.time_ms = line->time_ms;
    shown.task = pb_bytes(line->task);
    shown.instance = line->instance;
    shown.stream = pb_bytes(line->stream);
    shown.text = pb_bytes(line->text);
    buf_init(&text, 0);
    log_line_append(&text, &shown, LOG_STYLE_RAW, false);
    if (text.size > 0)
        merge_append(o->merges[line->source], slice_first(buf_slice(&text), text.size - 1), o->out);
    buf_dispose(&text);
}

struct dev_output *dev_output_create(void)
{
    struct dev_output *o = calloc(1, sizeof *o);
    if (o && (o->repeat = dev_repeat_create(show, o)) && (o->arena = arena_create(ARENA_BLOCK, 0)))
        return o;
    dev_output_destroy(o);
    return NULL;
}

void dev_output_destroy(struct dev_output *o)
{
    if (!o)
        return;
    dev_repeat_destroy(o->repeat);
    arena_destroy(o->arena);
    free(o);
}

static unsigned index_of(const struct dev_output *o, const struct merge *m)
{
    unsigned index = 0;
    while (o->merges[index] != m)
        index++;
    return index;
}

/* As a merge_line_fn. What is no line of a task, such as why there are none, is shown as it came. */
static void take_line(void *ctx, const struct merge *m, struct slice text, struct buf *out)
{
    struct dev_output *o = ctx;
    Grid__V1__LogLine line;
    arena_reset(o->arena);
    if (!log_line_parse(text, o->arena, &line)) {
        merge_append(m, text, out);
        return;
    }
    const struct dev_line taken = {index_of(o, m), line.time_ms, pb_slice(line.task), line.instance, pb_slice(line.stream), pb_slice(line.text)};
    o->out = out;
    dev_repeat_take(o->repeat, &taken, o->now_ms);
}

void dev_output_take(struct dev_output *o, unsigned index, struct merge *m)
{
    o->merges[index] = m;
    m->on_line = take_line;
    m->ctx = o;
}

void dev_output_set_time(struct dev_output *o, uint64_t now_ms)
{
    o->now_ms = now_ms;
}

int dev_output_wait(const struct dev_output *o)
{
    return dev_repeat_wait(o->repeat, o->now_ms);
}

void dev_output_release(struct dev_output *o, struct buf *out)
{
    o->out = out;
    dev_repeat_release(o->repeat, o->now_ms);
}

void dev_output_forget(struct dev_output *o, struct buf *out)
{
    o->out = out;
    dev_repeat_forget(o->repeat);
}
