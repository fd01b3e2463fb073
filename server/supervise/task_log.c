/* Lines of tasks: splitting, remembering, and finding the one that tells. */
#include "server/supervise/task_log.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

const char *task_stream_name(enum task_stream stream)
{
    static const char *const names[] = {"stdout", "stderr", "grid"};
    return names[stream];
}

/* ---- splitting ---- */

static struct slice without_cr(struct slice line)
{
    return line.size > 0 && line.data[line.size - 1] == '\r' ? slice_first(line, line.size - 1) : line;
}

/* Adds to the line so far; a full one is given out. Without memory for it the bytes are given out as they are. */
static void keep(struct line_splitter *s, struct slice in, line_fn emit, void *ctx)
{
    if (!s->part && in.size > 0)
        s->part = malloc(TASK_LINE_MAX);
    while (in.size > 0) {
        if (!s->part) {
            emit(ctx, slice_first(in, TASK_LINE_MAX));
            in = slice_from(in, TASK_LINE_MAX);
            continue;
        }
        size_t room = TASK_LINE_MAX - s->size, take = in.size < room ? in.size : room;
        memcpy(s->part + s->size, in.data, take);
        s->size += take;
        in = slice_from(in, take);
        if (s->size == TASK_LINE_MAX) {
            emit(ctx, slice_of(s->part, s->size));
            s->size = 0;
        }
    }
}

/* A line end was seen after `in`. */
static void end_line(struct line_splitter *s, struct slice in, line_fn emit, void *ctx)
{
    if (s->size == 0 && in.size <= TASK_LINE_MAX) {
        emit(ctx, without_cr(in));
        return;
    }
    keep(s, in, emit, ctx);
    if (s->size > 0)
        emit(ctx, without_cr(slice_of(s->part, s->size)));
    s->size = 0;
}

void line_splitter_feed(struct line_splitter *s, struct slice in, line_fn emit, void *ctx)
{
    for (ptrdiff_t end; (end = slice_find_byte(in, 0, '\n')) >= 0;) {
        end_line(s, slice_first(in, (size_t) end), emit, ctx);
        in = slice_from(in, (size_t) end + 1);
    }
    keep(s, in, emit, ctx);
}

void line_splitter_finish(struct line_splitter *s, line_fn emit, void *ctx)
{
    if (s->size > 0)
        emit(ctx, without_cr(slice_of(s->part, s->size)));
    free(s->part);
    *s = (struct line_splitter){0};
}

/* ---- remembering ---- */

struct line_ring_entry {
    int64_t time_ms;
    uint32_t instance;
    enum task_stream stream;
    size_t size;
    uint8_t text[];
};

static void drop_first(struct line_ring *r)
{
    struct line_ring_entry *e = r->entries[r->first];
    r->bytes -= e->size;
    r->first = (r->first + 1) % LINE_RING_LINES;
    r->count--;
    free(e);
}

void line_ring_push(struct line_ring *r, const struct task_line *line)
{
    if (!r->entries)
        r->entries = calloc(LINE_RING_LINES, sizeof(struct line_ring_entry *));
    struct line_ring_entry *e = r->entries ? malloc(sizeof *e + line->text.size) : NULL;
    if (!e)
        return;
    *e = (struct line_ring_entry){line->time_ms, line->instance, line->stream, line->text.size};
    if (line->text.size > 0)
        memcpy(e->text, line->text.data, line->text.size);
    while (r->count > 0 && (r->count == LINE_RING_LINES || r->bytes + e->size > LINE_RING_BYTES))
        drop_first(r);
    r->entries[(r->first + r->count) % LINE_RING_LINES] = e;
    r->count++;
    r->bytes += e->size;
}

void line_ring_last(const struct line_ring *r, const char *task, size_t count, void (*emit)(void *ctx, const struct task_line *line),
                   void *ctx)
{
    for (size_t i = r->count > count ? r->count - count : 0; i < r->count; i++) {
        const struct line_ring_entry *e = r->entries[(r->first + i) % LINE_RING_LINES];
        emit(ctx, &(struct task_line){e->time_ms, task, e->instance, e->stream, slice_of(e->text, e->size)});
    }
}

void line_ring_dispose(struct line_ring *r)
{
    while (r->count > 0)
        drop_first(r);
    free(r->entries);
    *r = (struct line_ring){0};
}

/* ---- the line that tells ---- */

bool task_line_tells(struct slice text)
{
    static const struct slice idle[] = {SLICE_INIT("Node.js v"), SLICE_INIT("Require stack:"), SLICE_INIT("- ")};
    if (text.size == 0 || isspace(text.data[0]))
        return false;
    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++) {
        if (slice_has_prefix(text, idle[i]))
            return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (isalnum(text.data[i]) || text.data[i] >= 0x80)
            return true;
    }
    return false;
}

void task_line_copy(struct slice text, char *out, size_t size)
{
    size_t n = text.size < size - 1 ? text.size : size - 1;
    while (n > 0 && n < text.size && (text.data[n] & 0xC0) == 0x80)
        n--; /* not in the middle of a character */
    bool utf8 = slice_is_utf8(slice_first(text, n));
    for (size_t i = 0; i < n; i++) {
        uint8_t c = text.data[i];
        out[i] = c < 0x20 || c == 0x7F ? ' ' : c >= 0x80 && !utf8 ? '?' : (char) c;
    }
    out[n] = '\0';
}
