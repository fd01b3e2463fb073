/* cli/deploy_due.h: when a project that changes is deployed again. Pure: milliseconds of one clock come from outside.
 *
 *     unchanged --change--> due once nothing has changed for 100 ms, or 1 s after the first change --start--> unchanged
 *
 * One deploy at a time. One that has taken 3 s when the next is due is given up: it waits for a node or a task that does not come, and the
 * newest files are what counts. The one behind it may take twice as long, and so on, so that a deploy that is merely slow comes to its end. */
#ifndef GRID_CLI_DEPLOY_DUE_H
#define GRID_CLI_DEPLOY_DUE_H

#include <stdbool.h>
#include <stdint.h>

/* Zero-initialized: nothing has changed. */
struct deploy_due {
    bool changed, deploying, giving_up;
    uint64_t first_ms, last_ms; /* of the changes */
    uint64_t started_ms;        /* of the deploy under way */
    unsigned given_up;          /* deploys in a row */
};

void deploy_due_changed(struct deploy_due *d, uint64_t now_ms);
void deploy_due_started(struct deploy_due *d, uint64_t now_ms);
void deploy_due_ended(struct deploy_due *d);

/* What to do: 0 something now, -1 nothing until something happens, else in so many milliseconds. */
int deploy_due_wait(const struct deploy_due *d, uint64_t now_ms);

/* When that is 0: true when the deploy under way is to be ended first (once; then it is waited for), false when one is to be started. */
bool deploy_due_gives_up(struct deploy_due *d);

#endif
