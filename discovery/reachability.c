/* Votes by network, and what follows from them, ring by ring. */
#include "discovery/reachability.h"

#include <stdio.h>
#include <string.h>

enum { PAUSE_MS = 250, AGAIN_SILENT_MS = 15 * 1000, AGAIN_NO_MS = 60 * 1000, AGAIN_YES_MS = 600 * 1000 };

/* ---- own addresses ---- */

static bool is_own(const struct reachability *r, const struct addr *a)
{
    for (size_t i = 0; i < r->own_count; i++)
        if (addr_same_host(&r->own[i], a))
            return true;
    return false;
}

static bool own_are(const struct reachability *r, const struct addr *own, size_t count)
{
    bool same = r->own_count == count;
    for (size_t i = 0; same && i < count; i++)
        same = is_own(r, &own[i]);
    return same;
}

bool reachability_set_own(struct reachability *r, const struct addr *own, size_t count)
{
    if (count > REACHABILITY_OWN_MAX)
        count = REACHABILITY_OWN_MAX;
    if (own_are(r, own, count))
        return false;
    *r = (struct reachability){.own_count = count};
    memcpy(r->own, own, count * sizeof *own);
    return true;
}

/* ---- where somebody is ---- */

/* An IPv4 /24, an IPv6 /48. */
static void network_of(const struct addr *at, uint8_t out[REACHABILITY_NETWORK_SIZE])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    addr_source(at, out);
    memset(out + (memcmp(out, mapped, sizeof mapped) == 0 ? 15 : 6), 0, memcmp(out, mapped, sizeof mapped) == 0 ? 1 : 10);
}

static bool is_neighbour(const struct reachability *r, const struct addr *at)
{
    uint8_t network[REACHABILITY_NETWORK_SIZE], own[REACHABILITY_NETWORK_SIZE];
    network_of(at, network);
    for (size_t i = 0; i < r->own_count; i++) {
        network_of(&r->own[i], own);
        if (memcmp(network, own, sizeof own) == 0)
            return true;
    }
    return false;
}

static enum reachability_ring ring_of(const struct reachability *r, const struct addr *at)
{
    if (is_neighbour(r, at))
        return REACHABILITY_NEIGHBOURS;
    if (addr_scope(at) != ADDR_SCOPE_GLOBAL)
        return REACHABILITY_PRIVATE;
    return addr_is_v4(at) ? REACHABILITY_V4 : REACHABILITY_V6;
}

/* Its network and ring; among neighbours its host, as far as IPv6 tells hosts of a network apart by their networks' half. */
static void place(const struct reachability *r, const struct addr *at, struct reachability_vote *out)
{
    *out = (struct reachability_vote){.ring = ring_of(r, at)};
    if (out->ring == REACHABILITY_NEIGHBOURS)
        addr_source(at, out->network);
    else
        network_of(at, out->network);
}

static struct reachability_vote *vote_of(struct reachability *r, const struct addr *at)
{
    struct reachability_vote like;
    place(r, at, &like);
    for (size_t i = 0; i < r->vote_count; i++)
        if (memcmp(r->votes[i].network, like.network, sizeof like.network) == 0)
            return &r->votes[i];
    return NULL;
}

/* ---- asking ---- */

static uint64_t again_ms(const struct reachability_vote *vote)
{
    if (vote->doubted)
        return vote->asked_ms + PAUSE_MS;
    return vote->asked_ms + (!vote->answered ? AGAIN_SILENT_MS : vote->reached ? AGAIN_YES_MS : AGAIN_NO_MS);
}

static size_t count_ring(const struct reachability *r, enum reachability_ring ring)
{
    size_t count = 0;
    for (size_t i = 0; i < r->vote_count; i++)
        count += r->votes[i].ring == ring;
    return count;
}

/* A place for a network that was never asked: one whose time has come makes room. NULL: all have been asked of late. */
static struct reachability_vote *vote_add(struct reachability *r, const struct addr *at, uint64_t now_ms)
{
    struct reachability_vote *vote = NULL, fresh;
    place(r, at, &fresh);
    bool full = fresh.ring == REACHABILITY_NEIGHBOURS && count_ring(r, fresh.ring) >= REACHABILITY_NEIGHBOURS_MAX;
    if (r->vote_count < REACHABILITY_VOTES_MAX && !full)
        vote = &r->votes[r->vote_count++];
    for (size_t i = 0; !vote && i < r->vote_count; i++)
        if (now_ms >= again_ms(&r->votes[i]) && (!full || r->votes[i].ring == fresh.ring))
            vote = &r->votes[i];
    if (vote)
        *vote = fresh;
    return vote;
}

/* Of those that were asked before, whose time has come: the one asked longest ago. */
static int ask_again(struct reachability *r, const struct reachability_witness *who, size_t count, uint64_t now_ms)
{
    const struct reachability_vote *oldest = NULL;
    int found = -1;
    for (size_t i = 0; i < count; i++) {
        const struct reachability_vote *vote = vote_of(r, &who[i].at);
        if (vote && now_ms >= again_ms(vote) && (!oldest || vote->asked_ms < oldest->asked_ms)) {
            oldest = vote;
            found = (int) i;
        }
    }
    return found;
}

int reachability_ask(struct reachability *r, const struct reachability_witness *who, size_t count, uint64_t now_ms)
{
    int found = -1;
    if (r->asked_ms != 0 && now_ms < r->asked_ms + PAUSE_MS)
        return -1;
    for (size_t i = 0; i < count && found < 0; i++)
        if (!vote_of(r, &who[i].at) && vote_add(r, &who[i].at, now_ms))
            found = (int) i;
    if (found < 0)
        found = ask_again(r, who, count, now_ms);
    if (found >= 0)
        vote_of(r, &who[found].at)->asked_ms = r->asked_ms = now_ms;
    return found;
}

/* ---- what follows ---- */

static bool counts(const struct reachability_vote *vote, enum reachability_ring ring)
{
    return vote->counts && vote->ring == ring;
}

static size_t count_votes(const struct reachability *r, enum reachability_ring ring, bool reached)
{
    size_t count = 0;
    for (size_t i = 0; i < r->vote_count; i++)
        count += counts(&r->votes[i], ring) && r->votes[i].reached == reached;
    return count;
}

/* `before` where they do not agree. */
static enum reachability_state judge(size_t yes, size_t no, enum reachability_state before)
{
    if (yes + no == 0)
        return REACHABILITY_UNKNOWN;
    if (yes + no == 1)
        return yes ? REACHABILITY_REACHABLE : REACHABILITY_UNREACHABLE;
    if (yes >= 2 && yes > no)
        return REACHABILITY_REACHABLE;
    return no >= 2 ? REACHABILITY_UNREACHABLE : before;
}

/* Of the votes of a ring that say `reached`: how many see this one. */
static size_t seen_by(const struct reachability *r, const struct addr *seen, enum reachability_ring ring, bool reached)
{
    size_t count = 0;
    for (size_t i = 0; i < r->vote_count; i++)
        count += counts(&r->votes[i], ring) && r->votes[i].reached == reached && addr_same_host(&r->votes[i].seen, seen);
    return count;
}

/* What two see, or the only one there is; else what was agreed on before, as long as one sees it still. */
static struct addr agreed(const struct reachability *r, enum reachability_ring ring, bool reached, size_t votes)
{
    const struct addr *before = &r->words[ring].seen, none = {0};
    const struct addr *best = before->size > 0 && seen_by(r, before, ring, reached) > 0 ? before : &none;
    size_t most = 1;
    for (size_t i = 0; i < r->vote_count; i++) {
        const struct reachability_vote *vote = &r->votes[i];
        size_t by = counts(vote, ring) && vote->reached == reached ? seen_by(r, &vote->seen, ring, reached) : 0;
        if (by > most || (by == 1 && votes == 1)) {
            most = by;
            best = &vote->seen;
        }
    }
    return *best;
}

static void judge_ring(struct reachability *r, enum reachability_ring ring)
{
    struct reachability_word *word = &r->words[ring];
    size_t yes = count_votes(r, ring, true), no = count_votes(r, ring, false);
    word->state = judge(yes, no, word->state);
    word->seen = word->state == REACHABILITY_UNKNOWN ? (struct addr){0} : agreed(r, ring, word->state == REACHABILITY_REACHABLE, yes + no);
}

/* A gateway changes an address to another of the kind that is routed where it was dialled. */
static bool is_plausible(const struct reachability *r, const struct addr *at, const struct addr *seen)
{
    enum addr_scope scope = addr_scope(seen);
    return is_own(r, seen) || (scope == addr_scope(at) && scope >= ADDR_SCOPE_PRIVATE);
}

/* What the member has said from elsewhere. */
static void forget_other_votes(struct reachability *r, const struct reachability_vote *but)
{
    for (size_t i = 0; i < r->vote_count; i++)
        if (&r->votes[i] != but && strcmp(r->votes[i].id, but->id) == 0)
            r->votes[i].counts = false;
}

void reachability_answer(struct reachability *r, const struct reachability_witness *who, const struct addr *seen, bool reached)
{
    struct reachability_vote *vote = vote_of(r, &who->at);
    if (!vote) /* forgotten meanwhile */
        return;
    bool news = !reached && (!vote->answered || vote->reached);
    if (news && !vote->doubted) {
        vote->doubted = true;
        return;
    }
    vote->doubted = false;
    snprintf(vote->id, sizeof vote->id, "%s", who->id);
    vote->seen = *seen;
    vote->reached = reached;
    vote->answered = true;
    vote->counts = is_plausible(r, &who->at, seen);
    forget_other_votes(r, vote);
    for (unsigned ring = 0; ring < REACHABILITY_RINGS; ring++)
        judge_ring(r, (enum reachability_ring) ring);
}

/* ---- what is believed ---- */

enum reachability_state reachability_state(const struct reachability *r)
{
    enum reachability_state state = REACHABILITY_UNKNOWN;
    for (unsigned ring = REACHABILITY_PRIVATE; ring < REACHABILITY_RINGS; ring++)
        if (r->words[ring].state > state) /* unreachable is the last */
            state = r->words[ring].state;
    return state != REACHABILITY_UNKNOWN ? state : r->words[REACHABILITY_NEIGHBOURS].state;
}

const struct addr *reachability_seen(const struct reachability *r)
{
    static const enum reachability_ring ORDER[] = {REACHABILITY_V4, REACHABILITY_V6, REACHABILITY_PRIVATE, REACHABILITY_NEIGHBOURS};
    for (size_t i = 0; i < sizeof ORDER / sizeof *ORDER; i++)
        if (r->words[ORDER[i]].state != REACHABILITY_UNKNOWN)
            return r->words[ORDER[i]].seen.size > 0 ? &r->words[ORDER[i]].seen : NULL;
    return NULL;
}

const char *reachability_state_name(enum reachability_state state)
{
    static const char *const NAMES[] = {"unknown", "reachable", "unreachable"};
    return NAMES[state];
}
