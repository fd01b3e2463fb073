/* Hints in virtual time: whom to try, how often, and that liars keep nobody out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "discovery/hints.h"

enum { START = 5000, HOUR = 3600 * 1000 };

static int setup(void **state)
{
    struct hints *h;
    int err = hints_create(7, &h);
    *state = h;
    return err;
}

static int teardown(void **state)
{
    hints_destroy(*state);
    return 0;
}

static int add(struct hints *h, enum hint_source source, const char *address, uint64_t now)
{
    return hints_add(h, source, slice_of_str(address), HOUR, now);
}

static void add_many(struct hints *h, enum hint_source source, const char *net, unsigned from, unsigned count, uint64_t now)
{
    char address[HINT_ADDRESS_MAX + 1];
    for (unsigned i = from; i < from + count; i++) {
        snprintf(address, sizeof address, "%s.%u.%u:7900", net, i / 256 % 256, i % 256);
        hints_add(h, source, slice_of_str(address), HOUR, now);
    }
}

static void test_hints__tries_what_is_named_once_and_keeps_who_was_found(void **state)
{
    struct hints *h = *state;
    uint64_t wait;
    assert_int_equal(add(h, HINT_DNS, "10.0.0.1:7900", START), 0);
    assert_int_equal(add(h, HINT_DNS, "10.0.0.1:7900", START), 0);
    assert_int_equal(hints_count(h), 1);
    const struct hint *hint = hints_take(h, START, &wait);
    assert_string_equal(hint->address, "10.0.0.1:7900");
    assert_null(hints_take(h, START, &wait));
    assert_true(wait == UINT64_MAX);
    hints_found(h, "10.0.0.1:7900");
    assert_null(hints_take(h, START + HOUR / 2, &wait));
    assert_int_equal(hints_at(h, 0)->state, HINT_FOUND);
}

static void test_hints__tries_again_later_and_later(void **state)
{
    struct hints *h = *state;
    uint64_t now = START, wait, before = 0;
    add(h, HINT_DNS, "10.0.0.1:7900", now);
    for (int i = 0; i < 4; i++) {
        assert_non_null(hints_take(h, now, &wait));
        hints_failed(h, "10.0.0.1:7900", now);
        assert_null(hints_take(h, now, &wait));
        assert_true(wait >= (uint64_t) HINTS_AGAIN_MS << i && wait > before);
        before = wait;
        now += wait;
    }
    for (int i = 0; i < 200; i++)
        hints_failed(h, "10.0.0.1:7900", now); /* waits: not counted */
    assert_int_equal(hints_at(h, 0)->failures, 4);
}

static void test_hints__bounds_tries_at_once_and_a_second(void **state)
{
    struct hints *h = *state;
    uint64_t wait, now = START;
    size_t taken = 0;
    add_many(h, HINT_DNS, "10.1", 0, HINTS_PER_SOURCE, now);
    while (hints_take(h, now, &wait))
        taken++;
    assert_int_equal(taken, HINTS_PER_SECOND);
    assert_true(wait <= 1000 / HINTS_PER_SECOND);
    for (now += 60 * 1000; hints_take(h, now, &wait); now += 1000)
        taken++;
    assert_int_equal(taken, HINTS_TRYING_MAX);
    for (size_t i = 0; i < hints_count(h); i++)
        if (hints_at(h, i)->state == HINT_TRYING)
            hints_failed(h, hints_at(h, i)->address, now);
    assert_non_null(hints_take(h, now, &wait));
}

/* A true address among a hundred thousand that are not, named as often as each of them. */
static void test_hints__a_hundred_thousand_liars_keep_nobody_out(void **state)
{
    struct hints *h = *state;
    static const char real[] = "192.0.2.1:7900";
    uint64_t now = START, deadline = START + 120 * 1000;
    bool found = false;
    add(h, HINT_FILE, "198.51.100.1:7900", now); /* another source's is not touched */
    for (unsigned round = 0; !found && now < deadline; round++, now += 100) {
        add_many(h, HINT_DNS, "10", round * 80 % 100000, 80, now);
        if (round % 10 == 0)
            add(h, HINT_DNS, real, now);
        for (const struct hint *hint; (hint = hints_take(h, now, NULL));) {
            char address[HINT_ADDRESS_MAX + 1];
            memcpy(address, hint->address, sizeof address);
            found = found || strcmp(address, real) == 0;
            if (strncmp(address, "10.", 3) == 0)
                hints_failed(h, address, now);
        }
        assert_true(hints_count(h) <= HINTS_PER_SOURCE + 1);
    }
    assert_true(found);
    assert_string_equal(hints_at(h, 0)->address, "198.51.100.1:7900");
}

static void test_hints__the_operators_go_first_and_have_room_beside_whatever_anybody_names(void **state)
{
    struct hints *h = *state;
    uint64_t now = START;
    size_t taken = 0;
    add_many(h, HINT_DHT, "10.1", 0, HINTS_PER_SOURCE, now);
    for (; taken < HINTS_TRYING_FOUND_MAX && now < START + 60 * 1000; now += 1000)
        while (hints_take(h, now, NULL))
            taken++;
    now += 1000;
    assert_int_equal(taken, HINTS_TRYING_FOUND_MAX);
    assert_null(hints_take(h, now, NULL));
    add(h, HINT_FILE, "192.0.2.1:7900", now);
    assert_string_equal(hints_take(h, now, NULL)->address, "192.0.2.1:7900");
}

static void test_hints__what_anybody_named_is_the_operators_once_he_names_it(void **state)
{
    struct hints *h = *state;
    add(h, HINT_DHT, "10.0.0.1:7900", START);
    assert_non_null(hints_take(h, START, NULL));
    hints_failed(h, "10.0.0.1:7900", START);
    add_many(h, HINT_MDNS, "10.1", 0, 5, START);
    add(h, HINT_FILE, "10.0.0.1:7900", START);
    const struct hint *first = hints_take(h, START, NULL);
    assert_string_equal(first->address, "10.0.0.1:7900");
    assert_int_equal(first->source, HINT_FILE);
    add(h, HINT_DHT, "10.0.0.1:7900", START);
    assert_int_equal(first->source, HINT_FILE);
}

static void test_hints__forgets_what_is_no_longer_named(void **state)
{
    struct hints *h = *state;
    struct hint gone;
    add(h, HINT_DNS, "10.0.0.1:7900", START);
    add(h, HINT_DNS, "10.0.0.2:7900", START);
    hints_take(h, START, NULL);
    add(h, HINT_DNS, "10.0.0.2:7900", START + HOUR / 2);
    assert_false(hints_expire(h, START + HOUR - 1, &gone));
    assert_true(hints_expire(h, START + HOUR, &gone));
    assert_string_equal(gone.address, "10.0.0.1:7900");
    assert_false(hints_expire(h, START + HOUR, &gone));
    assert_int_equal(hints_count(h), 1);
}

static void test_hints__refuses_what_is_no_address_and_more_than_it_has_room_for(void **state)
{
    struct hints *h = *state;
    char text[HINT_ADDRESS_MAX + 2];
    memset(text, '1', sizeof text);
    assert_int_equal(hints_add(h, HINT_DNS, slice_of(text, sizeof text), HOUR, START), GRID_EINVAL);
    assert_int_equal(hints_add(h, HINT_DNS, slice_of("", 0), HOUR, START), GRID_EINVAL);
    assert_int_equal(hints_add(h, HINT_DNS, slice_of("1\0:1", 4), HOUR, START), GRID_EINVAL);
    add_many(h, HINT_DNS, "10.2", 0, HINTS_PER_SOURCE, START);
    for (size_t i = 0; i < HINTS_PER_SOURCE; i++)
        hints_found(h, hints_at(h, i)->address);
    assert_int_equal(add(h, HINT_DNS, "10.3.0.1:1", START), GRID_ELIMIT);
    assert_int_equal(add(h, HINT_FILE, "10.3.0.1:1", START), 0);
    hints_found(h, "not there");
    hints_failed(h, "not there", START);
}

static void test_hints__goes_to_the_remembered_before_those_that_anybody_names_a_few_at_a_time(void **state)
{
    struct hints *h = *state;
    uint64_t wait;
    unsigned remembered = 0;
    add_many(h, HINT_MDNS, "10.1", 0, 64, START);
    add_many(h, HINT_REMEMBERED, "10.2", 0, 64, START);
    for (unsigned i = 0; i < HINTS_TRYING_REMEMBERED_MAX; i++)
        assert_int_equal(hints_take(h, START, &wait)->source, HINT_REMEMBERED);
    assert_int_equal(hints_take(h, START, &wait)->source, HINT_MDNS);
    add(h, HINT_DNS, "10.3.0.1:7900", START);
    assert_int_equal(hints_take(h, START, &wait)->source, HINT_DNS);
    for (uint64_t now = START; now < START + 10 * 1000; now += 100)
        if (hints_take(h, now, &wait))
            remembered = 0;
    for (size_t i = 0; i < hints_count(h); i++)
        remembered += hints_at(h, i)->state == HINT_TRYING && hints_at(h, i)->source == HINT_REMEMBERED;
    assert_int_equal(remembered, HINTS_TRYING_REMEMBERED_MAX);
}

static void test_hints__what_is_withdrawn_expires_whatever_its_time(void **state)
{
    struct hints *h = *state;
    struct hint gone;
    assert_int_equal(hints_add(h, HINT_REMEMBERED, SLICE("10.0.0.1:7900"), UINT64_MAX, START), 0);
    add(h, HINT_MDNS, "10.0.0.2:7900", START);
    assert_false(hints_expire(h, START, &gone));
    hints_withdraw(h, HINT_REMEMBERED);
    assert_true(hints_expire(h, START, &gone));
    assert_string_equal(gone.address, "10.0.0.1:7900");
    assert_false(hints_expire(h, START, &gone));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hints__tries_what_is_named_once_and_keeps_who_was_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hints__tries_again_later_and_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hints__bounds_tries_at_once_and_a_second, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hints__a_hundred_thousand_liars_keep_nobody_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hints__the_operators_go_first_and_have_room_beside_whatever_anybody_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hints__what_anybody_named_is_the_operators_once_he_names_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hints__forgets_what_is_no_longer_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hints__refuses_what_is_no_address_and_more_than_it_has_room_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hints__goes_to_the_remembered_before_those_that_anybody_names_a_few_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hints__what_is_withdrawn_expires_whatever_its_time, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
