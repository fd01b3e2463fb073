/* Whose handshake begins, in what order, and who is sent away. */
// links: grid_server
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/err.h"
#include "server/handshake_gate.h"

enum { RATE = 200, ALL_BURST = 2 * RATE, STRANGE_BURST = RATE / 2, KNOWN_BURST = 4 * RATE };
static const uint64_t NOW = 1000000;

static struct addr address(const char *text)
{
    struct addr a;
    assert_int_equal(addr_parse(slice_of_str(text), &a), 0);
    return a;
}

/* The n-th of many sources. */
static struct addr stranger(unsigned n)
{
    char text[64];
    snprintf(text, sizeof text, "[2001:db8:%x:%x::1]:7", n >> 16, n & 0xffff);
    return address(text);
}

static struct handshake_gate *create(unsigned per_s)
{
    struct handshake_gate *g;
    assert_int_equal(handshake_gate_create(per_s, &g), 0);
    return g;
}

static int come(struct handshake_gate *g, int fd, struct addr from, uint64_t now_ms)
{
    return handshake_gate_come(g, fd, &from, false, now_ms);
}

/* How many begin now, of which the last is *last. */
static unsigned begin(struct handshake_gate *g, uint64_t now_ms, int *last)
{
    unsigned count = 0;
    struct addr from;
    bool begins;
    for (int fd; handshake_gate_next(g, now_ms, &fd, &from, &begins); *last = fd)
        count += begins;
    return count;
}

/* One after the other from one source, each as soon as the one before: how many begin within the time. */
static unsigned storm(struct handshake_gate *g, struct addr from, uint64_t from_ms, uint64_t until_ms)
{
    unsigned count = 0;
    int last;
    for (uint64_t now = from_ms; now < until_ms; now++) {
        for (int i = 0; i < 5; i++)
            (void) come(g, i, from, now);
        count += begin(g, now, &last);
    }
    return count;
}

static void assert_about(unsigned count, unsigned expected)
{
    assert_in_range(count, expected - expected / 50 - 1, expected + expected / 50 + 1);
}

static void test_handshake_gate__bounds_a_strange_source(void **state)
{
    (void) state;
    struct handshake_gate *g = create(RATE);
    assert_about(storm(g, address("192.0.2.1:5"), NOW, NOW + 10000), STRANGE_BURST + 10 * RATE / 100);
    handshake_gate_destroy(g);
}

static void test_handshake_gate__bounds_strangers_in_all(void **state)
{
    (void) state;
    struct handshake_gate *g = create(RATE);
    unsigned begun = 0, next = 0;
    int last;
    for (uint64_t now = NOW; now < NOW + 10000; now++) {
        for (int i = 0; i < 5; i++)
            (void) come(g, 1, stranger(next++), now);
        begun += begin(g, now, &last);
    }
    assert_about(begun, ALL_BURST + 10 * RATE);
    handshake_gate_destroy(g);
}

/* All that strangers may is used up by many sources, again and again. */
static void use_up(struct handshake_gate *g, unsigned sources, uint64_t from_ms, uint64_t until_ms)
{
    int last;
    for (uint64_t now = from_ms; now < until_ms; now++) {
        (void) come(g, 1, stranger((unsigned) now % sources), now);
        (void) come(g, 1, stranger((unsigned) (now * 7) % sources), now);
        (void) begin(g, now, &last);
    }
}

static void assert_next(struct handshake_gate *g, uint64_t now_ms, int expected)
{
    struct addr from;
    int fd = -1;
    bool begins = false;
    assert_true(handshake_gate_next(g, now_ms, &fd, &from, &begins));
    assert_true(begins);
    assert_int_equal(fd, expected);
}

static void test_handshake_gate__members_are_not_held_up_by_strangers(void **state)
{
    (void) state;
    struct handshake_gate *g = create(RATE);
    struct addr known = address("192.0.2.9:5"), member = address("[2001:db8:ffff::1]:5"), same = address("[2001:db8:ffff::2]:6");
    handshake_gate_know(g, &known, NOW);
    use_up(g, 5000, NOW, NOW + 5000);
    assert_true(handshake_gate_come(g, 77, &known, false, NOW + 5000) != 77);
    assert_next(g, NOW + 5000, 77);
    assert_true(handshake_gate_come(g, 78, &member, true, NOW + 5000) != 78);
    assert_next(g, NOW + 5000, 78);
    assert_true(handshake_gate_come(g, 79, &same, false, NOW + 5000) != 79); /* of the member's network: all of one IPv6 network are one source */
    assert_next(g, NOW + 5000, 79);
    handshake_gate_destroy(g);
}

static void test_handshake_gate__bounds_a_known_source_by_itself(void **state)
{
    (void) state;
    struct handshake_gate *g = create(RATE);
    struct addr known = address("192.0.2.9:5");
    handshake_gate_know(g, &known, NOW);
    assert_about(storm(g, known, NOW, NOW + 10000), KNOWN_BURST + 10 * RATE);
    while (handshake_gate_take(g) >= 0)
        continue;
    assert_about(storm(g, address("192.0.2.10:5"), NOW + 10000, NOW + 11000), STRANGE_BURST + RATE / 100); /* which takes nothing from others */
    handshake_gate_destroy(g);
}

static void test_handshake_gate__who_comes_for_the_first_time_goes_first(void **state)
{
    (void) state;
    struct handshake_gate *g = create(RATE);
    struct addr fresh = address("192.0.2.9:5");
    use_up(g, 250, NOW, NOW + 20000);
    assert_true(come(g, 77, fresh, NOW + 20000) != 77);
    uint64_t wait_ms = handshake_gate_wait_ms(g, NOW + 20000);
    assert_true(wait_ms <= 1000 / RATE);
    assert_next(g, NOW + 20000 + wait_ms, 77);
    handshake_gate_destroy(g);
}

static void test_handshake_gate__who_has_waited_too_long_is_sent_away(void **state)
{
    (void) state;
    struct handshake_gate *g = create(1);
    struct addr from;
    int fd, last;
    bool begins;
    for (unsigned i = 0; i < HANDSHAKE_GATE_WAITING_MAX; i++)
        assert_int_equal(come(g, 100 + (int) i, stranger(i), NOW), -1);
    assert_int_equal(begin(g, NOW, &last), HANDSHAKE_GATE_BURST_MIN);
    uint64_t now = NOW, begun = 0, away = 0;
    for (uint64_t wait; (wait = handshake_gate_wait_ms(g, now)) != UINT64_MAX;) {
        now += wait;
        assert_true(handshake_gate_next(g, now, &fd, &from, &begins)); /* whoever is told when to look finds somebody */
        begun += begins;
        away += !begins;
    }
    assert_int_equal(now, NOW + HANDSHAKE_GATE_WAIT_MS);
    assert_int_equal(begun, 3);
    assert_int_equal(away, HANDSHAKE_GATE_WAITING_MAX - HANDSHAKE_GATE_BURST_MIN - 3);
    assert_int_equal(handshake_gate_take(g), -1);
    handshake_gate_destroy(g);
}

static void test_handshake_gate__forgets_strangers_before_members(void **state)
{
    (void) state;
    struct handshake_gate *g = create(RATE);
    struct addr known = address("192.0.2.9:5");
    const uint64_t later = NOW + 3 * HANDSHAKE_GATE_SOURCES_MAX;
    handshake_gate_know(g, &known, NOW);
    use_up(g, 60000, NOW, later);
    assert_true(handshake_gate_come(g, 77, &known, false, later) != 77);
    assert_next(g, later, 77);
    handshake_gate_destroy(g);
}

static void test_handshake_gate__gives_back_those_who_wait(void **state)
{
    (void) state;
    struct handshake_gate *g = NULL;
    assert_int_equal(handshake_gate_create(0, &g), GRID_EINVAL);
    g = create(1);
    assert_int_equal(handshake_gate_wait_ms(g, NOW), UINT64_MAX);
    assert_int_equal(come(g, 5, stranger(1), NOW), -1);
    assert_int_equal(come(g, 6, stranger(2), NOW), -1);
    int sum = handshake_gate_take(g);
    sum += handshake_gate_take(g);
    assert_int_equal(sum, 11);
    assert_int_equal(handshake_gate_take(g), -1);
    handshake_gate_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake_gate__bounds_a_strange_source),
        cmocka_unit_test(test_handshake_gate__bounds_strangers_in_all),
        cmocka_unit_test(test_handshake_gate__members_are_not_held_up_by_strangers),
        cmocka_unit_test(test_handshake_gate__bounds_a_known_source_by_itself),
        cmocka_unit_test(test_handshake_gate__who_comes_for_the_first_time_goes_first),
        cmocka_unit_test(test_handshake_gate__who_has_waited_too_long_is_sent_away),
        cmocka_unit_test(test_handshake_gate__forgets_strangers_before_members),
        cmocka_unit_test(test_handshake_gate__gives_back_those_who_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
