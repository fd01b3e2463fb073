/* The frame that asks for a connection, and where members are dialled. */
// links: grid_discovery
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/pb.h"
#include "discovery/gossip_frame.h"
#include "discovery/gossip_turn.h"
#include "discovery/member_reach.h"
#include "grid/v1/peer.pb-c.h"

static void test_gossip_turn__comes_back_as_it_was_packed_and_is_the_protos(void **state)
{
    (void) state;
    for (int plane = GOSSIP_PLANE_CALLS; plane <= GOSSIP_PLANE_CONTROL; plane++) {
        struct arena *arena = arena_create(512, 0);
        enum gossip_plane again;
        struct buf packed;
        buf_init(&packed, 0);
        assert_int_equal(gossip_turn_pack((enum gossip_plane) plane, &packed), 0);
        assert_true(gossip_turn_unpack(buf_slice(&packed), &again));
        assert_int_equal(again, plane);
        const Grid__V1__GossipFrame *message = pb_unpack(&grid__v1__gossip_frame__descriptor, arena, buf_slice(&packed));
        assert_non_null(message);
        assert_int_equal(message->body_case, GRID__V1__GOSSIP_FRAME__BODY_TURN);
        assert_int_equal(message->turn->plane, plane + 1);
        struct gossip_frame frame; /* who does not know it passes over it */
        assert_int_equal(gossip_frame_unpack(buf_slice(&packed), arena, NULL, &frame), 0);
        assert_int_equal(frame.kind, GOSSIP_UNKNOWN);
        buf_dispose(&packed);
        arena_destroy(arena);
    }
}

static void test_gossip_turn__is_no_other_frame(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
    } others[] = {{"", 0}, {"\x72", 1}, {"\x72\x02", 2}, {"\x72\x00", 2}, {"\x72\x02\x08\x00", 4}, {"\x72\x02\x08\x03", 4}, {"\x72\x02\x08\x01\x12", 5}, {"\x72\x03\x08\x01\x12", 5},
                  {"\x12\x02\x08\x01", 4}, {"\x72\x7f\x08\x01", 4}, {"\x72\x02\x10\x01", 4}};
    enum gossip_plane plane;
    (void) state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(gossip_turn_unpack(slice_of(others[i].bytes, others[i].size), &plane));
}

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_member_dials__ends_with_the_member_itself_when_it_cannot_be_reached(void **state)
{
    static const char *const addresses[] = {"10.0.0.2:7900", "name.example:7900", "[2001:db8::2]:7900"}, *const said[] = {MEMBER_REACHES, MEMBER_UNREACHABLE};
    struct member m = {.id = ID, .addresses = addresses, .address_count = 3, .capabilities = said, .capability_count = 2};
    struct addr out[8];
    (void) state;
    assert_int_equal(member_dials(&m, out, 8), 3); /* the name is left out */
    assert_false(addr_is_member(&out[0]) || addr_is_member(&out[1]));
    assert_true(addr_is_member(&out[2]));
    assert_string_equal(out[2].u.member.id, ID);
    assert_int_equal(member_dials(&m, out, 2), 2);
    assert_true(addr_is_member(&out[1]));
    assert_true(member_dial(&m, out) && addr_is_member(out));
    m.capability_count = 1;
    assert_int_equal(member_dials(&m, out, 8), 2);
    assert_true(member_dial(&m, out) && addr_port(out) == 7900);
    m.address_count = 0;
    assert_false(member_dial(&m, out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gossip_turn__comes_back_as_it_was_packed_and_is_the_protos),
        cmocka_unit_test(test_gossip_turn__is_no_other_frame),
        cmocka_unit_test(test_member_dials__ends_with_the_member_itself_when_it_cannot_be_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
