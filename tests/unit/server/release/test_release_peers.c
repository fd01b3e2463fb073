/* Which members a fetch looks at. */
#include "tests/unit/fs/tree.h"

#include "server/release/release_peers.h"

enum { MANY = 200 };

static struct member list[MANY];
static const char *const addresses[] = {"[::1]:70000", "10.0.0.1:7900", "[::1]:7900"};

static const struct member *at(const void *ctx, size_t index)
{
    (void) ctx;
    return &list[index];
}

/* All alive, with addresses, running "old". */
static struct release_members members_make(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        list[i] = (struct member){.addresses = addresses, .address_count = 3, .release = "old"};
        snprintf(list[i].id, sizeof list[i].id, "%064zu", i);
    }
    return (struct release_members){at, NULL, count};
}

static void test_release_peers__those_that_run_it_come_first(void **state)
{
    struct release_members members = members_make(5);
    struct release_peer out[RELEASE_PEERS_MAX];
    (void) state;
    snprintf(list[3].release, sizeof list[3].release, "new");
    list[1].state = MEMBER_DEAD;
    list[2].state = MEMBER_STALLED;
    assert_int_equal(release_peers_pick(&members, "new", 2, out), 2);
    assert_true(out[0].runs_it && strcmp(out[0].id, list[3].id) == 0);
    assert_true(!out[1].runs_it && strcmp(out[1].id, list[4].id) == 0);
}

static void test_release_peers__names_every_address_that_can_be_dialled(void **state)
{
    struct release_members members = members_make(3);
    struct release_peer out[RELEASE_PEERS_MAX];
    (void) state;
    list[2].address_count = 1; /* none that can be */
    assert_int_equal(release_peers_pick(&members, "new", 0, out), 1);
    assert_int_equal(out[0].address_count, 2);
    assert_int_equal(addr_port(&out[0].addresses[1]), 7900);
}

static void test_release_peers__leaves_no_one_out_for_ever(void **state)
{
    struct release_members members = members_make(MANY);
    struct release_peer out[RELEASE_PEERS_MAX];
    bool seen[MANY] = {false};
    (void) state;
    snprintf(list[MANY - 1].release, sizeof list[0].release, "new");
    for (size_t draw = 0; draw < MANY; draw++) {
        assert_int_equal(release_peers_pick(&members, "new", draw, out), RELEASE_PEERS_MAX);
        assert_string_equal(out[0].id, list[MANY - 1].id);
        for (size_t i = 0; i < RELEASE_PEERS_MAX; i++)
            seen[strtoul(out[i].id, NULL, 10)] = true;
    }
    assert_false(seen[0]);
    for (size_t i = 1; i < MANY; i++)
        assert_true(seen[i]);
}

static void test_release_peers__a_node_alone_has_none(void **state)
{
    struct release_members members = members_make(1);
    struct release_peer out[RELEASE_PEERS_MAX];
    (void) state;
    assert_int_equal(release_peers_pick(&members, "new", 7, out), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_release_peers__those_that_run_it_come_first),
        cmocka_unit_test(test_release_peers__names_every_address_that_can_be_dialled),
        cmocka_unit_test(test_release_peers__leaves_no_one_out_for_ever),
        cmocka_unit_test(test_release_peers__a_node_alone_has_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
