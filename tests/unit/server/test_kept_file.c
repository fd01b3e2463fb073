/* A file that is kept for the next start. */
// links: grid_server
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/kept_file.h"
#include "tests/unit/net/pump.h"

static const struct kept_file_words WORDS = {"it cannot be read", "it cannot be kept"};

struct rig {
    struct loop *loop;
    char folder[64];
    struct kept_file file;
    int done;
};

static void path_of(const struct rig *r, char out[80])
{
    snprintf(out, 80, "%s/file", r->folder);
}

static int setup(void **state)
{
    static struct rig rig;
    rig = (struct rig){.folder = "/tmp/kept-XXXXXX"};
    assert_non_null(mkdtemp(rig.folder));
    assert_int_equal(loop_create(&rig.loop), 0);
    kept_file_init(&rig.file, rig.loop, rig.folder, "file", &WORDS);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    char path[80];
    loop_destroy(r->loop);
    path_of(r, path);
    assert_int_equal(remove(path), 0);
    assert_int_equal(rmdir(r->folder), 0);
    return 0;
}

static void on_done(void *arg)
{
    ((struct rig *) arg)->done++;
}

static void test_kept_file__is_read_as_it_was_written_last_before_it_was_closed(void **state)
{
    struct rig *r = *state;
    assert_int_equal(kept_file_read(&r->file).size, 0);
    struct buf *out = kept_file_pack(&r->file);
    assert_int_equal(buf_append(out, SLICE("what is known")), 0);
    assert_true(kept_file_write(&r->file));
    assert_true(kept_file_is_writing(&r->file));
    assert_null(kept_file_pack(&r->file)); /* the pool has it */
    kept_file_close(&r->file, on_done, r);
    assert_int_equal(r->done, 0);
    PUMP(r->loop, r->done, 1);
    kept_file_init(&r->file, r->loop, r->folder, "file", &WORDS);
    assert_true(slice_equal(kept_file_read(&r->file), SLICE("what is known")));
    assert_int_equal(kept_file_pack(&r->file)->size, 0);
    kept_file_close(&r->file, on_done, r);
    assert_int_equal(r->done, 2);
}

static void test_kept_file__what_cannot_be_read_is_as_nothing(void **state)
{
    struct rig *r = *state;
    char path[80];
    path_of(r, path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(kept_file_read(&r->file).size, 0);
    kept_file_dispose(&r->file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kept_file__is_read_as_it_was_written_last_before_it_was_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept_file__what_cannot_be_read_is_as_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
