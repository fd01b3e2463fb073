/* base/utf8.h: writing one character of UTF-8 (reading it is slice_utf8_length's). Any thread. */
#ifndef GRID_BASE_UTF8_H
#define GRID_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Writes the 1 to 4 bytes of code point `c`, at most 0x10ffff and no surrogate, and returns how many. */
size_t utf8_encode(uint32_t c, uint8_t out[4]);

#endif
