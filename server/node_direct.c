/* Who is linked by way of a third now, and the dials. */
#include "server/node_direct.h"

#include <bsd/stdlib.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "discovery/direct_retry.h"
#include "discovery/member_reach.h"

enum { LOOK_SOON_MS = 20 };

struct node_direct {
    struct direct_retry core;
    struct loop_timer timer;
    bool stopped;
};

/* FNV-1a, with the end of the text. */
static uint64_t mix(uint64_t hash, const char *text)
{
    do
        hash = (hash ^ (unsigned char) *text) * UINT64_C(1099511628211);
    while (*text++ != '\0');
    return hash;
}

static uint64_t places_of(const struct member *m)
{
    uint64_t hash = mix(UINT64_C(14695981039346656037), member_has(m, MEMBER_UNREACHABLE) ? MEMBER_UNREACHABLE : "");
    for (size_t i = 0; i < m->address_count; i++)
        hash = mix(hash, m->addresses[i]);
    return hash;
}

static size_t find_relayed(const struct node *n, struct direct_retry_member found[DIRECT_RETRY_MEMBERS_MAX])
{
    size_t count = 0;
    for (size_t i = 1; i < node_member_count(n) && count < DIRECT_RETRY_MEMBERS_MAX; i++) {
        const struct member *m = node_member(n, i);
        if (m->linked && gossip_path(n->gossip, m->id, NULL) == GOSSIP_PATH_RELAYED)
            found[count++] = (struct direct_retry_member){m->id, places_of(m)};
    }
    return count;
}

static void look(void *arg)
{
    struct node *n = arg;
    struct direct_retry_member relayed[DIRECT_RETRY_MEMBERS_MAX];
    uint64_t wait;
    if (!n->gossip || n->direct->stopped)
        return;
    int one = direct_retry_next(&n->direct->core, relayed, find_relayed(n, relayed), loop_now_ms(n->loop), &wait);
    if (one >= 0) {
        log_line(LOG_DEBUG, "a member that is linked by way of a third is dialled directly", LOGF_STR("member", relayed[one].id));
        (void) gossip_dial_direct(n->gossip, relayed[one].id); /* no memory: another time */
    }
    if (wait != UINT64_MAX)
        loop_timer_start(n->loop, &n->direct->timer, wait, look, n);
}

void node_direct_look_soon(struct node *n)
{
    struct node_direct *d = n->direct;
    if (d && !d->stopped && (!loop_timer_running(&d->timer) || d->timer.due_ms > loop_now_ms(n->loop) + LOOK_SOON_MS))
        loop_timer_start(n->loop, &d->timer, LOOK_SOON_MS, look, n);
}

void node_direct_network_changed(struct node *n)
{
    if (n->direct)
        direct_retry_network_changed(&n->direct->core, loop_now_ms(n->loop));
    node_direct_look_soon(n);
}

int node_direct_open(struct node *n)
{
    n->direct = calloc(1, sizeof *n->direct);
    if (!n->direct)
        return GRID_ENOMEM;
    direct_retry_init(&n->direct->core, (uint64_t) arc4random() << 32 | arc4random());
    return 0;
}

void node_direct_stop(struct node *n)
{
    if (!n->direct)
        return;
    n->direct->stopped = true;
    loop_timer_stop(&n->direct->timer);
}

void node_direct_free(struct node *n)
{
    free(n->direct);
    n->direct = NULL;
}
