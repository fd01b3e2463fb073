/* A release entry that unpacks is packed again and comes back the same; so is one read from the log's file. */
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
    struct buf packed, encoded;
    buf_init(&packed, 0);
    buf_init(&encoded, 0);
    if (release_entry_pack(e, &packed) != 0 || release_entry_unpack(buf_slice(&packed), arena, &again) != 0)
        abort();
    expect_same(e, &again);
    if (release_entry_encode(e, &encoded) != 0 || release_entry_decode(buf_slice(&encoded), &again) != 0)
        abort();
    expect_same(e, &again);
    buf_dispose(&packed);
    buf_dispose(&encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_create(4096, 4 * 1024 * 1024);
    struct release_entry e;
    if (!arena)
        return 0;
    if (release_entry_unpack(slice_of(data, size), arena, &e) == 0)
        check(arena, &e);
    if (release_entry_decode(slice_of(data, size), &e) == 0)
        check(arena, &e);
    arena_destroy(arena);
    return 0;
}
