/* client/fault.h: filling struct grid_error. Any thread. */
#ifndef GRID_CLIENT_FAULT_H
#define GRID_CLIENT_FAULT_H

#include "client/gridcontrol/client.h"

#include "base/slice.h"

/* Both return the code. `error` may be NULL. Control characters become spaces; what is too long is cut. */
enum grid_code fault_set(struct grid_error *error, enum grid_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));
enum grid_code fault_set_slice(struct grid_error *error, enum grid_code code, struct slice message);

#endif
