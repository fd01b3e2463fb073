/* server/moniker.h: names for nodes that were given none: "fluffy-donkey". Pure. */
#ifndef GRID_SERVER_MONIKER_H
#define GRID_SERVER_MONIKER_H

#include <stdint.h>

enum { MONIKER_MAX = 32 };

/* One of 4,096 names for a random number. */
void moniker_make(uint32_t random, char out[MONIKER_MAX]);

#endif
