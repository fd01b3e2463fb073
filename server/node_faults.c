/* What a node knows to be wrong with its place in the grid. */
#include "server/node_faults.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "discovery/gossip.h"
#include "server/node_internal.h"
#include "server/node_join.h"
#include "server/node_ledger.h"
#include "server/node_lonely.h"
#include "server/node_trust.h"
#include "trust/ledger.h"

enum { DENIED_LASTS_MS = 90 * 1000 /* longer than between two dials of any profile to one that refuses: 75 s at most (seeds, by wan) */ };

/* While a link stands not all of them refuse this node. */
static bool is_told(const struct node *n, uint64_t at_ms)
{
    return at_ms != 0 && loop_now_ms(n->loop) - at_ms <= DENIED_LASTS_MS && !(n->gossip && members_link_stands(gossip_members(n->gossip)));
}

/* Said once, when it is news. */
static void take_word(struct node *n, uint64_t *at_ms, const char *address, const char *sentence)
{
    bool was = is_told(n, *at_ms);
    *at_ms = n->denied.at_ms;
    if (was || !is_told(n, *at_ms))
        return;
    log_line(LOG_ERROR, sentence, LOGF_STR("told_by", address));
    node_routes_changed(n);
}

void node_faults_denied(struct node *n, const char *address, const char *why, enum tls_refusal refusal)
{
    snprintf(n->denied.address, sizeof n->denied.address, "%s", address);
    snprintf(n->denied.why, sizeof n->denied.why, "%s", why);
    n->denied.by_clock = refusal == TLS_REFUSAL_CLOCK;
    n->denied.at_ms = loop_now_ms(n->loop);
    if (refusal == TLS_REFUSAL_REVOKED)
        take_word(n, &n->evicted_at_ms, address, "this node has been evicted from the grid: no member speaks with it any more; stop it, and start it with a new state folder to join as another node");
    else if (refusal == TLS_REFUSAL_BEHIND)
        take_word(n, &n->behind_at_ms, address, NODE_BEHIND);
}

void node_faults_accepted(struct node *n)
{
    n->denied.at_ms = n->evicted_at_ms = n->behind_at_ms = 0;
}

bool node_is_evicted(const struct node *n)
{
    return is_told(n, n->evicted_at_ms) || (n->ledger && n->key && ledger_is_evicted(n->ledger, node_id(n)));
}

bool node_is_behind(const struct node *n)
{
    return is_told(n, n->behind_at_ms);
}

bool node_is_denied(const struct node *n)
{
    return n->denied.at_ms != 0 && loop_now_ms(n->loop) - n->denied.at_ms <= DENIED_LASTS_MS;
}

static const char *denied_sentence(const struct node *n, struct arena *arena)
{
    static const char *const REMEDIES[] = {"see that both have the Gridfile, or name and password, of one grid; \"grid adopt\" moves a node from one to the other",
                                           "see that both machines' clocks are right, by a time service such as systemd-timesyncd"};
    if (!node_is_denied(n))
        return NULL;
    return arena_printf(arena, "%s and this node do not take each other's certificate (%s): %s", n->denied.address, n->denied.why, REMEDIES[n->denied.by_clock]);
}

static const char *release_sentence(const struct node *n, struct arena *arena)
{
    const char *trouble = n->releases ? releases_trouble(n->releases) : "";
    return trouble[0] ? arena_printf(arena, "%s", trouble) : NULL;
}

static const char *damage_sentence(const struct node *n, struct arena *arena)
{
    uint64_t damaged = n->releases ? releases_damage(n->releases) : 0;
    if (damaged == 0)
        return NULL;
    const char *lost = releases_lost(n->releases), *lacks = "";
    if (releases_is_mending(n->releases))
        lacks = ", and what the release that runs lacks is not fetched yet";
    else if (lost[0])
        lacks = arena_printf(arena, ", and release %.8s cannot be gone back to from here, since no node that can be reached has what it lacks", lost);
    return arena_printf(arena, "the disk has damaged %" PRIu64 " of the objects that the store keeps since this node started%s: look at the disk's health (smartctl -a), and move the state folder if it fails", damaged,
                        lacks);
}

static const char *lost_key_sentence(const struct node *n, struct arena *arena)
{
    const struct ledger_tombstone *t = n->ledger && !node_is_evicted(n) ? ledger_evicted_heir(n->ledger) : NULL;
    return t ? arena_printf(arena, "%s (ID %s): " NODE_LEDGER_LOST_KEY, t->name, t->id) : NULL;
}

size_t node_faults_list(const struct node *n, struct arena *arena, const char *out[NODE_FAULTS_MAX])
{
    size_t count = 0;
    if (node_is_evicted(n))
        out[count] = "the grid has evicted this node, and no member speaks with it: stop it, and start it with a new state folder to join as another node";
    else
        out[count] = node_is_behind(n) ? NODE_BEHIND : denied_sentence(n, arena);
    count += out[count] != NULL;
    out[count] = lost_key_sentence(n, arena);
    count += out[count] != NULL;
    out[count] = release_sentence(n, arena);
    count += out[count] != NULL;
    out[count] = damage_sentence(n, arena);
    count += out[count] != NULL;
    if (NODE_FAULTS_MAX - count >= NODE_LONELY_MAX)
        count += node_lonely_faults(n, arena, out + count);
    return count + node_join_faults(n, arena, out + count, NODE_FAULTS_MAX - count);
}
