/* net/busy_poll.h: whether an event loop should look for events a little longer or sleep. Pure: no clock of its own.
 *
 * Waking a sleeping thread costs tens of microseconds, on a virtual CPU more, often longer than the answer waited for. So the loop
 * looks on for a short window when the last waits were short, and sleeps at once when they were long, as KVM's adaptive halt
 * polling does for virtual CPUs (Linux, Documentation/virt/kvm/halt-polling.rst): a wait that ended soon after the window doubles
 * it, one that lasted longer than the greatest window closes it. An idle loop therefore costs nothing. Nor does it pay where
 * threads contend for the CPU: a gap between two questions means that another one had it, and for a while the loop sleeps at
 * once. */
#ifndef GRID_NET_BUSY_POLL_H
#define GRID_NET_BUSY_POLL_H

#include <stdbool.h>
#include <stdint.h>

struct busy_poll {
    uint64_t max_ns;    /* 0: never */
    uint64_t window_ns; /* how long to look now: 0 to max_ns */
    uint64_t since_ns;  /* when the wait under way began; 0: none */
    uint64_t asked_ns;  /* when it was last told to look; 0: it was told to sleep */
    uint64_t shut_ns;   /* until then it sleeps: the CPU is contended */
};

/* max_ns: the greatest window. */
void busy_poll_init(struct busy_poll *b, uint64_t max_ns);

/* Asked before each poll. `event`: whether something came since the last question; now_ns is monotonic.
 * True: poll without sleeping and ask again; false: sleep. Any one thread at a time. */
bool busy_poll_again(struct busy_poll *b, bool event, uint64_t now_ns);

#endif
