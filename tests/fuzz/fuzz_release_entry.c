/* A release entry that unpacks is packed again and comes back the same; so is one read from the log's file, and so are the names of entries that somebody knows. */
// links: server_release
// covers: server/release/release_codec.c
#include <stdlib.h>
#include <string.h>

#include "server/release/release_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_same(const struct release_entry *a, const struct release_entry *b)
{
    if (release_entry_compare(a, b) != 0 || !object_id_equal(&a->root, &b->root) || memcmp(a->config_hash, b->config_hash, sizeof a->config_hash) != 0 ||
        a->has_parent != b->has_parent || !slice_equal(a->app, b->app) || !slice_equal(a->config, b->config) || !slice_equal(a->signature, b->signature) ||
        !slice_equal(a->certificate, b->certificate) || a->published_at_ms != b->published_at_ms || a->files != b->files || a->size_bytes != b->size_bytes)
        abort();
}

static void check(struct arena *arena, const struct release_entry *e)
{
    struct release_entry again;
    struct entry_key key;
    struct buf packed, encoded;
    buf_init(&packed, 0);
    buf_init(&encoded, 0);
    if (release_entry_pack(e, &packed) != 0 || release_entry_unpack(buf_slice(&packed), arena, &again) != 0)
        abort();
    expect_same(e, &again);
    if (release_entry_encode(e, &encoded) != 0 || release_entry_decode(buf_slice(&encoded), &again) != 0)
        abort();
    expect_same(e, &again);
    entry_key_set(&key, e);
    if (!entry_key_is(&key, &again))
        abort();
    buf_dispose(&packed);
    buf_dispose(&encoded);
}

static void check_known(struct arena *arena, const struct entry_key *known, size_t count)
{
    struct entry_key again[HISTORY_KNOWN_MAX];
    struct buf packed;
    size_t counted;
    buf_init(&packed, 0);
    if (history_request_pack(known, count, &packed) != 0 || history_request_unpack(buf_slice(&packed), arena, again, &counted) != 0 || counted != count)
        abort();
    for (size_t i = 0; i < count; i++)
        if (again[i].sequence != known[i].sequence || strcmp(again[i].publisher, known[i].publisher) != 0)
            abort();
    buf_dispose(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create(4096, 4 * 1024 * 1024);
    struct release_entry e;
    struct entry_key known[HISTORY_KNOWN_MAX];
    size_t count;
    if (!arena)
        return 0;
    if (release_entry_unpack(slice_of(data, size), arena, &e) == 0)
        check(arena, &e);
    if (release_entry_decode(slice_of(data, size), &e) == 0)
        check(arena, &e);
    if (history_request_unpack(slice_of(data, size), arena, known, &count) == 0)
        check_known(arena, known, count);
    arena_destroy(arena);
    return 0;
}
