/* Which configurations a release may have, whoever asks for them. */
#include "tests/unit/fs/tree.h"

#include "api/pb.h"
#include "base/err.h"
#include "server/release/release_config.h"

struct fixture {
    Grid__V1__ReleaseConfig config;
    Grid__V1__StringPair pair;
    Grid__V1__StringPair *pairs[RELEASE_ENV_MAX + 1];
    struct arena *arena;
    char why[TASK_ERROR_MAX];
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.config = GRID__V1__RELEASE_CONFIG__INIT, .pair = GRID__V1__STRING_PAIR__INIT, .arena = arena_create(4096, 0)};
    f.pair.key = pb_str("NAME");
    for (size_t i = 0; i <= RELEASE_ENV_MAX; i++)
        f.pairs[i] = &f.pair;
    f.config.env = f.pairs;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    arena_destroy(((struct fixture *) *state)->arena);
    return 0;
}

static int judge(struct fixture *f)
{
    const Grid__V1__ReleaseConfig *read;
    struct buf packed;
    buf_init(&packed, 0);
    f->why[0] = '\0';
    assert_int_equal(pb_append(&packed, &f->config.base), 0);
    int err = release_config_read(buf_slice(&packed), f->arena, &read, f->why);
    buf_dispose(&packed);
    return err;
}

static void expect_refused(struct fixture *f, const char *word, const char *other)
{
    assert_int_equal(judge(f), GRID_EINVAL);
    if (!strstr(f->why, word) || !strstr(f->why, other))
        fail_msg("\"%s\" does not say \"%s\" and \"%s\"", f->why, word, other);
}

static void test_release_config__instances_are_bounded(void **state)
{
    struct fixture *f = *state;
    static const uint32_t fine[] = {0, 1, SUPERVISOR_INSTANCES_MAX}, bad[] = {SUPERVISOR_INSTANCES_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        f->config.instances = fine[i];
        assert_int_equal(judge(f), 0);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char value[16];
        snprintf(value, sizeof value, "is %u", bad[i]);
        f->config.instances = bad[i];
        expect_refused(f, value, "0 to 1024");
    }
}

static void test_release_config__the_environment_is_bounded(void **state)
{
    struct fixture *f = *state;
    f->config.n_env = RELEASE_ENV_MAX;
    assert_int_equal(judge(f), 0);
    f->config.n_env = RELEASE_ENV_MAX + 1;
    expect_refused(f, "513", "512");
    f->config.n_env = 1;
    f->pair.key = pb_str("A=B");
    expect_refused(f, "A=B", "env");
    f->pair.key = pb_str("");
    expect_refused(f, "not empty", "env");
    f->pair.key = pb_str("A");
    f->pair.value = pb_bytes(SLICE("x\0y"));
    expect_refused(f, "\"A\"", "zero");
}

static void test_release_config__json_conf_is_bounded(void **state)
{
    struct fixture *f = *state;
    uint8_t *bytes = calloc(1, RELEASE_JSON_CONF_MAX + 1);
    f->config.json_conf = pb_bytes(slice_of(bytes, RELEASE_JSON_CONF_MAX));
    assert_int_equal(judge(f), 0);
    f->config.json_conf = pb_bytes(slice_of(bytes, RELEASE_JSON_CONF_MAX + 1));
    expect_refused(f, "65537", "65536");
    free(bytes);
}

static void test_release_config__garbage_is_none(void **state)
{
    struct fixture *f = *state;
    const Grid__V1__ReleaseConfig *read;
    static const struct slice garbage[] = {SLICE_INIT("\xff\xff"), SLICE_INIT("\x0a\x7fx"), SLICE_INIT("\x0a\x03" "a/b")};
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        assert_int_equal(release_config_read(garbage[i], f->arena, &read, f->why), GRID_EINVAL);
        assert_true(f->why[0] != '\0');
    }
    assert_int_equal(release_config_read(slice_of(NULL, 0), f->arena, &read, f->why), 0);
    assert_true(slice_equal(release_config_folder(read), SLICE("tasks")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_release_config__instances_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release_config__the_environment_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release_config__json_conf_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release_config__garbage_is_none, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
