/* Who there is to ask, what they have, and who is left alone. */
#include <stdlib.h>

#include "base/err.h"
#include "fs/sync_internal.h"

int sync_add_peer(struct sync *s, uint64_t key, enum sync_peer_kind kind, uint64_t now_ms, uint32_t *peer)
{
    for (uint32_t i = 0; i < SYNC_PEERS_MAX; i++) {
        if (s->peers[i].present)
            continue;
        s->peers[i] = (struct peer){.present = true, .kind = kind, .key = key, .added_ms = now_ms, .news_ms = now_ms};
        for (uint32_t n = 0; n < s->ids.count; n++)
            s->rows[n].lacking &= ~(UINT64_C(1) << i);
        *peer = i;
        return 0;
    }
    return GRID_ELIMIT;
}

void sync_peer_set_kind(struct sync *s, uint32_t peer, enum sync_peer_kind kind, uint64_t now_ms)
{
    if (!sync_peer_is(s, peer))
        return;
    struct peer *p = &s->peers[peer];
    p->news_ms = now_ms;
    if (p->kind == SYNC_PEER_AWAITED && kind == SYNC_PEER_WHOLE)
        p->kind = SYNC_PEER_ORIGIN; /* by its first word: it fetches with nobody */
    else if (p->kind != SYNC_PEER_ORIGIN)
        p->kind = kind;
}

/* ---- what they have ---- */

bool sync_peer_bit(const struct peer *p, uint32_t number)
{
    return number / 8 < p->bits_size && p->bits[number / 8] >> number % 8 & 1;
}

static int bits_reserve(struct peer *p, size_t bytes)
{
    if (bytes <= p->bits_size)
        return 0;
    size_t size = bytes + bytes / 2 + 64;
    uint8_t *bits = realloc(p->bits, size);
    if (!bits)
        return GRID_ENOMEM;
    memset(bits + p->bits_size, 0, size - p->bits_size);
    p->bits = bits;
    p->bits_size = size;
    return 0;
}

static void peer_tells(struct sync *s, uint32_t peer, uint64_t now_ms)
{
    struct peer *p = &s->peers[peer];
    p->news_ms = now_ms;
    if (p->kind == SYNC_PEER_AWAITED || p->kind == SYNC_PEER_MAYBE)
        p->kind = SYNC_PEER_FILLING;
}

/* It has it now, whatever it said before. */
static void lacks_no_more(struct sync *s, uint32_t peer, uint32_t number)
{
    if (number < s->ids.count)
        s->rows[number].lacking &= ~(UINT64_C(1) << peer);
}

int sync_peer_has(struct sync *s, uint32_t peer, const uint32_t *numbers, size_t count, uint64_t now_ms)
{
    if (!sync_peer_is(s, peer))
        return 0;
    struct peer *p = &s->peers[peer];
    peer_tells(s, peer, now_ms);
    for (size_t i = 0; i < count; i++) {
        int err = numbers[i] < SYNC_OBJECTS_MAX ? bits_reserve(p, numbers[i] / 8 + 1) : GRID_ELIMIT;
        if (err != 0)
            return err;
        p->bits[numbers[i] / 8] |= (uint8_t) (1u << numbers[i] % 8);
        lacks_no_more(s, peer, numbers[i]);
    }
    return 0;
}

int sync_peer_has_bits(struct sync *s, uint32_t peer, struct slice bits, uint64_t now_ms)
{
    if (!sync_peer_is(s, peer))
        return 0;
    struct peer *p = &s->peers[peer];
    if (bits.size > SYNC_OBJECTS_MAX / 8)
        return GRID_ELIMIT;
    int err = bits_reserve(p, bits.size);
    if (err != 0)
        return err;
    peer_tells(s, peer, now_ms);
    for (size_t i = 0; i < bits.size; i++) {
        uint8_t fresh = bits.data[i] & (uint8_t) ~p->bits[i];
        p->bits[i] |= fresh;
        for (uint32_t k = 0; fresh >> k; k++)
            if (fresh >> k & 1)
                lacks_no_more(s, peer, (uint32_t) i * 8 + k);
    }
    return 0;
}

void sync_missing(struct sync *s, uint32_t peer, const struct object_id *id)
{
    uint32_t number = id_map_find(&s->ids, id);
    if (number == ID_MAP_NONE || !sync_peer_is(s, peer) || !sync_row_open(&s->rows[number]))
        return;
    struct row *r = &s->rows[number];
    if (s->peers[peer].kind == SYNC_PEER_WHOLE)
        s->peers[peer].kind = SYNC_PEER_MAYBE; /* it said that it has all, and has not: nobody else is spared for it */
    r->lacking |= UINT64_C(1) << peer;
    if (sync_peer_bit(&s->peers[peer], number))
        s->peers[peer].bits[number / 8] &= (uint8_t) ~(1u << number % 8);
    if (r->state == ROW_ASKED && s->slots[r->slot].peer == peer)
        sync_row_return(s, number);
}

void sync_forget_missing(struct sync *s)
{
    for (uint32_t i = 0; i < s->ids.count; i++)
        s->rows[i].lacking = 0;
}

/* ---- who is left alone ---- */

void sync_remove_peer(struct sync *s, uint32_t peer)
{
    if (!sync_peer_is(s, peer))
        return;
    sync_slots_return(s, peer);
    free(s->peers[peer].bits);
    s->peers[peer] = (struct peer){0};
}

static uint64_t backoff_after(uint32_t base_ms, uint32_t times, uint32_t max_ms)
{
    uint64_t wait = (uint64_t) base_ms << (times < 16 ? times : 16);
    return wait < max_ms || max_ms < base_ms ? wait : max_ms;
}

void sync_peer_failed(struct sync *s, uint32_t peer, uint64_t now_ms)
{
    if (!sync_peer_is(s, peer))
        return;
    struct peer *p = &s->peers[peer];
    uint64_t retry_at = now_ms + backoff_after(s->options.backoff_ms, p->failures++, s->options.backoff_max_ms);
    if (retry_at > p->retry_at_ms)
        p->retry_at_ms = retry_at;
    sync_slots_return(s, peer);
}

void sync_peer_lied(struct sync *s, uint32_t peer, uint64_t now_ms)
{
    struct peer *p = &s->peers[peer];
    p->retry_at_ms = now_ms + backoff_after(s->options.liar_backoff_ms, p->lies++, UINT32_MAX);
    sync_slots_return(s, peer);
}
