/* Adaptive busy polling: a window that grows with short waits and closes with long ones. */
#include "net/busy_poll.h"

enum { BUSY_POLL_FIRST_NS = 10 * 1000 };

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
    uint64_t grown = b->window_ns > 0 ? b->window_ns * 2 : BUSY_POLL_FIRST_NS;
    return grown < b->max_ns ? grown : b->max_ns;
}

bool busy_poll_again(struct busy_poll *b, bool event, uint64_t now_ns)
{
    if (event && b->since_ns != 0)
        b->window_ns = window_after(b, now_ns - b->since_ns);
    if (event || b->since_ns == 0)
        b->since_ns = now_ns;
    return now_ns - b->since_ns < b->window_ns;
}
