/* The membership core, step by step: one core, and the frames that others would send it. */
#include "tests/unit/discovery/members_rig.h"

static void refuse_dial(struct rig *r)
{
    assert_int_equal(r->dial_count, 1);
    members_dial_failed(r->m, r->dials[0].token, MEMBERS_DIAL_REFUSED, r->now);
    drain(r);
}

static void test_members__greets_first_and_then_sends_its_view(void **state)
{
    struct rig *r = *state;
    assert_int_equal(members_link_up(r->m, LINK, PEER, 0, r->now), 0);
    drain(r);
    assert_int_equal(r->sent_count, 1);
    assert_int_equal(r->sent[0].kind, GOSSIP_HELLO);
    assert_string_equal(r->sent[0].entries[0].member->name, "self");
    assert_int_equal(say_of(r, LINK, record_of(PEER, "peer", 200, 0), MEMBER_ALIVE, GOSSIP_HELLO), 0);
    expect_event(r, MEMBERS_JOINED, PEER);
    expect_event(r, MEMBERS_LINKED, PEER);
    assert_true(members_find(r->m, PEER)->linked);
    assert_int_equal(deliver(r, LINK, &(struct gossip_frame){.kind = GOSSIP_DIGEST, .view = 1, .view_count = 2}), 0);
    assert_non_null(find_sent(r, GOSSIP_TABLE)); /* a newcomer's digest is answered with all there is */
}

static void test_members__refuses_hellos_with_a_reason(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    const struct {
        const char *id, *name, *authority;
        uint32_t protocol;
        enum gossip_refusal refusal;
    } cases[] = {
        {THIRD, "third", "another", GOSSIP_PROTOCOL, GOSSIP_REFUSAL_OTHER_GRID},
        {THIRD, "third", "authority", GOSSIP_PROTOCOL + 2, GOSSIP_REFUSAL_VERSION},
        {THIRD, "third", "authority", 1, GOSSIP_REFUSAL_VERSION}, /* whose records nobody signed */
        {THIRD, "third", "authority", 0, GOSSIP_REFUSAL_VERSION},
        {FOURTH, "third", "authority", GOSSIP_PROTOCOL, GOSSIP_REFUSAL_HELLO},
        {THIRD, "peer", "authority", GOSSIP_PROTOCOL, GOSSIP_REFUSAL_NAME},
        {THIRD, "self", "authority", GOSSIP_PROTOCOL, GOSSIP_REFUSAL_NAME},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf record;
        struct member member = record_of(cases[i].id, cases[i].name, 300, 0);
        buf_init(&record, 0);
        seal(&member, "", &record);
        struct gossip_entry entry = {.record = buf_slice(&record)};
        struct gossip_frame frame = {.kind = GOSSIP_HELLO, .entries = &entry, .entry_count = 1, .authority = slice_of_str(cases[i].authority),
                                     .grid = SLICE("demo"), .protocol = cases[i].protocol};
        assert_int_equal(members_link_up(r->m, 100 + i, THIRD, 0, r->now), 0);
        assert_int_equal(deliver(r, 100 + i, &frame), 0);
        assert_non_null(find_sent(r, GOSSIP_REFUSAL));
        assert_int_equal(find_sent(r, GOSSIP_REFUSAL)->refusal, cases[i].refusal);
        assert_int_equal(r->closed_count, 1);
        assert_null(members_find(r->m, THIRD));
        buf_dispose(&record);
    }
}

static void test_members__refutes_every_claim_that_it_is_gone(void **state)
{
    struct rig *r = *state;
    static const enum member_state claims[] = {MEMBER_DEAD, MEMBER_STALLED, MEMBER_LEFT};
    link_peer(r, LINK, PEER, "peer");
    for (size_t i = 0; i < 6; i++) {
        uint64_t before = members_at(r->m, 0)->incarnation, ahead = i % 2 * 5;
        assert_int_equal(claim(r, SELF, before + ahead, claims[i / 2]), 0);
        assert_int_equal(members_at(r->m, 0)->incarnation, before + ahead + 1);
        assert_non_null(find_sent(r, GOSSIP_TABLE));
        expect_state(r, SELF, MEMBER_ALIVE);
    }
    uint64_t now = members_at(r->m, 0)->incarnation;
    assert_int_equal(claim(r, SELF, now - 1, MEMBER_DEAD), 0);
    assert_int_equal(members_at(r->m, 0)->incarnation, now);
}

static void test_members__orders_claims_by_incarnation_then_state_then_revision(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    static const struct {
        uint64_t incarnation;
        enum member_state said, seen;
    } steps[] = {
        {10, MEMBER_ALIVE, MEMBER_ALIVE}, {10, MEMBER_DEAD, MEMBER_DEAD},   {10, MEMBER_ALIVE, MEMBER_DEAD}, {9, MEMBER_ALIVE, MEMBER_DEAD},
        {11, MEMBER_ALIVE, MEMBER_ALIVE}, {10, MEMBER_DEAD, MEMBER_ALIVE},  {11, MEMBER_LEFT, MEMBER_LEFT},  {11, MEMBER_DEAD, MEMBER_LEFT},
        {12, MEMBER_STALLED, MEMBER_ALIVE}, {12, MEMBER_DEAD, MEMBER_DEAD},
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        assert_int_equal(claim(r, THIRD, steps[i].incarnation, steps[i].said), 0);
        expect_state(r, THIRD, steps[i].seen);
    }
}

static void test_members__keeps_the_newer_record_of_the_dead(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    say_of(r, LINK, record_of(THIRD, "third", 10, 5), MEMBER_ALIVE, GOSSIP_TABLE);
    say_of(r, LINK, record_of(THIRD, "third", 10, 4), MEMBER_DEAD, GOSSIP_TABLE);
    expect_state(r, THIRD, MEMBER_DEAD);
    assert_int_equal(members_find(r->m, THIRD)->revision, 5);
}

static void say_two(struct rig *r, struct member first, struct member second)
{
    struct buf a, b;
    buf_init(&a, 0);
    buf_init(&b, 0);
    seal(&first, "", &a);
    seal(&second, "", &b);
    struct gossip_entry entries[] = {{.record = buf_slice(&a)}, {.record = buf_slice(&b)}};
    assert_int_equal(deliver(r, LINK, &(struct gossip_frame){.kind = GOSSIP_TABLE, .entries = entries, .entry_count = 2}), 0);
    buf_dispose(&a);
    buf_dispose(&b);
}

static void test_members__takes_a_record_that_it_knows_for_no_news(void **state)
{
    struct rig *r = *state;
    struct member third = record_of(THIRD, "third", 10, 5);
    link_peer(r, LINK, PEER, "peer");
    say_of(r, LINK, third, MEMBER_ALIVE, GOSSIP_TABLE);
    expect_event(r, MEMBERS_JOINED, THIRD);
    say_of(r, LINK, third, MEMBER_ALIVE, GOSSIP_TABLE);
    assert_int_equal(r->event_count, 0);
    say_of(r, LINK, third, MEMBER_DEAD, GOSSIP_TABLE); /* the record is known, what is said of it is not */
    expect_event(r, MEMBERS_FAILED, THIRD);
    say_of(r, LINK, third, MEMBER_ALIVE, GOSSIP_TABLE);
    expect_state(r, THIRD, MEMBER_DEAD);
}

/* What was known when the frame came in has given way to what stands before it there. */
static void test_members__reads_a_record_anew_that_it_knows_no_more(void **state)
{
    struct rig *r = *state;
    struct member old = record_of(THIRD, "third", 10, 5), newer = record_of(THIRD, "third, of a longer name", 11, 0);
    link_peer(r, LINK, PEER, "peer");
    say_of(r, LINK, old, MEMBER_ALIVE, GOSSIP_TABLE);
    say_two(r, newer, old);
    assert_true(members_find(r->m, THIRD)->incarnation == 11);
    assert_string_equal(members_find(r->m, THIRD)->name, "third, of a longer name");
    const struct gossip_entry *told = find_entry(find_sent(r, GOSSIP_TABLE), THIRD); /* he should know what we know */
    assert_non_null(told);
    assert_true(told->member->incarnation == 11);
}

static void test_members__tells_all_of_whom_it_met_first(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    link_peer(r, LINK + 1, FOURTH, "fourth");
    const struct gossip_frame *told = find_sent(r, GOSSIP_TABLE);
    assert_non_null(told);
    assert_string_equal(told->entries[0].member->id, FOURTH);
}

/* How often a table with the third member was sent on a link within a second. */
static unsigned count_passed(struct rig *r, uint64_t link, enum member_state state)
{
    unsigned count = 0;
    for (int i = 0; i < 10; i++) {
        tick(r, 100);
        for (size_t k = 0; k < r->sent_count; k++)
            count += r->sent_on[k] == link && find_entry(&r->sent[k], THIRD) && find_entry(&r->sent[k], THIRD)->state == state;
        acknowledge(r, LINK);
        acknowledge(r, LINK + 1);
    }
    return count;
}

static void test_members__passes_news_on_a_limited_number_of_times(void **state)
{
    struct rig *r = *state;
    static const enum member_state news[] = {MEMBER_ALIVE, MEMBER_DEAD};
    link_peer(r, LINK, PEER, "peer");
    link_peer(r, LINK + 1, FOURTH, "fourth");
    for (size_t i = 0; i < 2; i++) {
        claim(r, THIRD, 10, news[i]);
        assert_in_range(count_passed(r, LINK + 1, news[i]), 1, 6);
        assert_int_equal(count_passed(r, LINK + 1, news[i]), 0);
    }
}

static void test_members__learns_of_no_strangers_death(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    assert_int_equal(claim(r, THIRD, 10, MEMBER_DEAD), 0);
    assert_null(members_find(r->m, THIRD));
}

static void test_members__tells_who_knows_less(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    claim(r, THIRD, 10, MEMBER_ALIVE);
    claim(r, THIRD, 10, MEMBER_DEAD);
    claim(r, THIRD, 10, MEMBER_ALIVE);
    const struct gossip_frame *table = find_sent(r, GOSSIP_TABLE);
    assert_non_null(table);
    assert_int_equal(table->entries[0].state, MEMBER_DEAD);
}

static void test_members__doubts_the_death_of_whom_it_just_heard(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    link_peer(r, LINK + 1, THIRD, "third");
    assert_int_equal(claim(r, THIRD, 200, MEMBER_DEAD), 0);
    expect_state(r, THIRD, MEMBER_ALIVE);
    const struct gossip_frame *told = find_sent(r, GOSSIP_TABLE);
    assert_non_null(told);
    assert_int_equal(told->entries[0].state, MEMBER_DEAD);
    assert_string_equal(told->entries[0].member->id, THIRD);
    assert_int_equal(r->sent_on[0], LINK + 1);
}

static void test_members__stalls_the_silent_and_resumes_them(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    keep_alive(r, LINK, 3000);
    expect_state(r, PEER, MEMBER_ALIVE);
    tick(r, 800);
    assert_non_null(find_sent(r, GOSSIP_PING)); /* he said nothing for long */
    acknowledge(r, LINK);
    assert_int_equal(members_find(r->m, PEER)->rtt_us, 3000);
    tick(r, 900);
    expect_state(r, PEER, MEMBER_ALIVE);
    tick(r, 300);
    expect_state(r, PEER, MEMBER_STALLED);
    assert_false(member_routable(members_find(r->m, PEER)));
    deliver(r, LINK, &(struct gossip_frame){.kind = GOSSIP_ACK});
    expect_state(r, PEER, MEMBER_ALIVE);
    expect_event(r, MEMBERS_RESUMED, PEER);
    tick(r, 15500);
    expect_state(r, PEER, MEMBER_STALLED);
    tick(r, 1500);
    expect_state(r, PEER, MEMBER_DEAD);
    assert_int_equal(r->closed_count, 1);
}

static void test_members__measures_round_trips_in_microseconds(void **state)
{
    struct rig *r = *state;
    const struct members_counters *c = members_counters(r->m);
    link_peer(r, LINK, PEER, "peer");
    while (!find_sent(r, GOSSIP_PING)) { /* he says nothing, and is asked */
        members_set_precise(r->m, r->now + 100, (r->now + 100) * 1000 + 700);
        tick(r, 100);
    }
    struct gossip_frame ack = *find_sent(r, GOSSIP_PING);
    ack.kind = GOSSIP_ACK;
    members_set_precise(r->m, r->now, r->now * 1000 + 950);
    deliver(r, LINK, &ack);
    assert_int_equal(members_find(r->m, PEER)->rtt_us, 250);
    members_set_precise(r->m, r->now, r->now * 1000 + 100); /* a clock that stepped back */
    deliver(r, LINK, &ack);
    assert_int_equal(members_find(r->m, PEER)->rtt_us, 0);
    r->now += 2000;
    deliver(r, LINK, &ack); /* the time was not told: of whole milliseconds, against 0.7 */
    assert_int_equal(members_find(r->m, PEER)->rtt_us, 2000 * 1000 - 700);
    assert_int_equal(c->probe_rtt_us, 250 + 2000 * 1000 - 700);
    assert_int_equal(c->probe_rtts[0], 1);
    assert_int_equal(c->probe_rtts[1], 1);
    assert_int_equal(c->probe_rtts[MEMBERS_RTT_BOUNDS], 1);
}

static void test_members__holds_its_own_pause_against_nobody(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    keep_alive(r, LINK, 1000);
    tick(r, 600); /* a ping is out */
    r->now += 60000;
    members_tick(r->m, r->now);
    drain(r);
    expect_state(r, PEER, MEMBER_ALIVE);
    tick(r, 16000);
    expect_state(r, PEER, MEMBER_DEAD);
}

/* What he has answered meanwhile may not be read yet. */
static void test_members__gives_others_time_after_its_own_pause(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    tick(r, 900);
    assert_non_null(find_sent(r, GOSSIP_PING));
    r->now += 60000;
    members_tick(r->m, r->now);
    tick(r, 100);
    expect_state(r, PEER, MEMBER_ALIVE);
    tick(r, 500);
    expect_state(r, PEER, MEMBER_STALLED);
}

/* Each pause of its own is a reason for it (Lifeguard, section IV-A). */
static void distrust_itself(struct rig *r, unsigned score)
{
    for (unsigned i = 0; i < score; i++) {
        r->now += 5000;
        members_tick(r->m, r->now);
    }
    drain(r);
    assert_int_equal(members_health(r->m), score);
}

static void test_members__waits_longer_for_others_the_less_it_trusts_itself(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    tick(r, 100);
    distrust_itself(r, 3);
    deliver(r, LINK, &(struct gossip_frame){.kind = GOSSIP_ACK}); /* a sign of life, and no answer */
    for (int waited = 0; !find_sent(r, GOSSIP_PING) && waited < 20; waited++)
        tick(r, 100);
    assert_non_null(find_sent(r, GOSSIP_PING));
    tick(r, 900);
    expect_state(r, PEER, MEMBER_ALIVE);
    tick(r, 200); /* four times 250 ms are over */
    expect_state(r, PEER, MEMBER_STALLED);
}

static void test_members__trusts_itself_more_for_answers_in_time_alone(void **state)
{
    struct rig *r = *state;
    struct gossip_frame answer = {.kind = GOSSIP_ACK, .sequence = 1};
    link_peer(r, LINK, PEER, "peer");
    tick(r, 900);
    distrust_itself(r, 3);
    answer.sent_at_ms = r->now - 251;
    deliver(r, LINK, &answer);
    assert_int_equal(members_health(r->m), 3);
    answer.sent_at_ms = r->now - 249;
    deliver(r, LINK, &answer);
    assert_int_equal(members_health(r->m), 2);
}

/* Dials of a minute, each of which makes a link that the other side ends by refusing this node's certificate. */
static size_t denied_dials(struct rig *r, uint64_t *link)
{
    size_t dials = 0;
    for (uint64_t end = r->now + 60000; r->now < end;) {
        for (size_t i = 0; i < r->dial_count; i++) {
            if (strcmp(r->dialled[i], PEER) != 0)
                continue;
            dials++;
            assert_int_equal(members_link_up(r->m, ++*link, PEER, r->dials[i].token, r->now), 0);
            members_link_down(r->m, *link, MEMBERS_LOST_DENIED, r->now);
        }
        tick(r, 100);
    }
    return dials;
}

static void test_members__dials_rarely_who_refuses_it_until_somebody_takes_a_link(void **state)
{
    struct rig *r = *state;
    uint64_t link = LINK;
    link_peer(r, link, PEER, "peer");
    members_link_down(r->m, link, MEMBERS_LOST_RESET, r->now);
    drain(r);
    size_t first = denied_dials(r, &link), later = denied_dials(r, &link);
    assert_in_range(first, 5, 12);
    assert_in_range(later, 1, 3);
    link_peer(r, ++link, THIRD, "third");
    assert_in_range(denied_dials(r, &link), 5, 12);
}

static void test_members__convicts_on_two_refusals_where_it_is_the_only_witness(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    members_link_down(r->m, LINK, MEMBERS_LOST_RESET, r->now);
    drain(r);
    expect_state(r, PEER, MEMBER_STALLED);
    refuse_dial(r);
    expect_state(r, PEER, MEMBER_STALLED);
    tick(r, 1000);
    refuse_dial(r);
    expect_state(r, PEER, MEMBER_DEAD);
    expect_event(r, MEMBERS_FAILED, PEER);
}

static void test_members__convicts_on_two_witnesses(void **state)
{
    struct rig *r = *state;
    struct gossip_frame witness = {.kind = GOSSIP_WITNESS, .incarnation = 200, .refused = true};
    memcpy(witness.target, THIRD, sizeof witness.target);
    link_peer(r, LINK, PEER, "peer");
    link_peer(r, LINK + 1, THIRD, "third");
    members_link_down(r->m, LINK + 1, MEMBERS_LOST_RESET, r->now);
    drain(r);
    refuse_dial(r);
    assert_non_null(find_sent(r, GOSSIP_WITNESS));
    expect_state(r, THIRD, MEMBER_STALLED);
    witness.incarnation = 199; /* of an older process: counts for nothing */
    assert_int_equal(deliver(r, LINK, &witness), 0);
    expect_state(r, THIRD, MEMBER_STALLED);
    witness.incarnation = 201; /* nor of one that it has not told of */
    assert_int_equal(deliver(r, LINK, &witness), 0);
    expect_state(r, THIRD, MEMBER_STALLED);
    witness.incarnation = 200;
    assert_int_equal(deliver(r, LINK, &witness), 0);
    expect_state(r, THIRD, MEMBER_DEAD);
}

static void test_members__does_not_convict_whom_others_hear(void **state)
{
    struct rig *r = *state;
    struct gossip_frame vouch = {.kind = GOSSIP_WITNESS, .incarnation = 200, .refused = false};
    memcpy(vouch.target, THIRD, sizeof vouch.target);
    link_peer(r, LINK, PEER, "peer");
    link_peer(r, LINK + 1, THIRD, "third");
    members_link_down(r->m, LINK + 1, MEMBERS_LOST_TIMEOUT, r->now);
    for (int i = 0; i < 20; i++) {
        keep_alive(r, LINK, 1000);
        deliver(r, LINK, &vouch);
    }
    expect_state(r, THIRD, MEMBER_STALLED);
    keep_alive(r, LINK, 13000); /* nobody confirms it */
    expect_state(r, THIRD, MEMBER_DEAD);
}

static void test_members__knows_a_restart_from_a_refutation(void **state)
{
    struct rig *r = *state;
    struct member again = record_of(THIRD, "third", 11, 0);
    link_peer(r, LINK, PEER, "peer");
    claim(r, THIRD, 10, MEMBER_ALIVE);
    say_of(r, LINK, again, MEMBER_ALIVE, GOSSIP_TABLE);
    expect_event(r, MEMBERS_UPDATED, THIRD);
    again.incarnation = 12;
    again.started_at_ms = 6;
    say_of(r, LINK, again, MEMBER_ALIVE, GOSSIP_TABLE);
    expect_event(r, MEMBERS_RESTARTED, THIRD);
}

static void test_members__keeps_the_dial_of_the_lower_id(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer"); /* PEER, the higher, dialled us */
    claim(r, THIRD, 10, MEMBER_ALIVE);
    assert_int_equal(members_link_up(r->m, LINK + 1, PEER, 999, r->now), 0); /* and we dialled it */
    assert_int_equal(say_of(r, LINK + 1, record_of(PEER, "peer", 200, 0), MEMBER_ALIVE, GOSSIP_HELLO), 0);
    assert_int_equal(r->closed_count, 1);
    assert_int_equal(r->closed[0], LINK);
    expect_state(r, PEER, MEMBER_ALIVE);
}

/* A link that `dialled` says who has made. */
static void link_by(struct rig *r, uint64_t link, const char *peer, bool dialled, bool relayed)
{
    assert_int_equal(members_link_up(r->m, link, peer, dialled ? 900 + link : 0, r->now), 0);
    if (relayed)
        members_link_relayed(r->m, link);
    assert_int_equal(say_of(r, link, record_of(peer, peer[0] == '0' ? "lower" : "higher", 200, 0), MEMBER_ALIVE, GOSSIP_HELLO), 0);
}

/* Whoever has dialled which, and whichever id is lower: the one that has dialled the relayed link ends it, and the other one does nothing but use the direct one. */
static void test_members__a_link_that_needs_no_third_takes_the_place_of_one_that_does(void **state)
{
    struct rig *r = *state;
    static const char *const PEERS[] = {PEER, FOURTH}; /* the higher and the lower id */
    for (uint64_t i = 0; i < 8; i++) {
        const char *peer = PEERS[i % 2];
        bool relayed_is_ours = i / 2 % 2, direct_is_ours = i / 4;
        uint64_t relayed = 20 + 2 * i, direct = relayed + 1;
        link_by(r, relayed, peer, relayed_is_ours, true);
        link_by(r, direct, peer, direct_is_ours, false);
        assert_int_equal(r->closed_count, relayed_is_ours);
        assert_true(!relayed_is_ours || r->closed[0] == relayed);
        if (!relayed_is_ours)
            members_link_down(r->m, relayed, MEMBERS_LOST_RESET, r->now);
        drain(r);
        expect_state(r, peer, MEMBER_ALIVE);
        members_link_down(r->m, direct, MEMBERS_LOST_RESET, r->now);
        drain(r);
    }
}

static void test_members__a_relayed_link_that_comes_late_is_ended_by_who_dialled_it(void **state)
{
    struct rig *r = *state;
    link_by(r, LINK, PEER, false, false);
    link_by(r, LINK + 1, PEER, true, true);
    assert_int_equal(r->closed_count, 1);
    assert_int_equal(r->closed[0], LINK + 1);
    link_by(r, LINK + 2, PEER, false, true);
    assert_int_equal(r->closed_count, 0);
    members_link_down(r->m, LINK + 2, MEMBERS_LOST_RESET, r->now);
    drain(r);
    expect_state(r, PEER, MEMBER_ALIVE);
}

static void test_members__redials_the_dead_with_backoff_and_forgets_them_after_a_day(void **state)
{
    struct rig *r = *state;
    unsigned dials = 0;
    link_peer(r, LINK, PEER, "peer");
    claim(r, THIRD, 10, MEMBER_ALIVE);
    assert_int_equal(r->dial_count, 1);
    members_dial_failed(r->m, r->dials[0].token, MEMBERS_DIAL_TIMEOUT, r->now);
    claim(r, THIRD, 10, MEMBER_DEAD);
    for (int i = 0; i < 3000; i++) {
        tick(r, 100);
        for (size_t d = 0; d < r->dial_count; d++, dials++)
            members_dial_failed(r->m, r->dials[d].token, MEMBERS_DIAL_TIMEOUT, r->now);
        if (i % 5 == 0)
            acknowledge(r, LINK);
    }
    assert_in_range(dials, 150, 250); /* one in about 1.5 s: a split of minutes heals soon */
    for (int i = 0; i < 4000; i++) {
        tick(r, 200);
        for (size_t d = 0; d < r->dial_count; d++)
            members_dial_failed(r->m, r->dials[d].token, MEMBERS_DIAL_TIMEOUT, r->now);
        acknowledge(r, LINK);
    }
    dials = 0;
    for (int i = 0; i < 1500; i++) {
        tick(r, 200);
        for (size_t d = 0; d < r->dial_count; d++, dials++)
            members_dial_failed(r->m, r->dials[d].token, MEMBERS_DIAL_TIMEOUT, r->now);
        acknowledge(r, LINK);
    }
    assert_in_range(dials, 7, 14);
    for (int i = 0; i < 25; i++) {
        r->now += 3600 * 1000;
        members_tick(r->m, r->now);
        deliver(r, LINK, &(struct gossip_frame){.kind = GOSSIP_ACK});
    }
    assert_null(members_find(r->m, THIRD));
}

static void test_members__sends_its_record_once_it_changed_and_only_then(void **state)
{
    struct rig *r = *state;
    struct member self = record_of(SELF, "self", 1, 0);
    link_peer(r, LINK, PEER, "peer");
    assert_int_equal(members_set_self(r->m, &self, r->now), 0);
    drain(r);
    assert_null(find_sent(r, GOSSIP_TABLE));
    self.synchronized = true;
    assert_int_equal(members_set_self(r->m, &self, r->now), 0);
    members_link_pause(r->m, LINK, true);
    drain(r);
    assert_int_equal(r->sent_count, 0);
    self.api_port = 10000;
    assert_int_equal(members_set_self(r->m, &self, r->now), 0);
    members_link_pause(r->m, LINK, false);
    drain(r);
    assert_int_equal(r->sent_count, 1);
    assert_int_equal(r->sent[0].entries[0].member->api_port, 10000);
    assert_int_equal(r->sent[0].entries[0].member->revision, 2);
    assert_int_equal(r->sent[0].entries[0].member->incarnation, 100);
    self.hostname = "bad\nhost";
    assert_int_equal(members_set_self(r->m, &self, r->now), GRID_EINVAL);
}

static void test_members__passes_releases_on_as_they_are(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    deliver(r, LINK, &(struct gossip_frame){.kind = GOSSIP_RELEASE, .release = SLICE("\xff\x00entry")});
    expect_event(r, MEMBERS_RELEASE, PEER);
    assert_int_equal(members_announce_release(r->m, SLICE("newest"), r->now), 0);
    drain(r);
    assert_true(slice_equal_str(find_sent(r, GOSSIP_RELEASE)->release, "newest"));
    link_peer(r, LINK + 1, THIRD, "third");
    assert_true(slice_equal_str(find_sent(r, GOSSIP_RELEASE)->release, "newest"));
}

static void test_members__says_goodbye_and_dials_no_more(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    claim(r, THIRD, 10, MEMBER_ALIVE);
    members_leave(r->m, r->now);
    drain(r);
    assert_int_equal(find_sent(r, GOSSIP_TABLE)->entries[0].state, MEMBER_LEFT);
    assert_int_equal(r->dial_count, 0);
    claim(r, SELF, 100, MEMBER_LEFT);
    assert_int_equal(members_at(r->m, 0)->incarnation, 100);
}

static void test_members__refuses_malformed_frames_unchanged(void **state)
{
    struct rig *r = *state;
    struct member bad[4];
    link_peer(r, LINK, PEER, "peer");
    assert_int_equal(members_receive(r->m, LINK, SLICE("\xff\xff"), r->now), GRID_EPROTO);
    for (int i = 0; i < 4; i++)
        bad[i] = record_of(THIRD, "third", 10, 0);
    bad[0].id[3] = 'G';
    bad[1].incarnation = UINT64_MAX;
    bad[2].name[0] = '\x01';
    bad[3].user = "\xc3";
    for (int i = 0; i < 4; i++) {
        assert_int_equal(say_of(r, LINK, bad[i], MEMBER_ALIVE, GOSSIP_TABLE), GRID_EPROTO);
        assert_int_equal(members_count(r->m), 2);
    }
    assert_int_equal(say_of(r, LINK, record_of(PEER, "peer", 200, 0), MEMBER_ALIVE, GOSSIP_HELLO), GRID_EPROTO); /* a second one */
    assert_int_equal(members_link_up(r->m, 50, THIRD, 0, r->now), 0);
    assert_int_equal(deliver(r, 50, &(struct gossip_frame){.kind = GOSSIP_PING}), GRID_EPROTO); /* before Hello */
}

static void test_members__dials_a_seed_named_later_and_anew_when_it_is_named_again(void **state)
{
    struct rig *r = *state;
    assert_int_equal(members_add_seed(r->m, "10.0.0.9:7900", 200, r->now), 0);
    tick(r, 100);
    assert_int_equal(r->dial_count, 0);
    tick(r, 100);
    assert_int_equal(r->dial_count, 1);
    assert_string_equal(r->dials[0].addresses[0], "10.0.0.9:7900");
    for (int i = 0; i < 6; i++) { /* until it is dialled ever more seldom */
        members_dial_failed(r->m, r->dials[r->dial_count - 1].token, MEMBERS_DIAL_REFUSED, r->now);
        r->dial_count = 0;
        for (int waited = 0; r->dial_count == 0 && waited < 600; waited++)
            tick(r, 100);
        assert_int_equal(r->dial_count, 1);
    }
    members_dial_failed(r->m, r->dials[0].token, MEMBERS_DIAL_REFUSED, r->now);
    r->dial_count = 0;
    tick(r, 500);
    assert_int_equal(r->dial_count, 0);
    assert_int_equal(members_add_seed(r->m, "10.0.0.9:7900", 0, r->now), 0);
    tick(r, 100);
    assert_int_equal(r->dial_count, 1);
    for (unsigned i = 1; i < MEMBERS_SEEDS_MAX; i++) {
        char address[32];
        snprintf(address, sizeof address, "10.1.0.1:%u", i);
        assert_int_equal(members_add_seed(r->m, address, 1000000, r->now), 0);
    }
    assert_int_equal(members_add_seed(r->m, "10.2.0.1:1", 0, r->now), GRID_ELIMIT);
    assert_int_equal(members_add_seed(r->m, "10.0.0.9:7900", 0, r->now), 0);
}

/* How often a seed is dialled in this time, when each dial is refused. */
static size_t refused_dials(struct rig *r, uint64_t for_ms)
{
    size_t count = 0;
    for (uint64_t passed = 0; passed < for_ms; passed += 100) {
        tick(r, 100);
        for (; r->dial_count > 0; count++)
            members_dial_failed(r->m, r->dials[--r->dial_count].token, MEMBERS_DIAL_DENIED, r->now);
    }
    return count;
}

/* As is remembered of a member where it was reached last: somebody else may come to live there. */
static void test_members__dials_a_place_rarely_where_an_evicted_one_lives(void **state)
{
    struct rig *r = *state;
    assert_int_equal(members_add_seed(r->m, "10.0.0.9:7900", 0, r->now), 0);
    tick(r, 100);
    assert_int_equal(r->dial_count, 1);
    assert_int_equal(members_link_up(r->m, LINK, PEER, r->dials[0].token, r->now), 0);
    assert_int_equal(say_of(r, LINK, record_of(PEER, "peer", 200, 0), MEMBER_ALIVE, GOSSIP_HELLO), 0);
    assert_true(members_is_seed(r->m, PEER));
    r->dial_count = 0;
    assert_int_equal(members_evict(r->m, PEER, r->now), 0);
    members_link_down(r->m, LINK, MEMBERS_LOST_RESET, r->now);
    assert_in_range(refused_dials(r, 60 * 1000), 4, 12);
    assert_in_range(refused_dials(r, 600 * 1000), 16, 28); /* about twice a minute */
}

static void test_members__bounds_its_view(void **state)
{
    struct rig *r = *state;
    char id[65], name[16];
    link_peer(r, LINK, PEER, "peer");
    for (unsigned i = 0; i < MEMBERS_MAX + 20; i++) {
        snprintf(id, sizeof id, "%064x", i + 1);
        snprintf(name, sizeof name, "n%u", i);
        say_of(r, LINK, record_of(id, name, 10, 0), MEMBER_ALIVE, GOSSIP_TABLE);
    }
    assert_int_equal(members_count(r->m), MEMBERS_MAX);
    struct member ended[2], newcomer = record_of(THIRD, "third", 10, 0);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(id, sizeof id, "%064x", 100 + i);
        snprintf(name, sizeof name, "n%u", 99 + i);
        ended[i] = record_of(id, name, 10, 0);
        say_of(r, LINK, ended[i], MEMBER_DEAD, GOSSIP_TABLE);
    }
    keep_alive(r, LINK, 2000); /* until it is believed that there is one more */
    say_two(r, newcomer, ended[0]); /* takes the place of one of whom it is said then that it lives */
    assert_int_equal(members_count(r->m), MEMBERS_MAX);
    expect_state(r, THIRD, MEMBER_ALIVE);
    expect_state(r, ended[0].id, MEMBER_ALIVE);
    assert_string_equal(members_find(r->m, ended[0].id)->addresses[0], "10.0.0.1:7900");
    assert_null(members_find(r->m, ended[1].id));
}

static void test_members__passes_unknown_frames_and_fields_over(void **state)
{
    struct rig *r = *state;
    struct buf record, frame, sealed;
    struct member member = record_of(THIRD, "third", 10, 0);
    link_peer(r, LINK, PEER, "peer");
    link_peer(r, LINK + 1, FOURTH, "fourth");
    assert_int_equal(members_receive(r->m, LINK, SLICE("\xfa\x01\x02hi"), r->now), 0);
    buf_init(&record, 0), buf_init(&frame, 0), buf_init(&sealed, 0);
    member_pack(&member, &record);
    buf_append(&record, SLICE("\xfa\x01\x06newer!")); /* field 31 of a later version, signed with the others */
    assert_int_equal(member_seal_pack(&(struct member_seal){buf_slice(&record), SLICE("certificate"), SLICE("signature")}, &sealed), 0);
    buf_append(&sealed, SLICE("\xfa\x01\x03too")); /* and one of the seal */
    struct gossip_entry entry = {.record = buf_slice(&sealed)};
    gossip_frame_pack(&(struct gossip_frame){.kind = GOSSIP_TABLE, .entries = &entry, .entry_count = 1}, &frame);
    assert_int_equal(members_receive(r->m, LINK, buf_slice(&frame), r->now), 0);
    tick(r, 100);
    const struct gossip_entry *passed = find_entry(find_sent(r, GOSSIP_TABLE), THIRD);
    assert_true(slice_equal(passed->record, buf_slice(&sealed)));
    assert_true(slice_equal(passed->seal.record, buf_slice(&record)));
    buf_dispose(&record), buf_dispose(&frame), buf_dispose(&sealed);
}

static void test_member__runs_an_entry_and_not_only_its_files(void **state)
{
    static const char root[] = "1111111111111111111111111111111111111111111111111111111111111111";
    static const struct {
        uint64_t sequence;
        const char *publisher;
        bool runs;
    } cases[] = {{7, PEER, true}, {6, PEER, false}, {8, PEER, false}, {7, THIRD, false}, {0, "", true}};
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct member m = record_of(THIRD, "third", 10, 0), back;
        struct arena *arena = arena_create(1024, 0);
        struct buf record;
        buf_init(&record, 0);
        snprintf(m.release, sizeof m.release, "%s", root);
        snprintf(m.release_publisher, sizeof m.release_publisher, "%s", cases[i].publisher);
        m.release_sequence = cases[i].sequence;
        assert_int_equal(member_pack(&m, &record), 0);
        assert_int_equal(member_unpack(buf_slice(&record), arena, &back), 0);
        assert_int_equal(member_runs(&back, root, 7, SLICE(PEER)), cases[i].runs);
        assert_false(member_runs(&back, PEER, 7, SLICE(PEER)));
        buf_dispose(&record);
        arena_destroy(arena);
    }
}

static void test_member__says_why_a_task_cannot_be_started_and_what_serves_meanwhile(void **state)
{
    char longer[MEMBER_FAULT_MAX + 8];
    struct member back = record_of(THIRD, "third", 10, 0);
    struct arena *arena = arena_create(1024, 0);
    struct member_load load = {.started_at_ms = 5, .revision = 1}, loaded;
    struct buf packed;
    (void) state;
    memset(longer, 'x', sizeof longer);
    memcpy(longer, "a\nb", 3);
    memcpy(longer + MEMBER_FAULT_MAX - 1, "\xc3\xa9", 3); /* a character over the cut */
    const struct member_task tasks[] = {{"fine", 1, "", true}, {"broken", 0, member_fault_shown(arena, longer), false}};
    load.tasks = tasks;
    load.task_count = 2;
    load.tasks_sequence = 7;
    buf_init(&packed, 0);
    assert_int_equal(member_load_pack(&load, &packed), 0);
    assert_int_equal(member_load_unpack(buf_slice(&packed), arena, &loaded), 0);
    back.tasks = loaded.tasks, back.task_count = loaded.task_count;
    assert_int_equal(loaded.tasks_sequence, 7);
    assert_true(loaded.tasks[0].renewing);
    assert_false(loaded.tasks[1].renewing);
    assert_null(member_task_fault(&back, "fine"));
    assert_null(member_task_fault(&back, "absent"));
    assert_int_equal(strlen(member_task_fault(&back, "broken")), MEMBER_FAULT_MAX - 1);
    assert_memory_equal(member_task_fault(&back, "broken"), "a bxxx", 6);
    buf_dispose(&packed);
    arena_destroy(arena);
}

static void test_member__lacks_a_task_only_when_it_names_them_all(void **state)
{
    static const char *const all[] = {"newer", MEMBER_NAMES_ALL_TASKS};
    static const struct member_task tasks[] = {{"here", 0, "", false}};
    struct member m = record_of(THIRD, "third", 10, 0), copy;
    struct arena *arena = arena_create(1024, 0);
    (void) state;
    m.tasks = tasks;
    m.task_count = 1;
    assert_false(member_lacks_task(&m, "absent"));
    m.capabilities = all;
    m.capability_count = 2;
    assert_int_equal(member_copy(&m, arena, &copy), 0);
    assert_true(member_lacks_task(&copy, "absent"));
    assert_false(member_lacks_task(&copy, "here"));
    arena_destroy(arena);
}

/* ---- records that are signed ---- */

enum { OWNS = 900 };

/* "Signed" is who says so in the seal. */
static bool admit_signed(void *ctx, const struct gossip_entry *entry)
{
    unsigned *asked = ctx;
    ++*asked;
    return slice_equal_str(entry->seal.signature, "good");
}

static int seal_signed(void *ctx, struct slice record, struct buf *out)
{
    (void) ctx;
    return member_seal_pack(&(struct member_seal){.record = record, .signature = SLICE("good")}, out);
}

static int set_up_signed(void **state)
{
    static unsigned asked;
    assert_int_equal(set_up(state), 0);
    struct rig *r = *state;
    struct member self = record_of(SELF, "self", OWNS, 0);
    struct members_config config = {.authority = "authority", .grid = "demo", .self = &self, .seed = 1, .admit = admit_signed, .seal = seal_signed, .ctx = &asked};
    members_destroy(r->m);
    asked = 0;
    r->asked = &asked;
    assert_int_equal(members_create(&config, r->now, &r->m), 0);
    return 0;
}

static int say_signed(struct rig *r, uint64_t link, struct member member, const char *signature, enum member_state state, enum gossip_kind kind)
{
    struct buf sealed;
    buf_init(&sealed, 0);
    seal(&member, signature, &sealed);
    struct gossip_entry entry = {.record = buf_slice(&sealed), .state = state};
    struct gossip_frame frame = {.kind = kind, .entries = &entry, .entry_count = 1, .authority = SLICE("authority"), .grid = SLICE("demo"), .protocol = GOSSIP_PROTOCOL};
    int err = deliver(r, link, &frame);
    buf_dispose(&sealed);
    return err;
}

static void link_signed(struct rig *r)
{
    assert_int_equal(members_link_up(r->m, LINK, PEER, 0, r->now), 0);
    assert_int_equal(say_signed(r, LINK, record_of(PEER, "peer", 200, 0), "good", MEMBER_ALIVE, GOSSIP_HELLO), 0);
    assert_true(members_find(r->m, PEER)->linked);
}

static void test_records__of_strangers_count_when_they_signed_them(void **state)
{
    struct rig *r = *state;
    link_signed(r);
    say_signed(r, LINK, record_of(THIRD, "third", 10, 0), "bad", MEMBER_ALIVE, GOSSIP_TABLE);
    assert_null(members_find(r->m, THIRD));
    say_signed(r, LINK, record_of(THIRD, "third", 10, 0), "good", MEMBER_ALIVE, GOSSIP_TABLE);
    assert_non_null(members_find(r->m, THIRD));
    assert_int_equal(members_counters(r->m)->rejected, 1);
}

static void test_records__nobody_moves_anothers_address(void **state)
{
    static const char *const elsewhere[] = {"192.0.2.66:7900"};
    struct rig *r = *state;
    link_signed(r);
    say_signed(r, LINK, record_of(THIRD, "third", 10, 3), "good", MEMBER_ALIVE, GOSSIP_TABLE);
    struct member forged = record_of(THIRD, "third", 10, 4);
    forged.addresses = elsewhere;
    for (unsigned i = 0; i < 3; i++) {
        forged.incarnation += i;
        say_signed(r, LINK, forged, "bad", (enum member_state[]){MEMBER_ALIVE, MEMBER_DEAD, MEMBER_LEFT}[i], GOSSIP_TABLE);
        assert_string_equal(members_find(r->m, THIRD)->addresses[0], "10.0.0.1:7900");
        assert_int_equal(members_find(r->m, THIRD)->incarnation, 10);
        expect_state(r, THIRD, MEMBER_ALIVE);
    }
}

static void test_records__that_are_older_change_nothing_and_are_not_judged(void **state)
{
    struct rig *r = *state;
    link_signed(r);
    say_signed(r, LINK, record_of(THIRD, "third", 10, 3), "good", MEMBER_ALIVE, GOSSIP_TABLE);
    unsigned before = *r->asked;
    say_signed(r, LINK, record_of(THIRD, "was-called", 10, 2), "good", MEMBER_ALIVE, GOSSIP_TABLE);
    say_signed(r, LINK, record_of(THIRD, "was-called", 9, 7), "good", MEMBER_ALIVE, GOSSIP_TABLE);
    say_signed(r, LINK, record_of(THIRD, "forged", 10, 3), "bad", MEMBER_ALIVE, GOSSIP_TABLE);
    assert_string_equal(members_find(r->m, THIRD)->name, "third");
    assert_int_equal(*r->asked, before);
}

static void test_records__for_oneself_drive_the_incarnation_only_when_they_are_own_ones(void **state)
{
    struct rig *r = *state;
    link_signed(r);
    say_signed(r, LINK, record_of(SELF, "self", MEMBER_INCARNATION_LIMIT - 2, 0), "bad", MEMBER_DEAD, GOSSIP_TABLE); /* one more, and nothing could be refuted */
    assert_int_equal(members_at(r->m, 0)->incarnation, OWNS);
    say_signed(r, LINK, record_of(SELF, "self", OWNS, 0), "bad", MEMBER_DEAD, GOSSIP_TABLE); /* says nothing that we have not said but that we are dead */
    assert_int_equal(members_at(r->m, 0)->incarnation, OWNS + 1);
}

static void test_records__no_suspicion_drives_the_incarnation_to_its_end(void **state)
{
    struct rig *r = *state;
    struct gossip_frame news = {.kind = GOSSIP_NEWS, .news = GOSSIP_NEWS_SUSPECT, .incarnation = MEMBER_INCARNATION_LIMIT - 2};
    memcpy(news.target, SELF, sizeof news.target);
    link_signed(r);
    deliver(r, LINK, &news);
    assert_int_equal(members_at(r->m, 0)->incarnation, OWNS);
    news.incarnation = OWNS;
    deliver(r, LINK, &news);
    assert_int_equal(members_at(r->m, 0)->incarnation, OWNS + 1);
}

static void test_records__that_were_refused_are_asked_for_again_when_the_authorities_change(void **state)
{
    struct rig *r = *state;
    const char *both[] = {"authority", "next"};
    link_signed(r);
    members_set_authorities(r->m, both, 2, "demo", r->now);
    drain(r);
    assert_non_null(find_sent(r, GOSSIP_DIGEST));
    members_set_authorities(r->m, both, 2, "demo", r->now);
    drain(r);
    assert_null(find_sent(r, GOSSIP_DIGEST));
}

static void test_records__of_a_clock_that_was_ahead_are_outdone(void **state)
{
    struct rig *r = *state;
    link_signed(r);
    struct member before = record_of(SELF, "self", OWNS + 86400000, 5); /* from before a restart at which the clock went back a day */
    before.started_at_ms = 86400000;
    say_signed(r, LINK, before, "good", MEMBER_ALIVE, GOSSIP_TABLE);
    assert_int_equal(members_at(r->m, 0)->incarnation, OWNS + 86400001);
    assert_int_equal(find_sent(r, GOSSIP_TABLE)->entries[0].member->incarnation, OWNS + 86400001);
}

static void test_records__unsigned_ones_open_no_link(void **state)
{
    struct rig *r = *state;
    assert_int_equal(members_link_up(r->m, LINK, PEER, 0, r->now), 0);
    assert_int_equal(say_signed(r, LINK, record_of(PEER, "peer", 200, 0), "bad", MEMBER_ALIVE, GOSSIP_HELLO), 0);
    assert_int_equal(find_sent(r, GOSSIP_REFUSAL)->refusal, GOSSIP_REFUSAL_HELLO);
    assert_int_equal(r->closed_count, 1);
    assert_null(members_find(r->m, PEER));
}

static void test_records__only_a_nodes_own_word_makes_it_leave(void **state)
{
    struct rig *r = *state;
    link_signed(r);
    say_signed(r, LINK, record_of(THIRD, "third", 10, 0), "good", MEMBER_ALIVE, GOSSIP_TABLE);
    say_signed(r, LINK, record_of(THIRD, "third", 10, 0), "good", MEMBER_LEFT, GOSSIP_TABLE); /* its record does not say so */
    expect_state(r, THIRD, MEMBER_DEAD);
    struct member last = record_of(THIRD, "third", 11, 1);
    last.leaving = true;
    say_signed(r, LINK, last, "good", MEMBER_ALIVE, GOSSIP_TABLE);
    expect_state(r, THIRD, MEMBER_LEFT);
}

static void test_records__are_sealed_anew_when_the_certificate_is(void **state)
{
    struct rig *r = *state;
    link_signed(r);
    uint64_t before = members_at(r->m, 0)->revision;
    assert_int_equal(members_reseal(r->m, r->now), 0);
    tick(r, 100);
    assert_int_equal(members_at(r->m, 0)->revision, before + 1);
    assert_int_equal(find_sent(r, GOSSIP_TABLE)->entries[0].member->revision, before + 1);
    assert_true(slice_equal_str(find_sent(r, GOSSIP_TABLE)->entries[0].seal.signature, "good"));
}

static void test_member_seal__refuses_what_is_cut_or_too_large(void **state)
{
    struct member m = record_of(THIRD, "third", 10, 0);
    struct arena *arena = arena_create(4096, 0);
    struct member_seal back;
    struct buf sealed, large;
    (void) state;
    buf_init(&sealed, 0), buf_init(&large, 0);
    seal(&m, "signature", &sealed);
    for (size_t size = 1; size < sealed.size; size++) { /* cut inside a field, or short of the signature */
        int err = member_seal_unpack(slice_first(buf_slice(&sealed), size), arena, &back);
        assert_true(err == GRID_EPROTO || (err == 0 && back.signature.size == 0));
    }
    assert_int_equal(buf_reserve(&large, MEMBER_SEALED_MAX + 1), 0);
    memset(large.data, 0, MEMBER_SEALED_MAX + 1);
    assert_int_equal(member_seal_unpack(slice_of(large.data, MEMBER_SEALED_MAX + 1), arena, &back), GRID_ELIMIT);
    const struct member_seal cases[] = {{.record = slice_of(large.data, MEMBER_RECORD_MAX + 1)}, {.certificate = slice_of(large.data, MEMBER_CERTIFICATE_MAX + 1)},
                                        {.signature = slice_of(large.data, MEMBER_SIGNATURE_MAX + 1)}};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(member_seal_pack(&cases[i], &sealed), GRID_ELIMIT);
    buf_dispose(&sealed), buf_dispose(&large);
    arena_destroy(arena);
}

static void test_member_seal__signs_the_certificate_too(void **state)
{
    struct buf a, b;
    (void) state;
    buf_init(&a, 0), buf_init(&b, 0);
    assert_int_equal(member_seal_signed_bytes(SLICE("record"), SLICE("one"), &a), 0);
    assert_int_equal(member_seal_signed_bytes(SLICE("erecord"), SLICE("on"), &b), 0);
    assert_true(slice_has_prefix(buf_slice(&a), SLICE("grid member record 1\n")));
    assert_int_equal(a.size, b.size);
    assert_memory_not_equal(a.data, b.data, a.size);
    buf_dispose(&a), buf_dispose(&b);
}

/* ---- load ---- */

static void say_load(struct rig *r, uint64_t link, const char *id, int64_t started_at_ms, uint64_t revision, uint32_t instances)
{
    const struct member_task task = {"echo", instances, "", false};
    struct member_load load = {.started_at_ms = started_at_ms, .revision = revision, .in_flight = 4, .tasks = &task, .task_count = 1};
    struct gossip_frame frame = {.kind = GOSSIP_LOAD};
    struct buf packed;
    buf_init(&packed, 0);
    assert_int_equal(member_load_pack(&load, &packed), 0);
    frame.load = buf_slice(&packed);
    snprintf(frame.target, sizeof frame.target, "%s", id);
    assert_int_equal(deliver(r, link, &frame), 0);
    buf_dispose(&packed);
}

static uint32_t ready_there(const struct rig *r, const char *id)
{
    const struct member *m = members_find(r->m, id);
    return m->task_count == 1 ? m->tasks[0].instances : 0;
}

static void test_load__is_believed_from_its_owners_link_whatever_others_said(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    link_peer(r, LINK + 1, FOURTH, "fourth");
    say_load(r, LINK + 1, PEER, 5, 900, 99);
    assert_int_equal(ready_there(r, PEER), 0);
    say_load(r, LINK, PEER, 5, 1, 2);
    assert_int_equal(ready_there(r, PEER), 2);
    expect_event(r, MEMBERS_UPDATED, PEER);
    say_load(r, LINK + 1, PEER, 5, 901, 99);
    assert_int_equal(ready_there(r, PEER), 2);
}

static void test_load__of_whom_no_link_leads_to_is_the_newest_that_is_said(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    claim(r, THIRD, 10, MEMBER_ALIVE);
    say_load(r, LINK, THIRD, 5, 7, 3);
    say_load(r, LINK, THIRD, 5, 6, 1);
    assert_int_equal(ready_there(r, THIRD), 3);
    say_load(r, LINK, THIRD, 4, 8, 1); /* of a process that is not the one we know */
    assert_int_equal(ready_there(r, THIRD), 3);
    link_peer(r, LINK + 1, THIRD, "third");
    say_load(r, LINK + 1, THIRD, 5, 2, 4); /* the liar had been ahead of it */
    assert_int_equal(ready_there(r, THIRD), 4);
}

static void test_load__ends_with_its_process(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    say_load(r, LINK, PEER, 5, 1, 2);
    struct member again = record_of(PEER, "peer", 300, 0);
    again.started_at_ms = 6;
    say_of(r, LINK, again, MEMBER_ALIVE, GOSSIP_TABLE);
    expect_event(r, MEMBERS_RESTARTED, PEER);
    assert_int_equal(ready_there(r, PEER), 0);
    say_load(r, LINK, PEER, 5, 2, 2);
    assert_int_equal(ready_there(r, PEER), 0);
}

static void test_load__tells_ready_instances_at_once_and_leaves_the_record_alone(void **state)
{
    struct rig *r = *state;
    struct member_task task = {"echo", 1, "", false};
    struct member self = *members_at(r->m, 0);
    uint64_t revision = self.revision;
    link_peer(r, LINK, PEER, "peer");
    self.tasks = &task, self.task_count = 1;
    for (uint32_t i = 1; i < 4; i++) {
        task.instances = i;
        assert_int_equal(members_set_self(r->m, &self, r->now), 0);
        drain(r);
        const struct gossip_frame *told = find_sent(r, GOSSIP_LOAD);
        assert_non_null(told);
        assert_int_equal(told->loaded.tasks[0].instances, i);
        assert_null(find_sent(r, GOSSIP_TABLE));
        assert_int_equal(members_at(r->m, 0)->revision, revision);
    }
    assert_int_equal(members_set_self(r->m, &self, r->now), 0);
    drain(r);
    assert_null(find_sent(r, GOSSIP_LOAD));
}

static void test_load__is_passed_on_by_who_is_not_linked_with_all(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    link_peer(r, LINK + 1, FOURTH, "fourth");
    claim(r, THIRD, 10, MEMBER_ALIVE);
    for (int i = 0; i < 20; i++) { /* until its record is old news */
        tick(r, 100);
        acknowledge(r, LINK), acknowledge(r, LINK + 1);
    }
    say_load(r, LINK, THIRD, 5, 7, 3);
    bool told = false;
    for (int i = 0; i < 20 && !told; i++) {
        tick(r, 100);
        const struct gossip_frame *passed = find_sent(r, GOSSIP_TABLE);
        told = passed && passed->entries[0].loaded.revision == 7;
        acknowledge(r, LINK), acknowledge(r, LINK + 1);
    }
    assert_true(told);
}

static void test_load__goes_with_a_record_that_changes_too(void **state)
{
    struct rig *r = *state;
    struct member_task task = {"new-task", 1, "", false};
    struct member self = *members_at(r->m, 0);
    link_peer(r, LINK, PEER, "peer");
    self.tasks = &task, self.task_count = 1;
    snprintf(self.release, sizeof self.release, "%s", THIRD);
    assert_int_equal(members_set_self(r->m, &self, r->now), 0);
    drain(r);
    const struct gossip_frame *told = find_sent(r, GOSSIP_TABLE);
    assert_non_null(told);
    assert_string_equal(told->entries[0].member->release, THIRD);
    assert_string_equal(told->entries[0].loaded.tasks[0].name, "new-task");
}

static void test_load__is_paused_with_its_link_and_then_told_once(void **state)
{
    struct rig *r = *state;
    struct member_task task = {"echo", 1, "", false};
    struct member self = *members_at(r->m, 0);
    link_peer(r, LINK, PEER, "peer");
    self.tasks = &task, self.task_count = 1;
    members_link_pause(r->m, LINK, true);
    for (uint32_t i = 1; i < 2000; i++) {
        task.instances = i;
        assert_int_equal(members_set_self(r->m, &self, r->now), 0);
    }
    drain(r);
    assert_int_equal(r->sent_count, 0);
    assert_int_equal(r->closed_count, 0);
    members_link_pause(r->m, LINK, false);
    drain(r);
    assert_int_equal(find_sent(r, GOSSIP_TABLE)->entries[0].loaded.tasks[0].instances, 1999);
}

static void test_load__that_changes_after_the_greeting_is_told_when_the_link_is_there(void **state)
{
    struct rig *r = *state;
    struct member_task task = {"echo", 7, "", false};
    struct member self = *members_at(r->m, 0);
    assert_int_equal(members_link_up(r->m, LINK, PEER, 0, r->now), 0);
    drain(r);
    self.tasks = &task, self.task_count = 1;
    assert_int_equal(members_set_self(r->m, &self, r->now), 0);
    assert_int_equal(say_of(r, LINK, record_of(PEER, "peer", 200, 0), MEMBER_ALIVE, GOSSIP_HELLO), 0);
    assert_non_null(find_sent(r, GOSSIP_TABLE));
    assert_int_equal(find_sent(r, GOSSIP_TABLE)->entries[0].loaded.tasks[0].instances, 7);
}

static void test_load__numbers_are_coarse(void **state)
{
    static const uint32_t cases[][2] = {{0, 0}, {7, 7}, {8, 8}, {9, 8}, {15, 14}, {100, 96}, {1000, 896}, {UINT32_MAX, 0xe0000000}};
    struct rig *r = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(member_load_quantized(cases[i][0]), cases[i][1]);
    members_set_load(r->m, 9, 17, 43);
    link_peer(r, LINK, PEER, "peer");
    deliver(r, LINK, &(struct gossip_frame){.kind = GOSSIP_PING, .sequence = 1});
    const struct member_load *told = &find_sent(r, GOSSIP_ACK)->loaded;
    assert_int_equal(told->in_flight, 8);
    assert_int_equal(told->queued, 16);
    assert_int_equal(told->cpu_percent, 45);
}

/* ---- probing, suspicion, comparison of views ---- */

enum { PEER_LINK = LINK, THIRD_LINK, FOURTH_LINK, FIFTH_LINK };

/* On the ring: FOURTH, SELF, PEER, THIRD. */
static void link_three(struct rig *r)
{
    link_peer(r, PEER_LINK, PEER, "peer");
    link_peer(r, THIRD_LINK, THIRD, "third");
    link_peer(r, FOURTH_LINK, FOURTH, "fourth");
}

static const struct gossip_frame *find_sent_on(const struct rig *r, uint64_t link, enum gossip_kind kind)
{
    for (size_t i = 0; i < r->sent_count; i++)
        if (r->sent[i].kind == kind && r->sent_on[i] == link)
            return &r->sent[i];
    return NULL;
}

static unsigned count_sent(const struct rig *r, enum gossip_kind kind)
{
    unsigned count = 0;
    for (size_t i = 0; i < r->sent_count; i++)
        count += r->sent[i].kind == kind;
    return count;
}

static void say_news(struct rig *r, uint64_t link, enum gossip_news news, const char *target, uint64_t incarnation)
{
    struct gossip_frame frame = {.kind = GOSSIP_NEWS, .news = news, .incarnation = incarnation};
    memcpy(frame.target, target, sizeof frame.target);
    assert_int_equal(deliver(r, link, &frame), 0);
}

static void ask_for(struct rig *r, uint64_t link, const char *target)
{
    struct gossip_frame frame = {.kind = GOSSIP_PROBE};
    memcpy(frame.target, target, sizeof frame.target);
    assert_int_equal(deliver(r, link, &frame), 0);
}

/* It wakes, and reads before it looks at the time. */
static void test_members__judges_nobody_by_the_time_it_stood_still_itself(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    link_peer(r, LINK + 1, FOURTH, "fourth");
    keep_alive(r, LINK + 1, 6000);
    say_news(r, LINK + 1, GOSSIP_NEWS_SUSPECT, PEER, 200);
    expect_state(r, PEER, MEMBER_STALLED);
    r->now += 60000;
    acknowledge(r, LINK + 1);
    expect_state(r, PEER, MEMBER_STALLED);
    keep_alive(r, LINK + 1, 30000);
    expect_state(r, PEER, MEMBER_DEAD);
}

static void test_members__owes_its_predecessor_a_sign_of_life_and_watches_its_successor(void **state)
{
    struct rig *r = *state;
    unsigned beats = 0;
    link_three(r);
    tick(r, 1);
    for (int i = 0; i < 30; i++) {
        tick(r, 100);
        for (size_t k = 0; k < r->sent_count; k++)
            beats += r->sent[k].kind == GOSSIP_ACK && r->sent_on[k] == FOURTH_LINK && r->sent[k].sequence == 0;
        assert_null(find_sent_on(r, PEER_LINK, GOSSIP_ACK));
        acknowledge(r, PEER_LINK);
    }
    assert_in_range(beats, 4, 6);
    tick(r, 700);
    assert_null(find_sent_on(r, PEER_LINK, GOSSIP_PING));
    tick(r, 100);
    assert_non_null(find_sent_on(r, PEER_LINK, GOSSIP_PING));
}

static void test_members__tells_all_of_a_silence(void **state)
{
    struct rig *r = *state;
    link_three(r);
    tick(r, 900);
    acknowledge(r, THIRD_LINK);
    acknowledge(r, FOURTH_LINK);
    tick(r, 200);
    expect_state(r, PEER, MEMBER_STALLED);
    assert_null(find_sent_on(r, PEER_LINK, GOSSIP_NEWS));
    for (uint64_t link = THIRD_LINK; link <= FOURTH_LINK; link++) {
        const struct gossip_frame *news = find_sent_on(r, link, GOSSIP_NEWS);
        assert_non_null(news);
        assert_int_equal(news->news, GOSSIP_NEWS_STALLED);
        assert_string_equal(news->target, PEER);
        assert_int_equal(news->incarnation, 200);
    }
    assert_non_null(find_sent(r, GOSSIP_PROBE));
    assert_int_equal(members_health(r->m), 1);
    say_news(r, THIRD_LINK, GOSSIP_NEWS_STALLED, PEER, 200); /* so it was not us */
    assert_int_equal(members_health(r->m), 0);
}

static void test_members__asks_on_another_link_when_that_of_the_silent_has_ended(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    link_peer(r, LINK + 1, PEER, "peer"); /* both sides dialled; he ends this one, which nobody here knows yet */
    tick(r, 1200);
    assert_non_null(find_sent_on(r, LINK + 1, GOSSIP_PING));
    expect_state(r, PEER, MEMBER_STALLED);
    members_link_down(r->m, LINK + 1, MEMBERS_LOST_RESET, r->now);
    tick(r, 10);
    assert_non_null(find_sent_on(r, LINK, GOSSIP_PING));
    acknowledge(r, LINK);
    expect_state(r, PEER, MEMBER_ALIVE);
}

static void test_members__looks_at_all_when_two_are_silent(void **state)
{
    struct rig *r = *state;
    link_three(r);
    link_peer(r, FIFTH_LINK, FIFTH, "fifth");
    tick(r, 700);
    acknowledge(r, PEER_LINK);
    tick(r, 200);
    members_link_down(r->m, THIRD_LINK, MEMBERS_LOST_RESET, r->now);
    drain(r);
    assert_null(find_sent_on(r, FOURTH_LINK, GOSSIP_PING)); /* one may have troubles of his own */
    members_link_down(r->m, FIFTH_LINK, MEMBERS_LOST_RESET, r->now);
    drain(r);
    assert_non_null(find_sent_on(r, FOURTH_LINK, GOSSIP_PING));
    assert_null(find_sent_on(r, PEER_LINK, GOSSIP_PING)); /* was just heard */
}

static void test_members__knocks_often_for_who_is_gone(void **state)
{
    struct rig *r = *state;
    unsigned knocks = 0, long_ones = 0;
    link_three(r);
    members_link_down(r->m, THIRD_LINK, MEMBERS_LOST_TIMEOUT, r->now);
    drain(r);
    for (uint64_t end = r->now + 3000; r->now < end;) {
        if (r->dial_count == 0) {
            tick(r, 20);
            continue;
        }
        uint64_t token = r->dials[0].token;
        uint32_t limit = r->dials[0].connect_ms;
        long_ones += limit == MEMBERS_LAN.connect_ms;
        knocks++;
        r->now += limit;
        members_dial_failed(r->m, token, MEMBERS_DIAL_TIMEOUT, r->now);
        drain(r);
    }
    assert_in_range(knocks, 5, 10);
    assert_in_range(long_ones, 1, 2); /* he may be far */
}

/* Who was cut off has found all others silent, and must not look at them slowly for the next minute. */
static void test_members__distrusts_itself_less_when_its_dials_are_answered(void **state)
{
    struct rig *r = *state;
    link_three(r);
    tick(r, 900);
    acknowledge(r, THIRD_LINK);
    acknowledge(r, FOURTH_LINK);
    tick(r, 200);
    assert_int_equal(members_health(r->m), 1);
    members_link_down(r->m, THIRD_LINK, MEMBERS_LOST_TIMEOUT, r->now);
    drain(r);
    assert_int_equal(r->dial_count, 1);
    assert_int_equal(members_link_up(r->m, FIFTH_LINK, THIRD, r->dials[0].token, r->now), 0);
    assert_int_equal(say_of(r, FIFTH_LINK, record_of(THIRD, "third", 200, 0), MEMBER_ALIVE, GOSSIP_HELLO), 0);
    assert_int_equal(members_health(r->m), 0);
}

static void test_members__believes_its_own_eyes_of_a_silence_it_is_told_of(void **state)
{
    struct rig *r = *state;
    link_three(r);
    for (int i = 0; i < 2; i++) {
        tick(r, 20);
        acknowledge(r, PEER_LINK);
        say_news(r, PEER_LINK, GOSSIP_NEWS_STALLED, THIRD, 200);
        assert_non_null(find_sent_on(r, THIRD_LINK, GOSSIP_PING));
        expect_state(r, THIRD, MEMBER_ALIVE);
        if (i == 0)
            acknowledge(r, THIRD_LINK); /* the news was wrong */
        tick(r, 300);
        expect_state(r, THIRD, i == 0 ? MEMBER_ALIVE : MEMBER_STALLED);
        assert_int_equal(count_sent(r, GOSSIP_NEWS), 0); /* it has been told */
    }
    say_news(r, PEER_LINK, GOSSIP_NEWS_STALLED, FOURTH, 199); /* of a process before this one */
    assert_null(find_sent_on(r, FOURTH_LINK, GOSSIP_PING));
}

static void test_members__vouches_for_whom_it_hears(void **state)
{
    struct rig *r = *state;
    link_three(r);
    ask_for(r, PEER_LINK, THIRD);
    assert_non_null(find_sent_on(r, PEER_LINK, GOSSIP_WITNESS));
    assert_false(find_sent(r, GOSSIP_WITNESS)->refused);
    keep_alive(r, PEER_LINK, 500);
    ask_for(r, PEER_LINK, THIRD);
    assert_null(find_sent(r, GOSSIP_WITNESS));
    assert_non_null(find_sent_on(r, THIRD_LINK, GOSSIP_PING));
    acknowledge(r, THIRD_LINK);
    assert_non_null(find_sent_on(r, PEER_LINK, GOSSIP_WITNESS));
}

static void test_members__asks_others_about_one_whose_link_was_given_up(void **state)
{
    struct rig *r = *state;
    link_three(r);
    members_link_down(r->m, THIRD_LINK, MEMBERS_LOST_TIMEOUT, r->now);
    drain(r);
    const struct gossip_frame *probe = find_sent(r, GOSSIP_PROBE);
    assert_non_null(probe);
    assert_string_equal(probe->target, THIRD);
}

static void test_members__vouches_for_a_kernel_that_answers(void **state)
{
    struct rig *r = *state;
    link_three(r);
    keep_alive(r, PEER_LINK, 600);
    ask_for(r, PEER_LINK, THIRD);
    for (int second = 1; second < 15; second++) {
        keep_alive(r, PEER_LINK, 1000);
        ask_for(r, PEER_LINK, THIRD);
        assert_int_equal(find_sent(r, GOSSIP_WITNESS) != NULL, second > 5); /* before, the link may be as dead as its end */
        expect_state(r, THIRD, MEMBER_STALLED);
    }
}

/* What was acknowledged before this node stood still says nothing of whether the host is there now. */
static void expect_kernel_vouched_for_after(struct rig *r, uint64_t pause_ms, int seconds)
{
    link_three(r);
    keep_alive(r, PEER_LINK, 600);
    ask_for(r, PEER_LINK, THIRD);
    keep_alive(r, PEER_LINK, 3500);
    expect_state(r, THIRD, MEMBER_STALLED);
    r->now += pause_ms;
    acknowledge(r, PEER_LINK);
    for (int second = 1; second < 9; second++) {
        keep_alive(r, PEER_LINK, 1000);
        ask_for(r, PEER_LINK, THIRD);
        assert_int_equal(find_sent(r, GOSSIP_WITNESS) != NULL, second > seconds);
    }
}

static void test_members__vouches_for_no_kernel_by_what_it_asked_before_it_stood_still(void **state)
{
    expect_kernel_vouched_for_after(*state, 60000, 5);
}

static void test_members__vouches_for_a_kernel_though_it_ran_late_for_a_moment(void **state)
{
    expect_kernel_vouched_for_after(*state, 900, 1);
}

static void test_members__refutes_suspicions_but_not_for_ever(void **state)
{
    struct rig *r = *state;
    link_three(r);
    say_news(r, PEER_LINK, GOSSIP_NEWS_SUSPECT, SELF, 100);
    assert_int_equal(members_at(r->m, 0)->incarnation, 101);
    assert_non_null(find_sent_on(r, FOURTH_LINK, GOSSIP_TABLE));
    say_news(r, PEER_LINK, GOSSIP_NEWS_SUSPECT, SELF, 100); /* it is refuted already */
    assert_int_equal(members_at(r->m, 0)->incarnation, 101);
    for (int i = 0; i < 100; i++)
        say_news(r, PEER_LINK, GOSSIP_NEWS_SUSPECT, SELF, members_at(r->m, 0)->incarnation);
    assert_in_range(members_at(r->m, 0)->incarnation, 105, 112);
    uint64_t before = members_at(r->m, 0)->incarnation;
    tick(r, 1100);
    assert_int_equal(members_at(r->m, 0)->incarnation, before + 1); /* the last one waited */
}

static void test_members__tells_the_suspect_and_vouches_for_it(void **state)
{
    struct rig *r = *state;
    link_three(r);
    say_news(r, PEER_LINK, GOSSIP_NEWS_SUSPECT, THIRD, 200);
    const struct gossip_frame *told = find_sent_on(r, THIRD_LINK, GOSSIP_NEWS);
    assert_non_null(told);
    assert_string_equal(told->target, THIRD);
    assert_non_null(find_sent_on(r, PEER_LINK, GOSSIP_WITNESS));
    expect_state(r, THIRD, MEMBER_ALIVE);
}

static struct gossip_frame word_of(const char *target, uint64_t incarnation)
{
    struct gossip_frame frame = {.kind = GOSSIP_WITNESS, .incarnation = incarnation};
    memcpy(frame.target, target, sizeof frame.target);
    return frame;
}

/* More than a link's queue holds, before any of it can be sent. */
static void say_often_without_draining(struct rig *r, const struct gossip_frame *frame, unsigned times)
{
    struct buf bytes;
    buf_init(&bytes, 0);
    assert_int_equal(gossip_frame_pack(frame, &bytes), 0);
    for (unsigned i = 0; i < times; i++)
        assert_int_equal(members_receive(r->m, PEER_LINK, buf_slice(&bytes), r->now), 0);
    buf_dispose(&bytes);
    drain(r);
}

/* Who accuses a third without end costs him no link: the accused is told of it, but not so often that his queue is full. */
static void test_members__gives_no_link_up_for_what_a_third_says(void **state)
{
    struct rig *r = *state;
    struct buf record;
    struct gossip_entry entries[GOSSIP_ENTRIES_MAX];
    struct member third = record_of(THIRD, "third", 200, 0);
    struct gossip_frame table = {.kind = GOSSIP_TABLE, .entries = entries, .entry_count = GOSSIP_ENTRIES_MAX};
    struct gossip_frame news = {.kind = GOSSIP_NEWS, .news = GOSSIP_NEWS_SUSPECT, .target = THIRD, .incarnation = 200};
    link_three(r);
    buf_init(&record, 0);
    seal(&third, "", &record);
    for (size_t i = 0; i < GOSSIP_ENTRIES_MAX; i++)
        entries[i] = (struct gossip_entry){.record = buf_slice(&record), .state = MEMBER_DEAD};
    say_often_without_draining(r, &table, 1);
    buf_dispose(&record);
    expect_state(r, THIRD, MEMBER_ALIVE);
    assert_true(members_find(r->m, THIRD)->linked);
    assert_non_null(find_sent_on(r, THIRD_LINK, GOSSIP_TABLE));
    tick(r, 2 * MEMBERS_LAN.ack_ms); /* it is asked now, so nothing is said to the liar */
    say_often_without_draining(r, &news, 1000);
    expect_state(r, THIRD, MEMBER_ALIVE);
    assert_true(members_find(r->m, THIRD)->linked);
}

/* Of one member's links only one counts. */
static void test_members__dials_others_however_many_links_one_member_has(void **state)
{
    struct rig *r = *state;
    for (uint64_t i = 0; i < 2 * MEMBERS_LINKS_MAX; i++)
        link_peer(r, 100 + i, PEER, "peer");
    assert_int_equal(members_add_seed(r->m, "10.0.0.9:7900", 0, r->now), 0);
    tick(r, 1);
    assert_int_equal(r->dial_count, 1);
}

/* He says that he lives where another one does: each dial costs that one a handshake. Others hear him, so he is not dead meanwhile. */
static void test_members__dials_ever_more_rarely_where_somebody_else_lives(void **state)
{
    struct rig *r = *state;
    struct gossip_frame heard = word_of(FIFTH, 200);
    unsigned dials = 0;
    link_peer(r, PEER_LINK, PEER, "peer");
    link_peer(r, FOURTH_LINK, FOURTH, "fourth");
    assert_int_equal(say_of(r, PEER_LINK, record_of(FIFTH, "fifth", 200, 0), MEMBER_ALIVE, GOSSIP_TABLE), 0);
    for (unsigned passed = 0; passed < 600; passed++) {
        tick(r, 100);
        if (r->dial_count > 0) {
            assert_string_equal(r->dialled[0], FIFTH);
            uint64_t link = 1000 + dials++, token = r->dials[0].token;
            assert_int_equal(members_link_up(r->m, link, FOURTH, token, r->now), 0);
            assert_int_equal(say_of(r, link, record_of(FOURTH, "fourth", 200, 0), MEMBER_ALIVE, GOSSIP_HELLO), 0);
        }
        deliver(r, PEER_LINK, &heard);
    }
    expect_state(r, FIFTH, MEMBER_STALLED);
    assert_in_range(dials, 5, 30);
}

static void test_members__convicts_nobody_on_hearsay(void **state)
{
    struct rig *r = *state;
    link_three(r);
    for (int i = 0; i < 13; i++) {
        for (int k = 0; k < 10; k++) {
            tick(r, 100);
            acknowledge(r, PEER_LINK);
            acknowledge(r, FOURTH_LINK);
        }
        say_news(r, PEER_LINK, GOSSIP_NEWS_SUSPECT, THIRD, 200);
        say_news(r, FOURTH_LINK, GOSSIP_NEWS_SUSPECT, THIRD, 200);
        claim(r, THIRD, 200, MEMBER_DEAD);
    }
    expect_state(r, THIRD, MEMBER_STALLED); /* the link stands */
    members_link_down(r->m, THIRD_LINK, MEMBERS_LOST_TIMEOUT, r->now);
    drain(r);
    expect_state(r, THIRD, MEMBER_DEAD); /* now we have seen it too */
}

static void test_members__shares_a_suspicion_and_ends_it_sooner_for_that(void **state)
{
    for (int shared = 0; shared < 2; shared++) {
        struct rig *r = *state;
        uint64_t took = 0;
        link_three(r);
        members_link_down(r->m, THIRD_LINK, MEMBERS_LOST_TIMEOUT, r->now);
        drain(r);
        assert_non_null(find_sent_on(r, PEER_LINK, GOSSIP_NEWS));
        for (int i = 0; shared && i < 2; i++)
            say_news(r, i ? PEER_LINK : FOURTH_LINK, GOSSIP_NEWS_SUSPECT, THIRD, 200);
        for (; members_find(r->m, THIRD)->state != MEMBER_DEAD && took < 20000; took += 100) {
            tick(r, 100);
            acknowledge(r, PEER_LINK);
            acknowledge(r, FOURTH_LINK);
        }
        assert_in_range(took, shared ? 3900 : 6900, shared ? 5400 : 7200);
        tear_down(state);
        set_up(state);
    }
}

static void tick_heard_by_two(struct rig *r, unsigned for_ms)
{
    for (unsigned passed = 0; passed < for_ms; passed += 100) {
        tick(r, 100);
        acknowledge(r, PEER_LINK);
        acknowledge(r, FOURTH_LINK);
    }
}

static void test_members__takes_back_its_suspicion_of_a_host_that_takes_its_dial(void **state)
{
    struct rig *r = *state;
    link_three(r);
    members_link_down(r->m, THIRD_LINK, MEMBERS_LOST_TIMEOUT, r->now);
    drain(r);
    assert_int_equal(r->dial_count, 1);
    uint64_t token = r->dials[0].token;
    members_dial_connected(r->m, token, r->now);
    tick(r, 100);
    const struct gossip_frame *told = find_sent_on(r, PEER_LINK, GOSSIP_WITNESS);
    assert_non_null(told);
    assert_false(told->refused);
    assert_string_equal(told->target, THIRD);
    tick_heard_by_two(r, 12000);
    expect_state(r, THIRD, MEMBER_STALLED);
    members_dial_failed(r->m, token, MEMBERS_DIAL_TIMEOUT, r->now); /* it is gone after all */
    tick_heard_by_two(r, 7300);
    expect_state(r, THIRD, MEMBER_DEAD);
}

static void test_members__compares_views_before_it_sends_any(void **state)
{
    struct rig *r = *state;
    struct gossip_version versions[3];
    link_three(r);
    tick(r, 1000);
    assert_int_equal(deliver(r, PEER_LINK, &(struct gossip_frame){.kind = GOSSIP_DIGEST, .view = 77, .view_count = 4}), 0);
    const struct gossip_frame *summary = find_sent_on(r, PEER_LINK, GOSSIP_SUMMARY);
    assert_non_null(summary);
    assert_int_equal(summary->version_count, 4);
    assert_null(find_sent(r, GOSSIP_TABLE));
    for (size_t i = 0; i < 3; i++) /* he lacks the last one */
        versions[i] = summary->versions[i];
    versions[0].revision++; /* newer than ours, of ourselves even: his to say */
    versions[1].incarnation--;
    struct gossip_frame his = {.kind = GOSSIP_SUMMARY, .versions = versions, .version_count = 3, .last = true};
    assert_int_equal(deliver(r, PEER_LINK, &his), 0);
    const struct gossip_frame *table = find_sent_on(r, PEER_LINK, GOSSIP_TABLE);
    assert_non_null(table);
    assert_int_equal(table->entry_count, 2);
    assert_null(find_sent(r, GOSSIP_SUMMARY));
}

static void test_members__answers_comparisons_in_moderation(void **state)
{
    static struct gossip_version strangers[GOSSIP_VERSIONS_MAX];
    struct rig *r = *state;
    unsigned answers = 0;
    link_three(r);
    for (size_t i = 0; i < GOSSIP_VERSIONS_MAX; i++)
        strangers[i] = (struct gossip_version){.id = {(uint8_t) i, (uint8_t) (i >> 8), 9}, .incarnation = 7};
    for (int i = 0; i < 20; i++) {
        assert_int_equal(deliver(r, PEER_LINK, &(struct gossip_frame){.kind = GOSSIP_SUMMARY, .versions = strangers, .version_count = GOSSIP_VERSIONS_MAX}), 0);
        answers += count_sent(r, GOSSIP_SUMMARY);
    }
    assert_int_equal(answers, 1);
    assert_int_equal(members_count(r->m), 4);
}

/* Nobody is linked but the first three: who is dialled refuses, and is asked again much later. */
static void tell_of_a_great_grid(struct rig *r)
{
    char id[65], name[16];
    link_three(r);
    for (unsigned i = 0; i < 400; i++) {
        snprintf(id, sizeof id, "%08x%056x", i * 10000019u + 77, i + 1);
        snprintf(name, sizeof name, "n%u", i);
        say_of(r, LINK, record_of(id, name, 10, 0), MEMBER_ALIVE, GOSSIP_TABLE);
        for (size_t d = 0; d < r->dial_count; d++)
            members_dial_failed(r->m, r->dials[d].token, MEMBERS_DIAL_DENIED, r->now);
    }
}

/* How often anybody is dialled, or the one of this id, whose process stands still. */
static unsigned dialled_in_great_grid(struct rig *r, uint64_t ms, const char *id)
{
    unsigned dialled = 0;
    for (uint64_t end = r->now + ms; r->now < end;) {
        tick(r, 100);
        for (size_t d = 0; d < r->dial_count; d++) {
            bool meant = !id || strcmp(r->dialled[d], id) == 0;
            members_dial_failed(r->m, r->dials[d].token, id && meant ? MEMBERS_DIAL_SILENT : MEMBERS_DIAL_DENIED, r->now);
            dialled += meant;
        }
        for (uint64_t link = PEER_LINK; link <= FOURTH_LINK; link++)
            acknowledge(r, link);
    }
    return dialled;
}

static void test_members__keeps_an_active_view_of_a_great_grid(void **state)
{
    struct rig *r = *state;
    tell_of_a_great_grid(r);
    assert_in_range(dialled_in_great_grid(r, 8000, NULL), 4, 40);
}

/* Somebody beyond the active view, who is dialled for a probe; the dial fails so. */
static void probe_somebody(struct rig *r, enum members_dial_fault fault, char id[65])
{
    dialled_in_great_grid(r, 8000, NULL); /* those of the active view */
    for (uint64_t end = r->now + 2 * MEMBERS_LAN.probe_ms; r->dial_count == 0 && r->now < end;) {
        tick(r, 100);
        for (uint64_t link = PEER_LINK; link <= FOURTH_LINK && r->dial_count == 0; link++)
            acknowledge(r, link);
    }
    assert_int_equal(r->dial_count, 1);
    snprintf(id, 65, "%s", r->dialled[0]);
    members_dial_failed(r->m, r->dials[0].token, fault, r->now);
    drain(r);
}

/* Its link was ended since it was not needed: nothing else would look. */
static void test_members__looks_for_whom_others_have_convicted_beyond_the_active_view(void **state)
{
    enum { ITS_LINK = 99 };
    struct rig *r = *state;
    char id[65];
    tell_of_a_great_grid(r);
    probe_somebody(r, MEMBERS_DIAL_DENIED, id);
    dialled_in_great_grid(r, 2 * MEMBERS_LAN.probe_ms, NULL);
    struct member itself = record_of(id, members_find(r->m, id)->name, 10, 0);
    assert_int_equal(members_link_up(r->m, ITS_LINK, id, 0, r->now), 0);
    assert_int_equal(say_of(r, ITS_LINK, itself, MEMBER_ALIVE, GOSSIP_HELLO), 0);
    members_link_down(r->m, ITS_LINK, MEMBERS_LOST_RESET, r->now);
    assert_int_equal(say_of(r, PEER_LINK, itself, MEMBER_DEAD, GOSSIP_TABLE), 0);
    expect_state(r, id, MEMBER_ALIVE);
    assert_int_equal(r->dial_count, 1);
    assert_string_equal(r->dialled[0], id);
}

static void test_members__looks_on_for_whom_it_doubts_beyond_the_active_view(void **state)
{
    struct rig *r = *state;
    char id[65];
    tell_of_a_great_grid(r);
    probe_somebody(r, MEMBERS_DIAL_SILENT, id);
    expect_state(r, id, MEMBER_STALLED);
    dialled_in_great_grid(r, 3 * MEMBERS_LAN.probe_ms, id);
    assert_in_range(dialled_in_great_grid(r, MEMBERS_LAN.silent_ms - 4 * MEMBERS_LAN.probe_ms, id), 1, 10);
    expect_state(r, id, MEMBER_STALLED);
}

/* One table that names so many others, as a newcomer's first link brings it. */
static void say_many(struct rig *r, unsigned count)
{
    struct gossip_entry entries[16] = {0};
    struct buf records[16];
    for (unsigned i = 0; i < count; i++) {
        struct member m = record_of(PEER, (char[]){(char) ('a' + i), '\0'}, 10, 0);
        memset(m.id, "3456789abcdef"[i], 64);
        buf_init(&records[i], 0);
        seal(&m, "", &records[i]);
        entries[i].record = buf_slice(&records[i]);
    }
    assert_int_equal(deliver(r, LINK, &(struct gossip_frame){.kind = GOSSIP_TABLE, .entries = entries, .entry_count = count}), 0);
    for (unsigned i = 0; i < count; i++)
        buf_dispose(&records[i]);
}

/* Takes down whom it has just dialled, by the first letter of the id. None of them answers. */
static void note_dials(struct rig *r, char out[32])
{
    size_t size = strlen(out);
    for (size_t i = 0; i < r->dial_count && size < 31; i++) {
        out[size++] = r->dialled[i][0];
        out[size] = '\0';
        members_dial_failed(r->m, r->dials[i].token, MEMBERS_DIAL_DENIED, r->now);
    }
    r->dial_count = 0;
}

static void dialled_within(struct rig *r, uint64_t ms, char out[32])
{
    out[0] = '\0';
    for (uint64_t end = r->now + ms; r->now < end;) {
        tick(r, 50);
        note_dials(r, out);
        acknowledge(r, LINK);
        note_dials(r, out);
    }
}

static void test_members__links_a_great_grid_in_its_own_time_neighbours_first(void **state)
{
    struct rig *r = *state;
    char dialled[32];
    link_peer(r, LINK, PEER, "peer");
    say_many(r, 13);
    dialled_within(r, MEMBERS_LAN.mesh_ms - 50, dialled);
    assert_string_equal(dialled, "");
    dialled_within(r, MEMBERS_LAN.mesh_ms / 2 + 50, dialled);
    assert_string_equal(dialled, "f"); /* the last of the ring is the one before the first */
    dialled_within(r, MEMBERS_LAN.mesh_ms / 2, dialled);
    assert_string_equal(dialled, "");
    dialled_within(r, MEMBERS_LAN.mesh_ms + 100, dialled);
    assert_int_equal(strlen(dialled), 12);
}

/* One of many of whom it has only been told: somebody has heard him just now, and somebody holds him for dead. */
static void tell_of_one_in_doubt(struct rig *r)
{
    struct gossip_frame heard = {.kind = GOSSIP_WITNESS, .incarnation = 10};
    memcpy(heard.target, THIRD, sizeof heard.target);
    say_many(r, 9);
    assert_int_equal(deliver(r, LINK, &heard), 0);
    assert_int_equal(r->dial_count, 0); /* those are for later */
    assert_int_equal(say_of(r, LINK, record_of(THIRD, "a", 10, 0), MEMBER_DEAD, GOSSIP_TABLE), 0);
    expect_state(r, THIRD, MEMBER_ALIVE);
}

static void expect_looked_for(struct rig *r)
{
    assert_int_equal(r->dial_count, 1);
    assert_string_equal(r->dialled[0], THIRD);
    refuse_dial(r);
    expect_state(r, THIRD, MEMBER_DEAD);
}

static void test_members__looks_at_once_for_whom_others_have_convicted(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    tell_of_one_in_doubt(r);
    expect_looked_for(r);
}

/* All of it lay in the socket while this node stood still: no first dial has been planned yet. */
static void test_members__looks_at_once_for_whom_others_have_convicted_meanwhile(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    tick(r, 100);
    r->now += 60000;
    tell_of_one_in_doubt(r);
    tick(r, 1);
    expect_looked_for(r);
}

/* Who calls him dead again and again has him dialled no oftener for that. */
static void test_members__looks_once_at_once_however_often_one_is_convicted(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    tell_of_one_in_doubt(r);
    assert_int_equal(r->dial_count, 1);
    members_dial_failed(r->m, r->dials[0].token, MEMBERS_DIAL_SILENT, r->now);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(say_of(r, LINK, record_of(THIRD, "a", 10, 0), MEMBER_DEAD, GOSSIP_TABLE), 0);
        assert_int_equal(r->dial_count, 0);
    }
}

/* Their kernels take the dials, and nothing comes of it before the handshake's time is over. */
static void test_members__holds_nobody_up_for_those_that_stand_still(void **state)
{
    struct rig *r = *state;
    link_peer(r, LINK, PEER, "peer");
    say_many(r, 6);
    size_t dialled = r->dial_count;
    for (uint64_t end = r->now + MEMBERS_LAN.late_ms - 50; r->now < end; dialled += r->dial_count)
        tick(r, 50);
    assert_int_equal(dialled, 4); /* of handshakes that are done so many go on at a time */
    for (uint64_t end = r->now + MEMBERS_LAN.late_ms; r->now < end; dialled += r->dial_count)
        tick(r, 50);
    assert_int_equal(dialled, 6);
}

static void test_members__links_a_small_grid_at_once(void **state)
{
    struct rig *r = *state;
    char dialled[32];
    link_peer(r, LINK, PEER, "peer");
    say_many(r, 4);
    dialled_within(r, 200, dialled);
    assert_int_equal(strlen(dialled), 4);
}

int main(void)
{
#define SIGNED(name) cmocka_unit_test_setup_teardown(name, set_up_signed, tear_down)
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        SIGNED(test_records__of_strangers_count_when_they_signed_them),
        SIGNED(test_records__nobody_moves_anothers_address),
        SIGNED(test_records__that_are_older_change_nothing_and_are_not_judged),
        SIGNED(test_records__for_oneself_drive_the_incarnation_only_when_they_are_own_ones),
        SIGNED(test_records__no_suspicion_drives_the_incarnation_to_its_end),
        SIGNED(test_records__that_were_refused_are_asked_for_again_when_the_authorities_change),
        SIGNED(test_records__of_a_clock_that_was_ahead_are_outdone),
        SIGNED(test_records__unsigned_ones_open_no_link),
        SIGNED(test_records__only_a_nodes_own_word_makes_it_leave),
        SIGNED(test_records__are_sealed_anew_when_the_certificate_is),
        CASE(test_load__is_believed_from_its_owners_link_whatever_others_said),
        CASE(test_load__of_whom_no_link_leads_to_is_the_newest_that_is_said),
        CASE(test_load__ends_with_its_process),
        CASE(test_load__tells_ready_instances_at_once_and_leaves_the_record_alone),
        CASE(test_load__is_passed_on_by_who_is_not_linked_with_all),
        CASE(test_load__goes_with_a_record_that_changes_too),
        CASE(test_load__is_paused_with_its_link_and_then_told_once),
        CASE(test_load__that_changes_after_the_greeting_is_told_when_the_link_is_there),
        CASE(test_load__numbers_are_coarse),
        cmocka_unit_test(test_member_seal__refuses_what_is_cut_or_too_large),
        cmocka_unit_test(test_member_seal__signs_the_certificate_too),
        CASE(test_members__greets_first_and_then_sends_its_view),
        CASE(test_members__owes_its_predecessor_a_sign_of_life_and_watches_its_successor),
        CASE(test_members__tells_all_of_a_silence),
        CASE(test_members__believes_its_own_eyes_of_a_silence_it_is_told_of),
        CASE(test_members__vouches_for_whom_it_hears),
        CASE(test_members__asks_others_about_one_whose_link_was_given_up),
        CASE(test_members__vouches_for_a_kernel_that_answers),
        CASE(test_members__vouches_for_no_kernel_by_what_it_asked_before_it_stood_still),
        CASE(test_members__vouches_for_a_kernel_though_it_ran_late_for_a_moment),
        CASE(test_members__refutes_suspicions_but_not_for_ever),
        CASE(test_members__tells_the_suspect_and_vouches_for_it),
        CASE(test_members__gives_no_link_up_for_what_a_third_says),
        CASE(test_members__dials_ever_more_rarely_where_somebody_else_lives),
        CASE(test_members__dials_others_however_many_links_one_member_has),
        CASE(test_members__convicts_nobody_on_hearsay),
        CASE(test_members__shares_a_suspicion_and_ends_it_sooner_for_that),
        CASE(test_members__takes_back_its_suspicion_of_a_host_that_takes_its_dial),
        CASE(test_members__compares_views_before_it_sends_any),
        CASE(test_members__answers_comparisons_in_moderation),
        CASE(test_members__keeps_an_active_view_of_a_great_grid),
        CASE(test_members__looks_on_for_whom_it_doubts_beyond_the_active_view),
        CASE(test_members__looks_for_whom_others_have_convicted_beyond_the_active_view),
        CASE(test_members__looks_at_once_for_whom_others_have_convicted),
        CASE(test_members__looks_at_once_for_whom_others_have_convicted_meanwhile),
        CASE(test_members__looks_once_at_once_however_often_one_is_convicted),
        CASE(test_members__holds_nobody_up_for_those_that_stand_still),
        CASE(test_members__links_a_great_grid_in_its_own_time_neighbours_first),
        CASE(test_members__links_a_small_grid_at_once),
        CASE(test_members__refuses_hellos_with_a_reason),
        CASE(test_members__refutes_every_claim_that_it_is_gone),
        CASE(test_members__orders_claims_by_incarnation_then_state_then_revision),
        CASE(test_members__keeps_the_newer_record_of_the_dead),
        CASE(test_members__takes_a_record_that_it_knows_for_no_news),
        CASE(test_members__reads_a_record_anew_that_it_knows_no_more),
        CASE(test_members__tells_all_of_whom_it_met_first),
        CASE(test_members__passes_news_on_a_limited_number_of_times),
        CASE(test_members__learns_of_no_strangers_death),
        CASE(test_members__tells_who_knows_less),
        CASE(test_members__doubts_the_death_of_whom_it_just_heard),
        CASE(test_members__stalls_the_silent_and_resumes_them),
        CASE(test_members__measures_round_trips_in_microseconds),
        CASE(test_members__asks_on_another_link_when_that_of_the_silent_has_ended),
        CASE(test_members__looks_at_all_when_two_are_silent),
        CASE(test_members__knocks_often_for_who_is_gone),
        CASE(test_members__distrusts_itself_less_when_its_dials_are_answered),
        CASE(test_members__holds_its_own_pause_against_nobody),
        CASE(test_members__gives_others_time_after_its_own_pause),
        CASE(test_members__waits_longer_for_others_the_less_it_trusts_itself),
        CASE(test_members__trusts_itself_more_for_answers_in_time_alone),
        CASE(test_members__judges_nobody_by_the_time_it_stood_still_itself),
        CASE(test_members__dials_rarely_who_refuses_it_until_somebody_takes_a_link),
        CASE(test_members__convicts_on_two_refusals_where_it_is_the_only_witness),
        CASE(test_members__convicts_on_two_witnesses),
        CASE(test_members__does_not_convict_whom_others_hear),
        CASE(test_members__knows_a_restart_from_a_refutation),
        CASE(test_members__keeps_the_dial_of_the_lower_id),
        CASE(test_members__a_link_that_needs_no_third_takes_the_place_of_one_that_does),
        CASE(test_members__a_relayed_link_that_comes_late_is_ended_by_who_dialled_it),
        CASE(test_members__redials_the_dead_with_backoff_and_forgets_them_after_a_day),
        CASE(test_members__sends_its_record_once_it_changed_and_only_then),
        CASE(test_members__passes_releases_on_as_they_are),
        CASE(test_members__says_goodbye_and_dials_no_more),
        CASE(test_members__refuses_malformed_frames_unchanged),
        CASE(test_members__dials_a_seed_named_later_and_anew_when_it_is_named_again),
        CASE(test_members__dials_a_place_rarely_where_an_evicted_one_lives),
        CASE(test_members__bounds_its_view),
        CASE(test_members__passes_unknown_frames_and_fields_over),
        cmocka_unit_test(test_member__says_why_a_task_cannot_be_started_and_what_serves_meanwhile),
        cmocka_unit_test(test_member__lacks_a_task_only_when_it_names_them_all),
        cmocka_unit_test(test_member__runs_an_entry_and_not_only_its_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
