/* Records and loads that are read by hand say what the general decoder says; all others are left to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "discovery/member_quick.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct rig {
    struct arena *arena;
    struct buf packed;
};

static int set_up(void **state)
{
    static struct rig r;
    r.arena = arena_create(4096, 0);
    buf_init(&r.packed, 0);
    *state = &r;
    return r.arena ? 0 : -1;
}

static int tear_down(void **state)
{
    struct rig *r = *state;
    arena_destroy(r->arena);
    buf_dispose(&r->packed);
    return 0;
}

static struct member full_record(void)
{
    static const char *const addresses[] = {"10.0.0.1:7900", "[fd00::1]:7900"}, *const capabilities[] = {MEMBER_NAMES_ALL_TASKS, "later"};
    struct member m = {.id = ID, .name = "one", .incarnation = 1700000000123, .revision = 300, .started_at_ms = 1700000000000, .leaving = true, .synchronized = true,
                       .api_port = 10000, .hostname = "host", .platform = "linux", .user = "grid", .version = "1.0.0", .release = ID, .release_publisher = ID,
                       .release_sequence = 77, .release_fetched_bytes = 5000000000, .addresses = addresses, .address_count = 2, .capabilities = capabilities, .capability_count = 2};
    return m;
}

static void expect_full_record(const struct member *m)
{
    assert_string_equal(m->id, ID);
    assert_string_equal(m->name, "one");
    assert_int_equal(m->incarnation, 1700000000123);
    assert_int_equal(m->revision, 300);
    assert_int_equal(m->started_at_ms, 1700000000000);
    assert_true(m->leaving && m->synchronized);
    assert_int_equal(m->api_port, 10000);
    assert_string_equal(m->hostname, "host");
    assert_string_equal(m->platform, "linux");
    assert_string_equal(m->user, "grid");
    assert_string_equal(m->version, "1.0.0");
    assert_string_equal(m->release, ID);
    assert_string_equal(m->release_publisher, ID);
    assert_int_equal(m->release_sequence, 77);
    assert_int_equal(m->release_fetched_bytes, 5000000000);
    assert_int_equal(m->address_count, 2);
    assert_string_equal(m->addresses[1], "[fd00::1]:7900");
    assert_int_equal(m->capability_count, 2);
    assert_string_equal(m->capabilities[1], "later");
}

static void test_member_quick__reads_what_member_pack_packs(void **state)
{
    struct rig *r = *state;
    struct member m = full_record(), back;
    struct member_quick quick;
    assert_int_equal(member_pack(&m, &r->packed), 0);
    assert_true(member_quick_read(buf_slice(&r->packed), &quick));
    assert_int_equal(member_unpack(buf_slice(&r->packed), r->arena, &back), 0);
    expect_full_record(&back);
}

/* A newer version may add fields, and another encoder order them otherwise: the same is read, in the general way. */
static void test_member_quick__leaves_other_forms_to_the_general_decoder(void **state)
{
    struct rig *r = *state;
    struct member m = full_record(), back;
    struct member_quick quick;
    struct buf other;
    buf_init(&other, 0);
    assert_int_equal(member_pack(&m, &r->packed), 0);
    size_t first = 2 + MEMBER_ID_SIZE - 1; /* the id */
    assert_int_equal(buf_append(&other, slice_from(buf_slice(&r->packed), first)), 0);
    assert_int_equal(buf_append(&other, slice_first(buf_slice(&r->packed), first)), 0);
    assert_false(member_quick_read(buf_slice(&other), &quick));
    assert_int_equal(member_unpack(buf_slice(&other), r->arena, &back), 0);
    expect_full_record(&back);
    assert_int_equal(buf_append(&r->packed, slice_of("\xf8\x06\x01", 3)), 0); /* field 111 */
    assert_false(member_quick_read(buf_slice(&r->packed), &quick));
    assert_int_equal(member_unpack(buf_slice(&r->packed), r->arena, &back), 0);
    expect_full_record(&back);
    buf_dispose(&other);
}

static void test_member_quick__keeps_the_limits_of_lists(void **state)
{
    struct rig *r = *state;
    struct member m = full_record(), back;
    struct member_quick quick;
    const char *addresses[MEMBER_ADDRESSES_MAX];
    for (size_t i = 0; i < MEMBER_ADDRESSES_MAX; i++)
        addresses[i] = "a:1";
    m.addresses = addresses;
    m.address_count = MEMBER_ADDRESSES_MAX;
    m.capability_count = 0;
    assert_int_equal(member_pack(&m, &r->packed), 0);
    assert_true(member_quick_read(buf_slice(&r->packed), &quick));
    assert_int_equal(buf_append(&r->packed, slice_of("\x2a\x03" "b:2", 5)), 0); /* one more */
    assert_int_equal(member_unpack(buf_slice(&r->packed), r->arena, &back), GRID_ELIMIT);
}

static void test_member_quick__reads_loads(void **state)
{
    static const struct member_task TASKS[] = {{"render", 3, "", false}, {"resize", 0, "it does not start", true}};
    struct member_load load = {.started_at_ms = 5, .revision = 6, .in_flight = 7, .queued = 8, .cpu_percent = 9, .tasks = TASKS, .task_count = 2, .tasks_sequence = 10}, back;
    struct rig *r = *state;
    struct member_quick_load quick;
    assert_int_equal(member_load_pack(&load, &r->packed), 0);
    assert_true(member_quick_read_load(buf_slice(&r->packed), &quick));
    for (int other = 0; other < 2; other++) {
        assert_int_equal(member_load_unpack(buf_slice(&r->packed), r->arena, &back), 0);
        assert_true(back.started_at_ms == 5 && back.revision == 6 && back.in_flight == 7 && back.queued == 8 && back.cpu_percent == 9 && back.tasks_sequence == 10);
        assert_int_equal(back.task_count, 2);
        assert_string_equal(back.tasks[0].name, "render");
        assert_int_equal(back.tasks[0].instances, 3);
        assert_string_equal(back.tasks[1].fault, "it does not start");
        assert_true(back.tasks[1].renewing && !back.tasks[0].renewing);
        assert_int_equal(buf_append(&r->packed, slice_of("\xf8\x06\x01", 3)), 0); /* of a newer version, the second time */
        assert_false(member_quick_read_load(buf_slice(&r->packed), &quick));
    }
}

/* Eight at a time: every place is looked at. */
static void test_member_quick__refuses_bad_text_wherever_it_stands(void **state)
{
    static const char *const fine[] = {"", "1234567", "12345678", "host-123456789012", "1234567\xc3\xa4 12345", "123456\xe2\x82\xac" "1", "~~~~~~~~ ~"};
    struct rig *r = *state;
    struct member m = full_record(), back;
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        m.hostname = fine[i];
        buf_clear(&r->packed);
        assert_int_equal(member_pack(&m, &r->packed), 0);
        assert_int_equal(member_unpack(buf_slice(&r->packed), r->arena, &back), 0);
        assert_string_equal(back.hostname, fine[i]);
    }
    for (size_t at = 0; at < 19; at++)
        for (const char *bad = "\x1f\x7f\xff\x80\x01\n"; *bad; bad++) {
            char text[] = "0123456789abcdefghi";
            text[at] = *bad;
            m.hostname = text;
            buf_clear(&r->packed);
            assert_int_equal(member_pack(&m, &r->packed), 0);
            assert_int_equal(member_unpack(buf_slice(&r->packed), r->arena, &back), GRID_EPROTO);
        }
}

/* A node that says it began before 1970: how long it has run would overflow. */
static void test_member_quick__refuses_a_start_that_no_age_can_be_told_of(void **state)
{
    static const int64_t starts[] = {-1, INT64_MIN};
    struct rig *r = *state;
    struct member m = full_record(), back;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        m.started_at_ms = starts[i];
        buf_clear(&r->packed);
        assert_int_equal(member_pack(&m, &r->packed), 0);
        assert_int_equal(member_unpack(buf_slice(&r->packed), r->arena, &back), GRID_EPROTO);
    }
    m.started_at_ms = 0;
    buf_clear(&r->packed);
    assert_int_equal(member_pack(&m, &r->packed), 0);
    assert_int_equal(member_unpack(buf_slice(&r->packed), r->arena, &back), 0);
}

static void test_member_quick__knows_ids(void **state)
{
    (void) state;
    char id[] = ID;
    for (size_t at = 0; at < MEMBER_ID_SIZE - 1; at++)
        for (int c = 1; c < 256; c++) {
            char before = id[at];
            id[at] = (char) c;
            bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
            if (member_id_valid(slice_of(id, MEMBER_ID_SIZE - 1)) != hex)
                fail_msg("%d at %zu", c, at);
            id[at] = before;
        }
    uint8_t bytes[MEMBER_ID_BYTES];
    member_id_bytes(ID, bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        assert_int_equal(bytes[i], ((uint8_t[]){0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef})[i % 8]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_member_quick__reads_what_member_pack_packs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_member_quick__leaves_other_forms_to_the_general_decoder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_member_quick__keeps_the_limits_of_lists, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_member_quick__reads_loads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_member_quick__refuses_bad_text_wherever_it_stands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_member_quick__refuses_a_start_that_no_age_can_be_told_of, set_up, tear_down),
        cmocka_unit_test(test_member_quick__knows_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
