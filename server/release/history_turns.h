/* server/release/history_turns.h: whom to ask next for the entries of the release log that are lacking here. Each node once, so that what nobody has is not
 * asked for without end; who could not be asked again later, after longer each time. Pure: time comes as an argument, in milliseconds. */
#ifndef GRID_SERVER_RELEASE_HISTORY_TURNS_H
#define GRID_SERVER_RELEASE_HISTORY_TURNS_H

#include <stddef.h>
#include <stdint.h>

enum {
    HISTORY_ASKED_MAX = 16, /* nodes, until the newest entry is another */
    HISTORY_FIRST_MS = 200, /* entries that come out of order need not be asked for */
    HISTORY_NEXT_MS = 1000, HISTORY_RETRY_MAX_MS = 300000,
};

struct history_asked {
    char id[65];
    uint64_t again_ms; /* not before; UINT64_MAX: it has answered */
    unsigned failures;
};

/* All zero: nobody has been asked. */
struct history_turns {
    struct history_asked asked[HISTORY_ASKED_MAX];
    size_t count;
};

/* Which of `ids`, in the order in which they are to be asked, but who has failed after the others; `count` when none is now: *wait_ms says when one is, UINT64_MAX: not before there are others. */
size_t history_turns_pick(const struct history_turns *t, const char *const *ids, size_t count, uint64_t now_ms, uint64_t *wait_ms);
/* It has told all that it has. */
void history_turns_answered(struct history_turns *t, const char *id);
/* It could not be asked, or broke off. */
void history_turns_failed(struct history_turns *t, const char *id, uint64_t now_ms);

#endif
