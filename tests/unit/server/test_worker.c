/* The data plane's threads as one set, over loopback. */
// links: -Wl,--wrap=loop_post server_ingress grid_server
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/err.h"
#include "server/worker.h"

enum { CALLERS = 8, WAIT_S = 10 };

/* ---- a mailbox that may have no room ---- */

static atomic_bool memory_is_short;
static atomic_int not_posted;

int __real_loop_post(struct loop *l, loop_fn fn, void *arg);
int __wrap_loop_post(struct loop *l, loop_fn fn, void *arg);

int __wrap_loop_post(struct loop *l, loop_fn fn, void *arg)
{
    if (!memory_is_short)
        return __real_loop_post(l, fn, arg);
    not_posted++;
    return GRID_ENOMEM;
}

/* ---- a caller ---- */

static int caller_dial(const struct addr *at)
{
    struct timeval wait = {.tv_sec = WAIT_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    assert_int_equal(connect(fd, &at->u.any, at->size), 0);
    return fd;
}

static void caller_pings(int fd)
{
    static const char request[] = "GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    char answer[512];
    assert_int_equal(send(fd, request, sizeof request - 1, 0), sizeof request - 1);
    ssize_t size = recv(fd, answer, sizeof answer - 1, 0); /* the answer is written at once */
    assert_true(size > 0);
    answer[size] = '\0';
    assert_non_null(strstr(answer, "pong"));
}

/* ---- the claims ---- */

static void test_worker__serves_the_connection_that_it_cannot_hand_on(void **state)
{
    (void) state;
    struct worker_set_options options = {.count = 2, .api_count = 1, .ingress = {.max_payload = 1 << 20}};
    struct worker_set *set;
    char why[256];
    int callers[CALLERS];
    addr_loopback_v4(0, &options.api[0]);
    assert_int_equal(loop_create(&options.control), 0);
    assert_int_equal(worker_set_create(&options, &set, why), 0);
    assert_int_equal(worker_set_start(set), 0);
    for (int i = 0; not_posted == 0 && i < 100; i++) { /* until one of the workers has had more than the other */
        memory_is_short = true;
        for (int c = 0; c < CALLERS; c++)
            callers[c] = caller_dial(worker_set_api(set));
        for (int c = 0; c < CALLERS; c++) {
            caller_pings(callers[c]);
            close(callers[c]);
        }
        memory_is_short = false;
    }
    assert_true(not_posted > 0);
    worker_set_stop(set);
    worker_set_end(set);
    loop_destroy(options.control);
    worker_set_destroy(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worker__serves_the_connection_that_it_cannot_hand_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
