/* One moment says it all. */
#include "base/pacer.h"

enum { US_PER_MS = 1000, US_PER_S = 1000000, CREDIT_US = 250000 };

void pacer_init(struct pacer *p, uint64_t rate_per_s)
{
    *p = (struct pacer){.rate_per_s = rate_per_s};
}

uint64_t pacer_wait_ms(const struct pacer *p, uint64_t now_ms)
{
    uint64_t now_us = now_ms * US_PER_MS;
    if (p->rate_per_s == 0 || p->paid_at_us <= now_us)
        return 0;
    return (p->paid_at_us - now_us + US_PER_MS - 1) / US_PER_MS;
}

static uint64_t time_of(const struct pacer *p, uint64_t amount)
{
    return amount * US_PER_S / p->rate_per_s;
}

void pacer_spend(struct pacer *p, uint64_t amount, uint64_t now_ms)
{
    uint64_t now_us = now_ms * US_PER_MS, credit_from = now_us > CREDIT_US ? now_us - CREDIT_US : 0;
    if (p->rate_per_s == 0)
        return;
    if (p->paid_at_us < credit_from)
        p->paid_at_us = credit_from;
    p->paid_at_us += time_of(p, amount);
}

void pacer_spend_within(struct pacer *p, uint64_t amount, uint64_t debt_max_ms, uint64_t now_ms)
{
    uint64_t before_us = p->paid_at_us, deepest_us = (now_ms + debt_max_ms) * US_PER_MS;
    pacer_spend(p, amount, now_ms);
    if (p->paid_at_us > deepest_us)
        p->paid_at_us = before_us > deepest_us ? before_us : deepest_us;
}

void pacer_refund(struct pacer *p, uint64_t amount)
{
    if (p->rate_per_s == 0)
        return;
    uint64_t time_us = time_of(p, amount);
    p->paid_at_us -= time_us < p->paid_at_us ? time_us : p->paid_at_us;
}
