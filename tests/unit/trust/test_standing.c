/* What a node keeps of its place in a grid: bytes and file; and authorities that vouch for each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "trust/standing.h"
#include "trust/verify.h"

static const int64_t NOW = 1900000000;

static void fill(struct standing *s)
{
    static const char ID_A[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    static const char ID_B[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    standing_init(s);
    assert_int_equal(standing_set(&s->certificate, SLICE("certificate")), 0);
    assert_int_equal(standing_set(&s->ledger, SLICE("ledger")), 0);
    assert_int_equal(standing_set(&s->keys[0], SLICE("key")), 0);
    s->provisional = true;
    standing_add_former(s, ID_A);
    standing_add_former(s, ID_B);
    standing_add_former(s, ID_A);
    s->has_password = true;
    s->password_epoch = UINT64_C(0x123456789a);
    s->password_size = 32;
    memset(s->password, 7, 32);
    assert_int_equal(standing_pin(s, SLICE("replaced"), SLICE("next"), NOW), 0);
    assert_int_equal(standing_pin_id(s, ID_A), 0);
    assert_int_equal(standing_pin_id(s, ID_B), 0);
}

static void test_standing__is_read_back_as_it_was_written(void **state)
{
    (void) state;
    struct standing s, again;
    struct buf once, twice;
    fill(&s);
    standing_init(&again);
    buf_init(&once, 0), buf_init(&twice, 0);
    assert_int_equal(standing_pack(&s, &once), 0);
    assert_int_equal(standing_unpack(buf_slice(&once), &again), 0);
    assert_int_equal(standing_pack(&again, &twice), 0);
    assert_true(slice_equal(buf_slice(&once), buf_slice(&twice)));
    assert_true(again.provisional && again.has_password);
    assert_int_equal(again.former_count, 2);
    assert_int_equal(again.password_epoch, UINT64_C(0x123456789a));
    assert_true(slice_equal(buf_slice(&again.pins.authority), SLICE("replaced")));
    assert_true(slice_equal(buf_slice(&again.pins.next), SLICE("next")));
    assert_int_equal(again.pins.until_s, NOW);
    assert_int_equal(again.pins.count, 2);
    for (size_t i = 0; i < 2; i++)
        assert_string_equal(again.pins.ids[i], s.pins.ids[i]);
    buf_dispose(&once), buf_dispose(&twice);
    standing_dispose(&s), standing_dispose(&again);
}

static void test_standing__refuses_what_is_cut_short(void **state)
{
    (void) state;
    struct standing s, again;
    struct buf bytes;
    fill(&s);
    buf_init(&bytes, 0);
    assert_int_equal(standing_pack(&s, &bytes), 0);
    size_t whole = 0;
    for (size_t size = 0; size < bytes.size; size++) {
        standing_init(&again);
        whole += standing_unpack(slice_of(bytes.data, size), &again) == 0;
        standing_dispose(&again);
    }
    assert_int_equal(whole, 9); /* after the magic and after each record but the last it is a shorter one */
    bytes.data[7] = '2';
    standing_init(&again);
    assert_int_equal(standing_unpack(buf_slice(&bytes), &again), GRID_EUNSUPPORTED);
    standing_dispose(&again), standing_dispose(&s);
    buf_dispose(&bytes);
}

static void assert_refused(struct slice record)
{
    struct standing s;
    struct buf bytes;
    standing_init(&s);
    buf_init(&bytes, 0);
    buf_append_str(&bytes, "GRIDTRS1");
    buf_append(&bytes, record);
    assert_int_equal(standing_unpack(buf_slice(&bytes), &s), GRID_EPROTO);
    standing_dispose(&s);
    buf_dispose(&bytes);
}

static void test_standing__refuses_pins_of_nobody_or_to_nothing(void **state)
{
    (void) state;
    assert_refused(SLICE("\7\0\0\0\0"));
    assert_refused(SLICE("\11\0\0\0\1" "c"));
    assert_refused(SLICE("\7\0\0\0\12" "\0\0\0\0\0\0\0\1" "\0\0"));
    assert_refused(SLICE("\7\0\0\0\13" "\0\0\0\0\0\0\0\1" "\0\1" "c"));
    assert_refused(SLICE("\7\0\0\0\13" "\0\0\0\0\0\0\0\1" "\0\2" "c"));
    assert_refused(SLICE("\7\0\0\0\53" "\0\0\0\0\0\0\0\1" "\0\0" "cccccccccccccccccccccccccccccccc" "c"));
    assert_refused(SLICE("\7\0\0\0\53" "\377\0\0\0\0\0\0\1" "\0\1" "cdddddddddddddddddddddddddddddddd"));
}

static void test_standing__forgets_a_password_by_overwriting_it(void **state)
{
    (void) state;
    struct standing s;
    fill(&s);
    standing_forget_password(&s);
    assert_false(s.has_password);
    for (size_t i = 0; i < sizeof s.password; i++)
        assert_int_equal(s.password[i], 0);
    standing_dispose(&s);
}

static void test_standing__forgets_the_oldest_of_too_many_former_authorities(void **state)
{
    (void) state;
    struct standing s;
    char id[TRUST_ID_SIZE];
    standing_init(&s);
    for (unsigned i = 0; i < STANDING_FORMER_MAX + 1; i++) {
        snprintf(id, sizeof id, "%064x", i);
        standing_add_former(&s, id);
    }
    assert_int_equal(s.former_count, STANDING_FORMER_MAX);
    assert_true(standing_is_former(&s, id));
    snprintf(id, sizeof id, "%064x", 0);
    assert_false(standing_is_former(&s, id));
    standing_dispose(&s);
}

static void test_standing__is_kept_where_nobody_else_can_read_it(void **state)
{
    (void) state;
    char folder[] = "/tmp/standing-test-XXXXXX", path[64], sentence[TRUST_SENTENCE_MAX];
    struct standing s, again;
    struct stat info;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/trust", folder);
    fill(&s);
    standing_init(&again);
    assert_int_equal(standing_load(folder, &again, sentence), 0); /* there is none yet */
    assert_int_equal(again.ledger.size, 0);
    assert_int_equal(standing_store(folder, &s, sentence), 0);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(standing_load(folder, &again, sentence), 0);
    assert_true(slice_equal_str(buf_slice(&again.ledger), "ledger"));
    standing_dispose(&again);
    standing_init(&again);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(standing_load(folder, &again, sentence), GRID_EPERM);
    assert_non_null(strstr(sentence, "chmod 600"));
    assert_int_equal(truncate(path, 20), 0);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(standing_load(folder, &again, sentence), GRID_EPROTO);
    assert_non_null(strstr(sentence, "damaged"));
    standing_dispose(&s), standing_dispose(&again);
    unlink(path);
    rmdir(folder);
}

/* ---- authorities that vouch for each other ---- */

struct vouching {
    struct authority *before, *after;
    struct key *node;
    struct verifier *knows_before;
    struct buf leaf, cross;
};

static void vouching_make(struct vouching *v)
{
    assert_int_equal(authority_mint("demo", NOW, &v->before), 0);
    assert_int_equal(authority_mint("demo", NOW, &v->after), 0);
    assert_int_equal(key_mint(&v->node), 0);
    buf_init(&v->leaf, 0), buf_init(&v->cross, 0);
    struct certificate_request request = {.public_der = key_public_der(v->node), .name = "n", .roles = TRUST_ROLE_NODE};
    assert_int_equal(authority_issue(v->after, &request, NOW, &v->leaf), 0);
    assert_int_equal(authority_cross_sign(v->before, v->after, NOW, &v->cross), 0);
    struct slice der = authority_certificate_der(v->before);
    assert_int_equal(verifier_create(&der, 1, NULL, 0, &v->knows_before), 0);
}

static void vouching_dispose(struct vouching *v)
{
    verifier_destroy(v->knows_before);
    authority_destroy(v->before), authority_destroy(v->after);
    key_destroy(v->node);
    buf_dispose(&v->leaf), buf_dispose(&v->cross);
}

static void test_verify__takes_a_leaf_of_an_authority_that_an_accepted_one_vouches_for(void **state)
{
    (void) state;
    struct vouching v;
    struct verify_holder holder;
    char why[TRUST_WHY_MAX];
    vouching_make(&v);
    struct slice chain[] = {buf_slice(&v.leaf), buf_slice(&v.cross)}, self_signed[] = {buf_slice(&v.leaf), authority_certificate_der(v.after)};
    assert_int_equal(verify_chain(v.knows_before, chain, 2, NOW, &holder, why), 0);
    assert_string_equal(holder.issuer, authority_id(v.before));
    assert_string_equal(holder.id, key_id(v.node));
    assert_int_equal(verify_chain(v.knows_before, chain, 1, NOW, &holder, why), GRID_EPERM);
    assert_int_equal(verify_chain(v.knows_before, self_signed, 2, NOW, &holder, why), GRID_EPERM);
    vouching_dispose(&v);
}

static void test_verify__a_leaf_vouches_for_nobody(void **state)
{
    (void) state;
    struct vouching v;
    struct verify_holder holder;
    struct buf inner, outer;
    char why[TRUST_WHY_MAX];
    vouching_make(&v);
    buf_init(&inner, 0), buf_init(&outer, 0);
    struct certificate_request own = {.public_der = key_public_der(v.node), .name = "n", .roles = TRUST_ROLE_NODE};
    assert_int_equal(authority_issue(v.before, &own, NOW, &outer), 0);
    assert_int_equal(certificate_issue(v.node, buf_slice(&outer), &own, NOW, &inner), 0);
    struct slice chain[] = {buf_slice(&inner), buf_slice(&outer)};
    assert_int_equal(verify_chain(v.knows_before, chain, 2, NOW, &holder, why), GRID_EPERM);
    buf_dispose(&inner), buf_dispose(&outer);
    vouching_dispose(&v);
}

static void test_verifier__refuses_the_evicted_and_those_of_another_authority(void **state)
{
    (void) state;
    struct vouching v;
    struct verifier *strict;
    vouching_make(&v);
    struct slice der = authority_certificate_der(v.before);
    const char *revoked = key_id(v.node), *other = authority_id(v.after);
    assert_int_equal(verifier_create(&der, 1, &revoked, 1, &strict), 0);
    assert_false(verifier_refuses(v.knows_before, key_id(v.node), authority_id(v.before)));
    assert_true(verifier_refuses(strict, key_id(v.node), authority_id(v.before)));
    assert_false(verifier_refuses(strict, other, authority_id(v.before)));
    assert_true(verifier_refuses(strict, other, authority_id(v.after)));
    verifier_destroy(strict);
    vouching_dispose(&v);
}

static void test_authority__is_loaded_from_der_only_with_its_own_key(void **state)
{
    (void) state;
    struct vouching v;
    struct authority *a;
    char why[TRUST_WHY_MAX];
    vouching_make(&v);
    struct slice certificate = authority_certificate_der(v.before), key = key_private_der(authority_key(v.before));
    assert_int_equal(authority_load_der(certificate, key, &a, why), 0);
    assert_true(authority_can_issue(a));
    authority_destroy(a);
    assert_int_equal(authority_load_der(certificate, slice_of(NULL, 0), &a, why), 0);
    assert_false(authority_can_issue(a));
    authority_destroy(a);
    assert_int_equal(authority_load_der(certificate, key_private_der(authority_key(v.after)), &a, why), GRID_EINVAL);
    assert_int_equal(authority_load_der(certificate, SLICE("garbage"), &a, why), GRID_EINVAL);
    assert_int_equal(authority_load_der(SLICE("garbage"), key, &a, why), GRID_EINVAL);
    vouching_dispose(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_standing__is_read_back_as_it_was_written),
        cmocka_unit_test(test_standing__refuses_what_is_cut_short),
        cmocka_unit_test(test_standing__refuses_pins_of_nobody_or_to_nothing),
        cmocka_unit_test(test_standing__forgets_a_password_by_overwriting_it),
        cmocka_unit_test(test_standing__forgets_the_oldest_of_too_many_former_authorities),
        cmocka_unit_test(test_standing__is_kept_where_nobody_else_can_read_it),
        cmocka_unit_test(test_verify__takes_a_leaf_of_an_authority_that_an_accepted_one_vouches_for),
        cmocka_unit_test(test_verify__a_leaf_vouches_for_nobody),
        cmocka_unit_test(test_verifier__refuses_the_evicted_and_those_of_another_authority),
        cmocka_unit_test(test_authority__is_loaded_from_der_only_with_its_own_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
