/* cli/dev_watch.h: tells when a project folder changes (inotify). What .gridignore leaves out is not watched; of node_modules only its own
 * entries are, since package managers finish by writing there. One thread. */
#ifndef GRID_CLI_DEV_WATCH_H
#define GRID_CLI_DEV_WATCH_H

#include <stdbool.h>

struct dev_watch;

/* Watches the folder at this absolute path (borrowed for its life). NULL with errno when that is not possible. */
struct dev_watch *dev_watch_create(const char *root);
void dev_watch_destroy(struct dev_watch *w);

/* Readable when something happened. */
int dev_watch_fd(const struct dev_watch *w);

/* Reads what happened; true when something of the project changed. */
bool dev_watch_read(struct dev_watch *w);

/* True when the project has more folders than can be watched: changes in some go unseen. */
bool dev_watch_is_partial(const struct dev_watch *w);

#endif
