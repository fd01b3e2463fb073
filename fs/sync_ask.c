/* What to ask of whom: slots of requests in flight, the share of the origin that is this node's own, rarest first among the others, and what a
 * slow one keeps others waiting for. */
#include <stdlib.h>

#include "base/err.h"
#include "fs/sync_internal.h"

/* A small remainder is not cut into more parts than this many objects each. */
#define SHARE_MIN 32u
/* Small requests while others fetch too: what came is told of soon, and little is asked twice. */
#define SWARM_REQUESTS 3u
#define SWARM_ORIGIN_BYTES (64u * 1024)
#define SWARM_BYTES (128u * 1024)
/* Who fetches, or is about to say so, and has told of nothing for so long has no share any more; and so much longer when answers take long. */
#define SILENCE_MS 1500u
#define AWAIT_MS 500u
/* Nothing in flight and nothing to ask: after each of these steps another's share may be asked for; after so many, also what others have. */
#define STARVE_STEP_MS 250u
#define STARVE_ALL_STEPS 4u
/* A request older than this, and four answers' time of the quickest, is also given to another when there is nothing else to ask; to the origin
 * after four times as long. */
#define SLOW_MS 500u
#define SLOW_ANSWERS 4u
#define SLOW_ORIGIN_TIMES 4u
#define GIVEN_MAX 2u
/* Who takes so long for an answer gets one small request at a time. */
#define LAME_MS 2000u
#define LAME_TIMES 4u
/* Rows looked at in one look at a queue, and those that are put in order by rarity. */
#define LOOK_MAX 65536u
#define WINDOW 1024u
#define RECHECK_MS 100u

/* The peers as they are at one moment. */
struct view {
    uint64_t now_ms;
    bool waits;                       /* somebody is about to tell what it has, and much is wanted */
    bool swarm;                       /* others fetch too: the origin is spared */
    bool whole;                       /* somebody has come to have everything */
    unsigned starved;                 /* steps */
    uint64_t answer_ms;               /* of the quickest peer */
    uint32_t fillers[SYNC_PEERS_MAX]; /* who fetch */
    bool alive[SYNC_PEERS_MAX];       /* of them, by place in the list: they tell of what they get */
    uint32_t filler_count;
};

static bool peer_rests(const struct peer *p, uint64_t now_ms)
{
    return p->retry_at_ms > now_ms;
}

static bool is_lively(const struct view *v, const struct peer *p)
{
    return v->now_ms < p->news_ms + SILENCE_MS + 4 * v->answer_ms;
}

/* Who is about to say what it has fetches too, as like as not: for a while. */
static bool is_filling(const struct view *v, const struct peer *p)
{
    return p->kind == SYNC_PEER_FILLING || (p->kind == SYNC_PEER_AWAITED && v->now_ms < p->news_ms + SILENCE_MS);
}

static void view_add(struct view *v, const struct sync *s, uint32_t peer)
{
    const struct peer *p = &s->peers[peer];
    v->waits = v->waits || (p->kind == SYNC_PEER_AWAITED && s->large && v->now_ms < p->added_ms + AWAIT_MS);
    v->whole = v->whole || (p->kind == SYNC_PEER_WHOLE && !peer_rests(p, v->now_ms));
    if (p->answer_ms > 0 && !peer_rests(p, v->now_ms) && (v->answer_ms == 0 || p->answer_ms < v->answer_ms))
        v->answer_ms = p->answer_ms;
    if (is_filling(v, p) && !peer_rests(p, v->now_ms))
        v->fillers[v->filler_count++] = peer;
}

static void view_take(struct view *v, const struct sync *s, uint64_t now_ms)
{
    *v = (struct view){.now_ms = now_ms};
    for (uint32_t i = 0; i < SYNC_PEERS_MAX; i++)
        if (s->peers[i].present)
            view_add(v, s, i);
    for (uint32_t i = 0; i < v->filler_count; i++)
        v->alive[i] = is_lively(v, &s->peers[v->fillers[i]]);
    v->swarm = s->large && (v->whole || v->filler_count > 0);
    if (s->asked == 0 && now_ms > s->active_ms)
        v->starved = (unsigned) ((now_ms - s->active_ms) / STARVE_STEP_MS);
}

/* ---- may this be asked of that one? ---- */

/* Whose share an object is: who scores highest. */
static uint64_t score(const struct object_id *id, uint64_t key)
{
    uint64_t x;
    memcpy(&x, id->bytes, sizeof x);
    x = (x ^ key) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

/* What only the origin has is asked of it by one node; what others have too, by nobody: unless one starves. */
static bool is_origins(const struct sync *s, const struct view *v, uint32_t number)
{
    const struct object_id *id = &s->ids.ids[number];
    uint64_t own = score(id, s->options.key);
    unsigned before = 0;
    bool held = v->whole;
    for (uint32_t i = 0; i < v->filler_count && !held; i++) {
        const struct peer *p = &s->peers[v->fillers[i]];
        held = sync_peer_bit(p, number);
        before += v->alive[i] && score(id, p->key) > own;
    }
    return held ? v->starved >= STARVE_ALL_STEPS : v->starved >= before;
}

static bool may_have(const struct sync *s, uint32_t peer, uint32_t number)
{
    const struct peer *p = &s->peers[peer];
    if (p->kind == SYNC_PEER_AWAITED || s->rows[number].lacking >> peer & 1)
        return false;
    return p->kind != SYNC_PEER_FILLING || sync_peer_bit(p, number);
}

static bool is_spared(const struct sync *s, const struct view *v, uint32_t peer)
{
    enum sync_peer_kind kind = s->peers[peer].kind;
    return v->swarm && (kind == SYNC_PEER_ORIGIN || kind == SYNC_PEER_MAYBE);
}

static bool may_ask(const struct sync *s, const struct view *v, uint32_t peer, uint32_t number)
{
    return may_have(s, peer, number) && (!is_spared(s, v, peer) || is_origins(s, v, number));
}

/* ---- how much ---- */

struct request_limit {
    uint32_t ids;
    uint64_t bytes;
};

/* How many objects one request takes, so that all peers get a share of a small remainder. */
static uint32_t request_share(const struct sync *s)
{
    uint32_t present = 0, wanted = s->queues[QUEUE_LISTINGS].count + s->queues[QUEUE_CHUNKS].count;
    for (uint32_t i = 0; i < SYNC_PEERS_MAX; i++)
        present += s->peers[i].present;
    uint32_t share = (wanted + present - 1) / present;
    share = share < SHARE_MIN ? SHARE_MIN : share;
    return share < SYNC_REQUEST_IDS_MAX ? share : SYNC_REQUEST_IDS_MAX;
}

/* Much slower than another. */
static bool is_lame(const struct sync *s, const struct view *v, uint32_t peer)
{
    return s->peers[peer].answer_ms > LAME_MS + LAME_TIMES * v->answer_ms;
}

static uint32_t requests_most(const struct sync *s, const struct view *v, uint32_t peer)
{
    if (is_lame(s, v, peer))
        return 1;
    return v->swarm && s->options.requests_per_peer > SWARM_REQUESTS ? SWARM_REQUESTS : s->options.requests_per_peer;
}

static struct request_limit limit_for(const struct sync *s, const struct view *v, uint32_t peer)
{
    if (is_lame(s, v, peer))
        return (struct request_limit){SHARE_MIN, SWARM_ORIGIN_BYTES};
    if (!v->swarm)
        return (struct request_limit){request_share(s), SYNC_REQUEST_BYTES_MAX};
    return (struct request_limit){SYNC_REQUEST_IDS_MAX, is_spared(s, v, peer) ? SWARM_ORIGIN_BYTES : SWARM_BYTES};
}

/* ---- slots ---- */

void sync_slots_dispose(struct sync *s)
{
    for (size_t i = 0; i < SYNC_SLOTS; i++)
        free(s->slots[i].numbers);
}

static struct slot *slot_take(struct sync *s, uint32_t peer, uint64_t now_ms)
{
    for (size_t i = 0; i < SYNC_SLOTS; i++) {
        struct slot *slot = &s->slots[i];
        if (slot->used)
            continue;
        if (!slot->numbers)
            slot->numbers = malloc(SYNC_REQUEST_IDS_MAX * sizeof *slot->numbers);
        if (!slot->numbers)
            return NULL;
        slot->used = true;
        slot->peer = peer;
        slot->count = 0;
        slot->asked_ms = now_ms;
        s->peers[peer].in_flight++;
        return slot;
    }
    return NULL;
}

static void slot_free(struct sync *s, struct slot *slot)
{
    s->peers[slot->peer].in_flight--;
    slot->used = false;
}

static bool slot_awaits(const struct sync *s, const struct slot *slot, uint32_t i)
{
    const struct row *r = &s->rows[slot->numbers[i]];
    return r->state == ROW_ASKED && r->slot == (uint16_t) (slot - s->slots);
}

/* Gives back what a request has not delivered; with `lacking` the peer is not asked for it again. Returns how much that was. */
static uint32_t slot_return(struct sync *s, struct slot *slot, bool lacking)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < slot->count; i++) {
        if (!slot_awaits(s, slot, i))
            continue;
        if (lacking)
            s->rows[slot->numbers[i]].lacking |= UINT64_C(1) << slot->peer;
        sync_row_return(s, slot->numbers[i]);
        count++;
    }
    slot_free(s, slot);
    return count;
}

void sync_slots_return(struct sync *s, uint32_t peer)
{
    for (size_t i = 0; i < SYNC_SLOTS; i++)
        if (s->slots[i].used && s->slots[i].peer == peer)
            slot_return(s, &s->slots[i], false);
}

void sync_request_end(struct sync *s, uint32_t number, uint64_t now_ms)
{
    if (number >= SYNC_SLOTS || !s->slots[number].used)
        return;
    struct slot *slot = &s->slots[number];
    uint64_t took_ms = now_ms > slot->asked_ms ? now_ms - slot->asked_ms : 0;
    struct peer *p = &s->peers[slot->peer];
    p->answer_ms = p->answer_ms ? (3 * p->answer_ms + took_ms + 3) / 4 : took_ms + 1;
    s->active_ms = now_ms;
    uint32_t peer = slot->peer;
    if (slot_return(s, slot, true) > 0)
        sync_peer_failed(s, peer, now_ms); /* an answer gives what was asked for, or says what is missing */
}

/* ---- a request ---- */

struct gathering {
    struct slot *slot;
    struct request_limit limit;
    struct sync_request *out;
};

/* False when it does not fit any more. */
static bool gather(struct sync *s, struct gathering *g, uint32_t number)
{
    uint64_t cost = sync_row_cost(&s->rows[number]);
    if (g->slot->count >= g->limit.ids || (g->slot->count > 0 && g->out->bytes + cost > g->limit.bytes))
        return false;
    g->out->bytes += cost;
    g->out->bytes_max += sync_row_cost_max(&s->rows[number]);
    s->request_ids[g->slot->count] = s->ids.ids[number];
    g->slot->numbers[g->slot->count++] = number;
    sync_row_ask(s, number, (uint16_t) (g->slot - s->slots));
    return true;
}

static uint32_t rarity(const struct sync *s, const struct view *v, uint32_t number)
{
    uint32_t holders = 0;
    for (uint32_t i = 0; i < v->filler_count; i++)
        holders += sync_peer_bit(&s->peers[v->fillers[i]], number);
    return holders;
}

/* Objects of a queue that may be asked of the peer, from where the last look ended; at most WINDOW of them. */
struct window {
    uint32_t numbers[WINDOW];
    uint8_t rarities[WINDOW];
    uint32_t count;
};

static void window_fill(struct sync *s, const struct view *v, uint32_t peer, struct queue *q, uint32_t most, struct window *w)
{
    uint32_t looks = q->count < LOOK_MAX ? q->count : LOOK_MAX, at = q->hand;
    w->count = 0;
    for (; looks > 0 && w->count < most; looks--) {
        at = at == SYNC_NOBODY ? q->first : at;
        if (may_ask(s, v, peer, at)) {
            w->rarities[w->count] = (uint8_t) (v->swarm ? rarity(s, v, at) : 0);
            w->numbers[w->count++] = at;
        }
        at = s->rows[at].next;
    }
    q->hand = v->swarm ? at : SYNC_NOBODY; /* alone, in the order of the tree */
}

/* The rarest first; of equally rare ones in the order of the tree. */
static void gather_rarest(struct sync *s, struct gathering *g, const struct window *w)
{
    bool fits = true;
    for (uint32_t rare = 0; rare <= SYNC_PEERS_MAX && fits; rare++)
        for (uint32_t i = 0; i < w->count && fits; i++)
            if (w->rarities[i] == rare)
                fits = gather(s, g, w->numbers[i]);
}

static bool fill(struct sync *s, const struct view *v, struct gathering *g)
{
    struct window w;
    for (int queue = 0; queue < QUEUES; queue++) {
        window_fill(s, v, g->slot->peer, &s->queues[queue], v->swarm ? WINDOW : g->limit.ids - g->slot->count, &w);
        gather_rarest(s, g, &w);
    }
    return g->slot->count > 0;
}

/* ---- what a slow peer keeps others waiting for ---- */

static bool is_slow(const struct slot *slot, const struct view *v, bool for_origin)
{
    uint64_t patience_ms = (SLOW_MS + SLOW_ANSWERS * v->answer_ms) * (for_origin ? SLOW_ORIGIN_TIMES : 1);
    return slot->used && v->now_ms > slot->asked_ms + patience_ms;
}

static bool may_take_over(const struct sync *s, const struct slot *slot, uint32_t i, uint32_t peer)
{
    return slot_awaits(s, slot, i) && s->rows[slot->numbers[i]].given < GIVEN_MAX && may_have(s, peer, slot->numbers[i]);
}

/* From the end: the slow one sends in order. */
static bool take_over(struct sync *s, const struct view *v, struct gathering *g)
{
    for (size_t k = 0; k < SYNC_SLOTS; k++) {
        struct slot *slow = &s->slots[k];
        if (slow == g->slot || slow->peer == g->slot->peer || !is_slow(slow, v, is_spared(s, v, g->slot->peer)))
            continue;
        for (uint32_t i = slow->count; i-- > 0;)
            if (may_take_over(s, slow, i, g->slot->peer) && gather(s, g, slow->numbers[i]))
                s->rows[slow->numbers[i]].given++;
    }
    return g->slot->count > 0;
}

/* ---- the next one ---- */

/* Those that fill before those that have been whole all along; the least busy first, in turn. NOBODY when all have been tried. */
static uint32_t next_peer(const struct sync *s, const struct view *v, uint64_t tried)
{
    uint32_t best = SYNC_NOBODY, best_rank = UINT32_MAX;
    for (uint32_t i = 1; i <= SYNC_PEERS_MAX; i++) {
        uint32_t peer = (s->cursor + i) % SYNC_PEERS_MAX;
        const struct peer *p = &s->peers[peer];
        if (!p->present || tried >> peer & 1 || p->kind == SYNC_PEER_AWAITED || peer_rests(p, v->now_ms) || p->in_flight >= requests_most(s, v, peer))
            continue;
        uint32_t rank = p->in_flight + (is_spared(s, v, peer) ? SYNC_REQUESTS_PER_PEER_MAX : 0);
        if (rank < best_rank) {
            best = peer;
            best_rank = rank;
        }
    }
    return best;
}

typedef bool (*fill_fn)(struct sync *s, const struct view *v, struct gathering *g);

static bool request_of(struct sync *s, const struct view *v, uint32_t peer, fill_fn fn, struct sync_request *out)
{
    struct gathering g = {.slot = slot_take(s, peer, v->now_ms), .limit = limit_for(s, v, peer), .out = out};
    if (!g.slot)
        return false;
    *out = (struct sync_request){.peer = peer, .number = (uint32_t) (g.slot - s->slots), .ids = s->request_ids};
    if (!fn(s, v, &g)) {
        slot_free(s, g.slot);
        return false;
    }
    out->count = g.slot->count;
    s->cursor = peer;
    s->active_ms = v->now_ms;
    return true;
}

static bool request_by(struct sync *s, const struct view *v, fill_fn fn, struct sync_request *out)
{
    uint64_t tried = 0;
    for (uint32_t peer; (peer = next_peer(s, v, tried)) != SYNC_NOBODY; tried |= UINT64_C(1) << peer)
        if (request_of(s, v, peer, fn, out))
            return true;
    return false;
}

bool sync_next_request(struct sync *s, uint64_t now_ms, struct sync_request *out)
{
    struct view v;
    view_take(&v, s, now_ms);
    if (s->err != 0 || v.waits)
        return false;
    bool wanted = s->queues[QUEUE_LISTINGS].count + s->queues[QUEUE_CHUNKS].count > 0;
    return (wanted && request_by(s, &v, fill, out)) || (s->asked > 0 && request_by(s, &v, take_over, out));
}

/* ---- is there one? ---- */

static bool peer_useful(const struct sync *s, const struct view *v, uint32_t peer)
{
    for (int queue = 0; queue < QUEUES; queue++) {
        const struct queue *q = &s->queues[queue];
        uint32_t at = q->first;
        for (uint32_t looks = 0; at != SYNC_NOBODY && looks < LOOK_MAX; looks++, at = s->rows[at].next)
            if (may_ask(s, v, peer, at))
                return true;
    }
    return false;
}

bool sync_can_ask(const struct sync *s, uint64_t now_ms)
{
    struct view v;
    uint64_t tried = 0;
    view_take(&v, s, now_ms);
    for (uint32_t peer; !v.waits && (peer = next_peer(s, &v, tried)) != SYNC_NOBODY; tried |= UINT64_C(1) << peer)
        if (peer_useful(s, &v, peer))
            return true;
    return false;
}

uint64_t sync_ask_later(const struct sync *s, uint64_t now_ms)
{
    struct view v;
    uint64_t earliest = UINT64_MAX;
    view_take(&v, s, now_ms);
    if (v.waits || v.swarm)
        return now_ms + RECHECK_MS;
    for (uint32_t i = 0; i < SYNC_PEERS_MAX; i++) {
        const struct peer *p = &s->peers[i];
        if (p->present && peer_rests(p, now_ms) && p->retry_at_ms < earliest && peer_useful(s, &v, i))
            earliest = p->retry_at_ms;
    }
    return earliest;
}
