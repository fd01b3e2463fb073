/* base/size.h: amounts of bytes as people write them. Any thread. */
#ifndef GRID_BASE_SIZE_H
#define GRID_BASE_SIZE_H

#include "base/unit.h"

/* "6MiB", "64KiB" (powers of 1024), "10MB", "5kB" (powers of 1000), "123" or "123B".
 * Returns 0, GRID_EINVAL for anything else, GRID_ELIMIT when it does not fit. */
int size_parse(struct slice text, uint64_t *out_bytes);

/* The same back, in the greatest power of 1024 that keeps it whole: 6291456 -> "6MiB", 1000 -> "1000B", 0 -> "0". */
void size_format(uint64_t bytes, char out[UNIT_TEXT_MAX]);

#endif
