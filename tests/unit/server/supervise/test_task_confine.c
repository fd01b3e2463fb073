/* Whom tasks run as, what is covered, what a plan says, what a kernel lacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "server/confine/confine.h"
#include "server/supervise/task_confine.h"
#include "server/supervise/task_filter.h"
#include "server/supervise/task_plan.h"

static void test_task_user__a_node_keeps_its_number_and_two_nodes_differ(void **state)
{
    (void) state;
    const char *first = "e36602c64fed8823", *second = "f36602c74fed8823";
    assert_int_equal(task_user_number(first, false), task_user_number(first, false));
    assert_int_not_equal(task_user_number(first, false), task_user_number(second, false));
    assert_in_range(task_user_number(first, false), 1879048192u, 2147352575u);
    assert_in_range(task_user_number(first, true), 61184, 65519);
}

static void test_task_user__reads_the_kernels_maps(void **state)
{
    (void) state;
    static const struct {
        const char *map;
        uint32_t uid;
        bool mapped;
    } cases[] = {
        {"         0          0 4294967295\n", 1879048192u, true}, {"         0     100000      65536\n", 65535, true},
        {"         0     100000      65536\n", 65536, false},      {"0 1000 1\n1 100000 65536\n", 500, true},
        {"0 1000 1\n", 1, false},                                  {"nonsense", 1, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(task_user_is_mapped(cases[i].map, cases[i].uid), cases[i].mapped);
}

static void test_task_user__what_cannot_be_is_refused_with_a_sentence(void **state)
{
    (void) state;
    struct task_user user;
    char why[TASK_WHY_MAX];
    assert_int_equal(task_user_resolve("no such user", "00", &user, why), GRID_EINVAL);
    assert_non_null(strstr(why, "no such user"));
    assert_int_equal(task_user_resolve("99999999999", "00", &user, why), GRID_EINVAL);
    assert_int_equal(task_user_resolve("root", "00", &user, why), geteuid() == 0 ? 0 : GRID_EINVAL);
}

static void test_task_confine__finds_the_first_folder_that_is_closed(void **state)
{
    (void) state;
    char folder[] = "/tmp/grid-confine-XXXXXX", path[128];
    struct task_user other = {.own = true, .uid = 1879048192u, .gid = 1879048192u};
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a/b", folder);
    char *closed = task_confine_closed(path, &other);
    assert_string_equal(closed, folder);
    free(closed);
    assert_int_equal(chmod(folder, 0711), 0);
    assert_null(task_confine_closed(path, &other));
    assert_int_equal(rmdir(folder), 0);
}

static void test_task_confine__strict_says_what_a_kernel_lacks(void **state)
{
    (void) state;
    assert_null(task_confine_lacks(2, true));
    assert_non_null(strstr(task_confine_lacks(0, true), "Landlock"));
    assert_non_null(strstr(task_confine_lacks(1, true), "second version"));
    assert_non_null(strstr(task_confine_lacks(7, false), "seccomp"));
}

static void test_task_plan__says_all_that_it_was_told(void **state)
{
    (void) state;
    char *argv[] = {(char *) "node", (char *) "/r/x y.js", NULL}, *env[] = {(char *) "A=b=c", (char *) "E=", NULL};
    struct confine_plan p = {.change_user = true, .uid = 7, .gid = 8, .view = true, .covers = {(char *) "/s"}, .cover_count = 1,
                             .places = {{(char *) "/s/a", (char *) "/s/b", true}}, .place_count = 1, .landlock = CONFINE_LANDLOCK_ALL, .port = 65535,
                             .filter = (char *) "00", .folder = (char *) "/r", .argv = argv, .env = env};
    struct confine_plan q;
    struct buf text;
    buf_init(&text, 0);
    assert_int_equal(task_plan_encode(&p, &text), 0);
    assert_int_equal(confine_plan_decode((char *) text.data, text.size, &q), 0);
    assert_true(q.change_user && q.uid == 7 && q.gid == 8 && q.view && q.port == 65535 && q.landlock == CONFINE_LANDLOCK_ALL);
    assert_string_equal(q.covers[0], "/s");
    assert_string_equal(q.places[0].from, "/s/a");
    assert_string_equal(q.places[0].to, "/s/b");
    assert_true(q.places[0].writes);
    assert_string_equal(q.argv[1], "/r/x y.js");
    assert_null(q.argv[2]);
    assert_string_equal(q.env[0], "A=b=c");
    assert_string_equal(q.env[1], "E=");
    assert_null(q.env[2]);
    confine_plan_dispose(&q);
    buf_dispose(&text);
}

static void test_task_plan__explains_a_failure(void **state)
{
    (void) state;
    char text[256];
    struct confine_report user = {CONFINE_STAGE_USER, EPERM}, odd = {99, EIO};
    task_plan_explain(&user, "tasks/x", text, sizeof text);
    assert_non_null(strstr(text, "tasks/x"));
    assert_non_null(strstr(text, "--task-user"));
    task_plan_explain(&odd, "tasks/x", text, sizeof text);
    assert_non_null(strstr(text, "could not be started"));
}

static void test_task_filter__is_whole_instructions(void **state)
{
    (void) state;
    char *hex = task_filter_make();
    assert_non_null(hex);
    assert_true(strlen(hex) > 16 && strlen(hex) % 16 == 0);
    free(hex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_task_user__a_node_keeps_its_number_and_two_nodes_differ),
        cmocka_unit_test(test_task_user__reads_the_kernels_maps),
        cmocka_unit_test(test_task_user__what_cannot_be_is_refused_with_a_sentence),
        cmocka_unit_test(test_task_confine__finds_the_first_folder_that_is_closed),
        cmocka_unit_test(test_task_confine__strict_says_what_a_kernel_lacks),
        cmocka_unit_test(test_task_plan__says_all_that_it_was_told),
        cmocka_unit_test(test_task_plan__explains_a_failure),
        cmocka_unit_test(test_task_filter__is_whole_instructions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
