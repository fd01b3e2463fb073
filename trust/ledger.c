/* The ledger: statements read, judged by the root's key, and merged into one slot per thing decided. */
#include "trust/ledger.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/hex.h"
#include "trust/verify.h"

enum { ID_BYTES = 32, STATEMENT_HEAD = 3, STATEMENTS_MAX = LEDGER_TOMBSTONES_MAX + LEDGER_HEIRS_MAX + 8, BODY_MAX = 2 * TRUST_CERTIFICATE_MAX + 64 };
/* Who had the key and lost it may have counted as far as counting goes, and evicted whom there never was: a new authority begins anew where little is left. */
enum { TOMBSTONES_INHERITED = LEDGER_TOMBSTONES_MAX - 64 };
#define EPOCH_MAX UINT32_MAX
enum ledger_kind { KIND_AUTHORITY = 1, KIND_TOMBSTONE = 2, KIND_DOOR = 3, KIND_HEIR = 4 };

static const char MAGIC[8] = {'G', 'R', 'I', 'D', 'L', 'D', 'G', '1'};
static const char CONTEXT[] = "gridcontrol trust ledger 1"; /* before what is signed, with its NUL, so that no other signature of the key fits */

/* A statement as it came, and what it says. */
struct statement {
    enum ledger_kind kind;
    uint8_t signer[ID_BYTES];
    struct ledger_authority authority; /* slices into `bytes` */
    struct ledger_tombstone tombstone; /* an heir's id and when, too */
    uint64_t epoch;
    bool open;
    size_t size;
    uint8_t bytes[]; /* whole, from kind to signature */
};

/* Statements about ids, in their order. */
struct statement_set {
    struct statement **list;
    size_t count;
};

struct ledger {
    struct ledger_authority root;
    struct buf root_der;
    char grid[TRUST_NAME_MAX + 1];
    struct statement *arrived; /* what made it the root; NULL for the first */
    struct statement *next, *door;
    struct statement_set tombstones, heirs;
};

/* ---- bytes ---- */

struct reader {
    struct slice rest;
    bool failed;
};

static struct slice read_bytes(struct reader *r, size_t size)
{
    if (r->failed || size > r->rest.size) {
        r->failed = true;
        return slice_of(NULL, 0);
    }
    struct slice s = slice_of(r->rest.data, size);
    r->rest = slice_of(r->rest.data + size, r->rest.size - size);
    return s;
}

static uint64_t read_number(struct reader *r, size_t size)
{
    struct slice s = read_bytes(r, size);
    uint64_t value = 0;
    for (size_t i = 0; i < s.size; i++)
        value = value << 8 | s.data[i];
    return value;
}

static void put_id(struct buf *out, const char *id)
{
    uint8_t bytes[ID_BYTES] = {0};
    (void) hex_decode(slice_of_str(id), bytes, sizeof bytes); /* ids are sound when they come here */
    buf_append(out, slice_of(bytes, sizeof bytes));
}

static void take_id(struct slice bytes, char id[TRUST_ID_SIZE])
{
    if (bytes.size == ID_BYTES)
        hex_encode(bytes, id);
}

static void take_time(struct reader *r, int64_t *out)
{
    uint64_t value = read_number(r, 8);
    if (value > INT64_MAX / 2)
        r->failed = true;
    *out = (int64_t) value;
}

/* ---- reading a statement ---- */

static int read_authority(struct reader *r, struct statement *s)
{
    struct ledger_authority *a = &s->authority;
    a->sequence = read_number(r, 8);
    uint64_t phase = read_number(r, 1);
    take_time(r, &a->when_s);
    take_time(r, &a->until_s);
    a->der = read_bytes(r, read_number(r, 2));
    a->cross_der = read_bytes(r, read_number(r, 2));
    if (r->failed || phase < LEDGER_INSTALL || phase > LEDGER_REMOVE || a->sequence == 0 || certificate_id(a->der, a->id) != 0)
        return GRID_EPROTO;
    a->phase = (enum ledger_phase) phase;
    return 0;
}

static int read_tombstone(struct reader *r, struct statement *s)
{
    take_id(read_bytes(r, ID_BYTES), s->tombstone.id);
    take_time(r, &s->tombstone.when_s);
    struct slice name = read_bytes(r, read_number(r, 1));
    if (r->failed || !trust_name_valid(name))
        return GRID_EPROTO;
    memcpy(s->tombstone.name, name.data, name.size);
    return 0;
}

static int read_heir(struct reader *r, struct statement *s)
{
    take_id(read_bytes(r, ID_BYTES), s->tombstone.id);
    take_time(r, &s->tombstone.when_s);
    return r->failed ? GRID_EPROTO : 0;
}

static int read_door(struct reader *r, struct statement *s)
{
    int64_t when_s;
    s->epoch = read_number(r, 8);
    uint64_t open = read_number(r, 1);
    take_time(r, &when_s);
    s->open = open == 1;
    return r->failed || open > 1 || s->epoch > EPOCH_MAX ? GRID_EPROTO : 0;
}

static int read_body(struct statement *s, struct slice body)
{
    struct reader r = {.rest = body};
    int err = GRID_EPROTO;
    if (s->kind == KIND_AUTHORITY)
        err = read_authority(&r, s);
    else if (s->kind == KIND_TOMBSTONE)
        err = read_tombstone(&r, s);
    else if (s->kind == KIND_DOOR)
        err = read_door(&r, s);
    else if (s->kind == KIND_HEIR)
        err = read_heir(&r, s);
    return err == 0 && r.rest.size > 0 ? GRID_EPROTO : err;
}

/* What is signed of a statement's bytes, and by what. */
static void statement_parts(const struct statement *s, struct slice *signed_bytes, struct slice *signature)
{
    size_t body = (size_t) s->bytes[1] << 8 | s->bytes[2];
    *signed_bytes = slice_of(s->bytes, STATEMENT_HEAD + body);
    *signature = slice_of(s->bytes + STATEMENT_HEAD + body + ID_BYTES + 1, s->bytes[STATEMENT_HEAD + body + ID_BYTES]);
}

/* Reads the statement at the reader's place. 0, GRID_EPROTO or GRID_ENOMEM. */
static int statement_read(struct reader *r, struct statement **out)
{
    const uint8_t *start = r->rest.data;
    uint64_t kind = read_number(r, 1);
    struct slice body = read_bytes(r, read_number(r, 2)), signer = read_bytes(r, ID_BYTES), signature = read_bytes(r, read_number(r, 1));
    if (r->failed || body.size > BODY_MAX || signature.size == 0 || signature.size > TRUST_SIGNATURE_MAX)
        return GRID_EPROTO;
    size_t size = (size_t) (r->rest.data - start);
    struct statement *s = calloc(1, sizeof *s + size);
    if (!s)
        return GRID_ENOMEM;
    s->kind = (enum ledger_kind) kind;
    s->size = size;
    memcpy(s->bytes, start, size);
    memcpy(s->signer, signer.data, ID_BYTES);
    int err = read_body(s, slice_of(s->bytes + STATEMENT_HEAD, body.size));
    if (err != 0)
        free(s);
    else
        *out = s;
    return err;
}

/* ---- judging ---- */

static bool is_of_root(const struct ledger *l, const struct statement *s)
{
    char signer[TRUST_ID_SIZE] = "";
    take_id(slice_of(s->signer, ID_BYTES), signer);
    return strcmp(signer, l->root.id) == 0;
}

static bool signature_holds(const struct ledger *l, const struct statement *s)
{
    struct slice signed_bytes, signature;
    struct buf bytes;
    statement_parts(s, &signed_bytes, &signature);
    buf_init(&bytes, 0);
    bool holds = buf_append(&bytes, slice_of(CONTEXT, sizeof CONTEXT)) == 0 && buf_append(&bytes, signed_bytes) == 0 &&
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

static void replace(struct statement **slot, struct statement *s)
{
    free(*slot);
    *slot = s;
}

static void set_clear(struct statement_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        free(set->list[i]);
    set->count = 0;
}

static int set_root(struct ledger *l, struct statement *s, struct ledger_news *news)
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
    l->root.der = buf_slice(&l->root_der);
    replace(&l->arrived, s);
    replace(&l->next, NULL);
    replace(&l->door, NULL);
    set_clear(&l->tombstones);
    set_clear(&l->heirs);
    news->changed = news->root_changed = true;
    return 0;
}

static bool beats(const struct ledger_authority *a, const struct ledger_authority *b)
{
    return a->phase != b->phase ? a->phase > b->phase : strcmp(a->id, b->id) < 0;
}

static int take_authority(struct ledger *l, struct statement *s, struct ledger_news *news)
{
    bool fits = s->authority.sequence == l->root.sequence + 1 && authority_holds(l, &s->authority);
    if (!fits || (l->next && !beats(&s->authority, &l->next->authority))) {
        news->refused += !fits;
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
static size_t set_place(const struct statement_set *set, const char *id)
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

static bool set_has(const struct statement_set *set, const char *id)
{
    size_t at = set_place(set, id);
    return at < set->count && strcmp(set->list[at]->tombstone.id, id) == 0;
}

static int take_into(struct statement_set *set, size_t most, struct statement *s, struct ledger_news *news)
{
    size_t at = set_place(set, s->tombstone.id);
    if (set_has(set, s->tombstone.id) || set->count == most) {
        int err = set_has(set, s->tombstone.id) ? 0 : GRID_ELIMIT;
        free(s);
        return err;
    }
    struct statement **grown = realloc(set->list, (set->count + 1) * sizeof *grown);
    if (!grown) {
        free(s);
        return GRID_ENOMEM;
    }
    set->list = grown;
    memmove(&grown[at + 1], &grown[at], (set->count - at) * sizeof *grown);
    grown[at] = s;
    set->count++;
    news->changed = true;
    return 0;
}

static int take_door(struct ledger *l, struct statement *s, struct ledger_news *news)
{
    bool wins = !l->door || s->epoch > l->door->epoch || (s->epoch == l->door->epoch && l->door->open && !s->open);
    if (wins) {
        replace(&l->door, s);
        news->changed = true;
    } else
        free(s);
    return 0;
}

/* True when it says nothing that is not known: its signature need not be looked at. */
static bool is_known(const struct ledger *l, const struct statement *s)
{
    if (s->kind == KIND_TOMBSTONE)
        return ledger_is_evicted(l, s->tombstone.id);
    if (s->kind == KIND_HEIR)
        return ledger_is_heir(l, s->tombstone.id);
    if (s->kind == KIND_DOOR)
        return l->door && s->epoch == l->door->epoch && s->open == l->door->open;
    return l->next && l->next->authority.phase == s->authority.phase && strcmp(l->next->authority.id, s->authority.id) == 0;
}

/* Takes it over. */
static int take_statement(struct ledger *l, struct statement *s, struct ledger_news *news)
{
    bool stale = s->kind == KIND_AUTHORITY && s->authority.sequence <= l->root.sequence;
    bool of_root = is_of_root(l, s), known = of_root && is_known(l, s);
    bool forged = !stale && !known && of_root && !signature_holds(l, s);
    if (stale || known || !of_root || forged) {
        news->stale += stale;
        news->refused += !stale && !known;
        free(s);
        return forged ? GRID_EPERM : 0;
    }
    if (s->kind == KIND_AUTHORITY)
        return take_authority(l, s, news);
    if (s->kind == KIND_TOMBSTONE)
        return take_into(&l->tombstones, LEDGER_TOMBSTONES_MAX, s, news);
    return s->kind == KIND_HEIR ? take_into(&l->heirs, LEDGER_HEIRS_MAX, s, news) : take_door(l, s, news);
}

/* ---- packs ---- */

struct pack {
    uint64_t sequence;
    struct slice root_der;
    struct reader statements;
};

static int pack_open(struct slice packed, struct pack *out)
{
    struct reader r = {.rest = packed};
    if (packed.size > LEDGER_BYTES_MAX)
        return GRID_ELIMIT;
    struct slice magic = read_bytes(&r, sizeof MAGIC);
    out->sequence = read_number(&r, 8);
    out->root_der = read_bytes(&r, read_number(&r, 2));
    out->statements = r;
    return r.failed || memcmp(magic.data, MAGIC, sizeof MAGIC) != 0 ? GRID_EPROTO : 0;
}

/* Reads them all before any is taken. `list` has room for STATEMENTS_MAX. */
static int pack_read(struct pack *p, struct statement **list, size_t *count)
{
    int err = 0;
    *count = 0;
    while (err == 0 && p->statements.rest.size > 0) {
        if (*count == STATEMENTS_MAX)
            return GRID_ELIMIT;
        err = statement_read(&p->statements, &list[*count]);
        *count += err == 0;
    }
    return err;
}

static void free_all(struct statement **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

/* Authorities first, since they say whose signature counts. A forged one ends it: nobody who is honest passes it on, and each costs a millisecond. */
static int take_all(struct ledger *l, struct statement **list, size_t count, struct ledger_news *news)
{
    int result = 0;
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < count; i++) {
            if (!list[i] || (list[i]->kind == KIND_AUTHORITY) != (round == 0))
                continue;
            int err = take_statement(l, list[i], news);
            list[i] = NULL;
            if (err == GRID_EPERM)
                return 0;
            result = err != 0 ? err : result;
        }
    return result;
}

int ledger_merge(struct ledger *l, struct slice packed, struct ledger_news *news)
{
    struct pack p;
    size_t count = 0;
    *news = (struct ledger_news){0};
    int err = pack_open(packed, &p);
    if (err != 0)
        return err;
    struct statement **list = calloc(STATEMENTS_MAX, sizeof *list);
    if (!list)
        return GRID_ENOMEM;
    err = pack_read(&p, list, &count);
    if (err == 0)
        err = take_all(l, list, count, news);
    free_all(list, count);
    return err;
}

static int append_statement(struct buf *out, const struct statement *s)
{
    return s ? buf_append(out, slice_of(s->bytes, s->size)) : 0;
}

/* All but the tombstones. */
static int pack_decisions(const struct ledger *l, struct buf *out)
{
    int err = buf_append(out, slice_of(MAGIC, sizeof MAGIC));
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

static int newer_first(const void *a, const void *b)
{
    const struct statement *const *left = a, *const *right = b;
    int64_t first = (*left)->tombstone.when_s, second = (*right)->tombstone.when_s;
    return first > second ? -1 : first < second;
}

int ledger_pack_brief(const struct ledger *l, size_t size_max, struct buf *out)
{
    size_t begin = out->size;
    int err = pack_decisions(l, out);
    struct statement **order = calloc(l->tombstones.count + 1, sizeof *order);
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

/* Over what is decided, not over who signed it when. */
void ledger_digest(const struct ledger *l, uint8_t digest[LEDGER_DIGEST_SIZE])
{
    struct buf b;
    uint64_t epoch;
    bool open;
    ledger_door(l, &epoch, &open);
    buf_init(&b, 0);
    buf_append_u64be(&b, l->root.sequence);
    put_id(&b, l->root.id);
    buf_append_byte(&b, l->next ? (uint8_t) l->next->authority.phase : 0);
    if (l->next)
        put_id(&b, l->next->authority.id);
    buf_append_u64be(&b, epoch);
    buf_append_byte(&b, open);
    buf_append_u64be(&b, l->heirs.count);
    for (size_t i = 0; i < l->heirs.count; i++)
        put_id(&b, l->heirs.list[i]->tombstone.id);
    for (size_t i = 0; i < l->tombstones.count; i++)
        put_id(&b, l->tombstones.list[i]->tombstone.id);
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
static void restore_arrived(struct ledger *l, struct statement **list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct ledger_authority *a = &list[i]->authority;
        if (list[i]->kind != KIND_AUTHORITY || a->sequence != l->root.sequence || a->phase != LEDGER_REMOVE || strcmp(a->id, l->root.id) != 0)
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
    struct pack p;
    struct ledger *l = NULL;
    struct ledger_news news = {0};
    size_t count = 0;
    int err = pack_open(packed, &p);
    if (err != 0)
        return err;
    struct statement **list = calloc(STATEMENTS_MAX, sizeof *list);
    err = list ? create_with(p.root_der, p.sequence, &l) : GRID_ENOMEM;
    if (err == 0)
        err = pack_read(&p, list, &count);
    if (err == 0) {
        restore_arrived(l, list, count);
        err = take_all(l, list, count, &news);
    }
    if (err == 0 && news.refused > 0)
        err = GRID_EPERM;
    if (list)
        free_all(list, count);
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
    set_clear(&l->tombstones);
    set_clear(&l->heirs);
    free(l->tombstones.list);
    free(l->heirs.list);
    free(l->arrived);
    free(l->next);
    free(l->door);
    buf_dispose(&l->root_der);
    free(l);
}

/* ---- own statements ---- */

/* Signs a body as a statement and takes it in. Disposes of the body. */
static int state(struct ledger *l, const struct authority *root, enum ledger_kind kind, struct buf *body)
{
    struct buf bytes;
    uint8_t signature[TRUST_SIGNATURE_MAX];
    size_t size = 0;
    struct statement *s;
    struct ledger_news news = {0};
    buf_init(&bytes, 0);
    buf_append(&bytes, slice_of(CONTEXT, sizeof CONTEXT));
    buf_append_byte(&bytes, (uint8_t) kind);
    buf_append_u16be(&bytes, (uint16_t) body->size);
    int err = buf_append(&bytes, buf_slice(body));
    if (err == 0)
        err = key_sign(authority_key(root), buf_slice(&bytes), signature, &size);
    put_id(&bytes, authority_id(root));
    buf_append_byte(&bytes, (uint8_t) size);
    if (err == 0)
        err = buf_append(&bytes, slice_of(signature, size));
    struct reader r = {.rest = slice_from(buf_slice(&bytes), sizeof CONTEXT)};
    if (err == 0)
        err = statement_read(&r, &s);
    if (err == 0)
        err = take_statement(l, s, &news);
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
    return state(l, root, KIND_DOOR, &body);
}

static int state_tombstone(struct ledger *l, const struct authority *root, const struct ledger_tombstone *t)
{
    struct buf body;
    buf_init(&body, 0);
    put_id(&body, t->id);
    buf_append_u64be(&body, (uint64_t) t->when_s);
    buf_append_byte(&body, (uint8_t) strlen(t->name));
    buf_append_str(&body, t->name);
    return state(l, root, KIND_TOMBSTONE, &body);
}

static int state_heir(struct ledger *l, const struct authority *root, const char *id, int64_t when_s)
{
    struct buf body;
    buf_init(&body, 0);
    put_id(&body, id);
    buf_append_u64be(&body, (uint64_t) when_s);
    return state(l, root, KIND_HEIR, &body);
}

int ledger_set_door(struct ledger *l, const struct authority *root, bool open, int64_t now_s)
{
    uint64_t epoch;
    bool was_open;
    if (!may_state(l, root))
        return GRID_EPERM;
    ledger_door(l, &epoch, &was_open);
    return epoch < EPOCH_MAX ? state_door(l, root, epoch + 1, open, now_s) : GRID_ELIMIT;
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
    ledger_door(l, &epoch, &open);
    return err == 0 && open ? state_door(l, root, epoch < EPOCH_MAX ? epoch + 1 : epoch, false, now_s) : err;
}

int ledger_add_heir(struct ledger *l, const struct authority *root, const char *id, int64_t now_s)
{
    if (!may_state(l, root))
        return GRID_EPERM;
    return id_is_sound(id) ? state_heir(l, root, id, now_s) : GRID_EINVAL;
}

static int state_authority(struct ledger *l, const struct authority *root, const struct authority *next, enum ledger_phase phase, int64_t now_s, int64_t until_s)
{
    struct buf body, cross;
    struct slice der = authority_certificate_der(next);
    buf_init(&body, 0);
    buf_init(&cross, 0);
    int err = authority_cross_sign(root, next, now_s, &cross);
    buf_append_u64be(&body, l->root.sequence + 1);
    buf_append_byte(&body, (uint8_t) phase);
    buf_append_u64be(&body, (uint64_t) now_s);
    buf_append_u64be(&body, (uint64_t) until_s);
    buf_append_u16be(&body, (uint16_t) der.size);
    buf_append(&body, der);
    buf_append_u16be(&body, (uint16_t) cross.size);
    buf_append(&body, buf_slice(&cross));
    buf_dispose(&cross);
    if (err == 0)
        return state(l, root, KIND_AUTHORITY, &body);
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

/* NULL when out of memory. */
static struct ledger_tombstone *copy_of(const struct statement_set *set)
{
    struct ledger_tombstone *copy = calloc(set->count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < set->count; i++)
        copy[i] = set->list[i]->tombstone;
    return copy;
}

static int later_first(const void *a, const void *b)
{
    const struct ledger_tombstone *left = a, *right = b;
    return left->when_s > right->when_s ? -1 : left->when_s < right->when_s;
}

static int inherit(const struct ledger *l, bool heirs, struct inheritance *out)
{
    out->tombstones = copy_of(&l->tombstones);
    out->heirs = copy_of(&l->heirs);
    out->tombstone_count = l->tombstones.count;
    out->heir_count = heirs ? l->heirs.count : 0;
    ledger_door(l, &out->epoch, &out->open);
    if (out->epoch > EPOCH_MAX / 2) {
        out->epoch = 1;
        out->open = false;
    }
    if (!out->tombstones || !out->heirs)
        return GRID_ENOMEM;
    qsort(out->tombstones, out->tombstone_count, sizeof *out->tombstones, later_first);
    out->tombstone_count = out->tombstone_count < TOMBSTONES_INHERITED ? out->tombstone_count : TOMBSTONES_INHERITED;
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
    free(left.tombstones);
    free(left.heirs);
    return err;
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
    return l->tombstones.count;
}

const struct ledger_tombstone *ledger_tombstone_at(const struct ledger *l, size_t index)
{
    return &l->tombstones.list[index]->tombstone;
}

bool ledger_is_evicted(const struct ledger *l, const char *id)
{
    return set_has(&l->tombstones, id);
}

bool ledger_is_heir(const struct ledger *l, const char *id)
{
    return set_has(&l->heirs, id);
}

void ledger_door(const struct ledger *l, uint64_t *epoch, bool *open)
{
    *epoch = l->door ? l->door->epoch : 0;
    *open = l->door ? l->door->open : l->root.sequence == 0;
}
