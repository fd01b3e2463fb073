/* Adaptive busy polling: a window that grows with short waits and closes with long ones. */
#include "net/busy_poll.h"

enum {
    FIRST_NS = 10 * 1000,
    GAP_NS = 10 * 1000, /* a look takes about one microsecond */
    SHUT_NS = 2 * 1000 * 1000,
};

void busy_poll_init(struct busy_poll *b, uint64_t max_ns)
{
    *b = (struct busy_poll){.max_ns = max_ns};
}

static uint64_t window_after(const struct busy_poll *b, uint64_t waited_ns)
{
    if (waited_ns <= b->window_ns)
        return b->window_ns;
    if (waited_ns > b->max_ns)
        return 0;
    uint64_t grown = b->window_ns > 0 ? b->window_ns * 2 : FIRST_NS;
    return grown < b->max_ns ? grown : b->max_ns;
}

/* Whether another thread had the CPU since the last look that found nothing. */
static bool contended(const struct busy_poll *b, bool event, uint64_t now_ns)
{
    return !event && b->asked_ns != 0 && now_ns - b->asked_ns > GAP_NS;
}

bool busy_poll_again(struct busy_poll *b, bool event, uint64_t now_ns)
{
    if (event && b->since_ns != 0)
        b->window_ns = window_after(b, now_ns - b->since_ns);
    if (event || b->since_ns == 0)
        b->since_ns = now_ns;
    if (contended(b, event, now_ns))
        b->shut_ns = now_ns + SHUT_NS;
    bool again = now_ns >= b->shut_ns && now_ns - b->since_ns < b->window_ns;
    b->asked_ns = again ? now_ns : 0;
    return again;
}
