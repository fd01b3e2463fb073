/* Statements signed by members: whose word counts, and what is remembered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "trust/authority.h"
#include "trust/seal_judge.h"

static const int64_t NOW = 1900000000;
enum { DAY = 86400 };

struct rig {
    struct authority *authority, *next;
    struct key *node, *other;
    struct verifier *verifier;
    struct seal_judge *judge;
    struct buf certificate;
    uint8_t signature[TRUST_SIGNATURE_MAX];
    size_t signature_size;
    char why[TRUST_WHY_MAX];
};

static const char WORDS[] = "what a member says of itself";

static void issue(const struct authority *a, const struct key *k, unsigned roles, unsigned days, struct buf *der)
{
    struct certificate_request request = {.public_der = key_public_der(k), .name = "fluffy-donkey", .roles = roles, .days = days};
    buf_clear(der);
    assert_int_equal(authority_issue(a, &request, NOW, der), 0);
}

static struct verifier *verifier_of(const struct authority *a, const struct authority *b, const char *evicted)
{
    struct slice ders[2] = {authority_certificate_der(a)};
    struct verifier *v;
    if (b)
        ders[1] = authority_certificate_der(b);
    assert_int_equal(verifier_create(ders, b ? 2 : 1, &evicted, evicted ? 1 : 0, &v), 0);
    return v;
}

static void follow(struct rig *r, const struct authority *a, const struct authority *b, const char *evicted)
{
    verifier_destroy(r->verifier);
    r->verifier = verifier_of(a, b, evicted);
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    assert_int_equal(authority_mint("demo", NOW, &r->authority), 0);
    assert_int_equal(authority_mint("demo", NOW, &r->next), 0);
    assert_int_equal(key_mint(&r->node), 0);
    assert_int_equal(key_mint(&r->other), 0);
    assert_int_equal(seal_judge_create(&r->judge), 0);
    buf_init(&r->certificate, 0);
    issue(r->authority, r->node, TRUST_ROLE_NODE, 0, &r->certificate);
    assert_int_equal(key_sign(r->node, SLICE(WORDS), r->signature, &r->signature_size), 0);
    follow(r, r->authority, NULL, NULL);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    buf_dispose(&r->certificate);
    seal_judge_destroy(r->judge);
    verifier_destroy(r->verifier);
    key_destroy(r->node);
    key_destroy(r->other);
    authority_destroy(r->authority);
    authority_destroy(r->next);
    free(r);
    return 0;
}

static struct seal_statement good(const struct rig *r)
{
    return (struct seal_statement){.id = key_id(r->node), .certificate = buf_slice(&r->certificate), .signed_bytes = SLICE(WORDS),
                                   .signature = slice_of(r->signature, r->signature_size)};
}

static int judge(struct rig *r, const struct seal_statement *s)
{
    return seal_judge_check(r->judge, r->verifier, s, NOW, r->why);
}

static void test_seal__takes_a_members_word_and_remembers_it(void **state)
{
    struct rig *r = *state;
    struct seal_statement s = good(r);
    for (int i = 0; i < 3; i++)
        assert_int_equal(judge(r, &s), 0);
    const struct seal_counters *c = seal_judge_counters(r->judge);
    assert_int_equal(c->checked, 1);
    assert_int_equal(c->chains, 1);
    assert_int_equal(c->recalled, 2);
    assert_int_equal(c->refused, 0);
}

static void test_seal__refuses_whatever_its_owner_did_not_sign(void **state)
{
    struct rig *r = *state;
    struct buf others;
    struct seal_statement s;
    buf_init(&others, 0);
    issue(r->authority, r->other, TRUST_ROLE_NODE, 0, &others);

    s = good(r), s.signed_bytes = SLICE("what another says of it");
    assert_int_equal(judge(r, &s), GRID_EPERM);
    assert_string_equal(r->why, "its signature is wrong");
    s = good(r), s.signature = slice_of(NULL, 0);
    assert_int_equal(judge(r, &s), GRID_EPERM);
    s = good(r), s.id = key_id(r->other);
    assert_int_equal(judge(r, &s), GRID_EPERM);
    assert_string_equal(r->why, "its certificate is another node's");
    s = good(r), s.id = key_id(r->other), s.certificate = buf_slice(&others); /* a member that speaks for another one */
    assert_int_equal(judge(r, &s), GRID_EPERM);
    assert_string_equal(r->why, "its signature is wrong");
    s = good(r), s.certificate = slice_of(NULL, 0);
    assert_int_equal(judge(r, &s), GRID_EPERM);
    s = good(r), s.certificate = slice_first(s.certificate, s.certificate.size - 1);
    assert_int_equal(judge(r, &s), GRID_EPERM);
    buf_dispose(&others);
}

static void test_seal__a_flipped_bit_anywhere_spoils_it(void **state)
{
    struct rig *r = *state;
    struct seal_statement s = good(r);
    uint8_t words[sizeof WORDS - 1];
    for (size_t i = 0; i < sizeof words; i++) {
        memcpy(words, WORDS, sizeof words);
        words[i] ^= (uint8_t) (1 << i % 8);
        s.signed_bytes = slice_of(words, sizeof words);
        assert_int_equal(judge(r, &s), GRID_EPERM);
    }
    s = good(r);
    for (size_t i = 0; i < r->signature_size; i++) {
        r->signature[i] ^= 1;
        assert_int_not_equal(judge(r, &s), 0);
        r->signature[i] ^= 1;
    }
    for (size_t i = 0; i < r->certificate.size; i += 7) {
        r->certificate.data[i] ^= 1;
        assert_int_not_equal(judge(r, &s), 0);
        r->certificate.data[i] ^= 1;
    }
    assert_int_equal(judge(r, &s), 0);
}

static void test_seal__says_once_what_is_wrong_with_a_statement(void **state)
{
    struct rig *r = *state;
    struct seal_statement s = good(r);
    s.signed_bytes = SLICE("forged");
    assert_int_equal(judge(r, &s), GRID_EPERM);
    assert_int_equal(judge(r, &s), GRID_EEXIST);
    assert_int_equal(seal_judge_counters(r->judge)->checked, 1);
    assert_int_equal(seal_judge_counters(r->judge)->refused, 2);
}

static void test_seal__holds_what_it_remembers_against_the_grids_newest_word(void **state)
{
    struct rig *r = *state;
    struct seal_statement s = good(r);
    assert_int_equal(judge(r, &s), 0);
    follow(r, r->next, r->authority, NULL); /* on its way out, but still taken */
    assert_int_equal(judge(r, &s), 0);
    assert_int_equal(seal_judge_counters(r->judge)->chains, 1);
    follow(r, r->next, NULL, NULL);
    assert_int_equal(judge(r, &s), GRID_EPERM);
    follow(r, r->authority, NULL, key_id(r->node));
    assert_int_equal(judge(r, &s), GRID_EPERM);
    assert_string_equal(r->why, "its key has been evicted from the grid");
    follow(r, r->authority, NULL, NULL);
    assert_int_equal(judge(r, &s), 0);
}

static void test_seal__takes_its_owners_own_word_without_asking_the_issuer(void **state)
{
    struct rig *r = *state;
    struct seal_statement s = good(r);
    follow(r, r->next, NULL, NULL); /* as a node does that was away while the authority was replaced */
    assert_int_equal(judge(r, &s), GRID_EPERM);
    s.admitted = true;
    assert_int_equal(judge(r, &s), 0);
    s.signed_bytes = SLICE("but never unsigned");
    assert_int_equal(judge(r, &s), GRID_EPERM);
    follow(r, r->next, NULL, key_id(r->node));
    s = good(r), s.admitted = true;
    assert_int_equal(judge(r, &s), GRID_EPERM);
}

static void test_seal__takes_nodes_alone_and_only_while_their_certificates_last(void **state)
{
    struct rig *r = *state;
    struct seal_statement s;
    issue(r->authority, r->node, TRUST_ROLE_ADMIN | TRUST_ROLE_INVOKE, 30, &r->certificate);
    s = good(r);
    assert_int_equal(judge(r, &s), GRID_EPERM);
    assert_string_equal(r->why, "its certificate is not a node's");
    issue(r->authority, r->node, TRUST_ROLE_NODE, 1, &r->certificate);
    s = good(r);
    assert_int_equal(judge(r, &s), 0);
    assert_int_equal(seal_judge_check(r->judge, r->verifier, &s, NOW + 3 * DAY, r->why), GRID_EPERM);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_seal__takes_a_members_word_and_remembers_it),
        CASE(test_seal__refuses_whatever_its_owner_did_not_sign),
        CASE(test_seal__a_flipped_bit_anywhere_spoils_it),
        CASE(test_seal__says_once_what_is_wrong_with_a_statement),
        CASE(test_seal__holds_what_it_remembers_against_the_grids_newest_word),
        CASE(test_seal__takes_its_owners_own_word_without_asking_the_issuer),
        CASE(test_seal__takes_nodes_alone_and_only_while_their_certificates_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
