/* net/race.h: which of one peer's addresses is dialled when ("happy eyeballs", RFC 8305 sections 4 and 5): the first at once, the next one as soon as another has failed or has had a
 * head start. No sockets, no clock. Any one thread at a time. */
#ifndef GRID_NET_RACE_H
#define GRID_NET_RACE_H

#include <stddef.h>

#include "net/addr.h"

enum { RACE_MAX = 16, RACE_HEAD_START_MS = 250 };

enum race_state { RACE_WAITING, RACE_UNDER_WAY, RACE_FAILED };

/* A zeroed one has no address yet. */
struct race {
    struct addr at[RACE_MAX];
    enum race_state states[RACE_MAX];
    size_t count;
    uint64_t next_ms; /* the next one waits until then */
};

/* One more address, behind the others; one that is there already, or more than fit, is left out. While the race runs, too. */
void race_add(struct race *r, const struct addr *at);

/* For a race that has not begun: families take turns from the first one's on, the order within each stays (RFC 8305 section 4). What is of neither stays behind them. */
void race_sort(struct race *r);

/* This one goes first, as it has worked before; it need not be among them. For a race that has not begun. */
void race_prefer(struct race *r, const struct addr *at);

/* The index of the one to dial now, under way from then on; -1 when there is none, with *wait_ms how long until there is one (UINT64_MAX: until one fails or is added). */
int race_next(struct race *r, uint64_t now_ms, uint64_t *wait_ms);

/* The one that was given out came to nothing. */
void race_failed(struct race *r, int index);

/* True when this one, which is under way, is all that is left. */
bool race_is_last(const struct race *r, int index);
/* True when nothing is under way and nothing is left. */
bool race_is_lost(const struct race *r);

#endif
