/* Which refusals are named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "net/refusal_log.h"

static struct addr at(unsigned host)
{
    char text[32];
    struct addr a;
    snprintf(text, sizeof text, "10.0.%u.%u:7900", host / 256, host % 256);
    assert_int_equal(addr_parse(slice_of_str(text), &a), 0);
    return a;
}

static size_t named(struct refusal_log *l, unsigned host, const char *why, size_t times, uint64_t now_ms)
{
    struct addr from = at(host);
    uint64_t left_out;
    size_t count = 0;
    for (size_t i = 0; i < times; i++)
        count += refusal_log_names(l, &from, why, now_ms, &left_out);
    return count;
}

static void test_refusal_log__names_so_many_in_all(void **state)
{
    struct refusal_log l = {0};
    size_t count = 0;
    (void) state;
    for (unsigned host = 1; host <= 400; host++)
        count += named(&l, host, "no TLS", 1, 5000);
    assert_int_equal(count, REFUSAL_LOG_BURST);
    assert_int_equal(named(&l, 1000, "no TLS", 10, 7000), 2 * REFUSAL_LOG_PER_S);
}

static void test_refusal_log__one_that_comes_again_and_again_leaves_room_for_others(void **state)
{
    struct refusal_log l = {0};
    uint64_t now_ms = 5000;
    size_t count = 0;
    (void) state;
    for (; now_ms < 5000 + 3600 * 1000; now_ms += 500)
        count += named(&l, 1, "evicted", 1, now_ms);
    assert_in_range(count, REFUSAL_LOG_SOURCE_BURST + 59, REFUSAL_LOG_SOURCE_BURST + 60);
    assert_int_equal(named(&l, 1, "evicted", 3, now_ms - 500), 0);
    assert_int_equal(named(&l, 2, "evicted", 3, now_ms), 3);
    assert_int_equal(named(&l, 1, "no TLS", 3, now_ms), 3);
}

static void test_refusal_log__says_how_many_it_left_out(void **state)
{
    struct refusal_log l = {0};
    struct addr from = at(2);
    uint64_t left_out = 99;
    (void) state;
    assert_int_equal(named(&l, 1, "evicted", 70, 5000), REFUSAL_LOG_SOURCE_BURST);
    assert_true(refusal_log_names(&l, &from, "evicted", 5000, &left_out));
    assert_int_equal(left_out, 70 - REFUSAL_LOG_SOURCE_BURST);
    assert_true(refusal_log_names(&l, &from, "evicted", 5000, &left_out));
    assert_int_equal(left_out, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusal_log__names_so_many_in_all),
        cmocka_unit_test(test_refusal_log__one_that_comes_again_and_again_leaves_room_for_others),
        cmocka_unit_test(test_refusal_log__says_how_many_it_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
