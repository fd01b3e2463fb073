/* Whom to go to: those of --join, those that other nodes name, those that were found. */
#include <stdio.h>
#include <string.h>

#include "server/node_join_internal.h"

void join_target_add(struct node_join *s, struct slice address, bool hint, uint64_t due_ms)
{
    for (size_t i = 0; i < s->target_count; i++)
        if (slice_equal_str(address, s->targets[i].address)) {
            if (hint && &s->targets[i] != s->at) {
                s->targets[i].settled = false;
                s->targets[i].due_ms = due_ms;
            }
            return;
        }
    if (s->target_count == JOIN_TARGETS_MAX || address.size > JOIN_ADDRESS_MAX)
        return;
    struct join_target *t = &s->targets[s->target_count++];
    *t = (struct join_target){.hint = hint, .due_ms = due_ms};
    snprintf(t->address, sizeof t->address, "%.*s", SLICE_FMT(address));
}

void join_dial_hints(struct node_join *s, const struct slice *addresses, size_t count)
{
    struct slice host;
    uint16_t port;
    for (size_t i = 0; i < count && !node_trust_is_settled(s->node); i++)
        if (addr_split(addresses[i], &host, &port) == 0 && port != 0)
            join_target_add(s, addresses[i], true, loop_now_ms(s->node->loop));
}

static struct join_target *find_target(struct node_join *s, const char *address)
{
    for (size_t i = 0; i < s->target_count; i++)
        if (strcmp(s->targets[i].address, address) == 0)
            return &s->targets[i];
    return NULL;
}

static bool is_in_use(const struct node_join *s, const struct join_target *t)
{
    for (size_t i = 0; i < JOIN_SLOTS; i++)
        if (s->slots[i].exchange && s->slots[i].target == t)
            return true;
    return t == s->at;
}

/* A place for one more that was found: a new one while there are few of its kind, or one that was given up. */
static struct join_target *found_place(struct node_join *s, bool anybodys)
{
    size_t found = 0;
    for (size_t i = 0; i < s->target_count; i++) {
        struct join_target *t = &s->targets[i];
        found += t->found && t->anybodys == anybodys;
        if (t->found && t->given_up && !is_in_use(s, t))
            return t;
    }
    return found < JOIN_FOUND_MAX && s->target_count < JOIN_TARGETS_MAX ? &s->targets[s->target_count++] : NULL;
}

void node_join_try(struct node *n, const char *address, bool operators)
{
    struct node_join *s = n->join;
    if (!s || s->closing || node_trust_is_settled(n) || strlen(address) > JOIN_ADDRESS_MAX)
        return;
    struct join_target *known = find_target(s, address), *t = known ? known : found_place(s, !operators);
    if (known && operators)
        known->anybodys = false;
    if (!t || (known && !known->given_up))
        return;
    if (!known) {
        *t = (struct join_target){.found = true, .anybodys = !operators};
        snprintf(t->address, sizeof t->address, "%s", address);
    }
    t->given_up = false;
    t->due_ms = loop_now_ms(n->loop);
    join_dial_start(s);
}

void node_join_forget(struct node *n, const char *address)
{
    struct join_target *t = n->join ? find_target(n->join, address) : NULL;
    if (t && t->found)
        t->given_up = true;
}
