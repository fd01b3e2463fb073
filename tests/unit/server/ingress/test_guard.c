/* Who is let in: Host, Origin, Sec-Fetch-Site and the token, as tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/ingress/guard.h"

struct ask {
    const char *host, *origin, *site, *authorization;
};

static int check(const struct guard_rules *rules, struct ask ask)
{
    struct http_header headers[3];
    size_t count = 0;
    const char *const values[][2] = {{"origin", ask.origin}, {"sec-fetch-site", ask.site}, {"authorization", ask.authorization}};
    for (size_t i = 0; i < 3; i++)
        if (values[i][1])
            headers[count++] = (struct http_header){slice_of_str(values[i][0]), slice_of_str(values[i][1])};
    struct http_request_head head = {.authority = slice_of_str(ask.host), .headers = headers, .header_count = count};
    const char *why;
    bool token;
    int status = guard_check(rules, &head, &token, &why);
    assert_int_equal(status != 0, why != NULL);
    assert_true(!token || ask.authorization);
    return status;
}

static void test_guard__answers_to_loopback_names_and_addresses_alone(void **state)
{
    (void) state;
    static const struct guard_rules rules = {.loopback = true};
    static const char *const good[] = {
        "localhost",         "LOCALHOST:1",           "localhost.",  "localhost.:80", "a.localhost", "A.B.LocalHost.:80",
        "127.0.0.1",         "127.0.0.1:65535",       "127.9.8.7:1", "127.0.0.1.",    "[::1]",       "[::1]:10000",
        "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]:80", "localhost:"};
    static const char *const bad[] = {"",
                                      "evil.example",
                                      "evil.example:10000",
                                      "127.0.0.1.evil.example",
                                      "localhost.evil.example",
                                      ".localhost",
                                      "evillocalhost",
                                      "localhost:99999",
                                      "localhost:1:2",
                                      "localhost:x",
                                      "::1",
                                      "[::1",
                                      "[::1]x",
                                      "[::2]",
                                      "128.0.0.1",
                                      "127.1",
                                      "127.0.0.256",
                                      "10.0.0.1",
                                      "[fe80::1]",
                                      "localhost@evil.example",
                                      "[]",
                                      "[localhost]",
                                      "0.0.0.0",
                                      "localhost..",
                                      "127.0.0.1:80@evil.example"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (check(&rules, (struct ask){.host = good[i]}) != 0)
            fail_msg("%s was refused", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (check(&rules, (struct ask){.host = bad[i]}) != 403)
            fail_msg("%s was let in", bad[i]);
}

static void test_guard__answers_to_listed_names(void **state)
{
    (void) state;
    static const char *const hosts[] = {"grid.example", "fd00::5", NULL};
    struct guard_rules rules = {.hosts = hosts, .loopback = true};
    assert_int_equal(check(&rules, (struct ask){.host = "Grid.Example:10000"}), 0);
    assert_int_equal(check(&rules, (struct ask){.host = "grid.example."}), 0);
    assert_int_equal(check(&rules, (struct ask){.host = "[fd00::5]:80"}), 0);
    assert_int_equal(check(&rules, (struct ask){.host = "x.grid.example"}), 403);
    assert_int_equal(check(&rules, (struct ask){.host = "localhost"}), 0);
}

/* Whoever asks for a token is not found by a page whose name points to it. */
static void test_guard__asks_for_the_token_where_no_names_are_listed(void **state)
{
    (void) state;
    static const char *const none[] = {NULL}, *const one[] = {"grid.example", NULL};
    assert_int_equal(check(&(struct guard_rules){.hosts = none, .token = "t"}, (struct ask){.host = "10.9.9.9:12000"}), 401);
    assert_int_equal(check(&(struct guard_rules){.token = "t"}, (struct ask){.host = "10.9.9.9:12000"}), 401);
    assert_int_equal(check(&(struct guard_rules){.hosts = one, .token = "t"}, (struct ask){.host = "10.9.9.9:12000"}), 403);
    assert_int_equal(check(&(struct guard_rules){.hosts = none, .loopback = true}, (struct ask){.host = "10.9.9.9:12000"}), 403);
}

static void test_guard__leaves_the_host_of_exempt_routes_alone(void **state)
{
    (void) state;
    static const struct guard_rules rules = {.loopback = true, .any_host = true};
    assert_int_equal(check(&rules, (struct ask){.host = "scraper.example"}), 0);
    assert_int_equal(check(&rules, (struct ask){.host = ""}), 0);
    assert_int_equal(check(&rules, (struct ask){.host = "scraper.example", .origin = "http://evil.example"}), 403);
    assert_int_equal(check(&rules, (struct ask){.host = "scraper.example", .site = "cross-site"}), 403);
}

static void test_guard__refuses_foreign_pages(void **state)
{
    (void) state;
    static const char *const hosts[] = {"grid.example", NULL};
    static const struct guard_rules rules = {.hosts = hosts, .loopback = true};
    static const struct {
        const char *origin, *site;
        int status;
    } cases[] = {
        {NULL, NULL, 0},
        {NULL, "same-origin", 0},
        {NULL, "same-site", 0},
        {NULL, "none", 0},
        {NULL, "cross-site", 403},
        {"http://evil.example", NULL, 403},
        {"null", NULL, 403},
        {"", NULL, 403},
        {"file://grid.example", NULL, 403},
        {"http://grid.example.evil.example", NULL, 403},
        {"http://localhost:3000", NULL, 403},
        {"http://grid.example", NULL, 0},
        {"https://GRID.example:8443", "same-site", 0},
        {"https://grid.example", "cross-site", 403},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (check(&rules, (struct ask){.host = "localhost", .origin = cases[i].origin, .site = cases[i].site}) != cases[i].status)
            fail_msg("Origin %s, Sec-Fetch-Site %s", cases[i].origin, cases[i].site);
}

static void test_guard__asks_for_the_token_beyond_loopback(void **state)
{
    (void) state;
    struct guard_rules rules = {.token = "secret"};
    static const struct {
        const char *authorization;
        int status;
    } cases[] = {
        {NULL, 401},
        {"", 401},
        {"Bearer", 401},
        {"Bearer ", 401},
        {"Bearer secre", 401},
        {"Bearer secrets", 401},
        {"Bearer Secret", 401},
        {"Basic secret", 401},
        {"Bearer secret", 0},
        {"bearer  secret ", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (check(&rules, (struct ask){.host = "any.example", .authorization = cases[i].authorization}) != cases[i].status)
            fail_msg("Authorization: %s", cases[i].authorization);
    rules.no_token = true;
    assert_int_equal(check(&rules, (struct ask){.host = "any.example"}), 0);
    rules = (struct guard_rules){0};
    assert_int_equal(check(&rules, (struct ask){.host = "any.example", .authorization = "Bearer "}), 401);
}

static void test_guard__knows_forms_and_text(void **state)
{
    (void) state;
    static const struct {
        const char *type;
        bool json_like;
    } cases[] = {
        {"", true},
        {"application/json", true},
        {"application/octet-stream", true},
        {"image/png; q=1", true},
        {"text/plain", false},
        {" TEXT/Plain ;charset=utf-8", false},
        {"application/x-www-form-urlencoded", false},
        {"application/x-www-form-urlencoded;charset=UTF-8", false},
        {"multipart/form-data; boundary=x", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(guard_json_like(slice_of_str(cases[i].type)), cases[i].json_like);
    assert_true(guard_media_type_is(SLICE("Application/JSON; charset=utf-8"), "application/json"));
    assert_false(guard_media_type_is(SLICE("application/jsonp"), "application/json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guard__answers_to_loopback_names_and_addresses_alone),
        cmocka_unit_test(test_guard__answers_to_listed_names),
        cmocka_unit_test(test_guard__asks_for_the_token_where_no_names_are_listed),
        cmocka_unit_test(test_guard__leaves_the_host_of_exempt_routes_alone),
        cmocka_unit_test(test_guard__refuses_foreign_pages),
        cmocka_unit_test(test_guard__asks_for_the_token_beyond_loopback),
        cmocka_unit_test(test_guard__knows_forms_and_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
