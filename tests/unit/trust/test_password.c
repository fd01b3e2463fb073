/* Stretching, against values that Python's hashlib.scrypt gave, and the judgement of weak passwords. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"
#include "base/hex.h"
#include "trust/stretch.h"
#include "trust/weak_password.h"

static void test_stretch__is_scrypt_salted_with_the_grids_name(void **state)
{
    uint8_t out[STRETCH_SIZE];
    char text[2 * STRETCH_SIZE + 1];
    (void) state;
    assert_int_equal(stretch_password(SLICE("correct horse"), "demo", out), 0);
    hex_encode(slice_of(out, sizeof out), text);
    assert_string_equal(text, "6de426af54a1884ea0a6fa011990a3b3ddc3f0995d661914fea980b0336d989f1d386c8fbd391a102d5d866d02573f4b7d5c"
                              "c50c8081bb80d00eb1f5ee204b5a");
    assert_int_equal(stretch_open("demo", out), 0);
    hex_encode(slice_of(out, sizeof out), text);
    assert_string_equal(text, "76d1bb38ccfd90f2de9caea9adc6ce5b12e54d281d44402543832a5262e8f7bd13a53de81f4782fde05aee1f2b0d453281ef"
                              "7365f17d2fe08298c1118d283c6a");
}

static void test_stretch__refuses_nothing_and_too_much(void **state)
{
    static const uint8_t LONG[STRETCH_PASSWORD_MAX + 1];
    char name[200];
    uint8_t out[STRETCH_SIZE];
    (void) state;
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(stretch_password(slice_of(NULL, 0), "demo", out), GRID_EINVAL);
    assert_int_equal(stretch_password(slice_of(LONG, sizeof LONG), "demo", out), GRID_EINVAL);
    assert_int_equal(stretch_password(SLICE("correct horse"), name, out), GRID_EINVAL);
}

static void test_weak_password__finds_what_is_tried_first(void **state)
{
    static const struct {
        const char *password, *clause;
    } CASES[] = {
        {"", "it has 0 characters"},
        {"zX9#kQ2!v", "it has 9 characters, and 10 are asked for"},
        {"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", "it has 5 characters"},
        {"8291048271", "a number of fewer than 20 digits"},
        {"aaaaaaaaaaaa", "hardly any different"},
        {"abababababcd", "hardly any different"},
        {"abcdefghijkl", "follow one another"},
        {"zyxwvutsrqponm", "follow one another"},
        {"password1234", "words that are tried first"},
        {"P4$$w0rd!!!!", "words that are tried first"},
        {"PASSWORDPASSWORD", "words that are tried first"},
        {"correcthorsebatterystaple", "words that are tried first"},
        {"qwertyuiop", "words that are tried first"},
        {"Welcome-2026!", "words that are tried first"},
        {"frobnicate", "words that are tried first"},
        {"FROBNICATE-2026", "words that are tried first"},
        {"frobnicatefrobnicate", "words that are tried first"},
        {"fr0bn1c4te-p4ssword", "words that are tried first"},
        {"my.frobnicate.grid", "words that are tried first"},
    };
    char why[WEAK_PASSWORD_WHY];
    (void) state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        if (!weak_password(slice_of_str(CASES[i].password), "frobnicate", why))
            fail_msg("\"%s\" was not found weak", CASES[i].password);
        if (!strstr(why, CASES[i].clause))
            fail_msg("\"%s\": \"%s\" does not say \"%s\"", CASES[i].password, why, CASES[i].clause);
    }
}

static void test_weak_password__lets_others_pass(void **state)
{
    static const char *const CASES[] = {
        "zX9#kQ2!vL",
        "tangled-otter-8-lamps",
        "93847 28471 93847 29380",
        "90210482719048271934",
        "frobnicate knows nine otters",
        "a9384-2847-1938",
        "\xc3\xa9t\xc3\xa9-bleu-nuage",
        "Vz7 Kq3 Wn8",
        "demo-otter-lamp",
    };
    char why[WEAK_PASSWORD_WHY], longest[2 * STRETCH_PASSWORD_MAX];
    (void) state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        if (weak_password(slice_of_str(CASES[i]), "frobnicate", why))
            fail_msg("\"%s\" was found weak: %s", CASES[i], why);
    for (size_t i = 0; i < sizeof longest; i++)
        longest[i] = "otterlamp"[i % 9];
    assert_false(weak_password(slice_of(longest, sizeof longest), "frobnicate", why));
    assert_string_equal(why, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stretch__is_scrypt_salted_with_the_grids_name),
        cmocka_unit_test(test_stretch__refuses_nothing_and_too_much),
        cmocka_unit_test(test_weak_password__finds_what_is_tried_first),
        cmocka_unit_test(test_weak_password__lets_others_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
