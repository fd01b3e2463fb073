/* Moving an open connection to the loop of another thread: nothing lost, nothing twice, one end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/err.h"
#include "net/conn.h"
#include "tests/unit/net/identity.h"
#include "tests/unit/net/pump.h"

enum { BULK = 6 << 20, MORE = 3 << 20, ROUNDS = 12 };

struct rig;

/* What the test wants done in the two places where it may act. */
struct plan {
    void (*on_open)(struct rig *r, struct conn *server); /* here, just before it moves */
    void (*on_arrived)(struct rig *r, struct conn *server); /* there */
};

/* The client and the first half of the server's life are `here`, on the test's thread; the second half is `there`. */
struct rig {
    struct loop *here, *there;
    pthread_t thread;
    struct listener *listener;
    struct addr at;
    struct identity a, b;
    struct tls_context *server_tls, *client_tls;
    struct plan plan;
    struct conn *client, *server; /* server: owned by `there` once arrived */
    int client_opened, client_got, client_closed, client_err, wrong, closed_here;
    atomic_int arrived, server_got, server_wrong, ended, drained, server_closed, server_err;
};

/* ---- bytes that tell their place ---- */

static uint8_t pattern(int position)
{
    return (uint8_t) (position * 31 + position / 251);
}

static void write_pattern(struct conn *c, int from, int size)
{
    uint8_t *block = malloc((size_t) size);
    for (int i = 0; i < size; i++)
        block[i] = pattern(from + i);
    assert_int_equal(conn_write(c, slice_of(block, (size_t) size)), 0);
    free(block);
}

static int wrong_bytes(int from, struct slice bytes)
{
    int wrong = 0;
    for (size_t i = 0; i < bytes.size; i++)
        wrong += bytes.data[i] != pattern(from + (int) i);
    return wrong;
}

/* ---- the server, there ---- */

static void there_on_read(void *ctx, struct conn *c, struct slice bytes)
{
    struct rig *r = ctx;
    (void) c;
    r->server_wrong += wrong_bytes(r->server_got, bytes);
    r->server_got += (int) bytes.size;
}

static void there_on_end(void *ctx, struct conn *c)
{
    ((struct rig *) ctx)->ended++;
    conn_finish(c);
}

static void there_on_drained(void *ctx, struct conn *c)
{
    (void) c;
    ((struct rig *) ctx)->drained++;
}

static void there_on_close(void *ctx, struct conn *c, int err)
{
    struct rig *r = ctx;
    (void) c;
    r->server = NULL;
    r->server_err = err;
    r->server_closed++;
}

static const struct conn_events THERE = {NULL, there_on_read, there_on_end, there_on_drained, there_on_close};

static void arrived(void *ctx, struct conn *c)
{
    struct rig *r = ctx;
    assert_true(conn_loop(c) == r->there);
    conn_set_events(c, &THERE, r);
    r->server = c;
    if (r->plan.on_arrived)
        r->plan.on_arrived(r, c);
    r->arrived++;
}

static void *run_there(void *arg)
{
    loop_run(((struct rig *) arg)->there);
    return NULL;
}

/* ---- the server, here ---- */

static void here_on_open(void *ctx, struct conn *c)
{
    struct rig *r = ctx;
    if (r->plan.on_open)
        r->plan.on_open(r, c);
    conn_migrate(c, r->there, arrived, r);
}

static void here_on_read(void *ctx, struct conn *c, struct slice bytes)
{
    (void) c, (void) bytes;
    ((struct rig *) ctx)->wrong++; /* all of it is for there */
}

static void here_on_close(void *ctx, struct conn *c, int err)
{
    (void) c, (void) err;
    ((struct rig *) ctx)->closed_here++;
}

static const struct conn_events HERE = {.on_open = here_on_open, .on_read = here_on_read, .on_close = here_on_close};

static void on_accept(void *ctx, int fd, const struct addr *from)
{
    struct rig *r = ctx;
    struct conn_options options = {.tls = r->server_tls};
    struct conn *c;
    (void) from;
    assert_int_equal(conn_adopt(r->here, fd, &options, &HERE, r, &c), 0);
    if (!r->server_tls)
        here_on_open(r, c);
}

/* ---- the client ---- */

static void client_on_open(void *ctx, struct conn *c)
{
    (void) c;
    ((struct rig *) ctx)->client_opened++;
}

static void client_on_read(void *ctx, struct conn *c, struct slice bytes)
{
    struct rig *r = ctx;
    (void) c;
    r->wrong += wrong_bytes(r->client_got, bytes);
    r->client_got += (int) bytes.size;
}

static void client_on_close(void *ctx, struct conn *c, int err)
{
    struct rig *r = ctx;
    (void) c;
    r->client = NULL;
    r->client_err = err;
    r->client_closed++;
}

static const struct conn_events CLIENT = {.on_open = client_on_open, .on_read = client_on_read, .on_close = client_on_close};

/* ---- the rig ---- */

#define UNTIL(r, condition)                                                                                                         \
    do {                                                                                                                            \
        struct loop_timer tick_ = {.loop = (r)->here};                                                                              \
        uint64_t end_ms_ = loop_clock_ms() + PUMP_DEADLINE_MS;                                                                      \
        pump_tick(&tick_);                                                                                                          \
        while (!(condition) && loop_clock_ms() < end_ms_)                                                                           \
            uv_run(loop_uv((r)->here), UV_RUN_ONCE);                                                                                \
        loop_timer_stop(&tick_);                                                                                                    \
        if (!(condition))                                                                                                           \
            fail_msg("not within the deadline: %s", #condition);                                                                    \
    } while (0)

static void rig_start(struct rig *r, bool tls, struct plan plan)
{
    struct addr at;
    *r = (struct rig){.plan = plan};
    if (tls) {
        r->a = identity_make("a");
        r->b = identity_make("b");
        r->server_tls = identity_context(&r->a, &r->b, "h2");
        r->client_tls = identity_context(&r->b, &r->a, "h2");
    }
    addr_loopback_v4(0, &at);
    assert_int_equal(loop_create(&r->here), 0);
    assert_int_equal(loop_create(&r->there), 0);
    assert_int_equal(listener_create(r->here, &at, NULL, on_accept, r, &r->at, &r->listener), 0);
    assert_int_equal(pthread_create(&r->thread, NULL, run_there, r), 0);
    struct conn_options options = {.tls = r->client_tls};
    assert_int_equal(conn_dial(r->here, &r->at, &options, &CLIENT, r, &r->client), 0);
}

static void rig_shut(struct rig *r)
{
    listener_close(r->listener);
    if (r->client)
        conn_close(r->client);
    loop_stop(r->there);
    pthread_join(r->thread, NULL);
    if (r->server)
        conn_close(r->server);
    loop_destroy(r->there);
    loop_destroy(r->here);
    assert_int_equal(r->wrong, 0);
    assert_int_equal(r->server_wrong, 0);
    assert_int_equal(r->client_closed, 1);
    assert_int_equal(r->closed_here + r->server_closed, 1);
    if (r->server_tls) {
        tls_context_unref(r->server_tls);
        tls_context_unref(r->client_tls);
        identity_dispose(&r->a);
        identity_dispose(&r->b);
    }
}

/* ---- claims ---- */

static void say_a_little(struct rig *r, struct conn *c)
{
    (void) r;
    write_pattern(c, 0, 9);
}

/* The early bytes are inside the TLS session by then: no readiness of the socket tells of them, and a flush is due on arrival. */
static void test_migrate__reads_there_what_came_with_the_clients_finished(void **state)
{
    (void) state;
    struct rig r;
    for (int i = 0; i < ROUNDS; i++) {
        rig_start(&r, true, (struct plan){.on_arrived = say_a_little});
        write_pattern(r.client, 0, 5000);
        UNTIL(&r, r.client_got == 9 && r.server_got == 5000);
        rig_shut(&r);
    }
}

static void write_bulk(struct rig *r, struct conn *c)
{
    conn_pause(r->client);
    write_pattern(c, 0, BULK);
}

static void write_more(struct rig *r, struct conn *c)
{
    (void) r;
    write_pattern(c, BULK, MORE);
}

static void test_migrate__takes_along_what_is_queued_and_tells_there_when_it_is_drained(void **state)
{
    (void) state;
    struct rig r;
    for (int i = 0; i < 6; i++) {
        rig_start(&r, i % 2 == 0, (struct plan){write_bulk, write_more});
        write_pattern(r.client, 0, BULK);
        UNTIL(&r, r.arrived == 1);
        assert_int_equal(r.drained, 0);
        conn_resume(r.client);
        UNTIL(&r, r.client_got == BULK + MORE && r.server_got == BULK && r.drained == 1);
        rig_shut(&r);
    }
}

static void client_writes_and_finishes(struct rig *r, struct conn *c)
{
    (void) c;
    write_pattern(r->client, 5000, 5000);
    conn_finish(r->client);
}

static void test_migrate__hears_there_what_the_peer_said_before_it_ended(void **state)
{
    (void) state;
    struct rig r;
    for (int i = 0; i < ROUNDS; i++) {
        rig_start(&r, true, (struct plan){.on_open = client_writes_and_finishes});
        write_pattern(r.client, 0, 5000);
        UNTIL(&r, r.server_closed == 1 && r.client_closed == 1);
        assert_int_equal(r.server_got, 10000);
        assert_int_equal(r.ended, 1);
        assert_int_equal(r.server_err, 0);
        assert_int_equal(r.client_err, 0);
        rig_shut(&r);
    }
}

static void client_breaks_off(struct rig *r, struct conn *c)
{
    write_bulk(r, c);
    conn_close(r->client);
}

/* Wherever it is by then, somebody hears of it, once. */
static void test_migrate__has_one_end_when_the_peer_breaks_off_meanwhile(void **state)
{
    (void) state;
    struct rig r;
    for (int i = 0; i < ROUNDS; i++) {
        rig_start(&r, i % 3 != 0, (struct plan){.on_open = client_breaks_off});
        UNTIL(&r, r.closed_here + r.server_closed == 1);
        rig_shut(&r);
    }
}

static void finish_with_more(struct rig *r, struct conn *c)
{
    write_more(r, c);
    conn_finish(c);
}

static void test_migrate__may_be_finished_on_arrival_with_all_still_to_be_written(void **state)
{
    (void) state;
    struct rig r;
    for (int i = 0; i < 6; i++) {
        rig_start(&r, i % 2 == 0, (struct plan){write_bulk, finish_with_more});
        UNTIL(&r, r.arrived == 1);
        conn_resume(r.client);
        UNTIL(&r, r.client_closed == 1 && r.server_closed == 1);
        assert_int_equal(r.client_got, BULK + MORE);
        assert_int_equal(r.client_err, 0);
        rig_shut(&r);
    }
}

static void close_it(struct rig *r, struct conn *c)
{
    (void) r;
    conn_close(c);
}

static void test_migrate__may_be_closed_on_arrival(void **state)
{
    (void) state;
    struct rig r;
    for (int i = 0; i < ROUNDS; i++) {
        rig_start(&r, i % 2 == 0, (struct plan){.on_arrived = close_it});
        write_pattern(r.client, 0, 100);
        UNTIL(&r, r.server_closed == 1 && r.client_closed == 1);
        assert_int_equal(r.server_got, 0);
        rig_shut(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_migrate__reads_there_what_came_with_the_clients_finished),
        cmocka_unit_test(test_migrate__takes_along_what_is_queued_and_tells_there_when_it_is_drained),
        cmocka_unit_test(test_migrate__hears_there_what_the_peer_said_before_it_ended),
        cmocka_unit_test(test_migrate__has_one_end_when_the_peer_breaks_off_meanwhile),
        cmocka_unit_test(test_migrate__may_be_finished_on_arrival_with_all_still_to_be_written),
        cmocka_unit_test(test_migrate__may_be_closed_on_arrival),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
