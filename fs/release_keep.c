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

/* Each entry that has a parent follows one whose sequence is one less; two of one sequence were published at the same time. */
static bool lacks_below(const struct release_entry *e, const struct release_entry *below)
{
    return e->has_parent && e->sequence > 1 && (!below || below->sequence + 1 < e->sequence);
}

bool release_keep_lacks(const struct release_log *l, struct slice app, const struct release_keep *keep, int64_t now_ms)
{
    size_t kept = release_keep_count(l, app, keep, now_ms);
    for (size_t i = 0; i < kept && i + 1 < keep->count; i++) {
        const struct release_entry *e = release_log_at(l, app, i);
        bool is_old = keep->age_ms > 0 && was_replaced_before(e, keep->age_ms, now_ms);
        if (!is_old && lacks_below(e, release_log_at(l, app, i + 1)))
            return true;
    }
    return false;
}
