/* discovery/avahi_poll.h: Avahi's idea of an event loop (AvahiPoll) on ours. The loop's thread only. */
#ifndef GRID_DISCOVERY_AVAHI_POLL_H
#define GRID_DISCOVERY_AVAHI_POLL_H

#include <avahi-common/watch.h>

#include "net/loop.h"

/* Fills in *out, whose watches and timeouts run on `l` from then on. Who uses it frees them all before the loop is destroyed. */
void avahi_poll_init(struct AvahiPoll *out, struct loop *l);

#endif
