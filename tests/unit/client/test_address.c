/* Addresses: what is one, what gRPC is told, and where to look in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"
#include "client/address.h"

static void test_address__takes_hosts_ports_and_sockets(void **state)
{
    static const struct {
        const char *text, *normalized, *target;
    } CASES[] = {
        {"127.0.0.1:10000", "127.0.0.1:10000", "ipv4:127.0.0.1:10000"}, {"[::1]:1", "[::1]:1", "ipv6:[::1]:1"},
        {"localhost:80", "localhost:80", "dns:///localhost:80"},        {"/run/a.sock", "unix:/run/a.sock", "unix:/run/a.sock"},
        {"unix:/x", "unix:/x", "unix:/x"},                              {"", NULL, NULL},
        {"127.0.0.1", NULL, NULL},                                      {"127.0.0.1:0", NULL, NULL},
        {"127.0.0.1:65536", NULL, NULL},                                {":1", NULL, NULL},
        {"[]:1", NULL, NULL},                                           {"::1:1", NULL, NULL},
        {"http://h:1", "h:1", "dns:///h:1"},                            {"h h:1", NULL, NULL},
        {"http://127.0.0.1:1/", "127.0.0.1:1", "ipv4:127.0.0.1:1"},     {"http://[::1]:1", "[::1]:1", "ipv6:[::1]:1"},
        {"http://127.0.0.1:1/x", NULL, NULL},                           {"http://127.0.0.1:1//", NULL, NULL},
        {"https://127.0.0.1:1", NULL, NULL},                            {"http://", NULL, NULL},
        {"http:///x", NULL, NULL},                                      {"http://h", NULL, NULL},
        {"unix:relative", NULL, NULL},                                  {"300.1.1.1:1", NULL, NULL},
        {"1.2.3:1", NULL, NULL},                                        {"[:::]:1", NULL, NULL},
    };
    (void) state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char normalized[ADDRESS_MAX], target[ADDRESS_MAX];
        assert_int_equal(address_normalize(CASES[i].text, normalized), CASES[i].normalized ? 0 : GRID_EINVAL);
        if (!CASES[i].normalized)
            continue;
        assert_string_equal(normalized, CASES[i].normalized);
        assert_int_equal(address_target(normalized, target), 0);
        assert_string_equal(target, CASES[i].target);
    }
}

static void test_address__tells_names_from_literals(void **state)
{
    static const struct {
        const char *normalized, *name;
    } CASES[] = {{"localhost:80", "localhost"}, {"a.example:1", "a.example"}, {"127.0.0.1:1", NULL}, {"[::1]:1", NULL}, {"unix:/x", NULL}};
    char name[ADDRESS_MAX];
    (void) state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        assert_int_equal(address_host_name(CASES[i].normalized, name), CASES[i].name != NULL);
        if (CASES[i].name)
            assert_string_equal(name, CASES[i].name);
    }
}

static void test_address__refuses_what_is_too_long(void **state)
{
    char text[2 * ADDRESS_MAX], out[ADDRESS_MAX];
    (void) state;
    for (size_t i = 0; i < sizeof text - 1; i++)
        text[i] = '/';
    text[sizeof text - 1] = '\0';
    assert_int_equal(address_normalize(text, out), GRID_ELIMIT);
}

static void check_candidates(const struct address_surroundings *around, size_t count, const char *const *wanted)
{
    char found[ADDRESS_CANDIDATES_MAX][ADDRESS_MAX];
    const char *unsound;
    assert_int_equal(address_candidates(around, found, &unsound), count);
    assert_null(unsound);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(found[i], wanted[i]);
}

static void test_address__looks_at_the_variable_alone_else_at_the_socket_then_the_port(void **state)
{
    (void) state;
    check_candidates(&(struct address_surroundings){NULL, "127.0.0.1:5", "/run/user/1", false}, 1, (const char *[]){"127.0.0.1:5"});
    check_candidates(&(struct address_surroundings){NULL, "", "/run/user/1", false}, 3,
                     (const char *[]){"unix:/run/user/1/gridcontrol/api.sock", "unix:/run/gridcontrol/api.sock", "127.0.0.1:10000"});
    check_candidates(&(struct address_surroundings){NULL, NULL, "/run/user/1", true}, 2,
                     (const char *[]){"unix:/run/gridcontrol/api.sock", "127.0.0.1:10000"});
    check_candidates(&(struct address_surroundings){"/a.sock", "/b.sock", NULL, true}, 1, (const char *[]){"unix:/b.sock"});
    check_candidates(&(struct address_surroundings){"/a.sock", NULL, NULL, true}, 2, (const char *[]){"unix:/a.sock", "127.0.0.1:10000"});
    check_candidates(&(struct address_surroundings){NULL, NULL, NULL, false}, 2, (const char *[]){"unix:/run/gridcontrol/api.sock", "127.0.0.1:10000"});
    check_candidates(&(struct address_surroundings){NULL, "127.0.0.1:10000", NULL, false}, 1, (const char *[]){"127.0.0.1:10000"});
}

static void test_address__names_a_variable_that_is_no_address(void **state)
{
    char found[ADDRESS_CANDIDATES_MAX][ADDRESS_MAX];
    const char *unsound;
    struct address_surroundings around = {NULL, "nonsense", NULL, false};
    (void) state;
    address_candidates(&around, found, &unsound);
    assert_string_equal(unsound, "nonsense");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address__takes_hosts_ports_and_sockets),
        cmocka_unit_test(test_address__tells_names_from_literals),
        cmocka_unit_test(test_address__refuses_what_is_too_long),
        cmocka_unit_test(test_address__looks_at_the_variable_alone_else_at_the_socket_then_the_port),
        cmocka_unit_test(test_address__names_a_variable_that_is_no_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
