/* Lines of several sources. */
#include "cli/dev_merge.h"

#include <stdio.h>

#include "cli/text.h"

void merge_init(struct merge *m, const char *name, unsigned colour, enum merge_style style)
{
    *m = (struct merge){.colour = colour, .style = style};
    snprintf(m->name, sizeof m->name, "%s", name);
    buf_init(&m->partial, MERGE_LINE_MAX);
}

void merge_dispose(struct merge *m)
{
    buf_dispose(&m->partial);
}

void merge_append(const struct merge *m, struct slice line, struct buf *out)
{
    /* cyan, green, yellow, magenta, blue, bright cyan: readable on dark and light grounds */
    static const unsigned COLOURS[] = {36, 32, 33, 35, 34, 96};
    if (line.size > 0 && line.data[line.size - 1] == '\r')
        line.size--;
    if (m->style == MERGE_COLOUR)
        buf_printf(out, "\x1b[%um%-6s |\x1b[0m ", COLOURS[m->colour % (sizeof COLOURS / sizeof *COLOURS)], m->name);
    else
        buf_printf(out, "%-6s | ", m->name);
    if (m->style == MERGE_PLAIN)
        buf_append(out, line);
    else
        text_append_line(out, line);
    buf_append_byte(out, '\n');
}

static void take_line(const struct merge *m, struct slice line, struct buf *out)
{
    if (m->on_line)
        m->on_line(m->ctx, m, line, out);
    else
        merge_append(m, line, out);
}

void merge_flush(struct merge *m, struct buf *out)
{
    if (m->partial.size > 0)
        take_line(m, buf_slice(&m->partial), out);
    buf_clear(&m->partial);
}

/* A line's beginning; what passes the limit is left out. */
static void keep(struct merge *m, struct slice piece)
{
    buf_append(&m->partial, slice_first(piece, MERGE_LINE_MAX - m->partial.size));
}

void merge_feed(struct merge *m, struct slice bytes, struct buf *out)
{
    ptrdiff_t end;
    while ((end = slice_find_byte(bytes, 0, '\n')) >= 0) {
        struct slice line = slice_first(bytes, (size_t) end);
        if (m->partial.size > 0) {
            keep(m, line);
            merge_flush(m, out);
        } else {
            take_line(m, line, out);
        }
        bytes = slice_from(bytes, (size_t) end + 1);
    }
    keep(m, bytes);
}
