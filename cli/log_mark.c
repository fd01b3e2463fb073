/* How far lines have been read. */
#include "cli/log_mark.h"

void log_mark_take(struct log_mark *m, int64_t time_ms)
{
    if (time_ms > m->last_ms)
        *m = (struct log_mark){time_ms, 1};
    else if (time_ms == m->last_ms)
        m->at_last++;
}

void log_replay_begin(struct log_replay *r, const struct log_mark *m)
{
    *r = (struct log_replay){.before = *m, .is_past = m->at_last == 0};
}

bool log_replay_is_new(struct log_replay *r, int64_t time_ms)
{
    if (r->is_past)
        return true;
    if (time_ms < r->before.last_ms || (time_ms == r->before.last_ms && ++r->met <= r->before.at_last))
        return false;
    r->is_past = true;
    return true;
}
