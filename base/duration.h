/* base/duration.h: spans of time as people write them. Any thread. */
#ifndef GRID_BASE_DURATION_H
#define GRID_BASE_DURATION_H

#include "base/unit.h"

/* "250ms", "5s", "2m", "1h", "1d"; a bare number is milliseconds.
 * Returns 0, GRID_EINVAL for anything else, GRID_ELIMIT when it does not fit. */
int duration_parse(struct slice text, uint64_t *out_ms);

/* The same back, in the greatest unit that keeps it whole: 90000 -> "90s", 0 -> "0". */
void duration_format(uint64_t ms, char out[UNIT_TEXT_MAX]);

#endif
