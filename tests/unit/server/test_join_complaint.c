/* What a person is told of a place where this node could not join: the sentence must not send him looking for something else. */
// links: grid_server
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/join_complaint.h"

#define AT "10.0.0.1:7900"

static void check_sentence(enum join_complaint c, const char *expected)
{
    struct arena *arena = arena_create(512, 0);
    const char *said = join_complaint_sentence(c, AT, "it is so", arena);
    assert_non_null(said);
    assert_string_equal(said, expected);
    assert_true(strlen(join_complaint_line(c)) > 0);
    arena_destroy(arena);
}

static void test_join_complaint__names_the_remedy_of_its_own_cause(void **state)
{
    (void) state;
    check_sentence(JOIN_COMPLAINT_UNREACHED, "this node cannot join at " AT ": it is so; see that a gridd of the grid runs there, and that the port can be reached from here");
    check_sentence(JOIN_COMPLAINT_BROKEN, "this node cannot join at " AT ": it is so; see that the address and the port are a gridd's of the grid, and that both machines' clocks are right");
    check_sentence(JOIN_COMPLAINT_LATER, "this node cannot join at " AT " yet: it is so; it tries again by itself");
    check_sentence(JOIN_COMPLAINT_DIFFERS, AT " does not let this node in: it is so: see that all nodes of the grid have the same name and password, and that --join names one of them");
    check_sentence(JOIN_COMPLAINT_REFUSED, AT " does not let this node in: it is so");
    check_sentence(JOIN_COMPLAINT_UNWANTED, AT " does not let this node in: it is so: if the grid has evicted it, stop it, and start it with a new state folder to join as another node");
    assert_null(join_complaint_sentence(JOIN_COMPLAINT_NONE, AT, "", NULL));
}

static void test_join_complaint__follows_from_the_reason_of_a_refusal(void **state)
{
    static const struct {
        enum join_reason reason;
        enum join_complaint complaint;
        bool lasts;
    } CASES[] = {
        {JOIN_NOT_ISSUER, JOIN_COMPLAINT_UNREACHED, false}, {JOIN_DOOR_CLOSED, JOIN_COMPLAINT_REFUSED, true}, {JOIN_BUSY, JOIN_COMPLAINT_LATER, false},
        {JOIN_TOO_MANY, JOIN_COMPLAINT_LATER, false},       {JOIN_ENOUGH, JOIN_COMPLAINT_LATER, false},       {JOIN_MISMATCH, JOIN_COMPLAINT_DIFFERS, true},
        {JOIN_OTHER_GRID, JOIN_COMPLAINT_REFUSED, true},    {JOIN_NOT_ADMITTED, JOIN_COMPLAINT_UNWANTED, true}, {JOIN_REASON_END, JOIN_COMPLAINT_DIFFERS, true},
    };
    (void) state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        assert_int_equal(join_complaint_of(CASES[i].reason), CASES[i].complaint);
        assert_int_equal(join_complaint_lasts(CASES[i].complaint), CASES[i].lasts);
    }
    assert_false(join_complaint_lasts(JOIN_COMPLAINT_NONE));
    assert_false(join_complaint_lasts(JOIN_COMPLAINT_BROKEN));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join_complaint__names_the_remedy_of_its_own_cause),
        cmocka_unit_test(test_join_complaint__follows_from_the_reason_of_a_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
