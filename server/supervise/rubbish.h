/* server/supervise/rubbish.h: deletes, in the pool and a step at a time, what was set aside in a folder (fs/materialize.h): tasks can leave folders that take minutes to delete, which
 * must hold up neither a start nor a stop nor others' work in the pool. One loop's thread. */
#ifndef GRID_SERVER_SUPERVISE_RUBBISH_H
#define GRID_SERVER_SUPERVISE_RUBBISH_H

#include "net/loop.h"

struct rubbish;

enum { RUBBISH_STEP = 256 }; /* entries: some tenths of a second at the most */

/* Begins. What is left at the close goes on at the next start. 0, GRID_EIO (no such folder), GRID_ENOMEM. */
int rubbish_create(struct loop *l, const char *folder, struct rubbish **out);
/* Ends after the step under way; `done` when its memory is gone, later or inside. */
void rubbish_close(struct rubbish *r, loop_fn done, void *arg);

#endif
