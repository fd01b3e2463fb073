/* What a node knows to be wrong with its place in the grid. */
#include "server/node_faults.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "server/node_internal.h"
#include "server/node_join.h"
#include "server/node_trust.h"
#include "trust/ledger.h"

enum { DENIED_LASTS_MS = 90 * 1000 /* three times as long as until the next dial */ };

void node_faults_denied(struct node *n, const char *address, const char *why, bool revoked)
{
    snprintf(n->denied.address, sizeof n->denied.address, "%s", address);
    snprintf(n->denied.why, sizeof n->denied.why, "%s", why);
    n->denied.at_ms = loop_now_ms(n->loop);
    if (!revoked || n->evicted)
        return;
    n->evicted = true;
    log_line(LOG_ERROR, "this node has been evicted from the grid: no member speaks with it any more; stop it, and start it with a new state folder to join as another node",
             LOGF_STR("told_by", address));
    node_routes_changed(n);
}

void node_faults_accepted(struct node *n)
{
    n->denied.at_ms = 0;
    n->evicted = false;
}

bool node_is_evicted(const struct node *n)
{
    return n->evicted || (n->ledger && n->key && ledger_is_evicted(n->ledger, node_id(n)));
}

static const char *denied_sentence(const struct node *n, struct arena *arena)
{
    if (n->denied.at_ms == 0 || loop_now_ms(n->loop) - n->denied.at_ms > DENIED_LASTS_MS)
        return NULL;
    return arena_printf(arena, "%s and this node do not take each other's certificate (%s): see that both have the Gridfile, or name and password, of one grid; \"grid adopt\" moves a node from one to the other",
                        n->denied.address, n->denied.why);
}

size_t node_faults_list(const struct node *n, struct arena *arena, const char *out[NODE_FAULTS_MAX])
{
    size_t count = 0;
    if (node_is_evicted(n))
        out[count] = "the grid has evicted this node, and no member speaks with it: stop it, and start it with a new state folder to join as another node";
    else
        out[count] = denied_sentence(n, arena);
    count += out[count] != NULL;
    return count + node_join_faults(n, arena, out + count, NODE_FAULTS_MAX - count);
}
