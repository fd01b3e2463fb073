/* cli/deploy_watch.h: a folder deployed again and again, whenever it has changed: `grid deploy --watch`. One thread. */
#ifndef GRID_CLI_DEPLOY_WATCH_H
#define GRID_CLI_DEPLOY_WATCH_H

/* Runs `deploy` (which returns an exit code) in a process of its own, at first and after each change of the folder at this absolute path, until
 * a signal ends it. Nothing that a fork would harm, such as the client library, may have begun before. Returns GRID_DONE; what `deploy` returned
 * when the very first one is told that it was asked wrongly or that there is no node; GRID_FAILED when it cannot be done at all. */
int deploy_watch(const char *folder, int (*deploy)(void *arg), void *arg);

#endif
