/* Names are one member's each, whatever a member claims; and a place in the table is for whoever is there. */
#include "tests/unit/discovery/members_rig.h"

enum { KEPT_MS = 5 * 60 * 1000, YOUNG_MS = 5 * 60 * 1000 };

/* The holder of the name and the others come before anybody else, in this order: peers 0, 1, 2 ... on links LINK, LINK + 1, ... */
static const char *const IDS[] = {PEER, THIRD, FIFTH, ID_OF("5555"), ID_OF("6666"), ID_OF("7777"), ID_OF("8888")};
static const char *const NAMES[] = {"web", "third", "fourth", "fifth", "sixth", "seventh", "eighth"};

static void link_some(struct rig *r, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        link_peer(r, LINK + i, IDS[i], NAMES[i]);
}

/* Somebody who says of himself, or of whom somebody says, that he is called so, and has run since for ever. */
static struct member namesake(const char *id)
{
    struct member m = record_of(id, "web", 5000, 0);
    m.started_at_ms = 1;
    return m;
}

static void tell(struct rig *r, unsigned link, const char *id)
{
    assert_int_equal(say_of(r, LINK + link, namesake(id), MEMBER_ALIVE, GOSSIP_TABLE), 0);
}

static void expect_holder(const struct rig *r, const char *name, const char *id)
{
    size_t found = 0;
    for (size_t i = 0; i < members_count(r->m); i++) {
        const struct member *m = members_at(r->m, i);
        bool living = m->state == MEMBER_ALIVE || m->state == MEMBER_STALLED;
        if (living && strcmp(m->name, name) == 0) {
            assert_string_equal(m->id, id);
            found++;
        }
    }
    assert_int_equal(found, 1);
}

static void greet(struct rig *r, uint64_t link, const char *id, uint64_t token, const char *name)
{
    struct member m = namesake(id);
    snprintf(m.name, sizeof m.name, "%s", name);
    assert_int_equal(members_link_up(r->m, link, id, token, r->now), 0);
    assert_int_equal(say_of(r, link, m, MEMBER_ALIVE, GOSSIP_HELLO), 0);
}

static void test_name__stays_the_incumbents_however_long_another_says_he_has_run(void **state)
{
    struct rig *r = *state;
    link_some(r, 3);
    greet(r, 100, FOURTH, 0, "web");
    assert_int_equal(find_sent(r, GOSSIP_REFUSAL)->refusal, GOSSIP_REFUSAL_NAME);
    tell(r, 2, FOURTH);
    expect_holder(r, "web", PEER);
    assert_null(members_find(r->m, FOURTH));
    greet(r, 101, FOURTH, 0, "self"); /* nor does this node take itself for the newcomer */
    assert_int_equal(find_sent(r, GOSSIP_REFUSAL)->refusal, GOSSIP_REFUSAL_NAME);
    expect_holder(r, "self", SELF);
}

static void test_name__cannot_be_taken_by_one_who_changes_his_own(void **state)
{
    struct rig *r = *state;
    link_some(r, 3);
    assert_int_equal(say_of(r, LINK + 2, namesake(FIFTH), MEMBER_ALIVE, GOSSIP_TABLE), 0);
    assert_string_equal(members_find(r->m, FIFTH)->name, "fourth");
    assert_int_equal(say_of(r, LINK + 2, record_of(FIFTH, "another", 6000, 0), MEMBER_ALIVE, GOSSIP_TABLE), 0);
    assert_string_equal(members_find(r->m, FIFTH)->name, "another");
    tell(r, 1, PEER); /* a name that is given up is anybody's, and a new process of the incumbent has his */
    expect_holder(r, "web", PEER);
    assert_int_equal(say_of(r, LINK + 1, record_of(FOURTH, "fourth", 10, 0), MEMBER_ALIVE, GOSSIP_TABLE), 0);
    expect_holder(r, "fourth", FOURTH);
}

static void test_name__outlives_its_holder_for_five_minutes(void **state)
{
    struct rig *r = *state;
    link_some(r, 2);
    assert_int_equal(say_of(r, LINK + 1, record_of(FIFTH, "web2", 10, 0), MEMBER_ALIVE, GOSSIP_TABLE), 0);
    assert_int_equal(say_of(r, LINK + 1, record_of(FIFTH, "web2", 10, 0), MEMBER_DEAD, GOSSIP_TABLE), 0);
    expect_state(r, FIFTH, MEMBER_DEAD);
    r->now += KEPT_MS - 1000;
    greet(r, 100, FOURTH, 0, "web2");
    assert_int_equal(find_sent(r, GOSSIP_REFUSAL)->refusal, GOSSIP_REFUSAL_NAME);
    r->now += 1000;
    greet(r, 101, FOURTH, 0, "web2");
    expect_holder(r, "web2", FOURTH);
    assert_int_equal(say_of(r, LINK + 1, record_of(FIFTH, "web2", 11, 0), MEMBER_ALIVE, GOSSIP_TABLE), 0); /* he comes too late */
    expect_holder(r, "web2", FOURTH);
    expect_state(r, FIFTH, MEMBER_DEAD);
}

static void test_name__of_one_who_left_is_free_at_once(void **state)
{
    struct rig *r = *state;
    link_some(r, 2);
    assert_int_equal(say_of(r, LINK + 1, record_of(PEER, "web", 200, 1), MEMBER_LEFT, GOSSIP_TABLE), 0);
    expect_state(r, PEER, MEMBER_LEFT);
    greet(r, 100, FOURTH, 0, "web");
    expect_holder(r, "web", FOURTH);
}

/* A false one came first to a node that has just started; all others know better. */
static void test_name__goes_to_whom_the_majority_of_links_knows(void **state)
{
    struct rig *r = *state;
    link_some(r, 4);
    tell(r, 1, ID_OF("9999"));
    expect_holder(r, "web", PEER); /* one against three, this node among them */
    tell(r, 1, ID_OF("9999"));
    expect_holder(r, "web", PEER); /* nobody counts twice */
    tell(r, 2, ID_OF("9999"));
    expect_holder(r, "web", PEER); /* two and two: the smaller id */
    tell(r, 3, ID_OF("9999"));
    expect_holder(r, "web", PEER); /* he may be made up */
    greet(r, 100, ID_OF("9999"), 0, "web");
    expect_holder(r, "web", ID_OF("9999"));
    expect_state(r, PEER, MEMBER_LEFT);
    expect_event(r, MEMBERS_LEFT, PEER);
    expect_event(r, MEMBERS_JOINED, ID_OF("9999"));
    assert_int_equal(find_sent(r, GOSSIP_REFUSAL)->refusal, GOSSIP_REFUSAL_NAME); /* he is told, and all others by whom this node goes now */
    assert_non_null(find_entry(find_sent(r, GOSSIP_TABLE), ID_OF("9999")));
    assert_int_equal(r->closed[0], LINK);
}

static void test_name__of_two_with_as_many_is_the_smaller_ids(void **state)
{
    struct rig *r = *state;
    link_some(r, 4);
    tell(r, 1, FOURTH);
    expect_holder(r, "web", PEER);
    assert_int_equal(say_of(r, LINK + 1, record_of(PEER, "web", 200, 0), MEMBER_ALIVE, GOSSIP_TABLE), 0); /* he has come to think better of it */
    tell(r, 2, FOURTH);
    expect_holder(r, "web", PEER);
    tell(r, 1, FOURTH);
    expect_holder(r, "web", PEER); /* whom this node hears */
    greet(r, 100, FOURTH, 0, "web");
    expect_holder(r, "web", FOURTH);
}

/* One member that tells of somebody made up, or runs him too, is as many as this node itself. */
static void test_name__of_one_who_is_heard_is_not_lost_to_one_member(void **state)
{
    struct rig *r = *state;
    link_some(r, 2);
    tell(r, 1, FOURTH);
    expect_holder(r, "web", PEER);
    assert_null(members_find(r->m, FOURTH));
    r->now += YOUNG_MS + 1;
    greet(r, 100, FOURTH, 0, "web");
    assert_int_equal(find_sent(r, GOSSIP_REFUSAL)->refusal, GOSSIP_REFUSAL_NAME);
    expect_holder(r, "web", PEER);
    assert_true(members_find(r->m, PEER)->linked);
}

static void kill_and_wait(struct rig *r, const char *id, const char *name, uint64_t link, uint64_t for_ms)
{
    members_link_down(r->m, link, MEMBERS_LOST_RESET, r->now);
    drain(r);
    r->now += 3600000; /* so long that nothing vouches for him */
    assert_int_equal(say_of(r, LINK, record_of(id, name, 200, 0), MEMBER_DEAD, GOSSIP_TABLE), 0);
    expect_state(r, id, MEMBER_DEAD);
    r->now += for_ms;
}

/* A member comes back from the other half of a split, where the name of one who came meanwhile is another's. */
static void come_back(struct rig *r, const char *rival)
{
    assert_int_equal(members_link_up(r->m, 50, THIRD, 0, r->now), 0);
    assert_int_equal(say_of(r, 50, record_of(THIRD, "third", 201, 0), MEMBER_ALIVE, GOSSIP_HELLO), 0);
    struct member other = namesake(rival);
    snprintf(other.name, sizeof other.name, "new");
    assert_int_equal(say_of(r, 50, other, MEMBER_ALIVE, GOSSIP_TABLE), 0);
    greet(r, 100, rival, 0, "new");
}

static void split_and_heal(struct rig *r, const char *rival)
{
    link_some(r, 2);
    kill_and_wait(r, THIRD, "third", LINK + 1, 1000);
    members_link_down(r->m, LINK, MEMBERS_LOST_RESET, r->now);
    link_peer(r, LINK + 2, FIFTH, "new");
    r->now += 3600000;
    come_back(r, rival);
}

static void test_name__on_both_sides_of_a_split_is_the_smaller_ids(void **state)
{
    split_and_heal(*state, FOURTH);
    expect_holder(*state, "new", FOURTH);
}

static void test_name__on_both_sides_of_a_split_stays_the_smaller_ids(void **state)
{
    split_and_heal(*state, ID_OF("9999"));
    expect_holder(*state, "new", FIFTH);
}

/* The other half knows nothing of a death: to it he has been the holder all the time. */
static void test_name__that_was_given_anew_in_a_split_goes_back_to_whom_the_other_half_kept(void **state)
{
    struct rig *r = *state;
    link_some(r, 2);
    link_peer(r, LINK + 3, ID_OF("9999"), "new");
    kill_and_wait(r, ID_OF("9999"), "new", LINK + 3, 0);
    kill_and_wait(r, THIRD, "third", LINK + 1, KEPT_MS);
    members_link_down(r->m, LINK, MEMBERS_LOST_RESET, r->now);
    link_peer(r, LINK + 2, FIFTH, "new");
    r->now += 3600000;
    come_back(r, ID_OF("9999"));
    expect_holder(r, "new", ID_OF("9999"));
}

/* Otherwise whoever gets many certificates could take any name. */
static void test_name__is_not_given_away_by_those_who_came_later(void **state)
{
    struct rig *r = *state;
    link_some(r, 2);
    r->now += KEPT_MS + 1;
    for (unsigned i = 2; i < 7; i++)
        link_peer(r, LINK + i, IDS[i], NAMES[i]);
    for (unsigned i = 2; i < 7; i++)
        tell(r, i, FOURTH);
    expect_holder(r, "web", PEER);
    assert_null(members_find(r->m, FOURTH));
}

/* What he said before counts for nothing, and what he says then as new. */
static void test_name__that_was_lost_comes_back_when_the_other_has_left(void **state)
{
    struct rig *r = *state;
    link_some(r, 2);
    tell(r, 1, FOURTH);
    greet(r, 99, FOURTH, 0, "web");
    expect_holder(r, "web", FOURTH);
    tell(r, 1, PEER);
    expect_holder(r, "web", FOURTH);
    struct member last = namesake(FOURTH);
    last.revision = 1;
    assert_int_equal(say_of(r, LINK + 1, last, MEMBER_LEFT, GOSSIP_TABLE), 0);
    greet(r, 100, PEER, 0, "web");
    expect_holder(r, "web", PEER);
}

static bool is_told_that_its_name_is_taken(const struct rig *r)
{
    for (size_t i = 0; i < r->event_count; i++)
        if (r->events[i] == MEMBERS_REFUSED)
            return true;
    return false;
}

static void test_name__is_yielded_by_who_comes_and_knows_nobody_else(void **state)
{
    struct rig *r = *state;
    greet(r, LINK, PEER, 999, "self");
    assert_true(is_told_that_its_name_is_taken(r));
    assert_null(find_sent(r, GOSSIP_REFUSAL)); /* the incumbent is told nothing */
    assert_null(members_find(r->m, PEER));
    link_peer(r, LINK + 1, THIRD, "third");
    keep_alive(r, LINK + 1, 3000);
    greet(r, LINK + 2, PEER, 998, "self");
    assert_int_equal(find_sent(r, GOSSIP_REFUSAL)->refusal, GOSSIP_REFUSAL_NAME);
}

static void test_name__is_not_lost_by_a_word_while_others_take_this_node_for_a_member(void **state)
{
    struct rig *r = *state;
    const struct gossip_frame refusal = {.kind = GOSSIP_REFUSAL, .refusal = GOSSIP_REFUSAL_NAME, .reason = SLICE("taken")};
    link_peer(r, LINK, PEER, "peer");
    assert_int_equal(deliver(r, LINK, &refusal), 0);
    assert_true(is_told_that_its_name_is_taken(r));
    link_peer(r, LINK + 1, THIRD, "third");
    keep_alive(r, LINK + 1, 3000);
    link_peer(r, LINK + 2, PEER, "peer");
    assert_int_equal(deliver(r, LINK + 2, &refusal), 0);
    assert_false(is_told_that_its_name_is_taken(r));
}

/* ---- places ---- */

static struct member ghost(unsigned number)
{
    char id[MEMBER_ID_SIZE], name[32];
    snprintf(id, sizeof id, "%08x%056x", 0xa0000000u + number, number);
    snprintf(name, sizeof name, "ghost%u", number);
    return record_of(id, name, 10, 0);
}

/* Ghosts from `from` on, told on a link, until the table has `until` members. */
static void tell_ghosts(struct rig *r, uint64_t link, unsigned from, size_t until)
{
    for (unsigned i = from; members_count(r->m) < until; i++) {
        assert_true(i < from + MEMBERS_MAX);
        say_of(r, link, ghost(i), MEMBER_ALIVE, GOSSIP_TABLE);
    }
}

/* How many of the ghosts in [from, until) are known. */
static size_t count_ghosts(const struct rig *r, unsigned from, unsigned until)
{
    size_t count = 0;
    for (unsigned i = from; i < until; i++)
        count += members_find(r->m, ghost(i).id) != NULL;
    return count;
}

static void test_table__that_one_has_filled_has_room_for_whoever_is_there(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    link_peer(r, LINK + 1, THIRD, "third");
    tell_ghosts(r, LINK, 0, MEMBERS_MAX);
    link_peer(r, LINK + 2, FIFTH, "fifth"); /* for who comes himself */
    expect_state(r, FIFTH, MEMBER_ALIVE);
    say_of(r, LINK + 1, record_of(ID_OF("5555"), "fifth2", 10, 0), MEMBER_ALIVE, GOSSIP_TABLE); /* for whom another tells of */
    expect_state(r, ID_OF("5555"), MEMBER_ALIVE);
    for (unsigned i = 5000; i < 6000; i++)
        say_of(r, LINK, ghost(i), MEMBER_ALIVE, GOSSIP_TABLE);
    assert_in_range(count_ghosts(r, 5000, 6000), 0, 4); /* he has told of as many as there can be */
    expect_state(r, ID_OF("5555"), MEMBER_ALIVE);
    assert_int_equal(members_count(r->m), MEMBERS_MAX);
    keep_alive(r, LINK, 3000);
    for (unsigned i = 5000; i < 6000; i++)
        say_of(r, LINK, ghost(i), MEMBER_ALIVE, GOSSIP_TABLE);
    assert_in_range(count_ghosts(r, 5000, 6000), 3, 8); /* and of one a second */
}

/* A table is told in one piece: who is there is among the first or the last of it. */
static void test_table__that_is_full_takes_the_place_of_neither_the_first_nor_the_last_that_was_told_of(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    say_of(r, LINK, record_of(THIRD, "third", 10, 0), MEMBER_ALIVE, GOSSIP_TABLE);
    tell_ghosts(r, LINK, 0, MEMBERS_MAX - 1);
    say_of(r, LINK, record_of(FIFTH, "fifth2", 10, 0), MEMBER_ALIVE, GOSSIP_TABLE);
    assert_int_equal(members_count(r->m), MEMBERS_MAX);
    for (unsigned i = 3; i < sizeof IDS / sizeof *IDS; i++)
        link_peer(r, LINK + i, IDS[i], NAMES[i]); /* each takes somebody's */
    assert_int_equal(members_count(r->m), MEMBERS_MAX);
    expect_state(r, THIRD, MEMBER_ALIVE);
    expect_state(r, FIFTH, MEMBER_ALIVE);
}

/* Somebody real, told of by one that has met him. */
static struct member local(unsigned number)
{
    struct member m = ghost(0xb0000u + number);
    snprintf(m.name, sizeof m.name, "local%u", number);
    return m;
}

static void tell_met(struct rig *r, uint64_t link, unsigned number)
{
    say_entry(r, link, local(number), (struct gossip_entry){.state = MEMBER_ALIVE, .met = true}, GOSSIP_TABLE);
}

static size_t count_locals(const struct rig *r, unsigned until)
{
    size_t count = 0;
    for (unsigned i = 0; i < until; i++)
        count += members_find(r->m, local(i).id) != NULL;
    return count;
}

/* Who was lied to passes the lies on, and what it knows itself. */
static void test_table__has_room_for_whom_a_member_has_met_that_has_told_of_all_it_may(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    link_peer(r, LINK + 1, THIRD, "third");
    say_of(r, LINK, local(10), MEMBER_ALIVE, GOSSIP_TABLE);
    tell_ghosts(r, LINK, 0, MEMBERS_MAX);
    for (unsigned i = 5000; i < 5100; i++)
        say_of(r, LINK, ghost(i), MEMBER_ALIVE, GOSSIP_TABLE); /* it may tell of no more */
    for (unsigned i = 0; i < 10; i++)
        tell_met(r, LINK, i);
    tell_met(r, LINK + 1, 10);
    assert_int_equal(count_locals(r, 11), 11);
    for (unsigned i = 6000; i < 6000 + 3 * MEMBERS_MAX; i++) {
        r->now += 1000;
        say_of(r, LINK, ghost(i), MEMBER_ALIVE, GOSSIP_TABLE);
    }
    assert_in_range(count_ghosts(r, 6000, 6000 + 3 * MEMBERS_MAX), MEMBERS_MAX / 2, MEMBERS_MAX);
    assert_int_equal(count_locals(r, 11), 11);
    assert_int_equal(members_count(r->m), MEMBERS_MAX);
}

/* Who says that he has met them all has no more places by it. */
static void test_table__that_one_has_filled_with_friends_has_room_for_those_of_others(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    link_peer(r, LINK + 1, THIRD, "third");
    for (unsigned i = 0; members_count(r->m) < MEMBERS_MAX; i++)
        say_entry(r, LINK, ghost(i), (struct gossip_entry){.state = MEMBER_ALIVE, .met = true}, GOSSIP_TABLE);
    for (unsigned i = 0; i < 10; i++)
        say_of(r, LINK + 1, local(i), MEMBER_ALIVE, GOSSIP_TABLE);
    for (unsigned i = 5000; i < 6000; i++)
        say_entry(r, LINK, ghost(i), (struct gossip_entry){.state = MEMBER_ALIVE, .met = true}, GOSSIP_TABLE);
    assert_in_range(count_ghosts(r, 5000, 6000), 0, 4);
    assert_int_equal(count_locals(r, 10), 10);
}

static void test_table__gives_no_place_away_of_one_that_was_linked(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    say_of(r, LINK, record_of(FIFTH, "fifth", 10, 0), MEMBER_ALIVE, GOSSIP_TABLE);
    link_peer(r, LINK + 1, FIFTH, "fifth");
    members_link_down(r->m, LINK + 1, MEMBERS_LOST_RESET, r->now);
    drain(r);
    tell_ghosts(r, LINK, 0, MEMBERS_MAX);
    link_peer(r, LINK + 2, THIRD, "third");
    for (unsigned i = 0; i < MEMBERS_MAX; i++)
        say_of(r, LINK + 2, ghost(6000 + i), MEMBER_ALIVE, GOSSIP_TABLE);
    assert_non_null(members_find(r->m, FIFTH));
    assert_non_null(members_find(r->m, PEER));
    assert_in_range(count_ghosts(r, 0, MEMBERS_MAX), MEMBERS_MAX / 2 - 4, MEMBERS_MAX / 2 + 4); /* the two liars have as much each */
}

/* Else the nodes of a small grid would let go of each other for the sake of those that are not there. */
static void test_table__of_ghosts_leaves_the_links_of_those_that_are_there(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    for (unsigned i = 1; i < 7; i++) { /* this node has dialled them, so that it is the one that would end what is not wanted */
        assert_int_equal(members_link_up(r->m, LINK + i, IDS[i], 900 + i, r->now), 0);
        assert_int_equal(say_of(r, LINK + i, record_of(IDS[i], NAMES[i], 200, 0), MEMBER_ALIVE, GOSSIP_HELLO), 0);
    }
    tell_ghosts(r, LINK, 0, MEMBERS_MAX);
    for (unsigned passed = 0; passed < 3 * MEMBERS_LAN.sync_ms; passed += 100) {
        tick(r, 100);
        for (size_t i = 0; i < r->dial_count; i++)
            members_dial_failed(r->m, r->dials[i].token, MEMBERS_DIAL_DENIED, r->now);
        for (unsigned i = 0; i < 7; i++)
            acknowledge(r, LINK + i);
    }
    for (unsigned i = 0; i < 7; i++)
        assert_true(members_find(r->m, IDS[i])->linked);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_name__stays_the_incumbents_however_long_another_says_he_has_run),
        CASE(test_name__cannot_be_taken_by_one_who_changes_his_own),
        CASE(test_name__outlives_its_holder_for_five_minutes),
        CASE(test_name__of_one_who_left_is_free_at_once),
        CASE(test_name__goes_to_whom_the_majority_of_links_knows),
        CASE(test_name__of_two_with_as_many_is_the_smaller_ids),
        CASE(test_name__of_one_who_is_heard_is_not_lost_to_one_member),
        CASE(test_name__on_both_sides_of_a_split_is_the_smaller_ids),
        CASE(test_name__on_both_sides_of_a_split_stays_the_smaller_ids),
        CASE(test_name__that_was_given_anew_in_a_split_goes_back_to_whom_the_other_half_kept),
        CASE(test_name__is_not_given_away_by_those_who_came_later),
        CASE(test_name__that_was_lost_comes_back_when_the_other_has_left),
        CASE(test_name__is_yielded_by_who_comes_and_knows_nobody_else),
        CASE(test_name__is_not_lost_by_a_word_while_others_take_this_node_for_a_member),
        CASE(test_table__that_one_has_filled_has_room_for_whoever_is_there),
        CASE(test_table__that_is_full_takes_the_place_of_neither_the_first_nor_the_last_that_was_told_of),
        CASE(test_table__has_room_for_whom_a_member_has_met_that_has_told_of_all_it_may),
        CASE(test_table__that_one_has_filled_with_friends_has_room_for_those_of_others),
        CASE(test_table__gives_no_place_away_of_one_that_was_linked),
        CASE(test_table__of_ghosts_leaves_the_links_of_those_that_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
