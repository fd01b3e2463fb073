/* Shares of one amount. */
#include "base/budget.h"

bool budget_set(struct budget *b, size_t *share, size_t want)
{
    if (want > *share && want - *share > b->max - b->held)
        return false;
    b->held = b->held - *share + want;
    *share = want;
    return true;
}
