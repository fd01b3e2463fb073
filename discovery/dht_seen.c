/* Votes on the own address. */
#include "discovery/dht_seen.h"

void dht_seen_vote(struct dht_seen *s, const struct dht_endpoint *voter, const struct dht_endpoint *seen)
{
    size_t at = 0;
    if (dht_endpoint_scope(seen) != DHT_SCOPE_PUBLIC)
        return;
    while (at < s->count && !dht_endpoint_same_net(&s->votes[at].voter, voter))
        at++;
    if (at == s->count && s->count < DHT_SEEN_VOTES)
        s->count++;
    else if (at == s->count)
        at = s->next++ % DHT_SEEN_VOTES;
    s->votes[at].voter = *voter;
    s->votes[at].seen = *seen;
}

const struct dht_endpoint *dht_seen_address(const struct dht_seen *s)
{
    for (size_t i = 0; i < s->count; i++) {
        unsigned same = 0;
        for (size_t k = 0; k < s->count; k++)
            same += dht_endpoint_same_ip(&s->votes[i].seen, &s->votes[k].seen);
        if (same >= DHT_SEEN_MAJORITY)
            return &s->votes[i].seen;
    }
    return NULL;
}
