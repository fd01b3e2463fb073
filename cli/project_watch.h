/* cli/project_watch.h: tells when a project folder may have changed; what has, a deploy finds out. By inotify; where that does not reach (more folders than may
 * be watched, the folder itself gone for a while) by looking through the whole folder every few seconds (2, or more when that takes long). What .gridignore leaves out is not watched; of
 * node_modules only its own entries are, since package managers finish by writing there. One thread; times are milliseconds of a monotonic clock. */
#ifndef GRID_CLI_PROJECT_WATCH_H
#define GRID_CLI_PROJECT_WATCH_H

#include <stdbool.h>
#include <stdint.h>

enum { PROJECT_WATCH_FOLDERS_MAX = 8192 };

struct project_watch;

/* Watches the folder at this absolute path (borrowed for its life), at most `folders_max` folders of it by inotify. NULL when out of memory. */
struct project_watch *project_watch_create(const char *root, unsigned folders_max, uint64_t now_ms);
void project_watch_destroy(struct project_watch *w);

/* Readable when something happened; -1 when inotify is not to be had. */
int project_watch_fd(const struct project_watch *w);

/* How long to wait for that: -1 for ever, else the folder is to be looked through then. */
int project_watch_wait(const struct project_watch *w, uint64_t now_ms);

/* Reads what happened, and looks through the folder when it is time. True when something may have changed. */
bool project_watch_check(struct project_watch *w, uint64_t now_ms);

/* What there is to date is being deployed: only what changes from here on counts. Before the deploy begins. */
void project_watch_passed(struct project_watch *w, uint64_t now_ms);

/* A sentence without its full stop that says why the folder is looked through, when that is news; else NULL. */
const char *project_watch_notice(struct project_watch *w);

#endif
