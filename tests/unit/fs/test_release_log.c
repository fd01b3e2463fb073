/* The order of releases, and the file that keeps it. */
#include "tests/unit/fs/tree.h"

#include "fs/release_keep.h"

static struct release_entry entry(const char *app, uint64_t sequence, const char *publisher, uint8_t root)
{
    struct release_entry e = {.app = slice_of_str(app), .sequence = sequence, .publisher = slice_of_str(publisher), .files = 3,
                              .published_at_ms = -5, .config = SLICE_INIT("config"), .signature = SLICE_INIT("sig"),
                              .certificate = SLICE_INIT("cert")};
    memset(e.root.bytes, root, sizeof e.root.bytes);
    e.has_parent = sequence > 1;
    assert_int_equal(hash_sha256(e.config, e.config_hash), 0);
    return e;
}

static enum release_outcome add(struct release_log *l, struct release_entry e)
{
    enum release_outcome outcome;
    assert_int_equal(release_log_add(l, &e, &outcome), 0);
    return outcome;
}

static void test_release_log__the_greatest_sequence_then_publisher_wins(void **state)
{
    (void) state;
    struct release_log *l = release_log_create();
    assert_null(release_log_current(l, SLICE("default")));
    assert_int_equal(add(l, entry("default", 1, "bb", 1)), RELEASE_NEW_CURRENT);
    assert_int_equal(add(l, entry("default", 1, "aa", 2)), RELEASE_SUPERSEDED);
    assert_int_equal(release_log_current(l, SLICE("default"))->root.bytes[0], 1);
    assert_int_equal(add(l, entry("default", 1, "cc", 3)), RELEASE_NEW_CURRENT);
    assert_int_equal(add(l, entry("default", 2, "aa", 4)), RELEASE_NEW_CURRENT);
    assert_int_equal(add(l, entry("default", 2, "aa", 4)), RELEASE_KNOWN);
    assert_int_equal(add(l, entry("other", 9, "aa", 5)), RELEASE_NEW_CURRENT);
    assert_int_equal(release_log_current(l, SLICE("default"))->root.bytes[0], 4);
    assert_int_equal(release_log_count(l, SLICE("default")), 4);
    assert_int_equal(release_log_total(l), 5);
    release_log_destroy(l);
}

static void test_release_log__any_order_of_arrival_gives_one_order(void **state)
{
    (void) state;
    for (unsigned shift = 0; shift < 14; shift++) {
        struct release_log *l = release_log_create();
        for (unsigned i = 0; i < 14; i++) {
            unsigned n = (i * 5 + shift) % 14;
            add(l, entry("default", 1 + n / 2, n % 2 ? "bb" : "aa", (uint8_t) n));
        }
        assert_int_equal(release_log_count(l, SLICE("default")), RELEASE_KEPT);
        for (unsigned i = 0; i < RELEASE_KEPT; i++)
            assert_int_equal(release_log_at(l, SLICE("default"), i)->root.bytes[0], 13 - i);
        assert_int_equal(add(l, entry("default", 1, "aa", 0)), RELEASE_TOO_OLD);
        release_log_destroy(l);
    }
}

static void test_release_log__a_publisher_that_signs_two_is_refused(void **state)
{
    (void) state;
    struct release_log *l = release_log_create();
    enum release_outcome outcome;
    struct release_entry e = entry("default", 1, "aa", 1);
    add(l, e);
    e.signature = SLICE("another signature of the same");
    assert_int_equal(add(l, e), RELEASE_KNOWN);
    e.root.bytes[0] = 9;
    assert_int_equal(release_log_add(l, &e, &outcome), GRID_EEXIST);
    release_log_destroy(l);
}

static void test_release_log__refuses_fields_out_of_bounds(void **state)
{
    (void) state;
    char longer[80];
    memset(longer, 'a', sizeof longer);
    for (int i = 0; i < 8; i++) {
        struct release_entry e = entry("default", 1, "aa", 1);
        assert_int_equal(release_entry_check(&e), 0);
        if (i == 0)
            e.app = SLICE("");
        if (i == 1)
            e.app = SLICE("No");
        if (i == 2)
            e.app = slice_of(longer, 64);
        if (i == 3)
            e.publisher = SLICE("xyz");
        if (i == 4)
            e.publisher = slice_of(longer, 65);
        if (i == 5)
            e.sequence = 0;
        if (i == 6)
            e.sequence = UINT64_MAX;
        if (i == 7)
            e.config = SLICE("another");
        assert_int_not_equal(release_entry_check(&e), 0);
    }
}

static void test_release_log__what_is_signed_is_all_but_the_signature(void **state)
{
    (void) state;
    struct buf a, b;
    buf_init(&a, 0);
    buf_init(&b, 0);
    struct release_entry e = entry("default", 7, "aa", 1), x = e;
    assert_int_equal(release_entry_signing_bytes(&e, &a), 0);
    assert_int_equal(a.size, 21 + 4 + 7 + 4 + 2 + 32 + 32 + 32 + 1 + 32);
    x.signature = SLICE("other");
    x.certificate = SLICE("other");
    assert_int_equal(release_entry_signing_bytes(&x, &b), 0);
    assert_true(slice_equal(buf_slice(&a), buf_slice(&b)));
    for (int i = 0; i < 8; i++) {
        x = e;
        x.sequence += i == 0;
        x.published_at_ms += i == 1;
        x.files += i == 2;
        x.size_bytes += i == 3;
        x.root.bytes[3] ^= (uint8_t) (i == 4);
        x.config_hash[3] ^= (uint8_t) (i == 5);
        x.parent.bytes[31] ^= (uint8_t) (i == 6);
        x.has_parent ^= i == 7;
        buf_clear(&b);
        assert_int_equal(release_entry_signing_bytes(&x, &b), 0);
        assert_false(slice_equal(buf_slice(&a), buf_slice(&b)));
    }
    buf_dispose(&a);
    buf_dispose(&b);
}

static void test_release_log__finds_a_root_by_its_first_digits(void **state)
{
    (void) state;
    struct release_log *l = release_log_create();
    const struct release_entry *found;
    struct release_entry near = entry("default", 3, "aa", 0xab);
    near.root.bytes[31] = 0;
    add(l, entry("default", 1, "aa", 0xab));
    add(l, entry("default", 2, "aa", 0xab));
    add(l, entry("default", 4, "aa", 0xcd));
    assert_int_equal(release_log_find(l, SLICE("default"), SLICE("abababab"), &found), 0);
    assert_int_equal(found->sequence, 2);
    add(l, near);
    assert_int_equal(release_log_find(l, SLICE("default"), SLICE("abababab"), &found), GRID_EINVAL);
    assert_int_equal(release_log_find(l, SLICE("default"), SLICE("cdcdcdcdcdcd"), &found), 0);
    assert_int_equal(release_log_find(l, SLICE("default"), SLICE("cdcdcdc"), &found), GRID_EINVAL);
    assert_int_equal(release_log_find(l, SLICE("default"), SLICE("00000000"), &found), GRID_ENOENT);
    assert_int_equal(release_log_find(l, SLICE("other"), SLICE("cdcdcdcd"), &found), GRID_ENOENT);
    release_log_destroy(l);
}

static void test_release_log__survives_its_file_and_damage_is_noticed(void **state)
{
    (void) state;
    char *folder = tree_make();
    int fd = tree_open(folder);
    struct release_log *l, *again;
    struct fs_report report = {0};
    struct buf bytes;
    buf_init(&bytes, 0);
    assert_int_equal(release_log_load(fd, "log", NULL, &l), 0);
    assert_int_equal(release_log_total(l), 0);
    for (unsigned i = 1; i < 5; i++)
        add(l, entry(i % 2 ? "a" : "b", i, "aa", (uint8_t) i));
    assert_int_equal(release_log_save(l, fd, "log"), 0);
    assert_int_equal(release_log_load(fd, "log", NULL, &again), 0);
    assert_int_equal(release_log_total(again), 4);
    assert_int_equal(release_log_at(again, SLICE("b"), 1)->sequence, 2);
    assert_true(slice_equal_str(release_log_any(again, 0)->certificate, "cert"));
    release_log_destroy(again);
    tree_read(tree_path(folder, "log"), &bytes);
    for (size_t i = 0; i < bytes.size; i++) {
        bytes.data[i] ^= 1;
        assert_int_not_equal(release_log_decode(buf_slice(&bytes), &again), 0);
        assert_null(again);
        bytes.data[i] ^= 1;
        assert_int_equal(release_log_decode(slice_first(buf_slice(&bytes), i), &again), GRID_ECORRUPT);
    }
    tree_file(folder, "log", "garbage");
    assert_int_equal(release_log_load(fd, "log", &report, &again), GRID_ECORRUPT);
    assert_non_null(strstr(report.error, "remove it"));
    fs_report_dispose(&report);
    release_log_destroy(l);
    buf_dispose(&bytes);
    close(fd);
    tree_remove(folder);
}

static void test_release_keep__counts_and_asks_how_long_ago_a_release_was_replaced(void **state)
{
    (void) state;
    static const struct {
        struct release_keep keep;
        int64_t now_ms;
        size_t kept;
    } cases[] = {
        {{10, 0}, 1000000, 4}, {{2, 0}, 0, 2}, {{1, 0}, 0, 1},
        {{10, 100}, 1050, 2},  /* published at 100, 200, 400, 1000: replaced at 200, 400, 1000 */
        {{10, 100}, 1101, 1},  {{10, 650}, 1051, 2}, {{10, 651}, 1051, 3}, {{10, 1}, 500, 2}, {{2, 5000}, 1051, 2}, {{10, 1}, -5, 4},
    };
    static const int64_t published[] = {100, 200, 400, 1000};
    struct release_log *l = release_log_create();
    struct object_id second = {{0}};
    for (uint8_t i = 0; i < 4; i++) {
        struct release_entry e = entry("default", i + 1u, "aa", (uint8_t) (i + 1));
        e.published_at_ms = published[i];
        add(l, e);
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (release_keep_count(l, SLICE("default"), &cases[i].keep, cases[i].now_ms) != cases[i].kept)
            fail_msg("case %zu keeps %zu", i, release_keep_count(l, SLICE("default"), &cases[i].keep, cases[i].now_ms));
    memset(second.bytes, 2, sizeof second.bytes);
    assert_int_equal(release_log_keep_newest(l, SLICE("default"), 1, &second), 2);
    assert_int_equal(release_log_count(l, SLICE("default")), 2);
    assert_int_equal(release_log_at(l, SLICE("default"), 1)->sequence, 2);
    assert_int_equal(release_log_keep_newest(l, SLICE("other"), 1, NULL), 0);
    release_log_destroy(l);
}

static void test_release_keep__tells_whether_entries_are_lacking(void **state)
{
    (void) state;
    static const struct {
        uint64_t sequences[4]; /* published at ten times that; 0: no more */
        struct release_keep keep;
        bool lacks;
    } cases[] = {
        {{0}, {10, 0}, false},          {{1}, {10, 0}, false},          {{3, 2, 1}, {10, 0}, false},
        {{3}, {10, 0}, true},           {{3, 1}, {10, 0}, true},        {{3, 2}, {10, 0}, true},
        {{3}, {1, 0}, false},           {{3, 2}, {2, 0}, false},        {{9, 8, 3}, {2, 0}, false}, /* as many as are kept */
        {{3}, {10, 970}, true},         {{3}, {10, 969}, false},        {{3, 2}, {10, 975}, false}, /* what is lacking was replaced too long ago */
        {{3, 3, 2, 1}, {10, 0}, false}, {{3, 3, 1}, {10, 0}, true},     /* two were published at once */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct release_log *l = release_log_create();
        for (size_t j = 0; j < 4 && cases[i].sequences[j] > 0; j++) {
            struct release_entry e = entry("default", cases[i].sequences[j], j % 2 ? "aa" : "bb", (uint8_t) (j + 1));
            e.published_at_ms = (int64_t) cases[i].sequences[j] * 10;
            add(l, e);
        }
        if (release_keep_lacks(l, SLICE("default"), &cases[i].keep, 1000) != cases[i].lacks)
            fail_msg("case %zu", i);
        release_log_destroy(l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_release_log__the_greatest_sequence_then_publisher_wins),
        cmocka_unit_test(test_release_log__any_order_of_arrival_gives_one_order),
        cmocka_unit_test(test_release_log__a_publisher_that_signs_two_is_refused),
        cmocka_unit_test(test_release_log__refuses_fields_out_of_bounds),
        cmocka_unit_test(test_release_log__what_is_signed_is_all_but_the_signature),
        cmocka_unit_test(test_release_log__finds_a_root_by_its_first_digits),
        cmocka_unit_test(test_release_keep__counts_and_asks_how_long_ago_a_release_was_replaced),
        cmocka_unit_test(test_release_keep__tells_whether_entries_are_lacking),
        cmocka_unit_test(test_release_log__survives_its_file_and_damage_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
