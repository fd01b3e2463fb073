/* Where `grid cert issue` takes the authority from; what it writes is tested end to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "cli/cert_issue.h"
#include "cli/cli.h"
#include "trust/ledger.h"
#include "trust/standing.h"

struct rig {
    char folder[64], path[80];
    struct authority *authority, *former;
    struct standing standing;
};

static void keep_ledger(struct rig *r)
{
    struct ledger *l;
    assert_int_equal(ledger_create(authority_certificate_der(r->authority), &l), 0);
    assert_int_equal(ledger_pack(l, &r->standing.ledger), 0);
    ledger_destroy(l);
}

static void keep_key(const struct authority *a, struct buf *out)
{
    char why[TRUST_WHY_MAX];
    struct key *k;
    struct buf pem;
    buf_init(&pem, 0);
    assert_int_equal(authority_append_key_pem(a, &pem), 0);
    assert_int_equal(key_parse_pem(buf_slice(&pem), &k, why), 0);
    assert_int_equal(standing_set(out, key_private_der(k)), 0);
    key_destroy(k);
    buf_dispose(&pem);
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    snprintf(r->folder, sizeof r->folder, "/tmp/cert-test-XXXXXX");
    assert_non_null(mkdtemp(r->folder));
    snprintf(r->path, sizeof r->path, "%s/trust", r->folder);
    assert_int_equal(authority_mint("demo", time(NULL), &r->authority), 0);
    assert_int_equal(authority_mint("demo", time(NULL), &r->former), 0);
    standing_init(&r->standing);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    authority_destroy(r->authority);
    authority_destroy(r->former);
    standing_dispose(&r->standing);
    unlink(r->path);
    rmdir(r->folder);
    free(r);
    return 0;
}

static void store(struct rig *r)
{
    char sentence[TRUST_SENTENCE_MAX];
    assert_int_equal(standing_store(r->folder, &r->standing, sentence), 0);
}

static void test_cert__takes_the_authority_of_an_issuers_state_folder(void **state)
{
    struct rig *r = *state;
    struct authority *found;
    keep_ledger(r);
    keep_key(r->former, &r->standing.keys[0]);
    keep_key(r->authority, &r->standing.keys[1]);
    store(r);
    assert_int_equal(cert_authority_of_state(r->folder, &found), GRID_DONE);
    assert_string_equal(authority_id(found), authority_id(r->authority));
    assert_true(authority_can_issue(found));
    authority_destroy(found);
}

static void test_cert__takes_none_of_a_member_that_is_no_issuer(void **state)
{
    struct rig *r = *state;
    struct authority *found;
    keep_ledger(r);
    keep_key(r->former, &r->standing.keys[0]);
    store(r);
    assert_int_equal(cert_authority_of_state(r->folder, &found), GRID_FAILED);
}

static void test_cert__takes_none_of_a_folder_without_a_grid(void **state)
{
    struct rig *r = *state;
    struct authority *found;
    assert_int_equal(cert_authority_of_state(r->folder, &found), GRID_FAILED);
    store(r);
    assert_int_equal(cert_authority_of_state(r->folder, &found), GRID_FAILED);
    assert_int_equal(trust_file_write(r->path, SLICE("garbage"), 0600), 0);
    assert_int_equal(cert_authority_of_state(r->folder, &found), GRID_FAILED);
}

static void test_cert__names_are_file_names_too(void **state)
{
    (void) state;
    assert_null(cert_name_fault("ci"));
    assert_null(cert_name_fault("gr\xc3\xbc\xc3\x9f e"));
    static const char *const WRONG[] = {"", "a/b", "/", ".", "..", ".hidden", "ca", "tab\t", "\xff"};
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++)
        assert_non_null(cert_name_fault(WRONG[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cert__takes_the_authority_of_an_issuers_state_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cert__takes_none_of_a_member_that_is_no_issuer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cert__takes_none_of_a_folder_without_a_grid, setup, teardown),
        cmocka_unit_test(test_cert__names_are_file_names_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
