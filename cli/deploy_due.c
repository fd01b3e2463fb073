/* Changes gathered into one deploy. */
#include "cli/deploy_due.h"

enum { QUIET_MS = 100, PATIENCE_MS = 1000, GIVE_UP_MS = 3000, DOUBLINGS_MAX = 8 };

void deploy_due_changed(struct deploy_due *d, uint64_t now_ms)
{
    if (!d->changed)
        d->first_ms = now_ms;
    d->changed = true;
    d->last_ms = now_ms;
}

void deploy_due_started(struct deploy_due *d, uint64_t now_ms)
{
    d->changed = false;
    d->deploying = true;
    d->started_ms = now_ms;
}

void deploy_due_ended(struct deploy_due *d)
{
    if (!d->giving_up)
        d->given_up = 0;
    d->deploying = d->giving_up = false;
}

int deploy_due_wait(const struct deploy_due *d, uint64_t now_ms)
{
    if (!d->changed || d->giving_up)
        return -1;
    uint64_t quiet = d->last_ms + QUIET_MS, late = d->first_ms + PATIENCE_MS, due = quiet < late ? quiet : late;
    uint64_t given_up = d->started_ms + ((uint64_t) GIVE_UP_MS << d->given_up);
    if (d->deploying && due < given_up)
        due = given_up;
    return due <= now_ms ? 0 : (int) (due - now_ms);
}

bool deploy_due_gives_up(struct deploy_due *d)
{
    if (d->deploying && d->given_up < DOUBLINGS_MAX)
        d->given_up++;
    d->giving_up = d->deploying;
    return d->deploying;
}
