/* Two cores run against each other in memory: who joins whom, and everything that must not get in. */
// cost: 8
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "trust/join.c" /* its insides: what only a side that cheats would send */

static const int64_t NOW = 1900000000;
enum { MESSAGES_MAX = 16 };

/* One side: its node, its grid, and how it behaves. */
struct side {
    struct join_config config;
    struct key *node;
    struct key *channel_key;
    struct authority *authority;
    struct join_standing standing;
    uint8_t password[STRETCH_SIZE], exporter[JOIN_EXPORTER_SIZE], seed[JOIN_SEED_SIZE];
    struct join *join;
    enum join_reason refuse_standing, refuse_grant; /* 0: goes on */
    struct slice ledger;
    struct slice certificate_override, authority_override; /* a grant's, when it cheats */
    bool issued;
};

struct rig {
    struct side joiner, member;
    /* What the wire does: the n-th message of either side, in order, may be changed. */
    struct buf wire[MESSAGES_MAX];
    size_t count;
    size_t tamper_message, tamper_byte;
    uint8_t tamper_mask;
    size_t double_message;
    size_t cut_message, cut_size; /* nothing more arrives after this */
    bool cut;
};

static const char *const ADDRESSES[] = {"192.0.2.7", "2001:db8::7"};

static void side_init(struct side *s, bool joiner, const char *grid)
{
    *s = (struct side){.standing = {.hardened = false, .can_issue = true}};
    assert_int_equal(key_mint(&s->node), 0);
    assert_int_equal(key_mint(&s->channel_key), 0);
    assert_int_equal(authority_mint(grid, NOW, &s->authority), 0);
    snprintf(s->standing.authority_id, sizeof s->standing.authority_id, "%s", authority_id(s->authority));
    memset(s->password, 7, sizeof s->password);
    memset(s->exporter, 9, sizeof s->exporter);
    for (size_t i = 0; i < sizeof s->seed; i++)
        s->seed[i] = (uint8_t) (rand() & 0xff);
    s->config = (struct join_config){.joiner = joiner,
                                     .grid = grid,
                                     .password = s->password,
                                     .exporter = s->exporter,
                                     .seed = s->seed,
                                     .key = s->node,
                                     .name = joiner ? "ada" : "bob",
                                     .addresses = ADDRESSES,
                                     .address_count = 2,
                                     .now_s = NOW};
}

static void rig_init(struct rig *r)
{
    memset(r, 0, sizeof *r);
    side_init(&r->joiner, true, "demo");
    side_init(&r->member, false, "demo");
    r->member.standing.hardened = true;
    r->tamper_message = r->cut_message = r->double_message = SIZE_MAX;
    for (size_t i = 0; i < MESSAGES_MAX; i++)
        buf_init(&r->wire[i], 0);
}

/* Who is at the other end, as each side's TLS sees it. */
static void rig_create(struct rig *r)
{
    r->joiner.config.own_public_der = r->member.config.peer_public_der = key_public_der(r->joiner.channel_key);
    r->member.config.own_public_der = r->joiner.config.peer_public_der = key_public_der(r->member.channel_key);
    assert_int_equal(join_create(&r->joiner.config, &r->joiner.join), 0);
    assert_int_equal(join_create(&r->member.config, &r->member.join), 0);
}

static void side_dispose(struct side *s)
{
    join_destroy(s->join);
    key_destroy(s->node);
    key_destroy(s->channel_key);
    authority_destroy(s->authority);
}

static void rig_dispose(struct rig *r)
{
    side_dispose(&r->joiner);
    side_dispose(&r->member);
    for (size_t i = 0; i < MESSAGES_MAX; i++)
        buf_dispose(&r->wire[i]);
}

static void issue(struct side *s)
{
    const struct join_request *r = join_request_of(s->join);
    char name[TRUST_NAME_MAX + 1], text[TRUST_ADDRESSES_MAX][64];
    const char *addresses[TRUST_ADDRESSES_MAX];
    struct certificate_request request = {
        .public_der = r->public_der, .name = name, .roles = TRUST_ROLE_NODE, .addresses = addresses};
    struct buf der;
    buf_init(&der, 0);
    snprintf(name, sizeof name, "%.*s", SLICE_FMT(r->name));
    for (size_t i = 0; i < r->address_count; i++) {
        snprintf(text[i], sizeof text[i], "%.*s", SLICE_FMT(r->addresses[i]));
        addresses[request.address_count++] = text[i];
    }
    assert_int_equal(authority_issue(s->authority, &request, NOW, &der), 0);
    struct join_grant grant = {s->certificate_override.size ? s->certificate_override : buf_slice(&der),
                               s->authority_override.size ? s->authority_override : authority_certificate_der(s->authority),
                               s->ledger};
    join_give(s->join, &grant);
    s->issued = true;
    buf_dispose(&der);
}

/* What a driver does with a step. */
static void act(struct side *s)
{
    switch (join_step(s->join)) {
    case JOIN_STEP_STAND:
        if (s->refuse_standing)
            join_refuse(s->join, s->refuse_standing, ADDRESSES, 2);
        else
            join_stand(s->join, &s->standing);
        break;
    case JOIN_STEP_ISSUE:
        if (s->refuse_grant)
            join_refuse(s->join, s->refuse_grant, (const char *const[]){"192.0.2.9:7900", "no good", ""}, 3);
        else
            issue(s);
        break;
    default:
        break;
    }
}

/* Cuts the output of one side into messages, and each passes the wire; false when nothing moved. */
static bool pass(struct rig *r, struct side *from, struct side *to)
{
    struct buf *out = join_output(from->join);
    bool moved = false;
    while (out->size > 0 && !r->cut) {
        size_t size = JOIN_PREFIX_SIZE + (size_t) (out->data[0] << 8 | out->data[1]);
        assert_true(size <= out->size && r->count < MESSAGES_MAX);
        struct buf *message = &r->wire[r->count];
        assert_int_equal(buf_append(message, slice_first(buf_slice(out), size)), 0);
        buf_consume(out, size);
        if (r->tamper_message == r->count && r->tamper_byte < size)
            message->data[r->tamper_byte] ^= r->tamper_mask;
        if (r->cut_message == r->count) {
            r->cut = true;
            buf_truncate(message, r->cut_size);
        }
        for (size_t i = 0; i < message->size; i++) /* byte by byte: the pieces of a stream are anyhow */
            join_receive(to->join, slice_of(message->data + i, 1));
        if (r->double_message == r->count)
            join_receive(to->join, buf_slice(message));
        r->count++;
        moved = true;
    }
    buf_clear(out);
    return moved;
}

static void run(struct rig *r)
{
    for (bool moved = true; moved;) {
        act(&r->joiner);
        moved = pass(r, &r->joiner, &r->member);
        act(&r->member);
        moved |= pass(r, &r->member, &r->joiner);
    }
}

static void assert_granted(struct side *winner, struct side *loser)
{
    const struct join_grant *g = join_grant_of(loser->join);
    struct slice authority = authority_certificate_der(winner->authority);
    struct verify_holder holder;
    struct verifier *v;
    char why[TRUST_WHY_MAX];
    assert_int_equal(join_step(winner->join), JOIN_STEP_SETTLED);
    assert_int_equal(join_step(loser->join), JOIN_STEP_GRANTED);
    assert_true(slice_equal(g->authority_der, authority));
    assert_int_equal(verifier_create(&authority, 1, NULL, 0, &v), 0);
    assert_int_equal(verify_chain(v, &g->certificate_der, 1, NOW, &holder, why), 0);
    assert_string_equal(holder.id, key_id(loser->node));
    assert_string_equal(holder.name, loser->config.name);
    assert_int_equal(holder.roles, TRUST_ROLE_NODE);
    verifier_destroy(v);
}

/* Neither side may have believed the other, given anything, or be ready to. */
static void assert_nobody_in(const struct rig *r)
{
    assert_int_not_equal(join_step(r->joiner.join), JOIN_STEP_GRANTED);
    assert_int_not_equal(join_step(r->member.join), JOIN_STEP_GRANTED);
    assert_false(r->joiner.issued);
    assert_false(r->member.issued);
}

/* ---- who joins whom ---- */

static void test_join__a_provisional_joiner_is_granted_by_a_hardened_member(void **state)
{
    struct rig r;
    (void) state;
    rig_init(&r);
    r.member.ledger = SLICE("what the grid has decided");
    r.member.standing.door_epoch = 3;
    rig_create(&r);
    run(&r);
    assert_granted(&r.member, &r.joiner);
    assert_true(slice_equal_str(join_grant_of(r.joiner.join)->ledger, "what the grid has decided"));
    assert_int_equal(join_peer_standing(r.joiner.join)->door_epoch, 3);
    assert_int_equal(r.count, 8);
    assert_true(join_is_proven(r.joiner.join) && join_is_proven(r.member.join));
    assert_false(join_is_spent(r.joiner.join) || join_is_spent(r.member.join));
    rig_dispose(&r);
}

static void test_join__a_provisional_member_yields_to_a_hardened_joiner(void **state)
{
    struct rig r;
    (void) state;
    rig_init(&r);
    r.member.standing.hardened = false;
    r.joiner.standing.hardened = true;
    rig_create(&r);
    run(&r);
    assert_granted(&r.joiner, &r.member);
    rig_dispose(&r);
}

static void test_join__of_two_provisional_ones_the_greater_id_yields(void **state)
{
    (void) state;
    for (int round = 0; round < 4; round++) {
        struct rig r;
        rig_init(&r);
        r.member.standing.hardened = false;
        rig_create(&r);
        run(&r);
        if (strcmp(r.joiner.standing.authority_id, r.member.standing.authority_id) < 0)
            assert_granted(&r.joiner, &r.member);
        else
            assert_granted(&r.member, &r.joiner);
        rig_dispose(&r);
    }
}

static void test_join_who_yields__is_the_same_question_from_both_sides(void **state)
{
    static const enum join_verdict OPPOSITE[] = {JOIN_SAME_GRID, JOIN_THEY_YIELD, JOIN_WE_YIELD, JOIN_NOBODY_YIELDS};
    static const struct {
        const char *a;
        bool a_hardened;
        const char *b;
        bool b_hardened;
        enum join_verdict verdict;
    } CASES[] = {
        {"aa", false, "aa", true, JOIN_SAME_GRID},    {"aa", true, "aa", true, JOIN_SAME_GRID},
        {"aa", true, "bb", true, JOIN_NOBODY_YIELDS}, {"aa", true, "bb", false, JOIN_THEY_YIELD},
        {"bb", true, "aa", false, JOIN_THEY_YIELD},   {"aa", false, "bb", true, JOIN_WE_YIELD},
        {"aa", false, "bb", false, JOIN_THEY_YIELD},  {"bb", false, "aa", false, JOIN_WE_YIELD},
    };
    (void) state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct join_standing a = {.hardened = CASES[i].a_hardened}, b = {.hardened = CASES[i].b_hardened};
        snprintf(a.authority_id, sizeof a.authority_id, "%s", CASES[i].a);
        snprintf(b.authority_id, sizeof b.authority_id, "%s", CASES[i].b);
        assert_int_equal(join_who_yields(&a, &b), CASES[i].verdict);
        assert_int_equal(join_who_yields(&b, &a), OPPOSITE[CASES[i].verdict]);
    }
}

static void test_join_who_yields__a_lone_node_yields_to_a_shared_grid(void **state)
{
    struct join_standing a = {.authority_id = "bb", .shared = true}, b = {.authority_id = "aa"};
    (void) state;
    assert_int_equal(join_who_yields(&a, &b), JOIN_THEY_YIELD);
    assert_int_equal(join_who_yields(&b, &a), JOIN_WE_YIELD);
    b.hardened = true;
    assert_int_equal(join_who_yields(&a, &b), JOIN_WE_YIELD);
    b.hardened = false, b.shared = true;
    assert_int_equal(join_who_yields(&a, &b), JOIN_WE_YIELD);
    assert_int_equal(join_who_yields(&b, &a), JOIN_THEY_YIELD);
}

static void test_join__two_of_the_same_grid_are_settled(void **state)
{
    struct rig r;
    (void) state;
    rig_init(&r);
    r.joiner.standing = r.member.standing;
    rig_create(&r);
    run(&r);
    assert_int_equal(join_step(r.joiner.join), JOIN_STEP_SETTLED);
    assert_int_equal(join_step(r.member.join), JOIN_STEP_SETTLED);
    rig_dispose(&r);
}

static void test_join__two_hardened_grids_refuse_each_other(void **state)
{
    struct rig r;
    bool by_peer;
    (void) state;
    rig_init(&r);
    r.joiner.standing.hardened = true;
    rig_create(&r);
    run(&r);
    assert_int_equal(join_step(r.joiner.join), JOIN_STEP_REFUSED);
    assert_int_equal(join_step(r.member.join), JOIN_STEP_REFUSED);
    assert_int_equal(join_refusal_of(r.joiner.join, &by_peer)->reason, JOIN_OTHER_GRID);
    assert_int_equal(join_refusal_of(r.member.join, &by_peer)->reason, JOIN_OTHER_GRID);
    assert_nobody_in(&r);
    rig_dispose(&r);
}

static void test_join__a_ledger_that_does_not_fit_is_left_out(void **state)
{
    static const uint8_t LEDGER[JOIN_MESSAGE_MAX];
    struct rig r;
    (void) state;
    rig_init(&r);
    r.member.ledger = slice_of(LEDGER, sizeof LEDGER);
    rig_create(&r);
    run(&r);
    assert_granted(&r.member, &r.joiner);
    assert_int_equal(join_grant_of(r.joiner.join)->ledger.size, 0);
    rig_dispose(&r);
}

/* ---- refusals ---- */

static void test_join__a_member_refuses_before_anything_is_said(void **state)
{
    struct rig r;
    bool by_peer;
    (void) state;
    for (int reason = 1; reason < JOIN_REASON_END; reason++) {
        rig_init(&r);
        rig_create(&r);
        join_refuse(r.member.join, (enum join_reason) reason, ADDRESSES, 2);
        run(&r);
        assert_int_equal(join_step(r.joiner.join), JOIN_STEP_REFUSED);
        assert_int_equal(join_refusal_of(r.joiner.join, &by_peer)->reason, reason);
        assert_int_equal(join_refusal_of(r.joiner.join, &by_peer)->address_count, 2);
        assert_true(by_peer);
        assert_true(slice_equal_str(join_refusal_of(r.joiner.join, &by_peer)->addresses[1], "2001:db8::7"));
        assert_false(join_is_spent(r.joiner.join)); /* nothing was confirmed: it was no guess */
        assert_nobody_in(&r);
        rig_dispose(&r);
    }
}

static void test_join__either_side_refuses_to_say_its_standing(void **state)
{
    (void) state;
    for (int who = 0; who < 2; who++) {
        struct rig r;
        bool by_peer;
        rig_init(&r);
        (who ? &r.joiner : &r.member)->refuse_standing = JOIN_BUSY;
        rig_create(&r);
        run(&r);
        struct side *hears = who ? &r.member : &r.joiner;
        assert_int_equal(join_step(hears->join), JOIN_STEP_REFUSED);
        assert_int_equal(join_refusal_of(hears->join, &by_peer)->reason, JOIN_BUSY);
        assert_true(by_peer);
        assert_true(join_is_proven(r.joiner.join) && join_is_proven(r.member.join));
        assert_nobody_in(&r);
        rig_dispose(&r);
    }
}

static void test_join__who_cannot_issue_names_others(void **state)
{
    struct rig r;
    bool by_peer;
    (void) state;
    rig_init(&r);
    r.member.refuse_grant = JOIN_NOT_ISSUER;
    rig_create(&r);
    run(&r);
    const struct join_refusal *refusal = join_refusal_of(r.joiner.join, &by_peer);
    assert_int_equal(join_step(r.joiner.join), JOIN_STEP_REFUSED);
    assert_int_equal(refusal->reason, JOIN_NOT_ISSUER);
    assert_int_equal(refusal->address_count, 1);
    assert_true(slice_equal_str(refusal->addresses[0], "192.0.2.9:7900"));
    assert_nobody_in(&r);
    rig_dispose(&r);
}

/* ---- attacks ---- */

static void assert_fails_by_mismatch(struct rig *r)
{
    bool by_peer;
    run(r);
    assert_int_equal(join_step(r->member.join), JOIN_STEP_REFUSED);
    assert_int_equal(join_refusal_of(r->member.join, &by_peer)->reason, JOIN_MISMATCH);
    assert_int_equal(join_step(r->joiner.join), JOIN_STEP_REFUSED);
    assert_int_equal(join_refusal_of(r->joiner.join, &by_peer)->reason, JOIN_MISMATCH);
    assert_true(join_is_spent(r->joiner.join) && join_is_spent(r->member.join));
    assert_int_equal(r->count, 4); /* two shares, the joiner's tag, the refusal: the member's own tag never went out */
    assert_nobody_in(r);
}

static void test_join__a_wrong_password_fails_and_counts(void **state)
{
    struct rig r;
    (void) state;
    rig_init(&r);
    r.joiner.password[63] ^= 1;
    rig_create(&r);
    assert_fails_by_mismatch(&r);
    rig_dispose(&r);
}

static void test_join__another_grids_name_fails_like_a_wrong_password(void **state)
{
    struct rig r;
    (void) state;
    rig_init(&r);
    r.joiner.config.grid = "other";
    rig_create(&r);
    assert_fails_by_mismatch(&r);
    rig_dispose(&r);
}

/* A man in the middle ends two TLS connections: he passes every message on, but exporters and keys are not the same at both
 * ends. */
static void test_join__a_man_in_the_middle_fails_by_exporter_or_key(void **state)
{
    (void) state;
    for (int which = 0; which < 3; which++) {
        struct rig r;
        struct key *his;
        rig_init(&r);
        rig_create(&r);
        assert_int_equal(key_mint(&his), 0);
        if (which == 0)
            r.joiner.exporter[31] ^= 0x80;
        else if (which == 1)
            r.joiner.config.peer_public_der = key_public_der(his);
        else
            r.member.config.peer_public_der = key_public_der(his);
        join_destroy(r.joiner.join);
        join_destroy(r.member.join);
        assert_int_equal(join_create(&r.joiner.config, &r.joiner.join), 0);
        assert_int_equal(join_create(&r.member.config, &r.member.join), 0);
        assert_fails_by_mismatch(&r);
        key_destroy(his);
        rig_dispose(&r);
    }
}

/* The fake responder of the threat model: it answers with an element of its own and is sent one tag, which is a test of the one
 * password that it had chosen before; the joiner notes it. */
static void test_join__a_fake_responder_gets_one_guess_that_is_counted(void **state)
{
    struct rig r;
    (void) state;
    rig_init(&r);
    memset(r.member.password, 0, sizeof r.member.password);
    rig_create(&r);
    assert_false(join_is_spent(r.joiner.join));
    pass(&r, &r.joiner, &r.member);
    pass(&r, &r.member, &r.joiner);
    assert_true(join_is_spent(r.joiner.join));
    assert_int_equal(buf_slice(join_output(r.joiner.join)).size, JOIN_PREFIX_SIZE + 1 + JOIN_TAG_SIZE);
    rig_dispose(&r);
}

/* The first share is the same distribution whatever the password is: with equal seeds only the generator differs, and no two are
 * related by it. */
static void test_join__shares_do_not_repeat(void **state)
{
    struct rig r, s;
    (void) state;
    rig_init(&r), rig_init(&s);
    rig_create(&r), rig_create(&s);
    assert_false(slice_equal(buf_slice(join_output(r.joiner.join)), buf_slice(join_output(s.joiner.join))));
    rig_dispose(&r), rig_dispose(&s);
}

/* Each byte of each message, one bit of it. */
static void test_join__a_tampered_byte_anywhere_lets_nobody_in(void **state)
{
    size_t sizes[MESSAGES_MAX], count;
    struct rig r;
    (void) state;
    rig_init(&r);
    r.member.ledger = SLICE("ledger");
    rig_create(&r);
    run(&r);
    count = r.count;
    for (size_t i = 0; i < count; i++)
        sizes[i] = r.wire[i].size;
    rig_dispose(&r);
    for (size_t m = 0; m < count; m++)
        for (size_t b = 0; b < sizes[m]; b += m == count - 1 && b > 40 ? 13 : 1) {
            rig_init(&r);
            r.member.ledger = SLICE("ledger");
            r.tamper_message = m, r.tamper_byte = b, r.tamper_mask = (uint8_t) (1 << (b % 8));
            rig_create(&r);
            run(&r);
            bool tampered = b < r.wire[m].size; /* a signature's DER is not always of the same size */
            if (tampered)
                assert_int_not_equal(join_step(r.joiner.join), JOIN_STEP_GRANTED);
            if (tampered && m < count - 1)
                assert_false(r.member.issued);
            rig_dispose(&r);
        }
}

static void test_join__input_cut_at_any_length_lets_nobody_in(void **state)
{
    size_t sizes[MESSAGES_MAX], count;
    struct rig r;
    (void) state;
    rig_init(&r);
    rig_create(&r);
    run(&r);
    count = r.count;
    for (size_t i = 0; i < count; i++)
        sizes[i] = r.wire[i].size;
    rig_dispose(&r);
    for (size_t m = 0; m < count; m++)
        for (size_t size = 0; size < sizes[m]; size += m == count - 1 ? 17 : 3) {
            rig_init(&r);
            r.cut_message = m, r.cut_size = size;
            rig_create(&r);
            run(&r);
            assert_int_not_equal(join_step(r.joiner.join), JOIN_STEP_GRANTED);
            rig_dispose(&r);
        }
}

/* What was said in one exchange is of no use in another one, to either side, nor a second time in its own. */
static void test_join__replayed_messages_are_refused(void **state)
{
    struct rig old, r;
    (void) state;
    rig_init(&old);
    rig_create(&old);
    run(&old);
    assert_granted(&old.member, &old.joiner);
    rig_init(&r);
    memset(r.member.exporter, 1, sizeof r.member.exporter);
    rig_create(&r);
    for (size_t i = 0; i < old.count; i++) /* all that the joiner once said, at a new member */
        join_receive(r.member.join, buf_slice(&old.wire[i]));
    assert_false(join_is_proven(r.member.join));
    for (size_t i = 1; i < old.count; i++) /* and all that the member once said, at a new joiner */
        join_receive(r.joiner.join, buf_slice(&old.wire[i]));
    assert_false(join_is_proven(r.joiner.join));
    assert_nobody_in(&r);
    rig_dispose(&r);
    for (size_t m = 0; m < old.count;
         m++) { /* each message twice: the request and the grant are the last of their sides, and nothing listens for more */
        rig_init(&r);
        r.double_message = m;
        rig_create(&r);
        run(&r);
        assert_int_equal(join_step(r.joiner.join) == JOIN_STEP_GRANTED, m >= old.count - 2);
        rig_dispose(&r);
    }
    rig_dispose(&old);
}

/* A side that speaks MACed messages must have the key; one that sends a type out of turn, or before its time, is cut off. */
static void test_join__messages_out_of_turn_break_it(void **state)
{
    static const enum join_type TYPES[] = {JOIN_CONFIRM, JOIN_STANDING, JOIN_GRANT, JOIN_REFUSAL};
    (void) state;
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++) {
        static const uint8_t ZEROS[64];
        struct rig r;
        struct buf bytes;
        struct join_message m = {.type = TYPES[i]};
        rig_init(&r);
        rig_create(&r);
        buf_init(&bytes, 0);
        if (TYPES[i] == JOIN_CONFIRM)
            m.u.tag = slice_of(ZEROS, 64);
        else if (TYPES[i] == JOIN_STANDING)
            m.u.standing = r.joiner.standing;
        else if (TYPES[i] == JOIN_GRANT)
            m.u.grant = (struct join_grant){SLICE("c"), SLICE("a"), SLICE("")};
        else
            m.u.refusal.reason = JOIN_BUSY;
        assert_int_equal(buf_append_u16be(&bytes, 0), 0);
        assert_int_equal(join_message_encode(&m, &bytes), 0);
        bytes.data[1] = (uint8_t) (bytes.size - 2);
        assert_int_equal(join_receive(r.member.join, buf_slice(&bytes)), JOIN_STEP_BROKEN);
        assert_string_equal(join_why(r.member.join), "it sent a message out of turn");
        assert_int_equal(join_output(r.member.join)->size, 0);
        assert_int_equal(join_receive(r.member.join, buf_slice(&bytes)), JOIN_STEP_BROKEN);
        buf_dispose(&bytes);
        rig_dispose(&r);
    }
}

static void test_join__more_than_was_asked_for_breaks_it(void **state)
{
    static const uint8_t MUCH[64 * 1024] = {0x3f, 0xff, 1};
    struct rig r;
    (void) state;
    rig_init(&r);
    rig_create(&r);
    assert_int_equal(join_receive(r.member.join, slice_of(MUCH, sizeof MUCH)), JOIN_STEP_BROKEN);
    assert_string_equal(join_why(r.member.join), "it sent more than it was asked for");
    rig_dispose(&r);
}

static void test_join__lengths_beyond_the_cap_break_it_at_once(void **state)
{
    static const uint8_t LONG[] = {0x40, 0x01}, NOTHING[] = {0, 0};
    struct rig r;
    (void) state;
    rig_init(&r);
    rig_create(&r);
    assert_int_equal(join_receive(r.member.join, slice_of(LONG, 2)), JOIN_STEP_BROKEN);
    assert_int_equal(join_receive(r.joiner.join, slice_of(NOTHING, 2)), JOIN_STEP_BROKEN);
    rig_dispose(&r);
}

/* ---- grants that cheat: the issuer knows the password, and still may not give what is not its own ---- */

static void run_cheating(struct rig *r, const char *why)
{
    rig_create(r);
    run(r);
    assert_int_equal(join_step(r->joiner.join), JOIN_STEP_BROKEN);
    assert_string_equal(join_why(r->joiner.join), why);
    rig_dispose(r);
}

static void issue_for(const struct authority *a, const struct key *k, unsigned roles, struct buf *der)
{
    struct certificate_request request = {.public_der = key_public_der(k), .name = "eve", .roles = roles};
    buf_init(der, 0);
    assert_int_equal(authority_issue(a, &request, NOW, der), 0);
}

static void test_join__a_grant_for_another_key_role_or_authority_is_refused(void **state)
{
    struct rig r;
    struct buf der;
    struct authority *foreign;
    (void) state;
    rig_init(&r);
    issue_for(r.member.authority, r.member.node, TRUST_ROLE_NODE, &der);
    r.member.certificate_override = buf_slice(&der);
    run_cheating(&r, "the certificate that it gave is not for this node's key");
    buf_dispose(&der);

    rig_init(&r);
    issue_for(r.member.authority, r.joiner.node, TRUST_ROLE_INVOKE, &der);
    r.member.certificate_override = buf_slice(&der);
    run_cheating(&r, "the certificate that it gave is not a node's");
    buf_dispose(&der);

    rig_init(&r);
    issue_for(r.joiner.authority, r.joiner.node, TRUST_ROLE_NODE, &der);
    r.member.certificate_override = buf_slice(&der);
    run_cheating(&r, "the certificate that it gave is not sound: another grid's authority issued it (it calls itself \"demo\")");
    buf_dispose(&der);

    rig_init(&r);
    r.member.authority_override = authority_certificate_der(r.joiner.authority);
    run_cheating(&r, "the authority that it gave is not the one that it spoke of");

    rig_init(&r);
    r.member.authority_override = SLICE("no certificate");
    run_cheating(&r, "the authority that it gave is none");

    rig_init(&r);
    assert_int_equal(authority_mint("another", NOW, &foreign), 0);
    authority_destroy(r.member.authority);
    r.member.authority = foreign;
    snprintf(r.member.standing.authority_id, sizeof r.member.standing.authority_id, "%s", authority_id(foreign));
    run_cheating(&r, "the authority that it gave is another grid's");
}

/* Who knows the password seals its messages well, and yet gets no certificate for a request that was signed for another
 * connection. */
static void test_join__a_request_not_signed_for_this_channel_is_refused(void **state)
{
    struct rig r;
    (void) state;
    rig_init(&r);
    rig_create(&r);
    pass(&r, &r.joiner, &r.member);
    pass(&r, &r.member, &r.joiner);
    pass(&r, &r.joiner, &r.member);
    r.joiner.join->exporter[0] ^= 1;
    run(&r);
    assert_int_equal(join_step(r.member.join), JOIN_STEP_BROKEN);
    assert_string_equal(join_why(r.member.join), "its request is not signed by the key that it names");
    assert_nobody_in(&r);
    rig_dispose(&r);
}

static void test_key_verify__takes_its_keys_signature_alone(void **state)
{
    struct key *a, *b;
    uint8_t signature[TRUST_SIGNATURE_MAX];
    size_t size;
    (void) state;
    assert_int_equal(key_mint(&a), 0);
    assert_int_equal(key_mint(&b), 0);
    assert_int_equal(key_sign(a, SLICE("x"), signature, &size), 0);
    assert_int_equal(key_verify(key_public_der(a), SLICE("x"), slice_of(signature, size)), 0);
    assert_int_equal(key_verify(key_public_der(b), SLICE("x"), slice_of(signature, size)), GRID_EPERM);
    assert_int_equal(key_verify(key_public_der(a), SLICE("y"), slice_of(signature, size)), GRID_EPERM);
    assert_int_equal(key_verify(key_public_der(a), SLICE("x"), slice_of(signature, size - 1)), GRID_EPERM);
    assert_int_equal(key_verify(SLICE("no key"), SLICE("x"), slice_of(signature, size)), GRID_EPERM);
    assert_int_equal(key_verify(SLICE(""), SLICE("x"), slice_of(signature, size)), GRID_EPERM);
    key_destroy(a);
    key_destroy(b);
}

static void test_join__senseless_settings_are_refused(void **state)
{
    struct rig r;
    struct join *j;
    (void) state;
    rig_init(&r);
    r.joiner.config.own_public_der = r.joiner.config.peer_public_der = key_public_der(r.joiner.channel_key);
    r.joiner.config.grid = "";
    assert_int_equal(join_create(&r.joiner.config, &j), GRID_EINVAL);
    r.joiner.config.grid = "demo", r.joiner.config.name = "a\nb";
    assert_int_equal(join_create(&r.joiner.config, &j), GRID_EINVAL);
    r.joiner.config.name = "ada", r.joiner.config.address_count = TRUST_ADDRESSES_MAX + 1;
    assert_int_equal(join_create(&r.joiner.config, &j), GRID_EINVAL);
    rig_dispose(&r);
}

/* ---- the codec ---- */

static void test_join_message__refuses_what_is_not_whole(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        int err;
    } CASES[] = {
        {"", 0, GRID_EAGAIN},
        {"\0", 1, GRID_EAGAIN},
        {"\0\1", 2, GRID_EAGAIN},
        {"\0\1\1", 3, GRID_EPROTO},                                 /* a share without bytes */
        {"\0\1\0", 3, GRID_EPROTO},                                 /* no such type */
        {"\0\1\7", 3, GRID_EPROTO},
        {"\0\3\6\0\0", 5, GRID_EPROTO},                             /* no such reason */
        {"\0\3\6\x09\0", 5, GRID_EPROTO},
        {"\0\3\6\3\0", 5, 0},
        {"\0\4\6\3\0\0", 6, GRID_EPROTO},                           /* a byte too many */
        {"\0\3\6\3\1", 5, GRID_EPROTO},                             /* an address that is not there */
        {"\0\5\6\3\1\0\0", 7, GRID_EPROTO},                         /* an empty one */
        {"\0\6\6\3\1\0\1 ", 8, GRID_EPROTO},                        /* a blank */
        {"\0\6\6\3\1\0\1x", 8, 0},
        {"\0\3\6\3\x09", 5, GRID_EPROTO},                           /* nine addresses */
    };
    struct join_message m;
    size_t size;
    (void) state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        assert_int_equal(join_message_decode(slice_of(CASES[i].bytes, CASES[i].size), false, &m, &size), CASES[i].err);
    assert_int_equal(join_message_decode(slice_of("\0\3\6\3\0", 5), true, &m, &size), GRID_EPROTO); /* sealed, and no MAC */
    assert_string_equal(join_reason_text((enum join_reason) 99), "for no reason that is known here");
    assert_string_equal(join_reason_text(JOIN_MISMATCH), "the password or the grid's name differs");
}

static void test_join_message__refuses_to_write_what_is_beyond_a_limit(void **state)
{
    static const uint8_t BYTES[JOIN_MESSAGE_MAX];
    struct join_message cases[] = {
        {.type = JOIN_SHARE, .u.share = SLICE("short")},
        {.type = JOIN_CONFIRM, .u.tag = SLICE("short")},
        {.type = JOIN_STANDING, .u.standing.authority_id = "zz"},
        {.type = JOIN_REQUEST, .u.request.public_der = slice_of(BYTES, JOIN_PUBLIC_KEY_MAX + 1)},
        {.type = JOIN_REQUEST, .u.request.address_count = TRUST_ADDRESSES_MAX + 1},
        {.type = JOIN_GRANT, .u.grant.certificate_der = slice_of(BYTES, TRUST_CERTIFICATE_MAX + 1)},
        {.type = JOIN_GRANT, .u.grant.ledger = slice_of(BYTES, sizeof BYTES)},
        {.type = (enum join_type) 300},
    };
    struct buf out;
    (void) state;
    buf_init(&out, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_not_equal(join_message_encode(&cases[i], &out), 0);
        assert_int_equal(out.size, 0);
    }
    buf_dispose(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join__a_provisional_joiner_is_granted_by_a_hardened_member),
        cmocka_unit_test(test_join__a_provisional_member_yields_to_a_hardened_joiner),
        cmocka_unit_test(test_join__of_two_provisional_ones_the_greater_id_yields),
        cmocka_unit_test(test_join_who_yields__is_the_same_question_from_both_sides),
        cmocka_unit_test(test_join_who_yields__a_lone_node_yields_to_a_shared_grid),
        cmocka_unit_test(test_join__two_of_the_same_grid_are_settled),
        cmocka_unit_test(test_join__two_hardened_grids_refuse_each_other),
        cmocka_unit_test(test_join__a_ledger_that_does_not_fit_is_left_out),
        cmocka_unit_test(test_join__a_member_refuses_before_anything_is_said),
        cmocka_unit_test(test_join__either_side_refuses_to_say_its_standing),
        cmocka_unit_test(test_join__who_cannot_issue_names_others),
        cmocka_unit_test(test_join__a_wrong_password_fails_and_counts),
        cmocka_unit_test(test_join__another_grids_name_fails_like_a_wrong_password),
        cmocka_unit_test(test_join__a_man_in_the_middle_fails_by_exporter_or_key),
        cmocka_unit_test(test_join__a_fake_responder_gets_one_guess_that_is_counted),
        cmocka_unit_test(test_join__shares_do_not_repeat),
        cmocka_unit_test(test_join__a_tampered_byte_anywhere_lets_nobody_in),
        cmocka_unit_test(test_join__input_cut_at_any_length_lets_nobody_in),
        cmocka_unit_test(test_join__replayed_messages_are_refused),
        cmocka_unit_test(test_join__messages_out_of_turn_break_it),
        cmocka_unit_test(test_join__more_than_was_asked_for_breaks_it),
        cmocka_unit_test(test_join__lengths_beyond_the_cap_break_it_at_once),
        cmocka_unit_test(test_join__a_grant_for_another_key_role_or_authority_is_refused),
        cmocka_unit_test(test_join__a_request_not_signed_for_this_channel_is_refused),
        cmocka_unit_test(test_key_verify__takes_its_keys_signature_alone),
        cmocka_unit_test(test_join__senseless_settings_are_refused),
        cmocka_unit_test(test_join_message__refuses_what_is_not_whole),
        cmocka_unit_test(test_join_message__refuses_to_write_what_is_beyond_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
