/* Release entries on the wire: what is packed comes back, and what is not an entry is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "server/release/release_codec.h"

static struct release_entry sample(void)
{
    struct release_entry e = {.app = SLICE("default"), .sequence = 7, .publisher = SLICE("0123456789abcdef"), .published_at_ms = 1700000000000, .files = 3,
                              .size_bytes = 4096, .config = SLICE("\x0a\x05tasks"), .signature = SLICE("sig"), .certificate = SLICE("cert"), .has_parent = true};
    memset(e.root.bytes, 0xab, sizeof e.root.bytes);
    memset(e.parent.bytes, 0xcd, sizeof e.parent.bytes);
    assert_int_equal(hash_sha256(e.config, e.config_hash), 0);
    return e;
}

static void expect_equal(const struct release_entry *a, const struct release_entry *b)
{
    assert_true(slice_equal(a->app, b->app) && slice_equal(a->publisher, b->publisher) && slice_equal(a->config, b->config));
    assert_true(slice_equal(a->signature, b->signature) && slice_equal(a->certificate, b->certificate));
    assert_true(a->sequence == b->sequence && a->published_at_ms == b->published_at_ms && a->files == b->files && a->size_bytes == b->size_bytes);
    assert_true(object_id_equal(&a->root, &b->root) && a->has_parent == b->has_parent);
    assert_memory_equal(a->config_hash, b->config_hash, sizeof a->config_hash);
    if (a->has_parent)
        assert_true(object_id_equal(&a->parent, &b->parent));
}

static int round_trip(const struct release_entry *e, struct release_entry *out, struct arena *arena)
{
    struct buf packed;
    buf_init(&packed, 0);
    assert_int_equal(release_entry_pack(e, &packed), 0);
    int err = release_entry_unpack(buf_slice(&packed), arena, out);
    buf_dispose(&packed);
    return err;
}

static void test_release_codec__gives_back_what_was_packed(void **state)
{
    struct arena *arena = arena_create(1024, 0);
    struct release_entry e = sample(), out;
    (void) state;
    assert_int_equal(round_trip(&e, &out, arena), 0);
    expect_equal(&e, &out);
    e.has_parent = false;
    e.published_at_ms = -1;
    assert_int_equal(round_trip(&e, &out, arena), 0);
    expect_equal(&e, &out);
    arena_destroy(arena);
}

static void test_release_codec__refuses_what_is_no_entry(void **state)
{
    struct arena *arena = arena_create(1024, 0);
    struct release_entry out;
    struct {
        struct release_entry e;
        int err;
    } cases[] = {{sample(), GRID_EINVAL}, {sample(), GRID_EINVAL}, {sample(), GRID_EINVAL}, {sample(), GRID_EINVAL}, {sample(), GRID_ELIMIT}};
    static uint8_t huge[RELEASE_CERTIFICATE_MAX + 1];
    (void) state;
    cases[0].e.sequence = 0;
    cases[1].e.config_hash[0] ^= 1;
    cases[2].e.app = SLICE("Not/an app");
    cases[3].e.publisher = SLICE("XYZ");
    cases[4].e.certificate = slice_of(huge, sizeof huge);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(round_trip(&cases[i].e, &out, arena), cases[i].err);
    arena_destroy(arena);
}

static void test_release_codec__refuses_hashes_of_other_sizes(void **state)
{
    /* root of 2 bytes; no config hash; a parent of 1 byte */
    static const struct slice cases[] = {SLICE_INIT("\x1a\x02xy"), SLICE_INIT("\x1a\x20" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), SLICE_INIT("\xff"),
                                         SLICE_INIT("\x1a\x20" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" "\x22\x20" "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" "\x2a\x01z"), SLICE_INIT("")};
    struct arena *arena = arena_create(1024, 0);
    struct release_entry out;
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(release_entry_unpack(cases[i], arena, &out), GRID_EPROTO);
    arena_destroy(arena);
}

static void test_release_codec__names_what_is_known(void **state)
{
    struct arena *arena = arena_create(1024, 0);
    struct entry_key known[HISTORY_KNOWN_MAX] = {{.sequence = 7, .publisher = "0123456789abcdef"}, {.sequence = UINT64_MAX}}, out[HISTORY_KNOWN_MAX];
    static const size_t counts[] = {0, 2, HISTORY_KNOWN_MAX};
    (void) state;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct buf packed;
        size_t count;
        buf_init(&packed, 0);
        assert_int_equal(history_request_pack(known, counts[i], &packed), 0);
        assert_int_equal(history_request_unpack(buf_slice(&packed), arena, out, &count), 0);
        assert_int_equal(count, counts[i]);
        for (size_t j = 0; j < count; j++)
            assert_true(out[j].sequence == known[j].sequence && strcmp(out[j].publisher, known[j].publisher) == 0);
        buf_dispose(&packed);
    }
    arena_destroy(arena);
}

static void test_release_codec__refuses_more_names_than_there_may_be(void **state)
{
    struct arena *arena = arena_create(1024, 0);
    struct entry_key known[HISTORY_KNOWN_MAX + 1] = {0};
    struct buf packed;
    size_t count;
    (void) state;
    buf_init(&packed, 0);
    assert_int_equal(history_request_pack(known, HISTORY_KNOWN_MAX + 1, &packed), GRID_ELIMIT);
    for (size_t i = 0; i <= HISTORY_KNOWN_MAX; i++)
        assert_int_equal(buf_append(&packed, SLICE("\x0a\x00")), 0);
    assert_int_equal(history_request_unpack(buf_slice(&packed), arena, known, &count), GRID_ELIMIT);
    buf_clear(&packed);
    assert_int_equal(buf_append(&packed, SLICE("\x0a\x43\x12\x41")), 0); /* a publisher of 65 bytes */
    for (size_t i = 0; i < 65; i++)
        assert_int_equal(buf_append_byte(&packed, 'a'), 0);
    assert_int_equal(history_request_unpack(buf_slice(&packed), arena, known, &count), GRID_ELIMIT);
    assert_int_equal(history_request_unpack(SLICE("\xff"), arena, known, &count), GRID_EPROTO);
    buf_dispose(&packed);
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_release_codec__gives_back_what_was_packed),
        cmocka_unit_test(test_release_codec__refuses_what_is_no_entry),
        cmocka_unit_test(test_release_codec__refuses_hashes_of_other_sizes),
        cmocka_unit_test(test_release_codec__names_what_is_known),
        cmocka_unit_test(test_release_codec__refuses_more_names_than_there_may_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
