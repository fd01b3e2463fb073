/* A ledger that loads is packed and loaded the same again; and merging it into an empty one of its root takes it in once. */
// links: grid_trust
#include <stdlib.h>
#include <string.h>

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    load_and_load_again(slice_of(data, size));
    merge_twice(slice_of(data, size));
    return 0;
}
