/* Which entries of the release log this node takes from others: real certificates, real signatures. */
// links: grid_server
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/err.h"
#include "server/node_trust.h"
#include "server/node_verdict.h"

enum { DAY_S = 86400 };

/* A grid's authority, a publisher of it, and a node that judges. */
struct rig {
    struct authority *authority;
    struct key *key;
    struct buf certificate;
    struct release_entry entry;
    uint8_t signature[ENTRY_SIGNATURE_BYTES];
    struct node node;
    const char *publishers[1];
};

static void make_verdict(struct rig *r, const char *revoked)
{
    struct slice der = authority_certificate_der(r->authority);
    struct verifier *v;
    assert_int_equal(verifier_create(&der, 1, &revoked, revoked ? 1 : 0, &v), 0);
    verdict_unref(r->node.verdict);
    r->node.verdict = verdict_create(v);
    assert_non_null(r->node.verdict);
}

static void issue(struct rig *r, unsigned roles, unsigned days, int64_t ago_days)
{
    struct certificate_request request = {.public_der = key_public_der(r->key), .name = "publisher", .roles = roles, .days = days};
    buf_clear(&r->certificate);
    assert_int_equal(authority_issue(r->authority, &request, (int64_t) time(NULL) - ago_days * DAY_S, &r->certificate), 0);
}

static void signing_bytes(const struct rig *r, struct buf *out)
{
    buf_init(out, 0);
    assert_int_equal(release_entry_signing_bytes(&r->entry, out), 0);
}

static void sign(struct rig *r)
{
    struct buf bytes;
    size_t size;
    signing_bytes(r, &bytes);
    assert_int_equal(key_sign(r->key, buf_slice(&bytes), r->signature, &size), 0);
    r->entry.signature = slice_of(r->signature, size);
    buf_dispose(&bytes);
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    assert_int_equal(authority_mint("demo", (int64_t) time(NULL), &r->authority), 0);
    assert_int_equal(key_mint(&r->key), 0);
    buf_init(&r->certificate, 0);
    issue(r, TRUST_ROLE_NODE, 365, 0);
    r->entry = (struct release_entry){.app = SLICE("default"), .sequence = 7, .root = {{1, 2, 3}}, .publisher = slice_of_str(key_id(r->key)), .published_at_ms = 1,
                                      .files = 1, .size_bytes = 1, .config = SLICE("c"), .config_hash = {9}};
    sign(r);
    make_verdict(r, NULL);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    verdict_unref(r->node.verdict);
    buf_dispose(&r->certificate);
    key_destroy(r->key);
    authority_destroy(r->authority);
    free(r);
    return 0;
}

/* Judges the entry; what is expected to be said of it, NULL for nothing. */
static void judge(struct rig *r, const char *expected)
{
    char publisher[RELEASE_PUBLISHER_MAX + 1], why[160] = "";
    struct buf bytes;
    snprintf(publisher, sizeof publisher, "%.*s", SLICE_FMT(r->entry.publisher));
    signing_bytes(r, &bytes);
    int err = node_verdict_of_entry(&r->node, buf_slice(&r->certificate), publisher, buf_slice(&bytes), r->entry.signature, why);
    buf_dispose(&bytes);
    assert_int_equal(err, expected ? GRID_EPERM : 0);
    if (expected && !strstr(why, expected))
        fail_msg("%s, not %s", why, expected);
}

static void test_entry__a_nodes_and_an_admins_are_taken_and_no_clients(void **state)
{
    struct rig *r = *state;
    judge(r, NULL);
    issue(r, TRUST_ROLE_ADMIN, 30, 0);
    judge(r, NULL);
    issue(r, TRUST_ROLE_INVOKE, 30, 0);
    judge(r, "not among those who may publish");
}

static void test_entry__only_named_publishers_are_taken(void **state)
{
    struct rig *r = *state;
    static const char another[] = "00000000000000000000000000000000000000000000000000000000000000aa";
    r->publishers[0] = another;
    r->node.gridfile.publishers = r->publishers;
    r->node.gridfile.publisher_count = 1;
    judge(r, "not among those who may publish");
    r->publishers[0] = key_id(r->key);
    judge(r, NULL);
}

static void test_entry__any_changed_field_breaks_the_signature(void **state)
{
    struct rig *r = *state;
    const struct release_entry good = r->entry;
    struct release_entry changed[] = {good, good, good, good, good, good, good, good};
    changed[0].sequence = 8;
    changed[1].root.bytes[31] ^= 1;
    changed[2].config_hash[0] ^= 1;
    changed[3].has_parent = true;
    changed[4].published_at_ms++;
    changed[5].files++;
    changed[6].size_bytes++;
    changed[7].app = SLICE("other");
    for (size_t i = 0; i < sizeof changed / sizeof *changed; i++) {
        r->entry = changed[i];
        judge(r, "its signature is wrong");
    }
    r->entry = good;
    for (size_t i = 0; i < good.signature.size; i++) {
        r->signature[i] ^= 0x10;
        judge(r, "its signature is wrong");
        r->signature[i] ^= 0x10;
    }
    judge(r, NULL);
}

static void test_entry__anothers_certificate_does_not_carry_it(void **state)
{
    struct rig *r = *state;
    struct key *own = r->key, *other;
    assert_int_equal(key_mint(&other), 0);
    r->key = other;
    issue(r, TRUST_ROLE_NODE, 365, 0);
    r->key = own;
    judge(r, "its certificate is not its publisher's");
    r->entry.publisher = slice_of_str(key_id(other)); /* the entry of another, under this one's signature */
    judge(r, "its signature is wrong");
    key_destroy(other);
}

static void test_entry__of_another_grid_is_refused(void **state)
{
    struct rig *r = *state;
    struct authority *own = r->authority, *other;
    assert_int_equal(authority_mint("demo", (int64_t) time(NULL), &other), 0);
    r->authority = other;
    issue(r, TRUST_ROLE_NODE, 365, 0);
    r->authority = own;
    judge(r, "authority");
    authority_destroy(other);
}

static void test_entry__ends_with_its_publishers_certificate(void **state)
{
    struct rig *r = *state;
    issue(r, TRUST_ROLE_NODE, 30, 20);
    judge(r, NULL);
    issue(r, TRUST_ROLE_NODE, 30, 40);
    judge(r, "expired");
}

static void test_entry__of_an_evicted_publisher_is_refused(void **state)
{
    struct rig *r = *state;
    make_verdict(r, key_id(r->key));
    judge(r, "evicted");
}

static void test_entry__a_grid_of_one_takes_none(void **state)
{
    struct rig *r = *state;
    verdict_unref(r->node.verdict);
    r->node.verdict = NULL;
    judge(r, "in no grid");
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(test_entry__a_nodes_and_an_admins_are_taken_and_no_clients),
        WITH_RIG(test_entry__only_named_publishers_are_taken),
        WITH_RIG(test_entry__any_changed_field_breaks_the_signature),
        WITH_RIG(test_entry__anothers_certificate_does_not_carry_it),
        WITH_RIG(test_entry__of_another_grid_is_refused),
        WITH_RIG(test_entry__ends_with_its_publishers_certificate),
        WITH_RIG(test_entry__of_an_evicted_publisher_is_refused),
        WITH_RIG(test_entry__a_grid_of_one_takes_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
