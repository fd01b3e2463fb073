/* Names of functions as AWS clients write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "server/ingress/lambda_name.h"

static void test_lambda_name__takes_every_form(void **state)
{
    (void) state;
    static const char *const cases[][3] = {
        {"echo", "echo", ""},
        {"echo.handler", "echo.handler", ""},
        {"echo:prod", "echo", "prod"},
        {"echo:$LATEST", "echo", "$LATEST"},
        {"echo:42", "echo", "42"},
        {"123456789012:function:echo", "echo", ""},
        {"123456789012:function:echo:prod", "echo", "prod"},
        {"arn:aws:lambda:us-east-1:123456789012:function:echo", "echo", ""},
        {"arn:aws-cn:lambda:cn-north-1:123456789012:function:echo:7", "echo", "7"},
        {"arn:aws:lambda:local:000000000000:function:a.b-c_d:$LATEST", "a.b-c_d", "$LATEST"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice name, qualifier;
        assert_int_equal(lambda_name_parse(slice_of_str(cases[i][0]), &name, &qualifier), 0);
        assert_true(slice_equal_str(name, cases[i][1]));
        assert_true(slice_equal_str(qualifier, cases[i][2]));
    }
}

static void test_lambda_name__refuses_what_is_none(void **state)
{
    (void) state;
    char longer[400];
    memset(longer, 'x', sizeof longer);
    static const char *const cases[] = {
        "",
        ":",
        "echo:",
        ":prod",
        "a:b:c:d",
        "echo:a b",
        "echo:a/b",
        "arn:aws:lambda:us-east-1:123456789012:function:",
        "arn:aws:lambda:r:a:function:n:q:z",
        "arn:aws:s3:us-east-1:123456789012:function:echo",
        "123:function:echo:a:b",
        "a:b:c:d:e:f:g:h:i:j:k",
        "::::::::::::::::::::",
    };
    struct slice name, qualifier;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (lambda_name_parse(slice_of_str(cases[i]), &name, &qualifier) != GRID_EINVAL)
            fail_msg("%s was taken", cases[i]);
    assert_int_equal(lambda_name_parse(slice_of(longer, 140), &name, &qualifier), 0);
    assert_int_equal(lambda_name_parse(slice_of(longer, 141), &name, &qualifier), GRID_EINVAL);
    memcpy(longer, "e:", 2);
    assert_int_equal(lambda_name_parse(slice_of(longer, 130), &name, &qualifier), 0);
    assert_int_equal(lambda_name_parse(slice_of(longer, 131), &name, &qualifier), GRID_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lambda_name__takes_every_form),
        cmocka_unit_test(test_lambda_name__refuses_what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
