/* discovery/file_seeds.h: a file of addresses, one a line ("host:port" or "srv:NAME"; from a '#' on it is a comment), as configuration management writes them. Looked at every
 * FILE_SEEDS_LOOK_MS, so that it may be replaced or written to in any way; names in it are looked up as discovery/dns_seeds.h says. The loop's thread only; the file is read on
 * the pool. */
#ifndef GRID_DISCOVERY_FILE_SEEDS_H
#define GRID_DISCOVERY_FILE_SEEDS_H

#include "discovery/dns_seeds.h"

enum { FILE_SEEDS_LOOK_MS = 1000, FILE_SEEDS_BYTES_MAX = 64 * 1024 };

/* The addresses of such a text, borrowed from it, at most `max`; *bad (may be NULL) is the number of the first line that holds none, 0 when all are good. Pure. */
size_t file_seeds_parse(struct slice text, struct slice *out, size_t max, size_t *bad);

struct file_seeds;

/* `events` is kept; faults of the file itself have its path as name. 0, GRID_ENOMEM, GRID_EIO. */
int file_seeds_create(struct loop *l, const char *path, const struct dns_seeds_events *events, void *ctx, struct file_seeds **out);
/* `on_closed` comes when its memory is gone. */
void file_seeds_close(struct file_seeds *f, loop_fn on_closed, void *arg);

#endif
