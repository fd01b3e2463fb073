/* The commonest frames by hand, beside the generated code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/pb.h"
#include "discovery/gossip_quick.h"
#include "grid/v1/peer.pb-c.h"

static const uint64_t NUMBERS[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_C(1) << 53, UINT64_MAX};
static const struct member_load LOADS[] = {{0}, {.in_flight = 1}, {.queued = 200}, {.in_flight = UINT32_MAX, .queued = UINT32_MAX, .cpu_percent = UINT32_MAX}};

enum { NUMBER_COUNT = sizeof NUMBERS / sizeof NUMBERS[0], LOAD_COUNT = sizeof LOADS / sizeof LOADS[0], ENTRIES = 40 };

static size_t pack_generated(const struct gossip_frame *f, uint8_t *out)
{
    Grid__V1__GossipFrame message = GRID__V1__GOSSIP_FRAME__INIT;
    Grid__V1__Ping ping = GRID__V1__PING__INIT;
    Grid__V1__Ack ack = GRID__V1__ACK__INIT;
    Grid__V1__Load load = GRID__V1__LOAD__INIT;
    load.in_flight = f->loaded.in_flight, load.queued = f->loaded.queued, load.cpu_percent = f->loaded.cpu_percent;
    ping.sequence = ack.sequence = f->sequence;
    ping.sent_at_ms = ack.sent_at_ms = f->sent_at_ms;
    ack.load = &load;
    message.body_case = f->kind == GOSSIP_PING ? GRID__V1__GOSSIP_FRAME__BODY_PING : GRID__V1__GOSSIP_FRAME__BODY_ACK;
    if (f->kind == GOSSIP_PING)
        message.ping = &ping;
    else
        message.ack = &ack;
    return grid__v1__gossip_frame__pack(&message, out);
}

static void expect_same(const struct gossip_frame *f)
{
    struct gossip_frame back = {.kind = GOSSIP_UNKNOWN};
    uint8_t generated[128];
    struct buf packed;
    buf_init(&packed, 0);
    assert_int_equal(gossip_quick_pack(f, &packed), 0);
    assert_true(slice_equal(buf_slice(&packed), slice_of(generated, pack_generated(f, generated))));
    assert_true(gossip_quick_unpack(buf_slice(&packed), NULL, &back));
    assert_int_equal(back.kind, f->kind);
    assert_true(back.sequence == f->sequence && back.sent_at_ms == f->sent_at_ms);
    assert_true(back.loaded.in_flight == f->loaded.in_flight && back.loaded.queued == f->loaded.queued && back.loaded.cpu_percent == f->loaded.cpu_percent);
    buf_dispose(&packed);
}

static void test_gossip_quick__has_the_bytes_of_the_generated_code(void **state)
{
    (void) state;
    for (size_t i = 0; i < NUMBER_COUNT * NUMBER_COUNT; i++) {
        struct gossip_frame f = {.kind = GOSSIP_PING, .sequence = NUMBERS[i / NUMBER_COUNT], .sent_at_ms = NUMBERS[i % NUMBER_COUNT]};
        expect_same(&f);
        f.kind = GOSSIP_ACK;
        for (size_t k = 0; k < LOAD_COUNT; k++) {
            f.loaded = LOADS[k];
            expect_same(&f);
        }
    }
}

#define TARGET "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static size_t pack_about_generated(const struct gossip_frame *f, uint8_t *out)
{
    Grid__V1__GossipFrame message = GRID__V1__GOSSIP_FRAME__INIT;
    Grid__V1__ProbeRequest probe = GRID__V1__PROBE_REQUEST__INIT;
    Grid__V1__Witness witness = GRID__V1__WITNESS__INIT;
    Grid__V1__News news = GRID__V1__NEWS__INIT;
    probe.target = witness.target = news.target = pb_str(f->target);
    witness.incarnation = news.incarnation = f->incarnation;
    witness.refused = f->refused;
    news.kind = (Grid__V1__News__Kind) ((int) f->news + 1);
    if (f->kind == GOSSIP_PROBE)
        message.body_case = GRID__V1__GOSSIP_FRAME__BODY_PROBE, message.probe = &probe;
    else if (f->kind == GOSSIP_WITNESS)
        message.body_case = GRID__V1__GOSSIP_FRAME__BODY_WITNESS, message.witness = &witness;
    else
        message.body_case = GRID__V1__GOSSIP_FRAME__BODY_NEWS, message.news = &news;
    return grid__v1__gossip_frame__pack(&message, out);
}

static void expect_same_about(const struct gossip_frame *f)
{
    struct gossip_frame back = {.kind = GOSSIP_UNKNOWN};
    uint8_t generated[256];
    struct buf packed;
    buf_init(&packed, 0);
    assert_true(gossip_quick_can(f));
    assert_int_equal(gossip_quick_pack(f, &packed), 0);
    assert_true(slice_equal(buf_slice(&packed), slice_of(generated, pack_about_generated(f, generated))));
    assert_true(gossip_quick_unpack(buf_slice(&packed), NULL, &back));
    assert_int_equal(back.kind, f->kind);
    assert_string_equal(back.target, TARGET);
    assert_true(f->kind != GOSSIP_NEWS || back.news == f->news);
    assert_true(f->kind == GOSSIP_PROBE || back.incarnation == f->incarnation);
    assert_true(f->kind != GOSSIP_WITNESS || back.refused == f->refused);
    buf_dispose(&packed);
}

static void test_gossip_quick__tells_of_somebody_in_the_bytes_of_the_generated_code(void **state)
{
    static const enum gossip_kind kinds[] = {GOSSIP_PROBE, GOSSIP_WITNESS, GOSSIP_NEWS};
    (void) state;
    for (size_t i = 0; i < NUMBER_COUNT * 3 * 3; i++) {
        struct gossip_frame f = {.kind = kinds[i % 3], .target = TARGET, .incarnation = NUMBERS[i / 9], .refused = i / 3 % 2 != 0, .news = (enum gossip_news) (i / 3 % 3)};
        expect_same_about(&f);
    }
    assert_false(gossip_quick_can(&(struct gossip_frame){.kind = GOSSIP_NEWS, .target = TARGET, .observer = TARGET}));
    assert_false(gossip_quick_can(&(struct gossip_frame){.kind = GOSSIP_HELLO}));
}

static size_t pack_table_generated(const struct gossip_frame *f, uint8_t *out)
{
    Grid__V1__GossipFrame message = GRID__V1__GOSSIP_FRAME__INIT;
    Grid__V1__MemberTable table = GRID__V1__MEMBER_TABLE__INIT;
    Grid__V1__MemberEntry entries[ENTRIES], *entry_at[ENTRIES];
    for (size_t i = 0; i < f->entry_count; i++) {
        grid__v1__member_entry__init(&entries[i]);
        entries[i].state = (Grid__V1__MemberState) ((int) (f->entries[i].state == MEMBER_EVICTED ? MEMBER_LEFT : f->entries[i].state) + 1);
        entries[i].sealed = pb_bytes(f->entries[i].record);
        entries[i].load = pb_bytes(f->entries[i].load);
        entries[i].met = f->entries[i].met;
        entry_at[i] = &entries[i];
    }
    table.members = entry_at, table.n_members = f->entry_count;
    message.body_case = GRID__V1__GOSSIP_FRAME__BODY_MEMBERS;
    message.members = &table;
    return grid__v1__gossip_frame__pack(&message, out);
}

/* Sizes about those where a length takes another byte. */
static void test_gossip_quick__packs_tables_of_all_sizes_as_the_generated_code(void **state)
{
    static const size_t sizes[] = {0, 1, 120, 121, 126, 127, 128, 300, 16383, 16384};
    static uint8_t text[20000], generated[ENTRIES * 2 * 20000];
    struct gossip_entry entries[ENTRIES];
    struct arena *arena = arena_create(1024, 0);
    (void) state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t) (i * 7);
    for (size_t i = 0; i < ENTRIES; i++)
        entries[i] = (struct gossip_entry){.record = slice_of(text, sizes[i % 10]), .load = slice_of(text + 1, sizes[i * 3 % 10]), .state = (enum member_state) (i % 5), .met = i % 3 == 0};
    for (size_t count = 1; count <= ENTRIES; count++) {
        struct gossip_frame f = {.kind = GOSSIP_TABLE, .entries = entries, .entry_count = count}, back = {0};
        struct buf packed;
        buf_init(&packed, 0);
        assert_int_equal(gossip_quick_pack(&f, &packed), 0);
        assert_true(slice_equal(buf_slice(&packed), slice_of(generated, pack_table_generated(&f, generated))));
        assert_true(gossip_quick_unpack(buf_slice(&packed), arena, &back));
        assert_true(back.kind == GOSSIP_TABLE && back.entry_count == count);
        for (size_t i = 0; i < count; i++) {
            assert_true(slice_equal(back.entries[i].record, entries[i].record) && slice_equal(back.entries[i].load, entries[i].load));
            assert_int_equal(back.entries[i].state, entries[i].state == MEMBER_EVICTED ? MEMBER_LEFT : entries[i].state);
            assert_int_equal(back.entries[i].met, entries[i].met);
        }
        buf_dispose(&packed);
    }
    arena_destroy(arena);
}

static void expect_packed(const struct gossip_frame *f, const Grid__V1__GossipFrame *message, struct arena *arena, struct gossip_frame *back)
{
    static uint8_t generated[ENTRIES * 128];
    struct buf packed;
    buf_init(&packed, 0);
    *back = (struct gossip_frame){.kind = GOSSIP_UNKNOWN};
    assert_true(gossip_quick_can(f));
    assert_int_equal(gossip_quick_pack(f, &packed), 0);
    assert_true(slice_equal(buf_slice(&packed), slice_of(generated, grid__v1__gossip_frame__pack(message, generated))));
    assert_true(gossip_quick_unpack(buf_slice(&packed), arena, back));
    assert_int_equal(back->kind, f->kind);
    buf_dispose(&packed);
}

static void test_gossip_quick__compares_views_in_the_bytes_of_the_generated_code(void **state)
{
    (void) state;
    for (size_t i = 0; i < NUMBER_COUNT * NUMBER_COUNT; i++) {
        struct gossip_frame f = {.kind = GOSSIP_DIGEST, .view = NUMBERS[i / NUMBER_COUNT], .view_count = (uint32_t) NUMBERS[i % NUMBER_COUNT]}, back;
        Grid__V1__ViewDigest digest = GRID__V1__VIEW_DIGEST__INIT;
        Grid__V1__GossipFrame message = GRID__V1__GOSSIP_FRAME__INIT;
        digest.hash = f.view, digest.members = f.view_count;
        message.body_case = GRID__V1__GOSSIP_FRAME__BODY_VIEW, message.view = &digest;
        expect_packed(&f, &message, NULL, &back);
        assert_true(back.view == f.view && back.view_count == f.view_count);
    }
}

static void test_gossip_quick__lists_versions_in_the_bytes_of_the_generated_code(void **state)
{
    struct gossip_version versions[ENTRIES];
    Grid__V1__MemberVersion messages[ENTRIES], *message_at[ENTRIES];
    struct arena *arena = arena_create(1024, 0);
    (void) state;
    for (size_t i = 0; i < ENTRIES; i++) {
        versions[i] = (struct gossip_version){.incarnation = NUMBERS[i % 7], .revision = NUMBERS[i % NUMBER_COUNT], .state = (enum member_state) (i % 4)};
        memset(versions[i].id, (int) i, sizeof versions[i].id);
        grid__v1__member_version__init(&messages[i]);
        messages[i].id = pb_bytes(slice_of(versions[i].id, sizeof versions[i].id));
        messages[i].incarnation = versions[i].incarnation, messages[i].revision = versions[i].revision;
        messages[i].state = (Grid__V1__MemberState) ((int) versions[i].state + 1);
        message_at[i] = &messages[i];
    }
    for (size_t count = 0; count <= ENTRIES; count++) {
        struct gossip_frame f = {.kind = GOSSIP_SUMMARY, .versions = versions, .version_count = count, .last = count % 2 != 0}, back;
        Grid__V1__ViewSummary summary = GRID__V1__VIEW_SUMMARY__INIT;
        Grid__V1__GossipFrame message = GRID__V1__GOSSIP_FRAME__INIT;
        summary.members = message_at, summary.n_members = count, summary.last = f.last;
        message.body_case = GRID__V1__GOSSIP_FRAME__BODY_SUMMARY, message.summary = &summary;
        expect_packed(&f, &message, arena, &back);
        assert_true(back.version_count == count && back.last == f.last);
        for (size_t i = 0; i < count; i++)
            assert_true(memcmp(back.versions[i].id, versions[i].id, sizeof versions[i].id) == 0 && back.versions[i].incarnation == versions[i].incarnation &&
                        back.versions[i].revision == versions[i].revision && back.versions[i].state == versions[i].state);
    }
    arena_destroy(arena);
}

/* Each is a frame, or might be one, of which the general decoder knows what to think. */
static void test_gossip_quick__leaves_other_forms_to_the_general_decoder(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } others[] = {
        {"", 0},
        {"\x12", 1},
        {"\x12\x02\x08", 3},                                         /* cut */
        {"\x12\x04\x10\x06\x08\x05", 6},                             /* another order */
        {"\x12\x04\x08\x05\x08\x06", 6},                             /* twice */
        {"\x12\x02\x20\x01", 4},                                     /* a field that is unknown */
        {"\x12\x02\x08\x05\x12\x02\x08\x05", 8},                     /* two frames */
        {"\x12\x80\x01\x08\x05", 5},                                 /* a long length */
        {"\x12\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 13}, /* more than 64 bits */
        {"\x1a\x08\x1a\x06\x08\xff\xff\xff\xff\x1f", 10},            /* more than 32 bits */
        {"\x1a\x04\x1a\x02\x20\x05", 6},                             /* a load of a process */
        {"\x1a\x03\x1a\x05\x08", 5},                                 /* a load that reaches beyond its frame */
        {"\x32\x00", 2},                             /* about nobody */
        {"\x32\x04\x0a\x02" "ab", 6},                /* an id that is none */
        {"\x52\x46\x08\x04\x12\x40" TARGET "\x18\x01", 72}, /* news of a newer version */
        {"\x3a\x46\x0a\x40" TARGET "\x10\x01\x18\x02", 72}, /* a truth that is none */
        {"\x5a\x03\x09\x01\x02", 5},                 /* a hash that is cut off */
        {"\x5a\x04\x10\x05\x10\x05", 6},             /* twice */
        {"\x62\x02\x18\x01", 4},                     /* a field that is unknown */
        {"\x62\x02\x10\x02", 4},                     /* a truth that is none */
        {"\x62\x04\x0a\x02\x20\x01", 6},             /* a version of nobody */
        {"\x62\x26\x0a\x24\x0a\x20" "abcdefghijklmnopqrstuvwxyz012345" "\x20\x05", 40}, /* a state that is unknown */
        {"\x62\x2d\x0a\x2b\x0a\x20" "abcdefghijklmnopqrstuvwxyz012345" "\x10\x80\x80\x80\x80\x80\x80\x80\x10\x20\x01", 47}, /* an incarnation over the limit */
        {"\x22\x00", 2},                             /* nobody */
        {"\x22\x02\x0a\x00", 4},                     /* somebody without a state */
        {"\x22\x04\x0a\x02\x10\x05", 6},             /* a state that is unknown */
        {"\x22\x07\x0a\x05\x1a\x01x\x10\x01", 9},    /* another order */
        {"\x22\x06\x0a\x04\x10\x01\x28\x02", 8},     /* a truth that is none */
        {"\x22\x06\x0a\x04\x10\x01\x30\x01", 8},     /* a field that is unknown */
        {"\x22\x05\x0a\x04\x10\x01\x30\x01", 8},     /* one that reaches beyond its frame */
        {"\x22\x06\x0a\x02\x10\x01\x10\x01", 8},     /* something beside */
    };
    struct arena *arena = arena_create(1024, 0);
    (void) state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct gossip_frame f = {.kind = GOSSIP_UNKNOWN, .sequence = 77};
        assert_false(gossip_quick_unpack(slice_of(others[i].bytes, others[i].size), arena, &f));
        assert_true(f.kind == GOSSIP_UNKNOWN && f.sequence == 77 && f.entry_count == 0);
    }
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gossip_quick__has_the_bytes_of_the_generated_code),
        cmocka_unit_test(test_gossip_quick__tells_of_somebody_in_the_bytes_of_the_generated_code),
        cmocka_unit_test(test_gossip_quick__packs_tables_of_all_sizes_as_the_generated_code),
        cmocka_unit_test(test_gossip_quick__compares_views_in_the_bytes_of_the_generated_code),
        cmocka_unit_test(test_gossip_quick__lists_versions_in_the_bytes_of_the_generated_code),
        cmocka_unit_test(test_gossip_quick__leaves_other_forms_to_the_general_decoder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
