/* net/dns_services.h: the services that a DNS answer names (SRV records, RFC 2782). Pure; any thread. */
#ifndef GRID_NET_DNS_SERVICES_H
#define GRID_NET_DNS_SERVICES_H

#include <stdint.h>

#include "base/slice.h"

enum { DNS_SERVICES_MAX = 64, DNS_NAME_MAX = 255 };

struct dns_service {
    uint16_t priority, weight, port;
    char host[DNS_NAME_MAX + 1]; /* without the dot at the end */
};

struct dns_services {
    size_t count;
    uint32_t ttl_s; /* the least of their records'; 0 without any */
    struct dns_service at[DNS_SERVICES_MAX];
};

/* Reads an answer as it came (RFC 1035). More than DNS_SERVICES_MAX are passed over, as are records of other kinds, a host "." (no such service), and what is
 * no host's name. 0; GRID_EPROTO when it is malformed;
 * GRID_ENOMEM. */
int dns_services_read(struct slice answer, struct dns_services *out);

#endif
