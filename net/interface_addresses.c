#include "net/interface_addresses.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>

static bool take(const struct ifaddrs *at, struct interface_address *out)
{
    if (!at->ifa_addr || (at->ifa_flags & (IFF_UP | IFF_LOOPBACK)) != IFF_UP)
        return false;
    *out = (struct interface_address){.interface = (int) if_nametoindex(at->ifa_name)};
    if (at->ifa_addr->sa_family == AF_INET)
        out->address.size = sizeof out->address.u.v4;
    else if (at->ifa_addr->sa_family == AF_INET6)
        out->address.size = sizeof out->address.u.v6;
    else
        return false;
    memcpy(&out->address.u, at->ifa_addr, out->address.size);
    return out->interface > 0 && (at->ifa_addr->sa_family == AF_INET || !IN6_IS_ADDR_LINKLOCAL(&out->address.u.v6.sin6_addr));
}

size_t interface_addresses_read(struct interface_address *out, size_t max)
{
    struct ifaddrs *all = NULL;
    size_t count = 0;
    if (getifaddrs(&all) != 0)
        return 0;
    for (const struct ifaddrs *at = all; at && count < max; at = at->ifa_next)
        count += take(at, &out[count]);
    freeifaddrs(all);
    return count;
}
