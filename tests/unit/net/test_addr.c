/* Addresses: what parses, what does not, and that text round-trips. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/addr.h"

static void test_addr__round_trips_numeric_text(void **state)
{
    (void) state;
    static const char *const texts[] = {"127.0.0.1:80", "0.0.0.0:0", "[::1]:65535", "[fe80::1]:7900", "[::ffff:10.0.0.1]:1"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct addr a, b;
        char text[ADDR_TEXT_MAX];
        assert_int_equal(addr_parse(slice_of_str(texts[i]), &a), 0);
        addr_format(&a, text);
        if (i != 4)
            assert_string_equal(text, texts[i]);
        assert_int_equal(addr_parse(slice_of_str(texts[i]), &b), 0);
        assert_true(addr_equal(&a, &b));
    }
}

static void test_addr__refuses_what_is_no_numeric_address_and_port(void **state)
{
    (void) state;
    static const char *const texts[] = {"", ":", ":80", "localhost:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:+1",
                                        "::1:80", "[::1]", "[::1]80", "[]:80", "[127.0.0.1]:80", "1.2.3:4", "127.0.0.1:000080"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct addr a;
        assert_int_equal(addr_parse(slice_of_str(texts[i]), &a), GRID_EINVAL);
    }
}

static void test_addr__splits_names(void **state)
{
    (void) state;
    struct slice host;
    uint16_t port;
    assert_int_equal(addr_split(SLICE("a.example:7900"), &host, &port), 0);
    assert_true(slice_equal_str(host, "a.example"));
    assert_int_equal(port, 7900);
    assert_int_equal(addr_split(SLICE("[::1]:1"), &host, &port), 0);
    assert_true(slice_equal_str(host, "::1"));
}

static void test_addr__knows_loopback_and_any(void **state)
{
    (void) state;
    static const struct {
        const char *text;
        bool loopback, any;
        const char *host;
    } cases[] = {
        {"127.8.9.1:1", true, false, "127.8.9.1"},  {"[::1]:1", true, false, "::1"},       {"[::ffff:127.0.0.2]:1", true, false, "127.0.0.2"},
        {"10.0.0.1:1", false, false, "10.0.0.1"},   {"0.0.0.0:1", false, true, "0.0.0.0"}, {"[::]:1", false, true, "::"},
        {"[::2]:1", false, false, "::2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct addr a;
        char host[ADDR_TEXT_MAX];
        assert_int_equal(addr_parse(slice_of_str(cases[i].text), &a), 0);
        assert_int_equal(addr_is_loopback(&a), cases[i].loopback);
        assert_int_equal(addr_is_any(&a), cases[i].any);
        addr_format_host(&a, host);
        assert_string_equal(host, cases[i].host);
    }
}

static void test_addr__knows_how_far_addresses_lead(void **state)
{
    static const struct {
        const char *text;
        enum addr_scope scope;
    } cases[] = {
        {"0.0.0.0:1", ADDR_SCOPE_NONE},        {"0.1.2.3:1", ADDR_SCOPE_NONE},         {"127.9.9.9:1", ADDR_SCOPE_HOST},      {"169.254.1.1:1", ADDR_SCOPE_LINK},
        {"169.255.1.1:1", ADDR_SCOPE_GLOBAL},  {"10.255.0.1:1", ADDR_SCOPE_PRIVATE},   {"11.0.0.1:1", ADDR_SCOPE_GLOBAL},     {"172.16.0.1:1", ADDR_SCOPE_PRIVATE},
        {"172.31.0.1:1", ADDR_SCOPE_PRIVATE},  {"172.32.0.1:1", ADDR_SCOPE_GLOBAL},    {"192.168.0.1:1", ADDR_SCOPE_PRIVATE}, {"192.169.0.1:1", ADDR_SCOPE_GLOBAL},
        {"100.64.0.1:1", ADDR_SCOPE_PRIVATE},  {"100.128.0.1:1", ADDR_SCOPE_GLOBAL},   {"223.255.0.1:1", ADDR_SCOPE_GLOBAL},  {"224.0.0.1:1", ADDR_SCOPE_NONE},
        {"255.255.255.255:1", ADDR_SCOPE_NONE}, {"[::]:1", ADDR_SCOPE_NONE},           {"[::1]:1", ADDR_SCOPE_HOST},          {"[fe80::1]:1", ADDR_SCOPE_LINK},
        {"[fd00::1]:1", ADDR_SCOPE_PRIVATE},   {"[fc00::1]:1", ADDR_SCOPE_PRIVATE},    {"[ff02::1]:1", ADDR_SCOPE_NONE},      {"[2001:db8::1]:1", ADDR_SCOPE_GLOBAL},
        {"[::ffff:10.0.0.1]:1", ADDR_SCOPE_PRIVATE},
    };
    struct addr a;
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(addr_parse(slice_of_str(cases[i].text), &a), 0);
        assert_int_equal(addr_scope(&a), cases[i].scope);
        assert_int_equal(addr_is_v4(&a), cases[i].text[0] != '[' || i + 1 == sizeof cases / sizeof *cases);
    }
    assert_int_equal(addr_unix("/run/x", &a), 0);
    assert_int_equal(addr_scope(&a), ADDR_SCOPE_NONE);
}

static void test_addr__takes_unix_paths_up_to_the_systems_length(void **state)
{
    (void) state;
    struct addr a;
    char text[ADDR_TEXT_MAX], path[200];
    assert_int_equal(addr_unix("/run/x.sock", &a), 0);
    addr_format(&a, text);
    assert_string_equal(text, "/run/x.sock");
    assert_true(addr_is_loopback(&a));
    memset(path, 'a', sizeof path);
    path[108] = '\0';
    assert_int_equal(addr_unix(path, &a), GRID_ELIMIT);
    path[107] = '\0';
    assert_int_equal(addr_unix(path, &a), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addr__round_trips_numeric_text),
        cmocka_unit_test(test_addr__refuses_what_is_no_numeric_address_and_port),
        cmocka_unit_test(test_addr__splits_names),
        cmocka_unit_test(test_addr__knows_loopback_and_any),
        cmocka_unit_test(test_addr__knows_how_far_addresses_lead),
        cmocka_unit_test(test_addr__takes_unix_paths_up_to_the_systems_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
