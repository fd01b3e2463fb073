/* net/interface_addresses.h: the addresses of this host, and which interface has each. Asks the kernel. Any thread. */
#ifndef GRID_NET_INTERFACE_ADDRESSES_H
#define GRID_NET_INTERFACE_ADDRESSES_H

#include <stddef.h>

#include "net/addr.h"

struct interface_address {
    int interface; /* the kernel's number of it, above 0 */
    struct addr address; /* without a port */
};

/* At most `max` addresses of interfaces that are up, in the kernel's order: all that mean something beyond this host and one link, so neither loopback nor IPv6's
 * link-local ones. Returns how many; 0 as well when the kernel does not say. */
size_t interface_addresses_read(struct interface_address *out, size_t max);

#endif
