/* Addresses in a file: how it is read, and that it is followed however it is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "discovery/file_seeds.h"
#include "tests/unit/net/pump.h"

static void test_file_seeds__reads_an_address_a_line(void **state)
{
    (void) state;
    struct slice out[4];
    size_t bad;
    assert_int_equal(file_seeds_parse(SLICE("# the grid\n10.0.0.1:7900\r\n\n  srv:_g._tcp.example # both\n[::1]:7900"), out, 4, &bad), 3);
    assert_int_equal(bad, 0);
    assert_true(slice_equal_str(out[0], "10.0.0.1:7900"));
    assert_true(slice_equal_str(out[1], "srv:_g._tcp.example"));
    assert_true(slice_equal_str(out[2], "[::1]:7900"));
    assert_int_equal(file_seeds_parse(SLICE("a:1\nno port\nb:2\nworse\n"), out, 4, &bad), 2);
    assert_int_equal(bad, 2);
    assert_int_equal(file_seeds_parse(SLICE("a:1\na:2\na:3\na:4\na:5"), out, 4, NULL), 4);
    assert_int_equal(file_seeds_parse(SLICE(""), out, 4, &bad), 0);
}

static struct rig {
    struct loop *l;
    struct file_seeds *f;
    char folder[64], path[96], other[96];
    int given, faults, closed;
    char last[64], why[200];
} rig;

static void on_address(void *ctx, const char *address, uint64_t ttl_ms)
{
    (void) ctx;
    (void) ttl_ms;
    rig.given++;
    snprintf(rig.last, sizeof rig.last, "%s", address);
}

static void on_fault(void *ctx, const char *name, const char *why)
{
    (void) ctx;
    assert_string_equal(name, rig.path);
    rig.faults++;
    snprintf(rig.why, sizeof rig.why, "%s", why);
}

static const struct dns_seeds_events EVENTS = {on_address, on_fault};

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void count_closed(void *arg)
{
    ++*(int *) arg;
}

static int setup(void **state)
{
    (void) state;
    memset(&rig, 0, sizeof rig);
    snprintf(rig.folder, sizeof rig.folder, "/tmp/test-file-seeds-XXXXXX");
    if (!mkdtemp(rig.folder) || loop_create(&rig.l) != 0)
        return -1;
    snprintf(rig.path, sizeof rig.path, "%s/peers", rig.folder);
    snprintf(rig.other, sizeof rig.other, "%s/peers.new", rig.folder);
    return file_seeds_create(rig.l, rig.path, &EVENTS, NULL, &rig.f);
}

static int teardown(void **state)
{
    (void) state;
    file_seeds_close(rig.f, count_closed, &rig.closed);
    bool closed = pump_until_value(rig.l, &rig.closed, 1, PUMP_DEADLINE_MS);
    loop_destroy(rig.l);
    unlink(rig.path);
    rmdir(rig.path);
    rmdir(rig.folder);
    return closed ? 0 : -1;
}

static void test_file_seeds__follows_a_file_that_comes_is_replaced_and_written_to(void **state)
{
    (void) state;
    PUMP(rig.l, rig.faults, 1);
    assert_non_null(strstr(rig.why, "No such file"));
    write_file(rig.path, "10.0.0.1:7900\n");
    PUMP(rig.l, rig.given, 1);
    assert_string_equal(rig.last, "10.0.0.1:7900");
    write_file(rig.other, "10.0.0.2:7900\n");
    assert_int_equal(rename(rig.other, rig.path), 0);
    PUMP(rig.l, rig.given, 2);
    assert_string_equal(rig.last, "10.0.0.2:7900");
    write_file(rig.path, "10.0.0.2:7900\n10.0.0.3:7900\nnonsense\n");
    PUMP(rig.l, rig.given, 3);
    assert_string_equal(rig.last, "10.0.0.3:7900");
    assert_int_equal(rig.faults, 2);
    assert_string_equal(rig.why, "line 3 is no address: write host:port or srv:NAME");
}

static void test_file_seeds__refuses_what_is_no_file_and_what_is_too_long(void **state)
{
    (void) state;
    assert_int_equal(mkdir(rig.path, 0700), 0);
    PUMP(rig.l, rig.faults, 1);
    assert_string_equal(rig.why, "the file cannot be used (it is no regular file)");
    rmdir(rig.path);
    FILE *file = fopen(rig.other, "w");
    assert_non_null(file);
    for (int i = 0; i < FILE_SEEDS_BYTES_MAX / 4; i++)
        fputs("a:1\n", file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(rig.other, rig.path), 0);
    for (int before = 1; !strstr(rig.why, "64 KiB"); before++) /* it may be seen while it is away */
        PUMP(rig.l, rig.faults, before + 1);
    assert_int_equal(rig.given, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file_seeds__reads_an_address_a_line),
        cmocka_unit_test_setup_teardown(test_file_seeds__follows_a_file_that_comes_is_replaced_and_written_to, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_seeds__refuses_what_is_no_file_and_what_is_too_long, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
