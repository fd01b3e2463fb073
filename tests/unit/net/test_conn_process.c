/* Whose process is at the other end of a Unix socket, also when its number has become another's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/conn_process.h"

struct rig {
    char folder[64];
    struct addr at;
    int listener, fd;
    pid_t child;
    uint64_t taken_ms;
};

/* A child of this process that does nothing. */
static pid_t idle_child(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    assert_true(pid > 0);
    return pid;
}

static void end_child(pid_t pid)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* The child that connects and lives on; its descriptor is here too, as one that it gave away. */
static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    char path[128];
    snprintf(r->folder, sizeof r->folder, "/tmp/conn-process-XXXXXX");
    assert_non_null(mkdtemp(r->folder));
    snprintf(path, sizeof path, "%s/s", r->folder);
    assert_int_equal(addr_unix(path, &r->at), 0);
    r->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(r->listener, &r->at.u.any, r->at.size), 0);
    assert_int_equal(listen(r->listener, 1), 0);
    int connected = socket(AF_UNIX, SOCK_STREAM, 0);
    r->child = fork();
    if (r->child == 0) {
        if (connect(connected, &r->at.u.any, r->at.size) != 0)
            _exit(1);
        pause();
        _exit(0);
    }
    r->fd = accept(r->listener, NULL, NULL);
    r->taken_ms = conn_process_now_ms();
    assert_true(r->fd >= 0);
    close(connected);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    char path[128];
    if (r->child > 0)
        end_child(r->child);
    close(r->fd), close(r->listener);
    snprintf(path, sizeof path, "%s/s", r->folder);
    unlink(path), rmdir(r->folder);
    free(r);
    return 0;
}

static bool confined(const struct rig *r)
{
    return conn_process_confined(r->fd, &r->at, &r->at, r->taken_ms);
}

static void test_conn_process__takes_one_that_is_as_free_as_this_and_lives(void **state)
{
    struct rig *r = *state;
    assert_false(confined(r));
    assert_int_equal(kill(r->child, SIGKILL), 0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t) r->child, &info, WEXITED | WNOWAIT), 0);
    assert_true(confined(r)); /* dead, though its number is its own yet */
    end_child(r->child);
    r->child = 0;
    assert_true(confined(r));
}

/* Makes the next process have this number, where that may be said. */
static bool wish_number(pid_t pid)
{
    FILE *file = fopen("/proc/sys/kernel/ns_last_pid", "w");
    bool said = file && fprintf(file, "%d", (int) pid - 1) > 0;
    return file && fclose(file) == 0 && said;
}

static void test_conn_process__is_not_deceived_by_another_of_the_same_number(void **state)
{
    struct rig *r = *state;
    pid_t number = r->child;
    end_child(r->child);
    r->child = 0;
    if (!wish_number(number))
        skip();
    pid_t other = idle_child();
    bool same = other == number, is = confined(r);
    end_child(other);
    if (!same)
        skip(); /* somebody else was quicker */
    assert_true(is);
}

static void test_conn_process__tells_when_a_process_began(void **state)
{
    struct rig *r = *state;
    assert_false(conn_process_began_after(r->child, r->taken_ms));
    assert_true(conn_process_began_after(r->child, 1000));
    assert_true(conn_process_began_after(0x7ffffff0, UINT64_MAX)); /* there is none */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_conn_process__takes_one_that_is_as_free_as_this_and_lives, setup, teardown),
        cmocka_unit_test_setup_teardown(test_conn_process__is_not_deceived_by_another_of_the_same_number, setup, teardown),
        cmocka_unit_test_setup_teardown(test_conn_process__tells_when_a_process_began, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
