/* What is kept of services on the local network, and in which order they are looked into and told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "discovery/mdns_services.h"

enum { START = 1000 };

static struct mdns_key key(int interface, const char *name)
{
    struct mdns_key k = {.interface = interface};
    snprintf(k.name, sizeof k.name, "%s", name);
    return k;
}

static struct mdns_key take(struct mdns_services *s, uint64_t now)
{
    const struct mdns_service *next = mdns_services_next(s, now);
    assert_non_null(next);
    return next->key;
}

static void test_mdns__a_tag_is_of_the_name_alone_and_tells_grids_apart(void **state)
{
    char a[MDNS_TAG_HEX + 1], b[MDNS_TAG_HEX + 1], long_name[300];
    (void) state;
    memset(long_name, 'x', sizeof long_name);
    mdns_tag(SLICE("demo"), a);
    assert_string_equal(a, "91203f7c3f1f92e81298ee26bd9d4b69");
    mdns_tag(SLICE("demo2"), b);
    assert_string_not_equal(a, b);
    mdns_tag(slice_of(long_name, sizeof long_name), a);
    mdns_tag(slice_of(long_name, 256), b);
    assert_string_equal(a, b);
}

static void test_mdns__ours_are_told_until_they_are_gone(void **state)
{
    struct mdns_services s;
    struct mdns_key ours = key(2, "grid-1"), other = key(2, "grid-2");
    (void) state;
    mdns_services_init(&s, 1);
    assert_true(mdns_services_wait_ms(&s, START) == UINT64_MAX);
    assert_int_equal(mdns_services_add(&s, &ours, START), 0);
    assert_int_equal(mdns_services_add(&s, &ours, START), 0); /* told twice */
    assert_int_equal(mdns_services_add(&s, &other, START), 0);
    assert_int_equal(s.count, 2);
    for (int i = 0; i < 2; i++) {
        struct mdns_key k = take(&s, START);
        mdns_services_found(&s, &k, strcmp(k.name, ours.name) == 0 ? "192.0.2.1:7900" : NULL, START);
    }
    assert_null(mdns_services_next(&s, START));
    assert_string_equal(mdns_services_due(&s, START)->address, "192.0.2.1:7900");
    assert_null(mdns_services_due(&s, START));
    assert_int_equal(mdns_services_wait_ms(&s, START), MDNS_TELL_MS);
    assert_string_equal(mdns_services_due(&s, START + MDNS_TELL_MS)->address, "192.0.2.1:7900");
    mdns_services_remove(&s, &ours);
    mdns_services_remove(&s, &ours);
    assert_null(mdns_services_due(&s, START + 10 * MDNS_TELL_MS));
    mdns_services_dispose(&s);
}

static void test_mdns__one_that_does_not_answer_is_looked_into_again_and_later_each_time(void **state)
{
    static const uint64_t waits[] = {MDNS_AGAIN_MS, 2 * MDNS_AGAIN_MS, 4 * MDNS_AGAIN_MS};
    struct mdns_services s;
    struct mdns_key k = key(1, "grid-1");
    uint64_t now = START;
    (void) state;
    mdns_services_init(&s, 1);
    mdns_services_add(&s, &k, now);
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        take(&s, now);
        mdns_services_failed(&s, &k, now);
        assert_int_equal(mdns_services_wait_ms(&s, now), waits[i]);
        assert_null(mdns_services_next(&s, now + waits[i] - 1));
        now += waits[i];
    }
    for (int i = 0; i < 40; i++) {
        take(&s, now);
        mdns_services_failed(&s, &k, now);
        now += mdns_services_wait_ms(&s, now);
    }
    take(&s, now);
    mdns_services_failed(&s, &k, now);
    assert_int_equal(mdns_services_wait_ms(&s, now), MDNS_AGAIN_MAX_MS);
    mdns_services_dispose(&s);
}

static void test_mdns__what_is_looked_into_at_once_is_bounded(void **state)
{
    struct mdns_services s;
    struct mdns_key first;
    char name[24];
    (void) state;
    mdns_services_init(&s, 7);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "grid-%d", i);
        struct mdns_key k = key(1, name);
        assert_int_equal(mdns_services_add(&s, &k, START), 0);
    }
    first = take(&s, START);
    for (int i = 1; i < MDNS_LOOKING_MAX; i++)
        take(&s, START);
    assert_null(mdns_services_next(&s, START));
    assert_true(mdns_services_wait_ms(&s, START) == UINT64_MAX); /* an answer is waited for */
    mdns_services_remove(&s, &first);
    take(&s, START);
    mdns_services_found(&s, &first, "192.0.2.1:1", START); /* it is gone: nothing happens */
    assert_null(mdns_services_due(&s, START));
    assert_null(mdns_services_next(&s, START));
    mdns_services_dispose(&s);
}

static void test_mdns__a_flood_takes_no_memory_and_nobody_of_ours_away(void **state)
{
    struct mdns_services s;
    struct mdns_key ours = key(1, "grid-ours");
    char name[24];
    (void) state;
    mdns_services_init(&s, 3);
    mdns_services_add(&s, &ours, START);
    take(&s, START);
    mdns_services_found(&s, &ours, "192.0.2.1:7900", START);
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "liar-%d", i);
        struct mdns_key k = key(1, name);
        assert_int_equal(mdns_services_add(&s, &k, START), 0);
    }
    assert_int_equal(s.count, MDNS_SERVICES_MAX);
    assert_string_equal(mdns_services_due(&s, START)->address, "192.0.2.1:7900");
    for (size_t i = 0; i < s.count; i++)
        s.at[i].state = MDNS_OURS;
    struct mdns_key k = key(1, "one too many");
    assert_int_equal(mdns_services_add(&s, &k, START), GRID_ELIMIT);
    mdns_services_dispose(&s);
}

static void test_mdns__one_name_on_two_interfaces_is_two_services(void **state)
{
    struct mdns_services s;
    struct mdns_key a = key(1, "grid-1"), b = key(2, "grid-1");
    (void) state;
    mdns_services_init(&s, 1);
    mdns_services_add(&s, &a, START);
    mdns_services_add(&s, &b, START);
    assert_int_equal(s.count, 2);
    mdns_services_remove(&s, &a);
    assert_int_equal(take(&s, START).interface, 2);
    mdns_services_clear(&s);
    assert_null(mdns_services_next(&s, START));
    memset(a.name, 'x', sizeof a.name);
    assert_int_equal(mdns_services_add(&s, &a, START), GRID_EINVAL);
    mdns_services_dispose(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mdns__a_tag_is_of_the_name_alone_and_tells_grids_apart),
        cmocka_unit_test(test_mdns__ours_are_told_until_they_are_gone),
        cmocka_unit_test(test_mdns__one_that_does_not_answer_is_looked_into_again_and_later_each_time),
        cmocka_unit_test(test_mdns__what_is_looked_into_at_once_is_bounded),
        cmocka_unit_test(test_mdns__a_flood_takes_no_memory_and_nobody_of_ours_away),
        cmocka_unit_test(test_mdns__one_name_on_two_interfaces_is_two_services),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
