/* Going to others: one exchange at a time, with the one that is due first or, of those that are dialled at once, reached first, until this node and all of --join's are in one grid. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "net/port.h"
#include "server/node_join_internal.h"

enum {
    DIAL_GRACE_MS = 2000,   /* a member lets gossip find the others first */
    DIAL_AGAIN_MS = 1000,   /* until a young grid looks again whether its neighbours are still in it */
    DIAL_LINK_MS = 200,     /* until gossip goes to somebody new, who has his certificate to take in first */
    DIAL_BUSY_MS = 100,     /* "come again" is waited out for one to five times as long */
    DIAL_RETRY_MS = 250,    /* doubled with each failure, up to */
    DIAL_RETRY_MAX_MS = 30000,
    DIAL_REFUSED_MS = 10000, /* after a refusal that only a person can mend; likewise doubled, up to */
    DIAL_REFUSED_MAX_MS = 600000,
    DIAL_SILENT_MS = 2000, /* doubled with each failure: who has said nothing until then gives way to whoever waits */
};

static const uint8_t ANYBODY[ATTEMPTS_SOURCE_SIZE]; /* all attempts count together */

static void dial_now(void *arg);

/* Gossip has met the one who is reached by this address. */
static bool is_linked(const struct node *n, const char *address)
{
    for (size_t i = 1; i < node_member_count(n); i++) {
        const struct member *m = node_member(n, i);
        for (size_t a = 0; member_routable(m) && a < m->address_count; a++)
            if (strcmp(m->addresses[a], address) == 0)
                return true;
    }
    return false;
}

/* A settled member has nothing to ask of hints, and goes to seeds only to find out whether they are in its grid. */
static bool is_wanted(const struct node_join *s, struct join_target *t)
{
    if (t->settled || t->given_up || t->self)
        return false;
    if (node_trust_is_settled(s->node))
        t->settled = t->hint || t->found || is_linked(s->node, t->address);
    return !t->settled;
}

/* Of those that are due, the operator's and anybody's take turns. */
static bool goes_before(const struct node_join *s, const struct join_target *a, const struct join_target *b)
{
    uint64_t now = loop_now_ms(s->node->loop);
    if (a->due_ms <= now && b->due_ms <= now && a->anybodys != b->anybodys)
        return a->anybodys == s->operators_last;
    return a->due_ms < b->due_ms;
}

/* But the one under way. */
static struct join_target *next_due(struct node_join *s)
{
    struct join_target *next = NULL;
    for (size_t i = 0; i < s->target_count; i++)
        if (&s->targets[i] != s->at && is_wanted(s, &s->targets[i]) && (!next || goes_before(s, &s->targets[i], next)))
            next = &s->targets[i];
    return next;
}

static void link_to(struct node_join *s, const char *address)
{
    if (s->node->gossip && !is_linked(s->node, address) && gossip_add_seed(s->node->gossip, address, DIAL_LINK_MS) != 0)
        log_line(LOG_ERROR, "a node that belongs to the grid cannot be remembered: out of memory", LOGF_STR("at", address));
}

/* What gossip was not told while this node had nothing to show. */
static void give_seeds(struct node_join *s)
{
    const struct options *o = s->node->options;
    s->seeds_given = true;
    for (size_t i = 0; i < o->join_count; i++)
        link_to(s, o->join[i]);
}

static void add_rivals(struct node_join *s);

void join_dial_start(struct node_join *s)
{
    if (s->racing.count > 0)
        add_rivals(s);
    if (!s->seeds_given && node_trust_is_settled(s->node))
        give_seeds(s);
    bool idle = !s->at && !s->closing && !s->node->stopping && s->has_password && s->resolver;
    struct join_target *t = idle ? next_due(s) : NULL;
    uint64_t now = loop_now_ms(s->node->loop);
    if (t)
        loop_timer_start(s->node->loop, &s->timer, t->due_ms > now ? t->due_ms - now : 0, dial_now, s);
}

/* ---- one attempt ---- */

/* Doubled with each failure, and up to half as much again, so that nodes do not meet in step. */
static uint64_t backoff(unsigned failures, uint64_t least_ms, uint64_t most_ms)
{
    uint64_t delay = least_ms << (failures < 12 ? failures : 12);
    delay = delay < most_ms ? delay : most_ms;
    return delay + arc4random_uniform((uint32_t) delay / 2 + 1);
}

/* With the one under way it is over. */
static void leave(struct node_join *s)
{
    s->at = NULL;
    join_dial_start(s);
}

static void retry(struct node_join *s, uint64_t delay_ms)
{
    s->at->due_ms = loop_now_ms(s->node->loop) + delay_ms;
    leave(s);
}

/* Soon, but not in step with others. */
static void again(struct node_join *s)
{
    retry(s, DIAL_AGAIN_MS + arc4random_uniform(DIAL_AGAIN_MS));
}

/* Both are in one grid. As long as that is young it may be otherwise in a moment. */
static void settle(struct node_join *s)
{
    struct join_target *t = s->at;
    t->failures = 0;
    t->differs = false;
    t->said[0] = '\0';
    t->complaint = JOIN_COMPLAINT_NONE;
    t->settled = t->hint || node_trust_is_settled(s->node);
    again(s);
}

bool join_dial_differs(const struct node_join *s)
{
    for (size_t i = 0; i < s->target_count; i++)
        if (s->targets[i].differs)
            return true;
    return false;
}

void join_dial_again(struct node_join *s)
{
    bool settled = node_trust_is_settled(s->node);
    uint64_t due = loop_now_ms(s->node->loop) + (settled ? DIAL_GRACE_MS : DIAL_LINK_MS);
    for (size_t i = 0; i < s->target_count; i++) {
        struct join_target *t = &s->targets[i];
        t->settled = t->hint;
        t->failures = 0;
        if (t != s->at && (settled || t->due_ms > due))
            t->due_ms = due;
    }
    join_dial_start(s);
}

size_t node_join_faults(const struct node *n, struct arena *arena, const char **out, size_t max)
{
    const struct node_join *s = n->join;
    size_t count = 0;
    for (size_t i = 0; s && i < s->target_count && count < max; i++) {
        const struct join_target *t = &s->targets[i];
        bool outside = !node_trust_is_settled(n) && !t->anybodys && !t->self;
        if (t->settled || (!join_complaint_lasts(t->complaint) && !outside))
            continue;
        out[count] = join_complaint_sentence(t->complaint, t->address, t->said, arena);
        count += out[count] != NULL;
    }
    return count;
}

/* Once for as long as it stays the same. */
static void say(struct join_target *t, enum join_complaint complaint, const char *why)
{
    bool again = t->complaint == complaint && strcmp(t->said, why) == 0, waits = complaint == JOIN_COMPLAINT_UNREACHED || complaint == JOIN_COMPLAINT_LATER;
    if (again)
        return;
    t->complaint = complaint;
    snprintf(t->said, sizeof t->said, "%s", why);
    log_line(waits ? LOG_WARN : LOG_ERROR, join_complaint_line(complaint), LOGF_STR("at", t->address), LOGF_STR("why", why));
}

static void put_off(struct node_join *s, struct join_target *t)
{
    t->differs = false;
    t->due_ms = loop_now_ms(s->node->loop) + backoff(t->failures++, DIAL_RETRY_MS, DIAL_RETRY_MAX_MS);
}

static void miss(struct node_join *s, struct join_target *t, const char *why)
{
    if (!node_trust_is_settled(s->node))
        say(t, JOIN_COMPLAINT_UNREACHED, why);
    put_off(s, t);
}

static void failed(struct node_join *s, const char *why)
{
    miss(s, s->at, why);
    leave(s);
}

void join_dial_give_back(struct node_join *s, const struct join_slot *slot)
{
    attempts_give_back(s->dialled, ANYBODY);
    if (slot->anybodys)
        attempts_give_back(s->dialled_found, ANYBODY);
}

/* Whom anybody may have named leaves guesses for those that the operator named. */
static bool take_found_attempt(struct node_join *s)
{
    uint64_t wait_ms;
    if (!s->at->anybodys)
        return true;
    if (attempts_take(s->dialled_found, ANYBODY, loop_now_ms(s->node->loop), &wait_ms)) {
        s->found_limit_said = false;
        return true;
    }
    if (!s->found_limit_said)
        log_line(LOG_ERROR,
                 "this node has tried to join 15 times within an hour where it found others by itself, and failed: somebody may be "
                 "in the way who only knows the grid's name; it waits there, and goes on where --join says: name a member with it",
                 LOGF_INT("wait_s", wait_ms / 1000));
    s->found_limit_said = true;
    retry(s, wait_ms + 1);
    return false;
}

/* The limit is on what those whom we go to may guess; who has waited for an hour goes on. */
static bool take_attempt(struct node_join *s)
{
    uint64_t wait_ms;
    if (!take_found_attempt(s))
        return false;
    if (attempts_take(s->dialled, ANYBODY, loop_now_ms(s->node->loop), &wait_ms)) {
        s->limit_said = false;
        return true;
    }
    if (s->at->anybodys)
        attempts_give_back(s->dialled_found, ANYBODY);
    if (!s->limit_said)
        log_line(LOG_ERROR,
                 "this node has tried to join 30 times within an hour and failed: it waits, since each attempt lets whoever "
                 "answers guess once; check the password and --join, and restart it",
                 LOGF_INT("wait_s", wait_ms / 1000));
    s->limit_said = true;
    retry(s, wait_ms + 1);
    return false;
}

static struct join_slot *slot_under_way(struct node_join *s)
{
    for (size_t i = 0; i < JOIN_SLOTS; i++)
        if (s->slots[i].exchange && !s->slots[i].over && s->slots[i].target && s->slots[i].target == s->at)
            return &s->slots[i];
    return NULL;
}

/* Whoever has said nothing yet is not waited for while another one waits. */
static void on_silence(void *arg)
{
    struct node_join *s = arg;
    struct join_slot *slot = slot_under_way(s);
    const struct join *j = slot ? join_exchange_core(slot->exchange) : NULL;
    if (!slot || (j && (join_is_spent(j) || join_is_proven(j))))
        return;
    const struct join_target *other = next_due(s);
    if (!other || other->due_ms > loop_now_ms(s->node->loop)) {
        loop_timer_start(s->node->loop, &s->silence, DIAL_SILENT_MS, on_silence, s);
        return;
    }
    slot->over = true;
    s->at->last = *join_exchange_peer(slot->exchange);
    join_dial_give_back(s, slot);
    join_exchange_close(slot->exchange);
    s->reached_self = false;
    join_dial_ended(s, NULL, "it does not answer");
}

/* In the resolver's order, the families by turns. */
static void take_addresses(const struct join_target *t, const struct resolved *answer, struct race *out)
{
    bool has_last = false;
    for (size_t i = 0; i < answer->count; i++)
        if (t->last.size > 0 && addr_equal(&answer->addresses[i], &t->last))
            has_last = true;
        else
            race_add(out, &answer->addresses[i]);
    race_sort(out);
    if (has_last)
        race_add(out, &t->last);
}

/* ---- several places at once ---- */

/* Of those that are addresses. */
static struct join_target *target_at(struct node_join *s, const struct addr *at)
{
    struct addr parsed;
    for (size_t i = 0; i < s->target_count; i++)
        if (addr_parse(slice_of_str(s->targets[i].address), &parsed) == 0 && addr_equal(&parsed, at))
            return &s->targets[i];
    return NULL;
}

static bool is_raced(const struct race *r, const struct addr *at)
{
    for (size_t i = 0; i < r->count; i++)
        if (addr_equal(&r->at[i], at))
            return true;
    return false;
}

/* The one of the same kind that is due and has waited longest, and is none of the race's yet. */
static bool find_rival(struct node_join *s, const struct race *r, struct addr *out)
{
    const struct join_target *best = NULL;
    uint64_t now = loop_now_ms(s->node->loop);
    struct addr at;
    for (size_t i = 0; i < s->target_count; i++) {
        struct join_target *t = &s->targets[i];
        if (t->due_ms > now || t->anybodys != s->at->anybodys || (best && best->due_ms <= t->due_ms) || !is_wanted(s, t) || addr_parse(slice_of_str(t->address), &at) != 0 || is_raced(r, &at))
            continue;
        best = t;
        *out = at;
    }
    return best;
}

/* All that are due and are addresses are dialled at once, and an exchange is had with the first one that is reached (RFC 8305 over all of a name's addresses, each of which is a place). */
static void take_rivals(struct node_join *s, struct race *to)
{
    struct addr at;
    while (to->count < RACE_MAX && find_rival(s, to, &at))
        race_add(to, &at);
    race_sort(to);
}

static struct join_slot *slot_under_way(struct node_join *s);

/* They have come since the others were dialled. */
static void add_rivals(struct node_join *s)
{
    struct join_slot *slot = slot_under_way(s);
    struct addr at;
    while (slot && s->racing.count < RACE_MAX && find_rival(s, &s->racing, &at)) {
        race_add(&s->racing, &at);
        join_exchange_add(slot->exchange, &at);
    }
}

static void miss_self(struct node_join *s, struct join_target *t);

static void miss_place(struct node_join *s, size_t index, bool own, const char *why)
{
    struct join_target *t = target_at(s, &s->racing.at[index]);
    s->racing.states[index] = RACE_FAILED;
    if (t && own)
        miss_self(s, t);
    else if (t)
        miss(s, t, why);
}

void join_dial_unreached(struct node_join *s, const struct addr *place, bool own, const char *why)
{
    for (size_t i = 0; i < s->racing.count; i++)
        if (addr_equal(&s->racing.at[i], place))
            miss_place(s, i, own, why);
}

/* Those before it have not answered in time, and go behind the others the next time. */
void join_dial_reached(struct node_join *s, struct join_slot *slot)
{
    const struct addr *peer = join_exchange_peer(slot->exchange);
    for (size_t i = 0; i < s->racing.count && !addr_equal(&s->racing.at[i], peer); i++) {
        struct join_target *t = s->racing.states[i] == RACE_WAITING ? target_at(s, &s->racing.at[i]) : NULL;
        if (t)
            put_off(s, t);
    }
    struct join_target *t = s->racing.count > 0 ? target_at(s, peer) : NULL;
    s->racing.count = 0;
    if (t)
        s->at = slot->target = t;
}

/* None is reached. */
static void race_is_over(struct node_join *s, const char *why)
{
    for (size_t i = 0; i < s->racing.count; i++)
        if (s->racing.states[i] == RACE_WAITING)
            miss_place(s, i, false, why);
    s->racing.count = 0;
    leave(s);
}

/* ---- one attempt ---- */

static uint64_t silence_ms(const struct node_join *s, const struct race *to)
{
    return ((uint64_t) DIAL_SILENT_MS << (s->at->failures < 3 ? s->at->failures : 3)) + (to->count - 1) * RACE_HEAD_START_MS;
}

/* NULL, or why not. */
static const char *dial(struct node_join *s, const struct race *to)
{
    struct join_slot *slot = join_slot_free(s);
    struct join_exchange_config config = {s->node->loop, &s->dial_terms, &JOIN_EVENTS, s};
    struct tls_context *tls = join_dial_tls(s);
    struct join_exchange *x;
    s->dial_terms = join_terms(s, s->dial_hosts);
    if (!slot || !tls || join_exchange_dial(&config, to, tls, &x) != 0)
        return slot ? "it cannot be dialled" : "too many exchanges are under way";
    *slot = (struct join_slot){.exchange = x, .target = s->at, .anybodys = s->at->anybodys};
    s->operators_last = !s->at->anybodys;
    loop_timer_start(s->node->loop, &s->silence, silence_ms(s, to), on_silence, s);
    return NULL;
}

static void dial_addresses(struct node_join *s, struct race *to)
{
    bool alone = to->count != 1 || target_at(s, &to->at[0]) != s->at; /* a name's places are not others' */
    if (to->count == 0) {
        failed(s, "nobody listens there");
        return;
    }
    if (!take_attempt(s))
        return;
    if (!alone)
        take_rivals(s, to);
    const char *why = dial(s, to);
    if (why) {
        join_dial_give_back(s, &(struct join_slot){.anybodys = s->at->anybodys});
        failed(s, why);
    } else if (!alone)
        s->racing = *to;
}

static void on_resolved(void *arg, const struct resolved *answer)
{
    struct node_join *s = arg;
    struct race to = {0};
    if (s->closing)
        return;
    s->racing.count = 0;
    if (!s->has_password)
        s->at = NULL; /* it is over with it */
    else if (answer->err != 0)
        failed(s, "its name is not known");
    else {
        take_addresses(s->at, answer, &to);
        dial_addresses(s, &to);
    }
}

static void dial_now(void *arg)
{
    struct node_join *s = arg;
    struct join_target *t = s->at || !s->has_password ? NULL : next_due(s);
    if (!t)
        return;
    s->at = t;
    if (resolver_lookup(s->resolver, slice_of_str(t->address), on_resolved, s) != 0)
        failed(s, "its address cannot be looked up");
}

/* ---- how it ended ---- */

static void refused(struct node_join *s, const struct join *j)
{
    bool by_peer;
    const struct join_refusal *r = join_refusal_of(j, &by_peer);
    if (!by_peer && r->reason == JOIN_NOT_ISSUER) { /* it was told who can, and goes there itself */
        s->at->differs = true;
        again(s);
        return;
    }
    s->at->differs = !s->at->hint && join_is_proven(j) && !node_trust_is_settled(s->node);
    switch (r->reason) {
    case JOIN_BUSY:
        retry(s, DIAL_BUSY_MS + arc4random_uniform(4 * DIAL_BUSY_MS));
        return;
    case JOIN_NOT_ISSUER:
        if (node_trust_is_settled(s->node))
            settle(s);
        else if (!join_is_proven(j))
            failed(s, "it has no password: --join must name a member that has");
        else if (r->address_count > 0)
            again(s);
        else
            failed(s, "it cannot let others in by password, and knows nobody who can");
        return;
    case JOIN_TOO_MANY:
    case JOIN_ENOUGH:
        say(s->at, JOIN_COMPLAINT_LATER, join_reason_text(r->reason));
        retry(s, backoff(s->at->failures++, DIAL_REFUSED_MS, DIAL_REFUSED_MAX_MS));
        return;
    case JOIN_OTHER_GRID:
        say(s->at, JOIN_COMPLAINT_REFUSED,
            "it belongs to another grid of the same name, and both are settled: run \"grid adopt\" on the side that is to change");
        break;
    default:
        say(s->at, join_complaint_of(r->reason), join_reason_text(r->reason));
        break;
    }
    retry(s, backoff(s->at->failures++, DIAL_REFUSED_MS, DIAL_REFUSED_MAX_MS));
}

/* Nobody else is ever reached there; behind an address that is not this machine's may be many nodes by turns. */
static bool is_own_host(const char *address)
{
    struct addr at;
    return addr_parse(slice_of_str(address), &at) == 0 && port_has_address(&at);
}

static bool has_other_targets(const struct node_join *s, const struct join_target *t)
{
    for (size_t i = 0; i < s->target_count; i++)
        if (&s->targets[i] != t && !s->targets[i].found && !s->targets[i].self)
            return true;
    return s->node->options->seek_count > 0;
}

static void miss_self(struct node_join *s, struct join_target *t)
{
    bool alone = !t->found && !has_other_targets(s, t);
    if (!s->self_said && alone)
        log_line(LOG_WARN, "what --join names is this node itself: it joins nobody by that; name another node of the grid", LOGF_STR("at", t->address));
    else
        log_line(LOG_DEBUG, "a place that was dialled is this node itself", LOGF_STR("at", t->address));
    s->self_said = s->self_said || alone;
    t->self = is_own_host(t->address);
    put_off(s, t);
}

void join_dial_ended(struct node_join *s, const struct join *j, const char *why)
{
    loop_timer_stop(&s->silence);
    if (s->racing.count > 0) {
        race_is_over(s, why);
        return;
    }
    if (!j && s->reached_self) {
        miss_self(s, s->at);
        leave(s);
        return;
    }
    switch (j ? join_step(j) : JOIN_STEP_RECEIVE) {
    case JOIN_STEP_GRANTED:
        snprintf(s->granted_by, sizeof s->granted_by, "%s", s->at->address);
        link_to(s, s->at->address);
        settle(s);
        return;
    case JOIN_STEP_SETTLED:
        link_to(s, s->at->address);
        settle(s);
        return;
    case JOIN_STEP_REFUSED:
        refused(s, j);
        return;
    case JOIN_STEP_BROKEN:
        say(s->at, JOIN_COMPLAINT_BROKEN, why);
        retry(s, backoff(s->at->failures++, DIAL_REFUSED_MS, DIAL_REFUSED_MAX_MS));
        return;
    default:
        failed(s, why);
    }
}

/* ---- life ---- */

int join_dial_open(struct node_join *s)
{
    const struct options *o = s->node->options;
    bool member = node_trust_is_settled(s->node);
    uint64_t due = loop_now_ms(s->node->loop) + (member ? DIAL_GRACE_MS : 0);
    s->seeds_given = member;
    for (size_t i = 0; i < o->join_count; i++)
        join_target_add(s, slice_of_str(o->join[i]), false, due);
    return resolver_create(s->node->loop, &s->resolver);
}

static void resolver_gone(void *arg)
{
    struct node_join *s = arg;
    s->resolver = NULL;
    join_closed(s);
}

void join_dial_close(struct node_join *s)
{
    loop_timer_stop(&s->timer);
    loop_timer_stop(&s->silence);
    if (s->resolver)
        resolver_close(s->resolver, resolver_gone, s);
    else
        join_closed(s);
}
