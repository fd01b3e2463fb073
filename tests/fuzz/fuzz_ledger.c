/* A ledger that loads is packed and loaded the same again; and merging it into an empty one of its root takes it in once. A short input is a
 * list of decisions instead: whoever merges what is packed after them, and at each change of the root, has the same state. */
// links: grid_trust
// covers: trust/ledger.c trust/ledger_statement.c trust/ledger_merge.c trust/ledger_decide.c
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "trust/authority.h"
#include "trust/ledger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void pack(const struct ledger *l, struct buf *out)
{
    buf_init(out, 0);
    if (ledger_pack(l, out) != 0)
        abort();
}

static void load_and_load_again(struct slice bytes)
{
    struct ledger *l, *again;
    struct buf once, twice;
    uint8_t a[LEDGER_DIGEST_SIZE], b[LEDGER_DIGEST_SIZE];
    if (ledger_load(bytes, &l) != 0)
        return;
    pack(l, &once);
    if (ledger_load(buf_slice(&once), &again) != 0)
        abort();
    pack(again, &twice);
    ledger_digest(l, a);
    ledger_digest(again, b);
    if (!slice_equal(buf_slice(&once), buf_slice(&twice)) || memcmp(a, b, sizeof a) != 0)
        abort();
    buf_dispose(&once), buf_dispose(&twice);
    ledger_destroy(l), ledger_destroy(again);
}

/* The root that the pack names: magic, sequence and size come before it. */
static struct slice root_of(struct slice bytes)
{
    enum { BEFORE = 18 };
    size_t size = bytes.size < BEFORE ? 0 : (size_t) bytes.data[BEFORE - 2] << 8 | bytes.data[BEFORE - 1];
    return slice_first(slice_from(bytes, BEFORE), size);
}

static void merge_twice(struct slice bytes)
{
    struct ledger *own;
    struct ledger_news news, replay;
    if (ledger_create(root_of(bytes), &own) != 0)
        return;
    int err = ledger_merge(own, bytes, &news);
    if (err == 0 && !news.root_changed && (ledger_merge(own, bytes, &replay) != 0 || replay.changed))
        abort();
    ledger_destroy(own);
}

enum { DECISIONS_MAX = 8, AUTHORITIES = DECISIONS_MAX + 1 };
enum { NOW_S = 1800000000 };

/* Minted once: what they are does not matter here. */
static struct authority *authority(size_t index)
{
    static struct authority *all[AUTHORITIES];
    if (!all[index] && authority_mint("demo", NOW_S, &all[index]) != 0)
        abort();
    return all[index];
}

static const char *id_of(uint8_t byte)
{
    static char id[TRUST_ID_SIZE];
    memset(id, "0123456789abcdefG"[byte >> 4], sizeof id - 1);
    return byte >> 4 == 15 ? "no id" : id;
}

/* Carries out one decision; true when it replaced the root. */
static bool decide(struct ledger *l, size_t root, uint8_t byte)
{
    const struct authority *own = authority(root), *next = authority(root + 1);
    switch (byte % 8) {
    case 0:
    case 1:
        (void) ledger_add_heir(l, own, id_of((uint8_t) ~byte), NOW_S);
        (void) ledger_evict(l, own, id_of(byte), byte % 8 ? "node" : "", NOW_S);
        return false;
    case 2:
    case 3:
        (void) ledger_set_door(l, own, byte % 8 == 2, NOW_S);
        return false;
    case 4:
        return ledger_set_door(l, next, true, NOW_S) != GRID_EPERM || ledger_evict(l, next, id_of(byte), "node", NOW_S) != GRID_EPERM;
    default:
        return ledger_announce(l, own, next, (enum ledger_phase)(byte % 8 - 4), NOW_S, NOW_S + 60) == 0 && byte % 8 - 4 == LEDGER_REMOVE;
    }
}

static void must_be_equal(const struct ledger *a, const struct ledger *b)
{
    uint8_t of_a[LEDGER_DIGEST_SIZE], of_b[LEDGER_DIGEST_SIZE];
    ledger_digest(a, of_a);
    ledger_digest(b, of_b);
    if (memcmp(of_a, of_b, sizeof of_a) != 0 || strcmp(ledger_root(a)->id, ledger_root(b)->id) != 0)
        abort();
}

static void decide_all(struct slice bytes)
{
    struct ledger *own, *other;
    struct ledger_news news;
    struct buf whole, brief;
    size_t root = 0;
    if (ledger_create(authority_certificate_der(authority(0)), &own) != 0 || ledger_create(authority_certificate_der(authority(0)), &other) != 0)
        abort();
    for (size_t i = 0; i < bytes.size; i++) {
        bool replaced = decide(own, root, bytes.data[i]);
        root += replaced;
        if (!replaced && i + 1 < bytes.size)
            continue;
        pack(own, &whole);
        buf_init(&brief, 0);
        if (ledger_pack_brief(own, 0, &brief) != 0 || brief.size > whole.size || ledger_merge(other, buf_slice(&whole), &news) != 0)
            abort();
        must_be_equal(own, other);
        load_and_load_again(buf_slice(&whole));
        buf_dispose(&whole), buf_dispose(&brief);
    }
    for (size_t i = 0; i < ledger_tombstone_count(own); i++)
        if (!ledger_is_evicted(own, ledger_tombstone_at(own, i)->id))
            abort();
    ledger_destroy(own), ledger_destroy(other);
}

/* Evictions that are owed come from the disk: they are in force, are kept the same again, and all of them can be paid. */
static void owe_and_pay(struct slice statements)
{
    struct ledger *own, *again;
    struct buf once, twice;
    uint64_t epoch;
    bool open;
    buf_init(&once, 0), buf_init(&twice, 0);
    if (ledger_create(authority_certificate_der(authority(0)), &own) != 0 || ledger_create(authority_certificate_der(authority(0)), &again) != 0)
        abort();
    (void) ledger_load_owed(own, statements);
    size_t owed = ledger_owed_count(own);
    for (size_t i = 0; i < owed; i++)
        if (!ledger_is_evicted(own, ledger_owed_at(own, i)->id))
            abort();
    ledger_door(own, &epoch, &open);
    if (open != (owed == 0) || ledger_pack_owed(own, &once) != 0 || ledger_load_owed(again, buf_slice(&once)) != 0 || ledger_pack_owed(again, &twice) != 0 ||
        !slice_equal(buf_slice(&once), buf_slice(&twice)))
        abort();
    if (ledger_pay(own, authority(1), NOW_S) != GRID_EPERM && owed > 0)
        abort();
    if (ledger_pay(own, authority(0), NOW_S) == 0 && (ledger_owed_count(own) != 0 || ledger_tombstone_count(own) != owed))
        abort();
    ledger_destroy(own), ledger_destroy(again);
    buf_dispose(&once), buf_dispose(&twice);
}

/* What stands behind the root in a pack. */
static struct slice statements_of(struct slice bytes)
{
    struct slice root = root_of(bytes);
    return root.size > 0 ? slice_from(bytes, (size_t) (root.data - bytes.data) + root.size) : bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= DECISIONS_MAX) {
        decide_all(slice_of(data, size));
        return 0;
    }
    load_and_load_again(slice_of(data, size));
    merge_twice(slice_of(data, size));
    owe_and_pay(statements_of(slice_of(data, size)));
    return 0;
}
