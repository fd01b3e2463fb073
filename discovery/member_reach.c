/* Addresses of a record, and the record's owner as one. */
#include "discovery/member_reach.h"

bool member_has(const struct member *m, const char *capability)
{
    for (size_t i = 0; i < m->capability_count; i++)
        if (strcmp(m->capabilities[i], capability) == 0)
            return true;
    return false;
}

size_t member_dials(const struct member *m, struct addr *out, size_t max)
{
    bool carried = member_has(m, MEMBER_UNREACHABLE) && max > 0;
    size_t count = 0;
    for (size_t i = 0; i < m->address_count && count + carried < max; i++)
        count += addr_parse(slice_of_str(m->addresses[i]), &out[count]) == 0;
    if (carried)
        addr_member(m->id, &out[count++]);
    return count;
}

bool member_dial(const struct member *m, struct addr *out)
{
    if (member_has(m, MEMBER_UNREACHABLE)) {
        addr_member(m->id, out);
        return true;
    }
    return member_dials(m, out, 1) > 0;
}
