/* base/unit.h: whole numbers with a unit behind them; the one place where they are read and written. No state. */
#ifndef GRID_BASE_UNIT_H
#define GRID_BASE_UNIT_H

#include "base/slice.h"

/* A row says what one `name` is worth in the base unit. Tables end with a NULL name and stand from the greatest unit down. */
struct unit {
    const char *name;
    uint64_t factor;
};

enum { UNIT_TEXT_MAX = 32 };

/* Parses "NUMBER" or "NUMBERunit", a whole number without sign or blanks, unit in the table's exact spelling.
 * Returns 0, GRID_EINVAL for anything else, GRID_ELIMIT when it does not fit 64 bits; *out is set on 0 only. */
int unit_parse(struct slice text, const struct unit *units, uint64_t *out);

/* Writes `value` in the first unit of the table that divides it, or without a unit. What it writes, unit_parse reads back
 * unchanged. */
void unit_format(uint64_t value, const struct unit *units, char out[UNIT_TEXT_MAX]);

#endif
