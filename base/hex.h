/* base/hex.h: bytes as hexadecimal digits. Any thread. */
#ifndef GRID_BASE_HEX_H
#define GRID_BASE_HEX_H

#include "base/slice.h"

/* Writes 2 * bytes.size lowercase digits and a NUL to `out`. */
void hex_encode(struct slice bytes, char *out);

/* Reads exactly 2 * size digits of either case into `out`. 0, or GRID_EINVAL for another length or a character that is no digit;
 * `out` may then be partly written. */
int hex_decode(struct slice text, uint8_t *out, size_t size);

/* The value of one digit of either case, or -1. */
int hex_digit(uint8_t c);

#endif
