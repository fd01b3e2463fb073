/* trust/stretch.h: makes a password dear to guess. Blocks for about half a second and takes 128 MiB: never on a loop. Any
 * thread. */
#ifndef GRID_TRUST_STRETCH_H
#define GRID_TRUST_STRETCH_H

#include "base/slice.h"

enum { STRETCH_SIZE = 64, STRETCH_PASSWORD_MAX = 1024 };

/* scrypt (RFC 7914) with N = 2^17, r = 8, p = 1, salted with the grid's name behind a prefix of our own, so that one table
 * serves one grid. 0; GRID_EINVAL for an empty password or one over STRETCH_PASSWORD_MAX bytes; GRID_ENOMEM. The caller wipes
 * `out`. */
int stretch_password(struct slice password, const char *grid_name, uint8_t out[STRETCH_SIZE]);

/* The fixed, public password of a grid that is linked by name alone (--open): keeps grids of different names apart, and nobody
 * out. */
int stretch_open(const char *grid_name, uint8_t out[STRETCH_SIZE]);

#endif
