/* Forms to JSON: nesting, arrays, order, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/form.h"

static void test_form__becomes_json(void **state)
{
    (void) state;
    static const char *const cases[][2] = {
        {"", "{}"},
        {"&&", "{}"},
        {"task_id=echo&data%5Bname%5D=yey&data%5Bnested%5D%5Ba%5D%5B0%5D=1&data%5Bnul%5D=&opts%5Btimeout%5D=500",
         "{\"task_id\":\"echo\",\"data\":{\"name\":\"yey\",\"nested\":{\"a\":[\"1\"]},\"nul\":\"\"},\"opts\":{\"timeout\":\"500\"}"
         "}"},
        {"task_id=echo.h&data=", "{\"task_id\":\"echo.h\",\"data\":\"\"}"},
        {"task_id=echo&data=plain%20str", "{\"task_id\":\"echo\",\"data\":\"plain str\"}"},
        {"a", "{\"a\":\"\"}"},
        {"a=b=c", "{\"a\":\"b=c\"}"},
        {"=x&a=1", "{\"a\":\"1\"}"},
        {"a=x+y%2B&c%20d=%22%5C%0A", "{\"a\":\"x y+\",\"c d\":\"\\\"\\\\\\n\"}"},
        {"x[]=1&x[]=2", "{\"x\":[\"1\",\"2\"]}"},
        {"x[1]=b&x[0]=a", "{\"x\":[\"a\",\"b\"]}"},
        {"x[1]=b&x[]=c", "{\"x\":{\"1\":\"b\",\"2\":\"c\"}}"},
        {"x[0]=a&x[2]=c", "{\"x\":{\"0\":\"a\",\"2\":\"c\"}}"},
        {"x[00]=a", "{\"x\":{\"00\":\"a\"}}"},
        {"x[0]=a&x[k]=b", "{\"x\":{\"0\":\"a\",\"k\":\"b\"}}"},
        {"x[9999999]=a", "{\"x\":{\"9999999\":\"a\"}}"},
        {"0=a&1=b", "{\"0\":\"a\",\"1\":\"b\"}"},
        {"x[][a]=1&x[][a]=2", "{\"x\":[{\"a\":\"1\"},{\"a\":\"2\"}]}"},
        {"x[0][a]=1&y=2&x[0][b]=3", "{\"x\":[{\"a\":\"1\",\"b\":\"3\"}],\"y\":\"2\"}"},
        {"a=1&a=2&a=3", "{\"a\":[\"1\",\"2\",\"3\"]}"},
        {"a[b]=1&a[b]=2", "{\"a\":{\"b\":[\"1\",\"2\"]}}"},
        {"[a][b]=1", "{\"a\":{\"b\":\"1\"}}"},
        {"[]=1&[]=2", "{\"0\":\"1\",\"1\":\"2\"}"},
        {"__proto__[x]=1&constructor=2", "{\"__proto__\":{\"x\":\"1\"},\"constructor\":\"2\"}"},
        {"caf%C3%A9=%F0%9F%98%80", "{\"caf\xc3\xa9\":\"\xf0\x9f\x98\x80\"}"},
        {"a=%00", "{\"a\":\"\\u0000\"}"},
    };
    struct buf b;
    buf_init(&b, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_clear(&b);
        assert_int_equal(form_to_json(slice_of_str(cases[i][0]), &b, NULL), 0);
        assert_string_equal(buf_cstr(&b), cases[i][1]);
    }
    buf_dispose(&b);
}

static void test_form__refuses_and_says_which_and_why(void **state)
{
    (void) state;
    static const struct {
        const char *form;
        size_t parameter;
        const char *why;
    } cases[] = {
        {"a=1&b=%2", 2, "hexadecimal"},
        {"%zz=1", 1, "hexadecimal"},
        {"a=%ff", 1, "UTF-8"},
        {"%c0%80=1", 1, "UTF-8"},
        {"a[b=1", 1, "brackets"},
        {"a]=1", 1, "brackets"},
        {"a[b]c=1", 1, "brackets"},
        {"a[b[c]]=1", 1, "brackets"},
        {"a=1&a[b]=2", 2, "plain value already"},
        {"a[b]=1&a=2", 2, "fields already"},
        {"a=1&a=2&a[b]=3", 3, "plain value already"},
        {"a=1&a[]=2", 2, "plain value already"},
    };
    struct buf b;
    buf_init(&b, 0);
    buf_append_str(&b, "keep");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct form_error error = {0};
        assert_int_equal(form_to_json(slice_of_str(cases[i].form), &b, &error), GRID_EPROTO);
        assert_int_equal(error.parameter, cases[i].parameter);
        assert_non_null(strstr(error.reason, cases[i].why));
        assert_string_equal(buf_cstr(&b), "keep");
    }
    buf_dispose(&b);
}

static int convert_repeated(const char *head, const char *piece, int times, struct buf *out)
{
    struct buf form;
    buf_init(&form, 0);
    buf_append_str(&form, head);
    for (int i = 0; i < times; i++)
        buf_append_str(&form, piece);
    buf_clear(out);
    int err = form_to_json(buf_slice(&form), out, NULL);
    buf_dispose(&form);
    return err;
}

static void test_form__holds_its_limits(void **state)
{
    (void) state;
    struct buf b;
    buf_init(&b, 0);
    assert_int_equal(convert_repeated("", "a[]=1&", FORM_MAX_PARAMETERS, &b), 0);
    assert_int_equal(convert_repeated("", "a[]=1&", FORM_MAX_PARAMETERS + 1, &b), GRID_ELIMIT);
    assert_int_equal(b.size, 0);
    assert_int_equal(convert_repeated("a", "[b]", FORM_MAX_DEPTH, &b), 0);
    assert_int_equal(convert_repeated("a", "[b]", FORM_MAX_DEPTH + 1, &b), GRID_ELIMIT);
    buf_dispose(&b);
    buf_init(&b, 8);
    assert_int_equal(form_to_json(SLICE("a=123456789"), &b, NULL), GRID_ELIMIT);
    assert_int_equal(b.size, 0);
    buf_dispose(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form__becomes_json),
        cmocka_unit_test(test_form__refuses_and_says_which_and_why),
        cmocka_unit_test(test_form__holds_its_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
