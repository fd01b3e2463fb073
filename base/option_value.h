/* base/option_value.h: one option's text to its value. The inner half of option_table. Any thread. */
#ifndef GRID_BASE_OPTION_VALUE_H
#define GRID_BASE_OPTION_VALUE_H

#include "base/option_table.h"

struct option_value {
    enum option_source source;
    const char *origin;
    const char *text; /* NULL: unset */
    uint64_t number;  /* of uint, size, duration; 0 or 1 of a flag */
    const char **items;
    struct option_hostport *hostports;
    size_t item_count;
};

/* Sets all of *out but source and origin. 0, GRID_EINVAL when `text` does not fit the row, GRID_ENOMEM. Memory is the arena's. */
int option_value_parse(const struct option_row *row, struct slice text, struct arena *arena, struct option_value *out);

/* What a sound value would have been: "a whole number from 1 to 256". Results as buf_append. */
int option_value_describe(const struct option_row *row, struct buf *out);

/* " (one of text, json; default text)" behind an option's help: what of both there is, perhaps nothing. Results as buf_append. */
int option_value_remark(const struct option_row *row, struct buf *out);

/* A sound value. */
const char *option_value_example(const struct option_row *row);

/* Whether the kind is a list. */
bool option_kind_is_list(enum option_kind kind);

#endif
