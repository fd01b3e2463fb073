/* base/budget.h: an amount that many holders share, such as the bytes of all requests being held. Pure. One thread. */
#ifndef GRID_BASE_BUDGET_H
#define GRID_BASE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

struct budget {
    size_t max;
    size_t held; /* by all together */
};

/* Changes what one holder has of it from *share to `want`. False when that is more than there is: then nothing changes. Less is always
 * granted. */
bool budget_set(struct budget *b, size_t *share, size_t want);

#endif
