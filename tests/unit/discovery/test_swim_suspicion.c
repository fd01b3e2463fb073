/* Suspicion and local health. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "discovery/swim_health.h"
#include "discovery/swim_suspicion.h"

enum { NOW = 5000, MIN = 500, MAX = 6000 };

static void test_swim_suspicion__shortens_with_each_confirmation(void **state)
{
    static const struct {
        unsigned needed, confirmed;
        uint64_t timeout;
    } cases[] = {
        {0, 0, MIN}, {1, 0, MAX}, {1, 1, MIN}, {3, 0, MAX}, {3, 1, 3250}, {3, 2, 1642}, {3, 3, MIN}, {3, 5, MIN}, {7, 7, MIN}, {100, 7, MIN},
    };
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct swim_suspicion s;
        swim_suspicion_begin(&s, 9, 1, cases[i].needed, MIN, MAX, NOW);
        for (unsigned k = 0; k < cases[i].confirmed; k++)
            swim_suspicion_confirm(&s, (uint16_t) (2 + k));
        assert_in_range(swim_suspicion_due_ms(&s), NOW + cases[i].timeout - 2, NOW + cases[i].timeout + 2);
        assert_int_equal(s.incarnation, 9);
    }
}

static void test_swim_suspicion__counts_each_accuser_once(void **state)
{
    struct swim_suspicion s = {0};
    (void) state;
    assert_false(swim_suspicion_confirm(&s, 2)); /* of nothing */
    swim_suspicion_begin(&s, 9, 1, 2, MIN, MAX, NOW);
    uint64_t due = swim_suspicion_due_ms(&s);
    assert_false(swim_suspicion_confirm(&s, 1));
    assert_int_equal(swim_suspicion_due_ms(&s), due);
    assert_true(swim_suspicion_confirm(&s, 2));
    assert_false(swim_suspicion_confirm(&s, 2));
    assert_true(swim_suspicion_due_ms(&s) < due);
    swim_suspicion_need(&s, 5); /* more are none */
    assert_int_equal(s.needed, 2);
    swim_suspicion_need(&s, 1);
    assert_int_equal(swim_suspicion_due_ms(&s), NOW + MIN);
    assert_true(swim_suspicion_accused_by(&s, 2));
    assert_false(swim_suspicion_accused_by(&s, 3));
}

static void test_swim_suspicion__passes_on_only_the_first_confirmations(void **state)
{
    struct swim_suspicion s;
    unsigned news = 0;
    (void) state;
    swim_suspicion_begin(&s, 9, 1, 3, MIN, MAX, NOW);
    for (uint16_t i = 2; i < 60; i++)
        news += swim_suspicion_confirm(&s, i);
    assert_int_equal(news, 3);
    assert_int_equal(s.accuser_count, SWIM_ACCUSERS_MAX);
    swim_suspicion_end(&s);
    assert_false(s.active);
    assert_false(swim_suspicion_accused_by(&s, 1));
}

static void test_swim_health__goes_up_and_down_within_its_bounds(void **state)
{
    struct swim_health h = {0};
    (void) state;
    swim_health_note(&h, SWIM_HEALTH_ANSWERED);
    assert_int_equal(h.score, 0);
    assert_int_equal(swim_health_scale(&h, 250), 250);
    static const enum swim_health_event bad[] = {SWIM_HEALTH_UNANSWERED, SWIM_HEALTH_CONTRADICTED, SWIM_HEALTH_ACCUSED, SWIM_HEALTH_PAUSED};
    for (unsigned i = 0; i < 20; i++) {
        swim_health_note(&h, bad[i % 4]);
        assert_int_equal(h.score, i + 1 < SWIM_HEALTH_MAX ? i + 1 : SWIM_HEALTH_MAX);
    }
    assert_int_equal(swim_health_scale(&h, 250), 9 * 250);
    swim_health_note(&h, SWIM_HEALTH_CORROBORATED);
    swim_health_note(&h, SWIM_HEALTH_ANSWERED);
    assert_int_equal(h.score, SWIM_HEALTH_MAX - 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_swim_suspicion__shortens_with_each_confirmation),
        cmocka_unit_test(test_swim_suspicion__counts_each_accuser_once),
        cmocka_unit_test(test_swim_suspicion__passes_on_only_the_first_confirmations),
        cmocka_unit_test(test_swim_health__goes_up_and_down_within_its_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
