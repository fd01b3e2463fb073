/* base/pacer.h: a token bucket that may go into debt: what was spent beyond the rate is waited for afterwards. For bytes whose number is known
 * only when they have been moved. No clock: time is given. One thread at a time. */
#ifndef GRID_BASE_PACER_H
#define GRID_BASE_PACER_H

#include <stdint.h>

/* Kept as the moment at which the debt is paid (GCRA), which is earlier than now while there is credit. */
struct pacer {
    uint64_t rate_per_s; /* 0: no bound */
    uint64_t paid_at_us;
};

/* Credit of a quarter of a second at most, which there is at first. */
void pacer_init(struct pacer *p, uint64_t rate_per_s);

/* Milliseconds until something may be spent again; 0 for now. `now_ms` is monotonic. */
uint64_t pacer_wait_ms(const struct pacer *p, uint64_t now_ms);

/* `amount` below 2^40. */
void pacer_spend(struct pacer *p, uint64_t amount, uint64_t now_ms);

/* Spends, but goes no deeper into debt for it than that takes so long to pay: for what is not held up however deep the debt is. */
void pacer_spend_within(struct pacer *p, uint64_t amount, uint64_t debt_max_ms, uint64_t now_ms);

/* Gives back what was spent and not used. */
void pacer_refund(struct pacer *p, uint64_t amount);

#endif
