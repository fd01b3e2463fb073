/* Whether a node can be dialled: what it concludes from what members of several networks say, and whom it asks when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "discovery/reachability.h"

enum { START = 100 * 1000, MINUTE = 60 * 1000 };

static struct addr at(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(slice_of_str(text), &a), 0);
    return a;
}

/* "203.0.113.9:7900", or with its id before it: "a@203.0.113.9:7900". */
static struct reachability_witness who(const char *text)
{
    const char *sign = strchr(text, '@');
    struct reachability_witness w = {.at = at(sign ? sign + 1 : text)};
    snprintf(w.id, sizeof w.id, "%.*s", sign ? (int) (sign - text) : 64, text);
    return w;
}

static struct reachability with_own(const char *own)
{
    struct reachability r = {0};
    struct addr a = at(own);
    assert_true(reachability_set_own(&r, &a, 1));
    return r;
}

/* Asked and answered; a no twice. */
static void vote(struct reachability *r, const char *member, const char *seen, bool reached, uint64_t now_ms)
{
    struct reachability_witness to = who(member);
    struct addr from = at(seen);
    for (int i = 0; i < (reached ? 1 : 2); i++) {
        assert_int_equal(reachability_ask(r, &to, 1, now_ms + (uint64_t) i * 250), 0);
        reachability_answer(r, &to, &from, reached);
    }
}

static void test_reachability__knows_nothing_before_the_first_answer(void **state)
{
    struct reachability r = with_own("10.0.0.2:0");
    struct reachability_witness to = who("198.51.100.7:7900");
    (void) state;
    assert_int_equal(reachability_state(&r), REACHABILITY_UNKNOWN);
    assert_null(reachability_seen(&r));
    assert_int_equal(reachability_ask(&r, &to, 1, START), 0);
    assert_int_equal(reachability_state(&r), REACHABILITY_UNKNOWN);
    assert_null(reachability_seen(&r));
}

static void test_reachability__a_dial_back_that_failed_makes_it_unreachable(void **state)
{
    struct reachability r = with_own("10.0.0.2:0");
    struct addr seen = at("203.0.113.9:1");
    (void) state;
    vote(&r, "198.51.100.7:7900", "203.0.113.9:40001", false, START);
    assert_int_equal(reachability_state(&r), REACHABILITY_UNREACHABLE);
    assert_true(addr_same_host(reachability_seen(&r), &seen));
}

static void test_reachability__one_failed_dial_may_be_lost_packets(void **state)
{
    struct reachability r = with_own("10.0.0.2:0");
    struct reachability_witness to = who("198.51.100.7:7900");
    struct addr seen = at("203.0.113.9:1");
    (void) state;
    assert_int_equal(reachability_ask(&r, &to, 1, START), 0);
    reachability_answer(&r, &to, &seen, false);
    assert_int_equal(reachability_state(&r), REACHABILITY_UNKNOWN);
    assert_int_equal(reachability_ask(&r, &to, 1, START + 249), -1);
    assert_int_equal(reachability_ask(&r, &to, 1, START + 250), 0);
    reachability_answer(&r, &to, &seen, true);
    assert_int_equal(reachability_state(&r), REACHABILITY_REACHABLE);
    assert_int_equal(reachability_ask(&r, &to, 1, START + 11 * MINUTE), 0);
    reachability_answer(&r, &to, &seen, false); /* one after a yes neither */
    assert_int_equal(reachability_state(&r), REACHABILITY_REACHABLE);
    assert_int_equal(reachability_ask(&r, &to, 1, START + 11 * MINUTE + 250), 0);
    reachability_answer(&r, &to, &seen, false);
    assert_int_equal(reachability_state(&r), REACHABILITY_UNREACHABLE);
    assert_int_equal(reachability_ask(&r, &to, 1, START + 12 * MINUTE), -1);
    assert_int_equal(reachability_ask(&r, &to, 1, START + 12 * MINUTE + 250), 0);
    reachability_answer(&r, &to, &seen, true); /* a yes counts at once */
    assert_int_equal(reachability_state(&r), REACHABILITY_REACHABLE);
}

static void test_reachability__neighbours_who_see_the_own_address_count_only_among_themselves(void **state)
{
    struct reachability r = with_own("10.0.0.2:0");
    (void) state;
    vote(&r, "10.0.0.3:7900", "10.0.0.2:40001", true, START);
    vote(&r, "10.0.1.3:7900", "10.0.0.2:40001", true, START + 2000);
    assert_int_equal(reachability_state(&r), REACHABILITY_REACHABLE);
    vote(&r, "198.51.100.7:7900", "203.0.113.9:40001", false, START + 4000);
    assert_int_equal(reachability_state(&r), REACHABILITY_UNREACHABLE);
}

static void test_reachability__a_lone_network_is_believed_and_of_more_two_that_agree(void **state)
{
    struct reachability r = with_own("10.0.0.2:0");
    (void) state;
    vote(&r, "198.51.100.7:7900", "203.0.113.9:40001", true, START);
    assert_int_equal(reachability_state(&r), REACHABILITY_REACHABLE);
    vote(&r, "192.0.2.7:7900", "203.0.113.9:40001", false, START + 2000); /* one against one: as before */
    assert_int_equal(reachability_state(&r), REACHABILITY_REACHABLE);
    vote(&r, "203.0.114.7:7900", "203.0.113.9:40001", false, START + 4000);
    assert_int_equal(reachability_state(&r), REACHABILITY_UNREACHABLE);
    vote(&r, "203.0.115.7:7900", "203.0.113.9:40001", true, START + 6000); /* two against two */
    assert_int_equal(reachability_state(&r), REACHABILITY_UNREACHABLE);
    vote(&r, "203.0.116.7:7900", "203.0.113.9:40001", true, START + 8000);
    assert_int_equal(reachability_state(&r), REACHABILITY_REACHABLE);
}

/* ---- members that lie ---- */

static void test_reachability__one_that_lies_does_not_make_who_was_believed_reachable_unreachable_nor_the_contrary(void **state)
{
    (void) state;
    for (int truth = 0; truth < 2; truth++) {
        struct reachability r = with_own("10.0.0.2:0");
        vote(&r, "198.51.100.7:7900", "203.0.113.9:40001", truth, START);
        vote(&r, "192.0.2.7:7900", "203.0.113.9:40001", !truth, START + 2000);
        assert_int_equal(reachability_state(&r), truth ? REACHABILITY_REACHABLE : REACHABILITY_UNREACHABLE);
        vote(&r, "203.0.114.7:7900", "203.0.113.9:40001", truth, START + 4000);
        assert_int_equal(reachability_state(&r), truth ? REACHABILITY_REACHABLE : REACHABILITY_UNREACHABLE);
    }
}

static void test_reachability__an_address_that_one_of_several_has_seen_is_not_taken(void **state)
{
    struct addr good = at("203.0.113.9:1");
    (void) state;
    for (int first = 0; first < 2; first++) { /* the liar comes second, and first */
        struct reachability r = with_own("10.0.0.2:0");
        vote(&r, "198.51.100.7:7900", first ? "192.0.2.66:1" : "203.0.113.9:40001", true, START);
        vote(&r, "192.0.2.7:7900", first ? "203.0.113.9:40001" : "192.0.2.66:1", true, START + 2000);
        vote(&r, "203.0.114.7:7900", "203.0.113.9:40001", true, START + 4000);
        assert_true(addr_same_host(reachability_seen(&r), &good));
    }
    struct reachability r = with_own("10.0.0.2:0"); /* nor when he has said the truth before */
    vote(&r, "198.51.100.7:7900", "203.0.113.9:40001", true, START);
    vote(&r, "192.0.2.7:7900", "203.0.113.9:40001", true, START + 2000);
    vote(&r, "198.51.100.7:7900", "192.0.2.66:1", true, START + 20 * MINUTE);
    assert_true(addr_same_host(reachability_seen(&r), &good));
}

static void test_reachability__who_claims_to_see_what_no_gateway_makes_does_not_count(void **state)
{
    static const char *const lies[] = {"0.0.0.0:1", "127.0.0.1:1", "224.0.0.1:1", "169.254.1.1:1", "192.168.7.7:1", "255.255.255.255:1", "[::]:1", "[ff02::1]:1", "[fe80::9]:1", "[fd00::9]:1", "[::1]:1"};
    struct addr member = at("198.51.100.7:7900");
    (void) state;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct reachability r = with_own("10.0.0.2:0");
        struct addr lie = at(lies[i]);
        vote(&r, "198.51.100.7:7900", lies[i], true, START);
        assert_int_equal(reachability_state(&r), REACHABILITY_UNKNOWN);
        assert_null(reachability_seen(&r));
        assert_true(addr_scope(&lie) != addr_scope(&member));
    }
    struct reachability r = with_own("10.0.0.2:0"); /* nor what is a private network's neighbour's */
    vote(&r, "10.0.1.3:7900", "203.0.113.9:1", false, START);
    assert_int_equal(reachability_state(&r), REACHABILITY_UNKNOWN);
    vote(&r, "10.0.2.3:7900", "10.9.9.9:1", false, START + 2000); /* but a firm's own gateway */
    assert_int_equal(reachability_state(&r), REACHABILITY_UNREACHABLE);
}

static void test_reachability__who_is_far_is_told_by_where_it_was_dialled(void **state)
{
    struct reachability r = with_own("10.0.0.2:0");
    (void) state;
    vote(&r, "10.0.1.3:7900", "10.0.0.2:40001", true, START);
    vote(&r, "10.0.2.3:7900", "10.0.0.2:40001", true, START + 2000);
    vote(&r, "10.0.3.3:7900", "10.66.0.1:40001", false, START + 4000); /* it says that it is, of one of many */
    assert_int_equal(reachability_state(&r), REACHABILITY_REACHABLE);
}

static void test_reachability__one_member_has_one_vote_wherever_it_says_it(void **state)
{
    struct reachability r = with_own("10.0.0.2:0");
    (void) state;
    vote(&r, "a@198.51.100.7:7900", "203.0.113.9:40001", true, START);
    vote(&r, "b@203.0.114.7:7900", "203.0.113.9:40001", true, START + 2000);
    vote(&r, "liar@192.0.2.7:7900", "203.0.113.9:40001", false, START + 4000);
    vote(&r, "liar@203.0.115.7:7900", "203.0.113.9:40001", false, START + 6000);
    vote(&r, "liar@203.0.116.7:7900", "203.0.113.9:40001", false, START + 8000);
    assert_int_equal(reachability_state(&r), REACHABILITY_REACHABLE);
}

static void test_reachability__among_neighbours_each_host_has_a_vote_but_few_are_asked(void **state)
{
    struct reachability r = with_own("10.0.0.2:0");
    struct reachability_witness more = who("10.0.0.6:7900");
    (void) state;
    vote(&r, "10.0.0.3:7900", "10.0.0.2:40001", true, START);
    vote(&r, "10.0.0.4:7900", "10.0.0.2:40001", false, START + 2000);
    vote(&r, "10.0.0.5:7900", "10.0.0.2:40001", true, START + 4000);
    assert_int_equal(reachability_state(&r), REACHABILITY_REACHABLE);
    assert_int_equal(reachability_ask(&r, &more, 1, START + 6000), -1);
    assert_int_equal(reachability_ask(&r, &more, 1, START + 4 * MINUTE), 0); /* in the place of one whose word is old */
    assert_int_equal(r.vote_count, 3);
}

static void test_reachability__the_two_protocols_of_the_internet_are_judged_apart(void **state)
{
    struct reachability r = with_own("[2001:db8:1:1::2]:0");
    struct addr seen = at("203.0.113.9:1");
    (void) state;
    vote(&r, "[2001:db8:7::7]:7900", "[2001:db8:1:1::2]:40001", true, START);
    assert_int_equal(reachability_state(&r), REACHABILITY_REACHABLE);
    vote(&r, "198.51.100.7:7900", "203.0.113.9:40001", false, START + 2000);
    assert_int_equal(reachability_state(&r), REACHABILITY_UNREACHABLE);
    assert_true(addr_same_host(reachability_seen(&r), &seen));
}

/* ---- many, and again ---- */

static void test_reachability__many_members_of_one_network_have_one_vote(void **state)
{
    struct reachability r = with_own("10.0.0.2:0");
    char member[32];
    (void) state;
    vote(&r, "192.0.2.7:7900", "203.0.113.9:40001", true, START);
    vote(&r, "203.0.114.7:7900", "203.0.113.9:40001", true, START + 2000);
    for (unsigned i = 1; i <= 20; i++) {
        struct reachability_witness to;
        struct addr seen = at("203.0.113.9:40001");
        snprintf(member, sizeof member, "198.51.100.%u:7900", i);
        to = who(member);
        for (unsigned said = 0; said < 2; said++) {
            reachability_ask(&r, &to, 1, START + 2000 + i * 2000 + said * 250);
            reachability_answer(&r, &to, &seen, false);
        }
    }
    assert_int_equal(reachability_state(&r), REACHABILITY_REACHABLE);
    assert_int_equal(r.vote_count, 3);
}

static void test_reachability__new_addresses_forget_what_was_known(void **state)
{
    struct reachability r = with_own("10.0.0.2:0");
    struct addr own[2] = {at("10.0.0.2:7900"), at("172.16.0.9:0")};
    (void) state;
    vote(&r, "198.51.100.7:7900", "203.0.113.9:40001", false, START);
    assert_false(reachability_set_own(&r, own, 1)); /* ports do not matter */
    assert_int_equal(reachability_state(&r), REACHABILITY_UNREACHABLE);
    assert_true(reachability_set_own(&r, own, 2));
    assert_int_equal(reachability_state(&r), REACHABILITY_UNKNOWN);
    vote(&r, "198.51.100.7:7900", "172.16.0.9:40001", true, START + 10);
    assert_int_equal(reachability_state(&r), REACHABILITY_REACHABLE);
}

static void test_reachability__an_address_changed_by_a_gateway_is_the_latest_one_seen(void **state)
{
    struct reachability r = with_own("10.0.0.2:0");
    struct addr before = at("203.0.113.9:1"), after = at("203.0.113.77:1");
    (void) state;
    vote(&r, "198.51.100.7:7900", "203.0.113.9:40001", false, START);
    assert_true(addr_same_host(reachability_seen(&r), &before));
    struct reachability_witness to = who("198.51.100.7:7900");
    assert_int_equal(reachability_ask(&r, &to, 1, START + 2 * MINUTE), 0);
    reachability_answer(&r, &to, &after, false); /* still no: once is enough */
    assert_true(addr_same_host(reachability_seen(&r), &after));
}

static void test_reachability__asks_new_networks_first_and_each_again_when_it_is_time(void **state)
{
    struct reachability r = with_own("10.0.0.2:0");
    struct reachability_witness members[3] = {who("198.51.100.7:7900"), who("198.51.100.8:7900"), who("[2001:db8:1::7]:7900")};
    struct addr seen = at("203.0.113.9:1");
    (void) state;
    assert_int_equal(reachability_ask(&r, members, 3, START), 0);
    assert_int_equal(reachability_ask(&r, members, 3, START + 249), -1); /* one each quarter of a second */
    reachability_answer(&r, &members[0], &seen, true);
    assert_int_equal(reachability_ask(&r, members, 3, START + 1000), 2);
    assert_int_equal(reachability_ask(&r, members, 3, START + 3000), -1);
    assert_int_equal(reachability_ask(&r, members, 3, START + 17000), 2); /* it has not answered */
    reachability_answer(&r, &members[2], &seen, false);
    assert_int_equal(reachability_ask(&r, members, 3, START + 17250), 2);
    reachability_answer(&r, &members[2], &seen, false);
    assert_int_equal(reachability_ask(&r, members, 3, START + 17250 + MINUTE - 1), -1);
    assert_int_equal(reachability_ask(&r, members, 3, START + 17250 + MINUTE), 2);
    assert_int_equal(reachability_ask(&r, members, 2, START + 10 * MINUTE - 1), -1);
    assert_int_equal(reachability_ask(&r, members, 2, START + 10 * MINUTE), 0);
}

static void test_reachability__more_networks_than_it_remembers_are_not_asked_in_turn_for_ever(void **state)
{
    struct reachability r = with_own("10.0.0.2:0");
    struct reachability_witness members[40];
    struct addr seen = at("203.0.113.9:1");
    unsigned asked = 0;
    (void) state;
    for (unsigned i = 0; i < 40; i++) {
        char text[32];
        snprintf(text, sizeof text, "198.51.%u.7:7900", i);
        members[i] = who(text);
    }
    for (uint64_t now = START; now < START + 9 * MINUTE; now += 1000) {
        int one = reachability_ask(&r, members, 40, now);
        if (one >= 0) {
            reachability_answer(&r, &members[one], &seen, true);
            asked++;
        }
    }
    assert_int_equal(asked, REACHABILITY_VOTES_MAX);
}

static void test_reachability__an_answer_from_a_forgotten_network_changes_nothing(void **state)
{
    struct reachability r = with_own("10.0.0.2:0");
    struct reachability_witness to = who("198.51.100.7:7900");
    struct addr seen = at("203.0.113.9:1"), own = at("10.9.0.2:0");
    (void) state;
    assert_int_equal(reachability_ask(&r, &to, 1, START), 0);
    assert_true(reachability_set_own(&r, &own, 1));
    reachability_answer(&r, &to, &seen, false);
    assert_int_equal(reachability_state(&r), REACHABILITY_UNKNOWN);
    assert_string_equal(reachability_state_name(reachability_state(&r)), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reachability__knows_nothing_before_the_first_answer),
        cmocka_unit_test(test_reachability__a_dial_back_that_failed_makes_it_unreachable),
        cmocka_unit_test(test_reachability__one_failed_dial_may_be_lost_packets),
        cmocka_unit_test(test_reachability__neighbours_who_see_the_own_address_count_only_among_themselves),
        cmocka_unit_test(test_reachability__a_lone_network_is_believed_and_of_more_two_that_agree),
        cmocka_unit_test(test_reachability__one_that_lies_does_not_make_who_was_believed_reachable_unreachable_nor_the_contrary),
        cmocka_unit_test(test_reachability__an_address_that_one_of_several_has_seen_is_not_taken),
        cmocka_unit_test(test_reachability__who_claims_to_see_what_no_gateway_makes_does_not_count),
        cmocka_unit_test(test_reachability__who_is_far_is_told_by_where_it_was_dialled),
        cmocka_unit_test(test_reachability__one_member_has_one_vote_wherever_it_says_it),
        cmocka_unit_test(test_reachability__among_neighbours_each_host_has_a_vote_but_few_are_asked),
        cmocka_unit_test(test_reachability__the_two_protocols_of_the_internet_are_judged_apart),
        cmocka_unit_test(test_reachability__many_members_of_one_network_have_one_vote),
        cmocka_unit_test(test_reachability__new_addresses_forget_what_was_known),
        cmocka_unit_test(test_reachability__an_address_changed_by_a_gateway_is_the_latest_one_seen),
        cmocka_unit_test(test_reachability__asks_new_networks_first_and_each_again_when_it_is_time),
        cmocka_unit_test(test_reachability__more_networks_than_it_remembers_are_not_asked_in_turn_for_ever),
        cmocka_unit_test(test_reachability__an_answer_from_a_forgotten_network_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
