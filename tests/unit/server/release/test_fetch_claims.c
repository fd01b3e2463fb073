/* What nodes say of their fetches: the last word of each, for as many as there is room for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/release/fetch_claims.h"

static const struct object_id ONE = {{1}}, TWO = {{2}};

static void take(struct fetch_claims *c, unsigned node, const struct object_id *root, uint64_t fetched)
{
    struct fetch_claim claim = {.root = *root, .fetched_bytes = fetched};
    snprintf(claim.node, sizeof claim.node, "node%u", node);
    fetch_claims_take(c, &claim);
}

static void test_fetch_claims__the_last_word_of_a_node_counts(void **state)
{
    struct fetch_claims c = {0};
    (void) state;
    assert_null(fetch_claims_find(&c, "node1", &ONE));
    take(&c, 1, &ONE, 10);
    take(&c, 2, &ONE, 20);
    take(&c, 1, &ONE, 30);
    assert_int_equal(fetch_claims_find(&c, "node1", &ONE)->fetched_bytes, 30);
    assert_int_equal(fetch_claims_find(&c, "node2", &ONE)->fetched_bytes, 20);
    take(&c, 1, &TWO, 5);
    assert_null(fetch_claims_find(&c, "node1", &ONE));
    assert_int_equal(fetch_claims_find(&c, "node1", &TWO)->fetched_bytes, 5);
}

static void test_fetch_claims__of_many_nodes_the_newest_are_known(void **state)
{
    struct fetch_claims c = {0};
    char name[16];
    unsigned known = 0;
    (void) state;
    for (unsigned i = 0; i < 3 * FETCH_CLAIMS_MAX; i++)
        take(&c, i, &ONE, i);
    for (unsigned i = 0; i < 3 * FETCH_CLAIMS_MAX; i++) {
        snprintf(name, sizeof name, "node%u", i);
        bool is_known = fetch_claims_find(&c, name, &ONE) != NULL;
        assert_int_equal(is_known, i >= 2 * FETCH_CLAIMS_MAX);
        known += is_known;
    }
    assert_int_equal(known, FETCH_CLAIMS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fetch_claims__the_last_word_of_a_node_counts),
        cmocka_unit_test(test_fetch_claims__of_many_nodes_the_newest_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
