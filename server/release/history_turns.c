/* A short list of who was asked. */
#include "server/release/history_turns.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static struct history_asked *asked_of(struct history_turns *t, const char *id)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->asked[i].id, id) == 0)
            return &t->asked[i];
    return NULL;
}

static const struct history_asked NEVER = {0}, NO_PLACE = {.again_ms = UINT64_MAX};

static const struct history_asked *state_of(const struct history_turns *t, const char *id)
{
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->asked[i].id, id) == 0)
            return &t->asked[i];
    return t->count < HISTORY_ASKED_MAX ? &NEVER : &NO_PLACE;
}

size_t history_turns_pick(const struct history_turns *t, const char *const *ids, size_t count, uint64_t now_ms, uint64_t *wait_ms)
{
    uint64_t next_ms = UINT64_MAX;
    unsigned failures = 0;
    size_t best = count;
    for (size_t i = 0; i < count; i++) {
        const struct history_asked *asked = state_of(t, ids[i]);
        if (asked->again_ms <= now_ms && (best == count || asked->failures < failures)) {
            best = i;
            failures = asked->failures;
        }
        next_ms = asked->again_ms < next_ms ? asked->again_ms : next_ms;
    }
    *wait_ms = best < count ? 0 : next_ms == UINT64_MAX ? UINT64_MAX : next_ms - now_ms;
    return best;
}

static struct history_asked *asked_make(struct history_turns *t, const char *id)
{
    struct history_asked *asked = asked_of(t, id);
    if (asked || t->count == HISTORY_ASKED_MAX)
        return asked;
    asked = &t->asked[t->count++];
    *asked = (struct history_asked){0};
    snprintf(asked->id, sizeof asked->id, "%s", id);
    return asked;
}

void history_turns_answered(struct history_turns *t, const char *id)
{
    struct history_asked *asked = asked_make(t, id);
    if (asked)
        asked->again_ms = UINT64_MAX;
}

void history_turns_failed(struct history_turns *t, const char *id, uint64_t now_ms)
{
    struct history_asked *asked = asked_make(t, id);
    if (!asked)
        return;
    uint64_t wait_ms = (uint64_t) HISTORY_NEXT_MS << (asked->failures < 10 ? asked->failures : 10);
    asked->failures++;
    asked->again_ms = now_ms + (wait_ms < HISTORY_RETRY_MAX_MS ? wait_ms : HISTORY_RETRY_MAX_MS);
}
