/* net/port.h: whether a TCP port can be listened on, and at which addresses. */
#ifndef GRID_NET_PORT_H
#define GRID_NET_PORT_H

#include <stdbool.h>
#include <stdint.h>

/* Nobody listens on the port, on 127.0.0.1 or all addresses: tried by listening there for a moment. Any thread. */
bool port_is_free(uint16_t port);

/* The address, whatever its port, is one of this machine's, or all of them: tried by binding a UDP socket there for a moment. Any thread. */
struct addr;
bool port_has_address(const struct addr *a);

#endif
