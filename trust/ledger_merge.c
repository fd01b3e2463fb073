/* What others state is judged by the root's key, and merged into one slot per thing decided. */
#include <stdlib.h>

#include "base/err.h"
#include "trust/ledger_internal.h"
#include "trust/verify.h"

/* ---- judging ---- */

static bool is_of_root(const struct ledger *l, const struct ledger_statement *s)
{
    char signer[TRUST_ID_SIZE] = "";
    ledger_take_id(slice_of(s->signer, LEDGER_ID_BYTES), signer);
    return strcmp(signer, l->root.id) == 0;
}

static bool signature_holds(const struct ledger *l, const struct ledger_statement *s)
{
    struct slice signed_bytes, signature;
    struct buf bytes;
    ledger_statement_parts(s, &signed_bytes, &signature);
    buf_init(&bytes, 0);
    bool holds = buf_append(&bytes, slice_of(LEDGER_CONTEXT, sizeof LEDGER_CONTEXT)) == 0 && buf_append(&bytes, signed_bytes) == 0 &&
                 verify_signature(l->root.der, buf_slice(&bytes), signature) == 0;
    buf_dispose(&bytes);
    return holds;
}

/* The announced certificate is an authority's of this grid, and the cross-signed one is of the same key, by the root. */
static bool authority_holds(const struct ledger *l, const struct ledger_authority *a)
{
    char why[TRUST_WHY_MAX], cross_id[TRUST_ID_SIZE];
    struct authority *loaded;
    if (authority_load_der(a->der, slice_of(NULL, 0), &loaded, why) != 0)
        return false;
    bool holds = strcmp(authority_grid_name(loaded), l->grid) == 0 && strcmp(a->id, l->root.id) != 0 && certificate_id(a->cross_der, cross_id) == 0 &&
                 strcmp(cross_id, a->id) == 0;
    authority_destroy(loaded);
    return holds;
}

/* ---- merging: each takes the statement over ---- */

static void replace(struct ledger_statement **slot, struct ledger_statement *s)
{
    free(*slot);
    *slot = s;
}

void ledger_set_clear(struct ledger_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        free(set->list[i]);
    set->count = 0;
}

/* Whoever made the new root signs again what he knew. What he had not heard of stays in force here until somebody has signed it too. */
static void owe_all(struct ledger *l)
{
    for (size_t i = 0; i < l->tombstones.count; i++)
        (void) ledger_set_add(&l->owed, LEDGER_TOMBSTONES_MAX, l->tombstones.list[i]);
    l->tombstones.count = 0;
}

static int set_root(struct ledger *l, struct ledger_statement *s, struct ledger_news *news)
{
    struct buf der;
    buf_init(&der, 0);
    if (buf_append(&der, s->authority.der) != 0) {
        free(s);
        return GRID_ENOMEM;
    }
    buf_dispose(&l->root_der);
    l->root_der = der;
    l->root = s->authority;
    l->heard_sequence = 0;
    l->root.der = buf_slice(&l->root_der);
    replace(&l->arrived, s);
    replace(&l->next, NULL);
    replace(&l->door, NULL);
    owe_all(l);
    ledger_set_clear(&l->heirs);
    news->changed = news->root_changed = true;
    return 0;
}

static bool beats(const struct ledger_authority *a, const struct ledger_authority *b)
{
    return a->phase != b->phase ? a->phase > b->phase : strcmp(a->id, b->id) < 0;
}

/* Who began with an authority that had replaced others does not know its number: what its key says is next has the number that it says. */
static bool is_next(const struct ledger *l, const struct ledger_authority *a)
{
    return ledger_knows_sequence(l) ? a->sequence == l->root.sequence + 1 : a->sequence > 0 && a->sequence <= LEDGER_LEAP_MAX;
}

static int take_authority(struct ledger *l, struct ledger_statement *s, struct ledger_news *news)
{
    bool fits = is_next(l, &s->authority) && authority_holds(l, &s->authority);
    if (!fits) {
        news->refused++;
        free(s);
        return 0;
    }
    if (s->authority.phase == LEDGER_REMOVE)
        return set_root(l, s, news);
    replace(&l->next, s);
    news->changed = true;
    return 0;
}

/* Where the id is, or would be. */
static size_t set_place(const struct ledger_set *set, const char *id)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(set->list[middle]->tombstone.id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool ledger_set_has(const struct ledger_set *set, const char *id)
{
    size_t at = set_place(set, id);
    return at < set->count && strcmp(set->list[at]->tombstone.id, id) == 0;
}

int ledger_set_add(struct ledger_set *set, size_t most, struct ledger_statement *s)
{
    size_t at = set_place(set, s->tombstone.id);
    bool has = ledger_set_has(set, s->tombstone.id);
    struct ledger_statement **grown = has || set->count == most ? NULL : realloc(set->list, (set->count + 1) * sizeof *grown);
    if (!grown) {
        free(s);
        return has ? 0 : set->count == most ? GRID_ELIMIT : GRID_ENOMEM;
    }
    set->list = grown;
    memmove(&grown[at + 1], &grown[at], (set->count - at) * sizeof *grown);
    grown[at] = s;
    set->count++;
    return 0;
}

static void set_remove(struct ledger_set *set, const char *id)
{
    size_t at = set_place(set, id);
    if (!ledger_set_has(set, id))
        return;
    free(set->list[at]);
    set->count--;
    memmove(&set->list[at], &set->list[at + 1], (set->count - at) * sizeof *set->list);
}

static int take_into(struct ledger_set *set, size_t most, struct ledger_statement *s, struct ledger_news *news)
{
    size_t before = set->count;
    int err = ledger_set_add(set, most, s);
    news->changed |= set->count > before;
    return err;
}

static int take_tombstone(struct ledger *l, struct ledger_statement *s, struct ledger_news *news)
{
    char id[TRUST_ID_SIZE];
    memcpy(id, s->tombstone.id, sizeof id);
    int err = take_into(&l->tombstones, LEDGER_TOMBSTONES_MAX, s, news);
    if (err == 0)
        set_remove(&l->owed, id);
    return err;
}

/* Whether the door is another after this. */
static bool door_wins(const struct ledger *l, const struct ledger_statement *s)
{
    return !l->door || s->epoch > l->door->epoch || (s->epoch == l->door->epoch && l->door->open && !s->open);
}

static int take_door(struct ledger *l, struct ledger_statement *s, struct ledger_news *news)
{
    replace(&l->door, s);
    news->changed = true;
    return 0;
}

/* True when it changes nothing: its signature need not be looked at, which takes a hundred times as long as to send it again. */
static bool is_known(const struct ledger *l, const struct ledger_statement *s)
{
    if (s->kind == LEDGER_TOMBSTONE)
        return ledger_set_has(&l->tombstones, s->tombstone.id);
    if (s->kind == LEDGER_HEIR)
        return ledger_is_heir(l, s->tombstone.id);
    if (s->kind == LEDGER_DOOR)
        return !door_wins(l, s);
    return l->next && !beats(&s->authority, &l->next->authority);
}

/* By the one before it, of which this node need not have heard. */
static bool made_root(const struct ledger *l, const struct ledger_statement *s)
{
    return s->kind == LEDGER_AUTHORITY && strcmp(s->authority.id, l->root.id) == 0;
}

int ledger_take_statement(struct ledger *l, struct ledger_statement *s, bool behind, struct ledger_news *news)
{
    bool of_root = is_of_root(l, s), known = of_root ? is_known(l, s) : made_root(l, s);
    bool stale = (s->kind == LEDGER_AUTHORITY && s->authority.sequence <= l->root.sequence) || (behind && !of_root);
    bool forged = !stale && !known && of_root && !signature_holds(l, s);
    if (stale || known || !of_root || forged) {
        news->stale += stale;
        news->refused += !stale && !known;
        free(s);
        return forged ? GRID_EPERM : 0;
    }
    if (s->kind == LEDGER_AUTHORITY)
        return take_authority(l, s, news);
    if (s->kind == LEDGER_TOMBSTONE)
        return take_tombstone(l, s, news);
    return s->kind == LEDGER_HEIR ? take_into(&l->heirs, LEDGER_HEIRS_MAX, s, news) : take_door(l, s, news);
}

/* ---- packs ---- */

int ledger_pack_open(struct slice packed, struct ledger_pack_view *out)
{
    struct ledger_reader r = {.rest = packed};
    if (packed.size > LEDGER_BYTES_MAX)
        return GRID_ELIMIT;
    struct slice magic = ledger_read_bytes(&r, LEDGER_MAGIC.size);
    out->sequence = ledger_read_number(&r, 8);
    out->root_der = ledger_read_bytes(&r, ledger_read_number(&r, 2));
    out->statements = r;
    return r.failed || !slice_equal(magic, LEDGER_MAGIC) ? GRID_EPROTO : 0;
}

int ledger_pack_read(struct ledger_pack_view *p, struct ledger_statement **list, size_t *count)
{
    int err = 0;
    *count = 0;
    while (err == 0 && p->statements.rest.size > 0) {
        if (*count == LEDGER_STATEMENTS_MAX)
            return GRID_ELIMIT;
        err = ledger_statement_read(&p->statements, &list[*count]);
        *count += err == 0;
    }
    return err;
}

void ledger_free_all(struct ledger_statement **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

/* Authorities first, since they say whose signature counts. A forged one ends it: nobody who is honest passes it on, and each costs a millisecond. */
int ledger_take_all(struct ledger *l, struct ledger_statement **list, size_t count, bool behind, struct ledger_news *news)
{
    int result = 0;
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < count; i++) {
            if (!list[i] || (list[i]->kind == LEDGER_AUTHORITY) != (round == 0))
                continue;
            int err = ledger_take_statement(l, list[i], behind, news);
            list[i] = NULL;
            if (err == GRID_EPERM)
                return 0;
            result = err != 0 ? err : result;
        }
    return result;
}

int ledger_merge(struct ledger *l, struct slice packed, struct ledger_news *news)
{
    struct ledger_pack_view p;
    size_t count = 0;
    *news = (struct ledger_news){0};
    int err = ledger_pack_open(packed, &p);
    if (err != 0)
        return err;
    struct ledger_statement **list = calloc(LEDGER_STATEMENTS_MAX, sizeof *list);
    if (!list)
        return GRID_ENOMEM;
    err = ledger_pack_read(&p, list, &count);
    if (err == 0)
        err = ledger_take_all(l, list, count, p.sequence < l->root.sequence, news);
    if (l->tombstones.count >= LEDGER_INHERITED) /* the rest was left out on purpose */
        ledger_set_clear(&l->owed);
    ledger_free_all(list, count);
    return err;
}
