/* The ledger as a whole: its packs, its life, its state. */
#include "trust/ledger_internal.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

/* ---- packs ---- */

static int append_statement(struct buf *out, const struct ledger_statement *s)
{
    return s ? buf_append(out, slice_of(s->bytes, s->size)) : 0;
}

/* All but the tombstones. */
static int pack_decisions(const struct ledger *l, struct buf *out)
{
    int err = buf_append(out, LEDGER_MAGIC);
    if (err == 0)
        err = buf_append_u64be(out, l->root.sequence);
    if (err == 0)
        err = buf_append_u16be(out, (uint16_t) l->root.der.size);
    if (err == 0)
        err = buf_append(out, l->root.der);
    if (err == 0)
        err = append_statement(out, l->arrived);
    if (err == 0)
        err = append_statement(out, l->next);
    return err == 0 ? append_statement(out, l->door) : err;
}

int ledger_pack(const struct ledger *l, struct buf *out)
{
    int err = pack_decisions(l, out);
    for (size_t i = 0; err == 0 && i < l->heirs.count; i++)
        err = append_statement(out, l->heirs.list[i]);
    for (size_t i = 0; err == 0 && i < l->tombstones.count; i++)
        err = append_statement(out, l->tombstones.list[i]);
    return err;
}

int ledger_pack_owed(const struct ledger *l, struct buf *out)
{
    int err = 0;
    for (size_t i = 0; err == 0 && i < l->owed.count; i++)
        err = append_statement(out, l->owed.list[i]);
    return err;
}

int ledger_load_owed(struct ledger *l, struct slice packed)
{
    struct ledger_reader r = {.rest = packed};
    struct ledger_statement *s;
    int err = 0;
    while (err == 0 && r.rest.size > 0) {
        err = ledger_statement_read(&r, &s);
        bool wanted = err == 0 && s->kind == LEDGER_TOMBSTONE && !ledger_is_evicted(l, s->tombstone.id);
        if (wanted)
            err = ledger_set_add(&l->owed, LEDGER_TOMBSTONES_MAX, s);
        else if (err == 0)
            free(s);
    }
    return err;
}

static int newer_first(const void *a, const void *b)
{
    const struct ledger_statement *const *left = a, *const *right = b;
    int64_t first = (*left)->tombstone.when_s, second = (*right)->tombstone.when_s;
    return first > second ? -1 : first < second;
}

int ledger_pack_brief(const struct ledger *l, size_t size_max, struct buf *out)
{
    size_t begin = out->size;
    int err = pack_decisions(l, out);
    struct ledger_statement **order = calloc(l->tombstones.count + 1, sizeof *order);
    if (!order)
        return err ? err : GRID_ENOMEM;
    for (size_t i = 0; i < l->tombstones.count; i++)
        order[i] = l->tombstones.list[i];
    qsort(order, l->tombstones.count, sizeof *order, newer_first);
    for (size_t i = 0; err == 0 && i < l->tombstones.count && out->size - begin + order[i]->size <= size_max; i++)
        err = append_statement(out, order[i]);
    free(order);
    return err;
}

/* Over what is decided, not over who signed it when; nor over the root's number, which who began with a later root does not know. */
void ledger_digest(const struct ledger *l, uint8_t digest[LEDGER_DIGEST_SIZE])
{
    struct buf b;
    uint64_t epoch;
    bool open;
    ledger_stated_door(l, &epoch, &open);
    buf_init(&b, 0);
    ledger_put_id(&b, l->root.id);
    buf_append_byte(&b, l->next ? (uint8_t) l->next->authority.phase : 0);
    if (l->next)
        ledger_put_id(&b, l->next->authority.id);
    buf_append_u64be(&b, epoch);
    buf_append_byte(&b, open);
    buf_append_u64be(&b, l->heirs.count);
    for (size_t i = 0; i < l->heirs.count; i++)
        ledger_put_id(&b, l->heirs.list[i]->tombstone.id);
    for (size_t i = 0; i < l->tombstones.count; i++)
        ledger_put_id(&b, l->tombstones.list[i]->tombstone.id);
    EVP_Digest(b.data, b.size, digest, NULL, EVP_sha256(), NULL);
    buf_dispose(&b);
}

/* ---- life ---- */

static int create_with(struct slice authority_der, uint64_t sequence, struct ledger **out)
{
    char why[TRUST_WHY_MAX];
    struct authority *a;
    struct ledger *l = calloc(1, sizeof *l);
    if (!l)
        return GRID_ENOMEM;
    buf_init(&l->root_der, TRUST_CERTIFICATE_MAX);
    int err = authority_load_der(authority_der, slice_of(NULL, 0), &a, why);
    if (err == 0) {
        snprintf(l->grid, sizeof l->grid, "%s", authority_grid_name(a));
        memcpy(l->root.id, authority_id(a), sizeof l->root.id);
        authority_destroy(a);
        err = buf_append(&l->root_der, authority_der);
    }
    if (err != 0) {
        ledger_destroy(l);
        return err;
    }
    l->root.sequence = sequence;
    l->root.phase = LEDGER_REMOVE;
    l->root.der = buf_slice(&l->root_der);
    *out = l;
    return 0;
}

int ledger_create(struct slice authority_der, struct ledger **out)
{
    return create_with(authority_der, 0, out);
}

/* The statement that made the root is signed by one that is gone: it is kept as it is, for those who still know that one. */
static void restore_arrived(struct ledger *l, struct ledger_statement **list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct ledger_authority *a = &list[i]->authority;
        if (list[i]->kind != LEDGER_AUTHORITY || a->sequence != l->root.sequence || a->phase != LEDGER_REMOVE || strcmp(a->id, l->root.id) != 0)
            continue;
        struct slice der = l->root.der;
        free(l->arrived);
        l->arrived = list[i];
        l->root = *a;
        l->root.der = der;
        memmove(&list[i], &list[i + 1], (count - i - 1) * sizeof *list);
        list[count - 1] = NULL;
        return;
    }
}

int ledger_load(struct slice packed, struct ledger **out)
{
    struct ledger_pack_view p;
    struct ledger *l = NULL;
    struct ledger_news news = {0};
    size_t count = 0;
    int err = ledger_pack_open(packed, &p);
    if (err != 0)
        return err;
    struct ledger_statement **list = calloc(LEDGER_STATEMENTS_MAX, sizeof *list);
    err = list ? create_with(p.root_der, p.sequence, &l) : GRID_ENOMEM;
    if (err == 0)
        err = ledger_pack_read(&p, list, &count);
    if (err == 0) {
        restore_arrived(l, list, count);
        err = ledger_take_all(l, list, count, false, &news);
    }
    if (err == 0 && news.refused > 0)
        err = GRID_EPERM;
    if (list)
        ledger_free_all(list, count);
    if (err == 0)
        *out = l;
    else
        ledger_destroy(l);
    return err == GRID_EINVAL ? GRID_EPROTO : err;
}

void ledger_destroy(struct ledger *l)
{
    if (!l)
        return;
    ledger_set_clear(&l->tombstones);
    ledger_set_clear(&l->heirs);
    ledger_set_clear(&l->owed);
    free(l->owed.list);
    free(l->tombstones.list);
    free(l->heirs.list);
    free(l->arrived);
    free(l->next);
    free(l->door);
    buf_dispose(&l->root_der);
    free(l);
}

/* ---- the state ---- */

const struct ledger_authority *ledger_root(const struct ledger *l)
{
    return &l->root;
}

const struct ledger_authority *ledger_next(const struct ledger *l)
{
    return l->next ? &l->next->authority : NULL;
}

size_t ledger_tombstone_count(const struct ledger *l)
{
    return l->tombstones.count + l->owed.count;
}

const struct ledger_tombstone *ledger_tombstone_at(const struct ledger *l, size_t index)
{
    return &(index < l->tombstones.count ? l->tombstones.list[index] : l->owed.list[index - l->tombstones.count])->tombstone;
}

size_t ledger_owed_count(const struct ledger *l)
{
    return l->owed.count;
}

const struct ledger_tombstone *ledger_owed_at(const struct ledger *l, size_t index)
{
    return &l->owed.list[index]->tombstone;
}

bool ledger_is_evicted(const struct ledger *l, const char *id)
{
    return ledger_set_has(&l->tombstones, id) || ledger_set_has(&l->owed, id);
}

bool ledger_is_heir(const struct ledger *l, const char *id)
{
    return ledger_set_has(&l->heirs, id);
}

size_t ledger_heir_count(const struct ledger *l)
{
    return l->heirs.count;
}

const struct ledger_tombstone *ledger_evicted_heir(const struct ledger *l)
{
    for (size_t i = 0; l->heirs.count > 0 && i < ledger_tombstone_count(l); i++)
        if (ledger_is_heir(l, ledger_tombstone_at(l, i)->id))
            return ledger_tombstone_at(l, i);
    return NULL;
}

void ledger_door(const struct ledger *l, uint64_t *epoch, bool *open)
{
    ledger_stated_door(l, epoch, open);
    *open &= l->owed.count == 0;
}

bool ledger_knows_sequence(const struct ledger *l)
{
    return l->arrived || l->root.sequence > 0;
}

void ledger_hear_sequence(struct ledger *l, uint64_t sequence)
{
    l->heard_sequence = sequence < LEDGER_LEAP_MAX ? sequence : 0;
}

void ledger_stated_door(const struct ledger *l, uint64_t *epoch, bool *open)
{
    *epoch = l->door ? l->door->epoch : 0;
    *open = l->door ? l->door->open : l->root.sequence == 0;
}
