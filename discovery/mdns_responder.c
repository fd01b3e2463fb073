/* Names and addresses as both responders give them. */
#include "discovery/mdns_responder.h"

#include <stdio.h>
#include <string.h>


bool mdns_key_of(int interface, int protocol, const char *name, struct mdns_key *out)
{
    size_t size = name ? strlen(name) : 0;
    if (size == 0 || size > MDNS_NAME_MAX)
        return false;
    *out = (struct mdns_key){.interface = interface, .protocol = protocol};
    memcpy(out->name, name, size);
    return true;
}

/* fe80::/10 */
static bool is_link_local(const AvahiAddress *a)
{
    return a->proto == AVAHI_PROTO_INET6 && a->data.ipv6.address[0] == 0xfe && (a->data.ipv6.address[1] & 0xc0) == 0x80;
}

bool mdns_address_of(const AvahiAddress *a, uint16_t port, char out[MDNS_ADDRESS_MAX + 1])
{
    char host[AVAHI_ADDRESS_STR_MAX];
    if (!a || port == 0 || is_link_local(a) || !avahi_address_snprint(host, sizeof host, a))
        return false;
    snprintf(out, MDNS_ADDRESS_MAX + 1, a->proto == AVAHI_PROTO_INET6 ? "[%s]:%u" : "%s:%u", host, port);
    return true;
}
