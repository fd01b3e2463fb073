/* What was seen last of each place is kept, and told while nobody is linked. */
#include "server/node_lonely.h"

#include <stdio.h>
#include <string.h>

#include "server/node_discover.h"
#include "server/node_faults.h"

enum { REFUSED_LASTS_MS = 90 * 1000 /* longer than between two dials to one that refuses */ };

/* ---- what is seen ---- */

static bool is_named(const struct node *n, const char *address)
{
    for (size_t i = 0; i < n->options->join_count; i++)
        if (strcmp(n->options->join[i], address) == 0)
            return true;
    const char *source = node_discover_source(n, address);
    return source && (strcmp(source, "dns") == 0 || strcmp(source, "file") == 0);
}

/* The one that was missed longest ago makes room. */
static struct node_missed *place_for(struct node *n, const char *address)
{
    struct node_missed *oldest = &n->lonely.missed[0];
    for (size_t i = 0; i < NODE_MISSED_MAX; i++) {
        struct node_missed *m = &n->lonely.missed[i];
        if (strcmp(m->address, address) == 0)
            return m;
        oldest = m->at_ms < oldest->at_ms ? m : oldest;
    }
    return oldest;
}

void node_lonely_missed(struct node *n, const char *address, enum members_dial_fault fault)
{
    if (!is_named(n, address))
        return;
    struct node_missed *m = place_for(n, address);
    snprintf(m->address, sizeof m->address, "%s", address);
    m->fault = fault;
    m->at_ms = loop_now_ms(n->loop);
}

void node_lonely_refused(struct node *n, struct slice reason, bool by_peer)
{
    snprintf(n->lonely.refused, sizeof n->lonely.refused, "%s: %.*s", by_peer ? "a node refuses this one" : "this node refuses another", SLICE_FMT(reason));
    n->lonely.refused_at_ms = loop_now_ms(n->loop);
}

void node_lonely_mdns(struct node *n, const char *why)
{
    snprintf(n->lonely.mdns, sizeof n->lonely.mdns, "%s", why ? why : "");
}

/* ---- what is said ---- */

static bool is_lonely(const struct node *n)
{
    for (size_t i = 1; i < node_member_count(n); i++)
        if (node_member(n, i)->state == MEMBER_ALIVE)
            return false;
    return true;
}

static const char *missed_sentence(const struct node_missed *m, struct arena *arena)
{
    static const char *const WHY[] = {
        [MEMBERS_DIAL_REFUSED] = "refuses connections: no gridd listens there; start it, or mend the address or the port",
        [MEMBERS_DIAL_TIMEOUT] = "does not answer: its host is off or cannot be reached from here, the address is wrong, or a firewall drops what is sent to that port",
        [MEMBERS_DIAL_DENIED] = "answers, but is no node that takes this one for a member of its grid: see that the address and the port are a gridd's, and that both have the Gridfile, or name and password, of one grid",
        [MEMBERS_DIAL_SILENT] = "takes connections and says nothing: its gridd stands still, or something else listens there",
    };
    return arena_printf(arena, "%s %s", m->address, WHY[m->fault]);
}

/* node_faults.c says why. */
static bool is_denied_at(const struct node *n, const struct node_missed *m)
{
    return m->fault == MEMBERS_DIAL_DENIED && node_is_denied(n) && strcmp(n->denied.address, m->address) == 0;
}

static bool still_missed(const struct node *n, const struct node_missed *m)
{
    return m->at_ms != 0 && !is_denied_at(n, m) && n->gossip && gossip_seed_look(n->gossip, m->address, NULL) == MEMBERS_SEED_TRIED;
}

size_t node_lonely_faults(const struct node *n, struct arena *arena, const char *out[NODE_LONELY_MAX])
{
    size_t count = 0;
    if (!is_lonely(n))
        return 0;
    if (n->lonely.refused_at_ms != 0 && loop_now_ms(n->loop) - n->lonely.refused_at_ms <= REFUSED_LASTS_MS)
        out[count++] = arena_printf(arena, "%s", n->lonely.refused);
    for (size_t i = 0; i < NODE_MISSED_MAX && count < NODE_LONELY_MAX; i++)
        if (still_missed(n, &n->lonely.missed[i]) && (out[count] = missed_sentence(&n->lonely.missed[i], arena)))
            count++;
    return count;
}

static const char *mdns_sentence(const struct node *n, struct arena *arena)
{
    if (n->lonely.mdns[0])
        return arena_printf(arena, "no other node is linked, and none can be looked for by multicast DNS (%s): name one with --join", n->lonely.mdns);
    return "no other node is linked, and multicast DNS has found none of this grid: if there are any on this network, it does not carry multicast (clouds, containers and guest networks seldom do) or a firewall drops UDP port 5353; name one with --join";
}

size_t node_lonely_hints(const struct node *n, struct arena *arena, const char *out[NODE_LONELY_MAX])
{
    size_t count = 0;
    if (!is_lonely(n) || n->grid[0] == '\0')
        return 0;
    if (node_discover_by_mdns(n) && (out[count] = mdns_sentence(n, arena)))
        count++;
    return count;
}
