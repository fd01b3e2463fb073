/* To whom an issuer hands the authority's key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/heir.h"

enum { MEMBERS = 4 };

/* The index of whom it is handed to, MEMBERS for nobody. */
static size_t chosen(const struct heir_candidate *list, size_t count)
{
    static const char PLACES[MEMBERS];
    struct heir_choice c = {0};
    for (size_t i = 0; i < count; i++)
        heir_consider(&c, &list[i], &PLACES[i]);
    const char *who = heir_chosen(&c);
    return who ? (size_t) (who - PLACES) : MEMBERS;
}

static void test_heir__is_whoever_was_linked_first_while_issuers_are_too_few(void **state)
{
    (void) state;
    const struct heir_candidate none[] = {{.seen = 3}, {.seen = 1}, {.seen = 2}}, one[] = {{.says_issuer = true, .seen = 1}, {.seen = 3}, {.seen = 2}},
                                two[] = {{.says_issuer = true}, {.says_issuer = true}, {.seen = 1}};
    assert_int_equal(chosen(none, 0), MEMBERS);
    assert_int_equal(chosen(none, 3), 1);
    assert_int_equal(chosen(one, 3), 2);
    assert_int_equal(chosen(two, 3), MEMBERS);
}

static void test_heir__is_looked_for_by_the_issuer_with_the_smallest_id(void **state)
{
    (void) state;
    const struct heir_candidate list[] = {{.says_issuer = true, .before = true}, {.before = true, .seen = 1}};
    assert_int_equal(chosen(list, 2), MEMBERS);
    assert_int_equal(chosen(list + 1, 1), 0);
}

static void test_heir__that_lacks_something_is_given_it_when_the_ledger_says_that_it_holds_the_key(void **state)
{
    (void) state;
    const struct heir_candidate list[] = {{.seen = 1}, {.says_issuer = true, .before = true}, {.says_issuer = true}, {.says_issuer = true, .lacks = true, .proven = true, .seen = 4}};
    assert_int_equal(chosen(list, 4), 3);
}

/* Who calls himself an issuer without the newest key would else be handed it, were there ever so many issuers, and before all who came before him. */
static void test_heir__is_nobody_for_his_own_word_that_he_is_an_issuer_and_lacks_something(void **state)
{
    (void) state;
    const struct heir_candidate enough[] = {{.says_issuer = true}, {.says_issuer = true}, {.says_issuer = true, .lacks = true, .seen = 3}},
                                few[] = {{.says_issuer = true, .lacks = true, .seen = 2}, {.seen = 1}},
                                others[] = {{.says_issuer = true, .before = true}, {.says_issuer = true, .lacks = true, .seen = 1}}, alone[] = {{.says_issuer = true, .lacks = true, .seen = 1}};
    assert_int_equal(chosen(enough, 3), MEMBERS);
    assert_int_equal(chosen(few, 2), 1);
    assert_int_equal(chosen(others, 2), MEMBERS);
    assert_int_equal(chosen(alone, 1), MEMBERS);
}

/* As after a rotation has begun: two hold the authority's key, and are about to show it. */
static void test_heir__is_no_further_member_while_those_that_say_they_are_issuers_suffice(void **state)
{
    (void) state;
    const struct heir_candidate list[] = {{.seen = 1}, {.says_issuer = true, .lacks = true, .seen = 2}, {.says_issuer = true, .lacks = true, .seen = 3}};
    assert_int_equal(chosen(list, 3), MEMBERS);
}

/* Nor does he keep the turn from the others. */
static void test_heir__is_looked_for_although_somebody_with_a_smaller_id_says_that_he_lacks_the_key(void **state)
{
    (void) state;
    const struct heir_candidate list[] = {{.says_issuer = true, .lacks = true, .before = true, .seen = 2}, {.seen = 1}};
    assert_int_equal(chosen(list, 2), 1);
}

static void test_heir__that_does_not_say_that_it_is_an_issuer_waits_for_its_turn_whatever_the_ledger_says(void **state)
{
    (void) state;
    const struct heir_candidate list[] = {{.says_issuer = true}, {.says_issuer = true}, {.proven = true}};
    assert_int_equal(chosen(list, 3), MEMBERS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heir__is_whoever_was_linked_first_while_issuers_are_too_few),
        cmocka_unit_test(test_heir__is_looked_for_by_the_issuer_with_the_smallest_id),
        cmocka_unit_test(test_heir__that_lacks_something_is_given_it_when_the_ledger_says_that_it_holds_the_key),
        cmocka_unit_test(test_heir__is_nobody_for_his_own_word_that_he_is_an_issuer_and_lacks_something),
        cmocka_unit_test(test_heir__is_no_further_member_while_those_that_say_they_are_issuers_suffice),
        cmocka_unit_test(test_heir__is_looked_for_although_somebody_with_a_smaller_id_says_that_he_lacks_the_key),
        cmocka_unit_test(test_heir__that_does_not_say_that_it_is_an_issuer_waits_for_its_turn_whatever_the_ledger_says),
    };
    return cmocka_run_group_tests_name("heir", tests, NULL, NULL);
}
