/* An issuer's own statements: signed, and taken in like anybody's. */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "trust/ledger_internal.h"

/* ---- own statements ---- */

/* Signs a body as a statement and takes it in. Disposes of the body. */
static int state(struct ledger *l, const struct authority *root, enum ledger_kind kind, struct buf *body)
{
    struct buf bytes;
    uint8_t signature[TRUST_SIGNATURE_MAX];
    size_t size = 0;
    struct ledger_statement *s;
    struct ledger_news news = {0};
    buf_init(&bytes, 0);
    buf_append(&bytes, slice_of(LEDGER_CONTEXT, sizeof LEDGER_CONTEXT));
    buf_append_byte(&bytes, (uint8_t) kind);
    buf_append_u16be(&bytes, (uint16_t) body->size);
    int err = buf_append(&bytes, buf_slice(body));
    if (err == 0)
        err = key_sign(authority_key(root), buf_slice(&bytes), signature, &size);
    ledger_put_id(&bytes, authority_id(root));
    buf_append_byte(&bytes, (uint8_t) size);
    if (err == 0)
        err = buf_append(&bytes, slice_of(signature, size));
    struct ledger_reader r = {.rest = slice_from(buf_slice(&bytes), sizeof LEDGER_CONTEXT)};
    if (err == 0)
        err = ledger_statement_read(&r, &s);
    if (err == 0)
        err = ledger_take_statement(l, s, false, &news);
    buf_dispose(&bytes);
    buf_dispose(body);
    return err != 0 ? err : news.refused > 0 ? GRID_EINVAL : 0;
}

static bool may_state(const struct ledger *l, const struct authority *root)
{
    return authority_can_issue(root) && strcmp(authority_id(root), l->root.id) == 0;
}

static int state_door(struct ledger *l, const struct authority *root, uint64_t epoch, bool open, int64_t now_s)
{
    struct buf body;
    buf_init(&body, 0);
    buf_append_u64be(&body, epoch);
    buf_append_byte(&body, open);
    buf_append_u64be(&body, (uint64_t) now_s);
    return state(l, root, LEDGER_DOOR, &body);
}

static int state_tombstone(struct ledger *l, const struct authority *root, const struct ledger_tombstone *t)
{
    struct buf body;
    buf_init(&body, 0);
    ledger_put_id(&body, t->id);
    buf_append_u64be(&body, (uint64_t) t->when_s);
    buf_append_byte(&body, (uint8_t) strlen(t->name));
    buf_append_str(&body, t->name);
    return state(l, root, LEDGER_TOMBSTONE, &body);
}

static int state_heir(struct ledger *l, const struct authority *root, const char *id, int64_t when_s)
{
    struct buf body;
    buf_init(&body, 0);
    ledger_put_id(&body, id);
    buf_append_u64be(&body, (uint64_t) when_s);
    return state(l, root, LEDGER_HEIR, &body);
}

int ledger_set_door(struct ledger *l, const struct authority *root, bool open, int64_t now_s)
{
    uint64_t epoch;
    bool was_open;
    if (!may_state(l, root))
        return GRID_EPERM;
    ledger_stated_door(l, &epoch, &was_open);
    return epoch < LEDGER_EPOCH_MAX ? state_door(l, root, epoch + 1, open, now_s) : GRID_ELIMIT;
}

static bool id_is_sound(const char *id)
{
    return strlen(id) == TRUST_ID_SIZE - 1 && strspn(id, "0123456789abcdef") == TRUST_ID_SIZE - 1;
}

int ledger_evict(struct ledger *l, const struct authority *root, const char *id, const char *name, int64_t now_s)
{
    struct ledger_tombstone t = {.when_s = now_s};
    uint64_t epoch;
    bool open;
    if (!may_state(l, root))
        return GRID_EPERM;
    if (!id_is_sound(id) || !trust_name_valid(slice_of_str(name)))
        return GRID_EINVAL;
    memcpy(t.id, id, sizeof t.id);
    snprintf(t.name, sizeof t.name, "%s", name);
    int err = state_tombstone(l, root, &t);
    ledger_stated_door(l, &epoch, &open);
    return err == 0 && open ? state_door(l, root, epoch < LEDGER_EPOCH_MAX ? epoch + 1 : epoch, false, now_s) : err;
}

int ledger_pay(struct ledger *l, const struct authority *root, int64_t now_s)
{
    int err = may_state(l, root) ? 0 : GRID_EPERM;
    while (err == 0 && l->owed.count > 0) {
        struct ledger_tombstone t = l->owed.list[0]->tombstone;
        err = ledger_evict(l, root, t.id, t.name, now_s);
    }
    return err;
}

int ledger_add_heir(struct ledger *l, const struct authority *root, const char *id, int64_t now_s)
{
    if (!may_state(l, root))
        return GRID_EPERM;
    return id_is_sound(id) ? state_heir(l, root, id, now_s) : GRID_EINVAL;
}

/* What the root has signed of its follower tells more than what others say. */
static uint64_t next_sequence(const struct ledger *l)
{
    if (ledger_knows_sequence(l))
        return l->root.sequence + 1;
    return l->next ? l->next->authority.sequence : l->heard_sequence + 1;
}

static int state_authority(struct ledger *l, const struct authority *root, const struct authority *next, enum ledger_phase phase, int64_t now_s, int64_t until_s)
{
    struct buf body, cross;
    struct slice der = authority_certificate_der(next);
    buf_init(&body, 0);
    buf_init(&cross, 0);
    int err = authority_cross_sign(root, next, now_s, &cross);
    buf_append_u64be(&body, next_sequence(l));
    buf_append_byte(&body, (uint8_t) phase);
    buf_append_u64be(&body, (uint64_t) now_s);
    buf_append_u64be(&body, (uint64_t) until_s);
    buf_append_u16be(&body, (uint16_t) der.size);
    buf_append(&body, der);
    buf_append_u16be(&body, (uint16_t) cross.size);
    buf_append(&body, buf_slice(&cross));
    buf_dispose(&cross);
    if (err == 0)
        return state(l, root, LEDGER_AUTHORITY, &body);
    buf_dispose(&body);
    return err;
}

/* What the old root had signed, to be signed again. */
struct inheritance {
    struct ledger_tombstone *tombstones, *heirs;
    size_t tombstone_count, heir_count;
    uint64_t epoch;
    bool open;
};

static void copy_set(const struct ledger_set *set, struct ledger_tombstone *out)
{
    for (size_t i = 0; i < set->count; i++)
        out[i] = set->list[i]->tombstone;
}

static int later_first(const void *a, const void *b)
{
    const struct ledger_tombstone *left = a, *right = b;
    return left->when_s > right->when_s ? -1 : left->when_s < right->when_s;
}

static int inherit(const struct ledger *l, bool heirs, struct inheritance *out)
{
    out->tombstone_count = l->tombstones.count + l->owed.count;
    out->tombstones = calloc(out->tombstone_count + 1, sizeof *out->tombstones);
    out->heirs = calloc(l->heirs.count + 1, sizeof *out->heirs);
    out->heir_count = heirs ? l->heirs.count : 0;
    ledger_stated_door(l, &out->epoch, &out->open);
    if (out->epoch > LEDGER_EPOCH_MAX / 2) {
        out->epoch = 1;
        out->open = false;
    }
    if (!out->tombstones || !out->heirs)
        return GRID_ENOMEM;
    copy_set(&l->tombstones, out->tombstones);
    copy_set(&l->owed, out->tombstones + l->tombstones.count);
    copy_set(&l->heirs, out->heirs);
    qsort(out->tombstones, out->tombstone_count, sizeof *out->tombstones, later_first);
    out->tombstone_count = out->tombstone_count < LEDGER_INHERITED ? out->tombstone_count : LEDGER_INHERITED;
    return 0;
}

static int state_inheritance(struct ledger *l, const struct authority *root, const struct inheritance *left, int64_t now_s)
{
    int err = state_door(l, root, left->epoch, left->open, now_s);
    for (size_t i = 0; err == 0 && i < left->tombstone_count; i++)
        err = state_tombstone(l, root, &left->tombstones[i]);
    for (size_t i = 0; err == 0 && i < left->heir_count; i++)
        err = state_heir(l, root, left->heirs[i].id, left->heirs[i].when_s);
    return err;
}

int ledger_announce(struct ledger *l, const struct authority *root, const struct authority *next, enum ledger_phase phase, int64_t now_s, int64_t until_s)
{
    struct inheritance left = {0};
    if (!may_state(l, root) || (phase == LEDGER_REMOVE && !authority_can_issue(next)))
        return GRID_EPERM;
    bool announced = l->next && strcmp(l->next->authority.id, authority_id(next)) == 0;
    int err = phase == LEDGER_REMOVE ? inherit(l, announced, &left) : 0;
    if (err == 0)
        err = state_authority(l, root, next, phase, now_s, until_s);
    if (err == 0 && phase == LEDGER_REMOVE)
        err = state_inheritance(l, next, &left, now_s);
    if (err == 0 && phase == LEDGER_REMOVE)
        ledger_set_clear(&l->owed);
    free(left.tombstones);
    free(left.heirs);
    return err;
}
