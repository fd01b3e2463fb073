/* net/port.h: whether a TCP port can be listened on. */
#ifndef GRID_NET_PORT_H
#define GRID_NET_PORT_H

#include <stdbool.h>
#include <stdint.h>

/* Nobody listens on the port, on 127.0.0.1 or all addresses: tried by listening there for a moment. Any thread. */
bool port_is_free(uint16_t port);

#endif
