/* Backoff, ports, the environment, what /proc says: the supervisor's pure parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "server/supervise/backoff.h"
#include "server/supervise/firewall.h"
#include "server/supervise/ports.h"
#include "server/supervise/proc.h"
#include "server/supervise/task_env.h"

static void test_backoff__grows_by_half_to_its_limit(void **state)
{
    (void) state;
    static const uint64_t expected[] = {100, 150, 225, 337, 505, 757, 1135, 1702, 2553, 3829, 5743, 8614, 12921, 15000, 15000};
    struct backoff b = {0};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_int_equal(backoff_ended(&b, 5000, 0), expected[i]);
    assert_false(backoff_is_errored(&b));
    assert_int_equal(backoff_ended(&b, BACKOFF_RESET_MS, 0), 100);
}

static void test_backoff__chance_takes_at_most_a_quarter_off(void **state)
{
    (void) state;
    for (uint32_t chance = 0; chance < 5000; chance += 7) {
        struct backoff b = {.next_ms = 1000};
        uint64_t delay = backoff_ended(&b, 0, chance);
        assert_in_range(delay, 750, 1000);
    }
    struct backoff b = {.next_ms = 1000};
    assert_int_equal(backoff_ended(&b, 0, 1000), 750);
}

static void test_backoff__sixteen_quick_failures_are_hopeless_and_still_tried(void **state)
{
    (void) state;
    struct backoff b = {0};
    for (int i = 1; i <= 16; i++) {
        assert_false(backoff_is_hopeless(&b));
        backoff_ended(&b, 999, 0);
        assert_true(backoff_is_errored(&b));
    }
    assert_true(backoff_is_hopeless(&b));
    assert_int_equal(backoff_ended(&b, 0, 0), BACKOFF_MAX_MS);
    backoff_ended(&b, 1000, 0);
    assert_false(backoff_is_errored(&b));
}

static bool free_but(void *ctx, uint16_t port)
{
    return port != *(uint16_t *) ctx;
}

static bool never_free(void *ctx, uint16_t port)
{
    (void) ctx, (void) port;
    return false;
}

static void test_ports__skips_what_is_held_used_or_avoided(void **state)
{
    (void) state;
    struct ports p;
    uint16_t used = 10002;
    ports_init(&p, 10001);
    assert_int_equal(ports_take(&p, 0, free_but, &used), 10001);
    assert_int_equal(ports_take(&p, 0, free_but, &used), 10003);
    ports_release(&p, 10001);
    ports_avoid(&p, 10001, 1000);
    assert_int_equal(ports_take(&p, 1000, free_but, &used), 10004);
    assert_int_equal(ports_take(&p, 1000 + PORTS_AVOID_MS, free_but, &used), 10001);
    assert_int_equal(ports_take(&p, 0, never_free, NULL), 0);
}

static void test_ports__ends_at_the_last_port(void **state)
{
    (void) state;
    struct ports p;
    uint16_t used = 0;
    ports_init(&p, 65535);
    assert_int_equal(ports_take(&p, 0, free_but, &used), 65535);
    assert_int_equal(ports_take(&p, 0, free_but, &used), 0);
}

static void test_task_env__lets_pass_what_is_allowed_and_never_the_daemons_secrets(void **state)
{
    (void) state;
    static const struct {
        const char *variable;
        bool inherited;
    } cases[] = {
        {"PATH=/bin", true},      {"HOME=/root", true},         {"GRIDS=1", false},          {"GRID=g", false},
        {"GRID_AUTH=secret", false}, {"GRID_PASSWORD=x", false}, {"GRID_PASSWORD_FILE=x", false}, {"NOTIFY_SOCKET=/s", false},
        {"LISTEN_FDS=1", false},  {"WATCHDOG_USEC=1", false},   {"PORT=80", false},          {"PORTAL=80", false},
        {"LC_ALL=C", true},       {"TZ=UTC", true},             {"https_proxy=http://p", true}, {"AWS_SECRET_ACCESS_KEY=x", false},
        {"APP_KEY=1", true},      {"APP=1", false},             {"DATABASE_URL=x", true},     {"LC=x", false},
    };
    static const char *const names[] = {"APP_*", "DATABASE_URL", "GRID_*", "NOTIFY_SOCKET"};
    const struct task_env_names more = {names, 4};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (task_env_inherits(cases[i].variable, &more) != cases[i].inherited)
            fail_msg("%s", cases[i].variable);
    assert_false(task_env_inherits("APP_KEY=1", NULL));
}

static void test_task_env__later_lists_win(void **state)
{
    (void) state;
    char *daemon[] = {(char *) "PATH=/bin", (char *) "A=daemon", (char *) "GRID_AUTH=secret", NULL};
    char *project[] = {(char *) "A=first", (char *) "A=project", (char *) "malformed", (char *) "=x", (char *) "TASK_PORT=1",
                       (char *) "GRID_MINE=1", NULL};
    char *own[] = {(char *) "TASK_PORT=10001", NULL};
    char **env = task_env_build(daemon, NULL, project, own);
    static const char *const expected[] = {"PATH=/bin", "A=project", "GRID_MINE=1", "TASK_PORT=10001"};
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(env[i], expected[i]);
    assert_null(env[4]);
    free(env);
    env = task_env_build(NULL, NULL, NULL, NULL);
    assert_null(env[0]);
    free(env);
}

static void test_proc__parses_stat_whatever_the_name(void **state)
{
    (void) state;
    struct proc_stat s;
    struct slice text = SLICE("42 (a) b (c) S 1 40 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3\n");
    assert_int_equal(proc_stat_parse(text, &s), 0);
    assert_int_equal(s.pid, 42);
    assert_int_equal(s.group, 40);
    assert_int_equal(s.state, 'S');
    assert_int_equal(s.start_time, 987654);
    assert_int_equal(proc_stat_parse(SLICE("42 sh S 1 40"), &s), GRID_EPROTO);
    assert_int_equal(proc_stat_parse(SLICE(""), &s), GRID_EPROTO);
    assert_int_equal(proc_stat_parse(SLICE("42 (sh) S 1"), &s), GRID_EPROTO);
}

static void test_proc__finds_listeners_of_a_port(void **state)
{
    (void) state;
    static const struct {
        const char *line;
        bool found;
        uint64_t inode;
        bool wide;
    } cases[] = {
        {"   4: 0101007F:2711 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5 1\n", true, 5, false},
        {"   5: 00000000:2711 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 6 1\n", true, 6, true},
        {"   6: 0A00007B:2711 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7 1\n", true, 7, true},
        {"   7: 00000000000000000000000001000000:2711 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 8 1\n", true, 8, false},
        {"   8: 0000000000000000FFFF00000100007F:2711 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 9 1\n", true, 9, false},
        {"   0: 0100007F:2711 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000 100 0 0 10 0\n", true, 12345, false},
        {"   1: 00000000000000000000000000000000:2711 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 77 1\n",
         true, 77, true},
        {"   2: 0100007F:2711 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 12345 1\n", false, 0, false},
        {"   3: 0100007F:2712 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1\n", false, 0, false},
        {"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n", false, 0, false},
        {"", false, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t inode = 0;
        bool wide = false;
        assert_int_equal(proc_listener_parse(slice_of_str(cases[i].line), 10001, &inode, &wide), cases[i].found);
        if (cases[i].found)
            assert_true(inode == cases[i].inode && wide == cases[i].wide);
    }
}

static void test_firewall__replaces_its_own_table_in_one_transaction(void **state)
{
    (void) state;
    static const uint16_t ports[] = {10001, 10003};
    struct buf out;
    buf_init(&out, 0);
    assert_int_equal(firewall_script("gridcontrol_ab", NULL, 0, &out), 0);
    assert_string_equal(buf_cstr(&out), "add table inet gridcontrol_ab; delete table inet gridcontrol_ab; ");
    assert_int_equal(firewall_script("gridcontrol_ab", ports, 2, &out), 0);
    assert_non_null(strstr(buf_cstr(&out), "iifname != \"lo\" tcp dport { 10001, 10003 } drop;"));
    buf_dispose(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_firewall__replaces_its_own_table_in_one_transaction),
        cmocka_unit_test(test_backoff__grows_by_half_to_its_limit),
        cmocka_unit_test(test_backoff__chance_takes_at_most_a_quarter_off),
        cmocka_unit_test(test_backoff__sixteen_quick_failures_are_hopeless_and_still_tried),
        cmocka_unit_test(test_ports__skips_what_is_held_used_or_avoided),
        cmocka_unit_test(test_ports__ends_at_the_last_port),
        cmocka_unit_test(test_task_env__lets_pass_what_is_allowed_and_never_the_daemons_secrets),
        cmocka_unit_test(test_task_env__later_lists_win),
        cmocka_unit_test(test_proc__parses_stat_whatever_the_name),
        cmocka_unit_test(test_proc__finds_listeners_of_a_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
