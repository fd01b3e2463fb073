/* Aligned text. */
#include "cli/table.h"

#include "base/err.h"
#include "cli/text.h"

enum { COLUMNS_MAX = 16, FIRST_CELLS = 64 };

void table_init(struct table *t, const struct table_column *columns, size_t column_count, struct arena *arena)
{
    *t = (struct table){.columns = columns, .column_count = column_count < COLUMNS_MAX ? column_count : COLUMNS_MAX, .arena = arena};
}

static bool make_room(struct table *t)
{
    if (t->cell_count < t->cell_capacity)
        return true;
    size_t capacity = t->cell_capacity ? 2 * t->cell_capacity : FIRST_CELLS;
    struct slice *cells = arena_calloc(t->arena, capacity, sizeof *cells);
    if (!cells)
        return false;
    if (t->cell_count > 0)
        memcpy(cells, t->cells, t->cell_count * sizeof *cells);
    t->cells = cells;
    t->cell_capacity = capacity;
    return true;
}

void table_add(struct table *t, struct slice text)
{
    struct buf clean;
    buf_init(&clean, 0);
    if (text_append_line(&clean, text.size > 0 ? text : SLICE("-")) != 0 || !make_room(t))
        t->err = GRID_ENOMEM;
    if (t->err == 0) {
        struct slice copy = arena_copy(t->arena, buf_slice(&clean));
        t->cells[t->cell_count++] = copy;
        t->err = copy.data ? 0 : GRID_ENOMEM;
    }
    buf_dispose(&clean);
}

void table_add_str(struct table *t, const char *text)
{
    table_add(t, slice_of_str(text));
}

void table_addf(struct table *t, const char *format, ...)
{
    struct buf text;
    va_list args;
    buf_init(&text, 0);
    va_start(args, format);
    if (buf_vprintf(&text, format, args) != 0)
        t->err = GRID_ENOMEM;
    va_end(args);
    table_add(t, buf_slice(&text));
    buf_dispose(&text);
}

static void measure(const struct table *t, size_t widths[COLUMNS_MAX])
{
    for (size_t i = 0; i < t->column_count; i++)
        widths[i] = strlen(t->columns[i].title);
    for (size_t i = 0; i < t->cell_count; i++) {
        size_t width = text_width(t->cells[i]), column = i % t->column_count;
        if (width > widths[column])
            widths[column] = width;
    }
}

/* One cell, padded but for the last of a line when it stands at the left. */
static int render_cell(const struct table *t, size_t column, struct slice text, size_t width, struct buf *out)
{
    int missing = (int) (width - text_width(text));
    bool is_last = column + 1 == t->column_count, is_right = t->columns[column].is_right;
    int err = is_right ? buf_printf(out, "%*s", missing, "") : 0;
    if (err == 0)
        err = buf_append(out, text);
    if (err == 0 && !is_last)
        err = buf_printf(out, "%*s", (is_right ? 0 : missing) + 2, "");
    return err;
}

static int render_head(const struct table *t, const size_t *widths, bool has_colour, struct buf *out)
{
    int err = has_colour ? buf_append_str(out, "\x1b[1m") : 0;
    for (size_t i = 0; err == 0 && i < t->column_count; i++)
        err = render_cell(t, i, slice_of_str(t->columns[i].title), widths[i], out);
    return err ? err : buf_append_str(out, has_colour ? "\x1b[0m\n" : "\n");
}

int table_render(const struct table *t, bool has_colour, struct buf *out)
{
    size_t widths[COLUMNS_MAX];
    measure(t, widths);
    int err = t->err ? t->err : render_head(t, widths, has_colour, out);
    for (size_t i = 0; err == 0 && i < t->cell_count; i++) {
        size_t column = i % t->column_count;
        err = render_cell(t, column, t->cells[i], widths[column], out);
        if (err == 0 && column + 1 == t->column_count)
            err = buf_append_byte(out, '\n');
    }
    return err;
}
