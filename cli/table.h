/* cli/table.h: rows of cells rendered as aligned text. Pure: cells in, bytes out. */
#ifndef GRID_CLI_TABLE_H
#define GRID_CLI_TABLE_H

#include "base/arena.h"
#include "base/buf.h"

struct table_column {
    const char *title;
    bool is_right; /* numbers stand at the right */
};

/* Fields are table.c's. The first failure to get memory is kept and told by table_render. */
struct table {
    const struct table_column *columns;
    size_t column_count;
    struct arena *arena;
    struct slice *cells;
    size_t cell_count, cell_capacity;
    int err;
};

/* Columns and arena are borrowed for its life; it needs no disposal. */
void table_init(struct table *t, const struct table_column *columns, size_t column_count, struct arena *arena);

/* The next cell, rows one after another. Control characters are escaped; the text is copied. */
void table_add(struct table *t, struct slice text);
void table_add_str(struct table *t, const char *text);
void table_addf(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A head line and a line per row, two blanks between columns, none at a line's end. 0 or GRID_ENOMEM. */
int table_render(const struct table *t, bool has_colour, struct buf *out);

#endif
