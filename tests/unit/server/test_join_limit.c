/* How many new nodes an address may bring. */
// links: grid_trust
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "server/join_limit.h"

enum { NOW = 1000, LIMIT = 10 };

typedef uint8_t source[ATTEMPTS_SOURCE_SIZE];

static struct join_limit limit;

static int begin(void **state)
{
    (void) state;
    return join_limit_init(&limit, LIMIT);
}

static int end(void **state)
{
    (void) state;
    join_limit_dispose(&limit);
    return 0;
}

/* How many of 1,000 are let in, each from the next of so many /64 of as many /48. */
static unsigned let_in(unsigned sites, unsigned networks, uint64_t now_ms)
{
    unsigned count = 0;
    for (unsigned i = 0; i < 1000; i++) {
        source s = {0x20, 0x01, 0x0d, 0xb8, 0, (uint8_t) (i % sites), 0, (uint8_t) (i / sites % networks), [14] = (uint8_t) (i >> 8), [15] = (uint8_t) i};
        count += join_limit_take(&limit, s, now_ms);
    }
    return count;
}

static void test_join_limit__counts_an_ipv4_address(void **state)
{
    unsigned count = 0;
    (void) state;
    for (unsigned i = 0; i < 1000; i++) {
        source s = {[10] = 0xff, [11] = 0xff, 10, 0, 0, (uint8_t) (i % 20)};
        count += join_limit_take(&limit, s, NOW);
    }
    assert_int_equal(count, 20 * LIMIT); /* neighbours are no site */
}

static void test_join_limit__counts_a_64_and_a_48_of_ipv6(void **state)
{
    static const struct {
        unsigned sites, networks, let_in;
    } cases[] = {{1, 1, LIMIT}, {1, 3, 3 * LIMIT}, {1, 200, JOIN_LIMIT_SITE_HOSTS * LIMIT}, {3, 200, 3 * JOIN_LIMIT_SITE_HOSTS * LIMIT}};
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t now_ms = NOW + i * JOIN_LIMIT_WINDOW_MS; /* an hour later all may come again */
        assert_int_equal(let_in(cases[i].sites, cases[i].networks, now_ms), cases[i].let_in);
        assert_int_equal(let_in(cases[i].sites, cases[i].networks, now_ms + JOIN_LIMIT_WINDOW_MS - 1), 0);
    }
}

static void test_join_limit__takes_as_much_as_the_option(void **state)
{
    struct join_limit most;
    (void) state;
    assert_int_equal(join_limit_init(&most, 1000), 0);
    join_limit_dispose(&most);
    assert_int_equal(join_limit_init(&most, 0), GRID_EINVAL);
    join_limit_dispose(&most);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_join_limit__counts_an_ipv4_address, begin, end),
        cmocka_unit_test_setup_teardown(test_join_limit__counts_a_64_and_a_48_of_ipv6, begin, end),
        cmocka_unit_test_setup_teardown(test_join_limit__takes_as_much_as_the_option, begin, end),
    };
    return cmocka_run_group_tests_name("join_limit", tests, NULL, NULL);
}
