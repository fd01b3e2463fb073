/* A release is let go when enough newer ones are kept, or when it was replaced too long ago. */
#include "fs/release_keep.h"

static bool was_replaced_before(const struct release_entry *successor, uint64_t age_ms, int64_t now_ms)
{
    return now_ms > successor->published_at_ms && (uint64_t) now_ms - (uint64_t) successor->published_at_ms > age_ms;
}

size_t release_keep_count(const struct release_log *l, struct slice app, const struct release_keep *keep, int64_t now_ms)
{
    size_t count = release_log_count(l, app), kept = 0;
    for (; kept < count && kept < keep->count; kept++)
        if (kept > 0 && keep->age_ms > 0 && was_replaced_before(release_log_at(l, app, kept - 1), keep->age_ms, now_ms))
            break;
    return kept;
}
