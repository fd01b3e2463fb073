/* Questions between two loops on two threads: answers, streams, leaving before
 * and after the end, and who may change things. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "net/grpc.h"
#include "net/tls.h"
#include "server/admin.h"
#include "tests/unit/net/pump.h"

enum { STREAMED = 100 };

/* The control thread: its loop, and the calls that were put off. */
struct control {
  struct loop *loop;
  pthread_t thread;
  struct admin *admin;
  struct admin_call *held;
  atomic_int asked, cancels;
};

/* Who asks, on the test's own thread. */
struct asker {
  struct loop *loop;
  struct admin_call *call;
  int messages, ended, out_of_order, status;
  char last[64], message[160];
};

/* ---- the user database: one user, who is in one group beside his own ---- */

enum { ANN = 64003, ANNS_GROUP = 64001 };

static pthread_t looked_up_by;
static atomic_int lookups;

int getpwuid_r(uid_t uid, struct passwd *entry, char *room, size_t size,
               struct passwd **found) {
  static char name[] = "ann";
  (void)room;
  (void)size;
  *entry = (struct passwd){.pw_name = name, .pw_uid = ANN, .pw_gid = ANN};
  *found = uid == ANN ? entry : NULL;
  looked_up_by = pthread_self();
  lookups++;
  return 0;
}

int getgrouplist(const char *user, gid_t group, gid_t *groups, int *count) {
  (void)user;
  groups[0] = group;
  groups[1] = ANNS_GROUP;
  *count = 2;
  return 2;
}

static void *control_main(void *arg) {
  struct control *c = arg;
  loop_run(c->loop);
  return NULL;
}

/* ---- methods ---- */

static void echo(void *ctx, struct admin_call *call, struct slice request) {
  struct control *c = ctx;
  c->asked++;
  admin_reply(call, request);
  admin_finish(call, GRPC_OK, NULL);
}

static void refuse(void *ctx, struct admin_call *call, struct slice request) {
  (void)ctx;
  (void)request;
  admin_finish(call, GRPC_NOT_FOUND, "there is no such thing: look elsewhere");
}

static void stream(void *ctx, struct admin_call *call, struct slice request) {
  (void)ctx;
  (void)request;
  for (unsigned i = 0; i < STREAMED; i++) {
    uint8_t number = (uint8_t)i;
    admin_reply(call, slice_of(&number, 1));
  }
  admin_finish(call, GRPC_OK, NULL);
}

static void on_cancel(void *arg, struct admin_call *call) {
  struct control *c = arg;
  c->cancels++;
  assert_true(admin_cancelled(call));
  admin_reply(call, SLICE("too late"));
  admin_finish(call, GRPC_OK, NULL);
}

/* Ends when the asker leaves. */
static void hold(void *ctx, struct admin_call *call, struct slice request) {
  struct control *c = ctx;
  (void)request;
  admin_on_cancel(call, on_cancel, c);
  admin_reply(call, SLICE("held"));
  c->asked++;
}

/* Ends when the test says so. */
static void park(void *ctx, struct admin_call *call, struct slice request) {
  struct control *c = ctx;
  (void)request;
  c->held = call;
  c->asked++;
}

static void unpark(void *arg) {
  struct control *c = arg;
  admin_reply(c->held, SLICE("late"));
  admin_finish(c->held, GRPC_OK, "done");
  c->held = NULL;
}

static const struct admin_method METHODS[] = {
    {.name = "Echo", .handle = echo},
    {.name = "Refuse", .handle = refuse},
    {.name = "Stream", .handle = stream},
    {.name = "Hold", .handle = hold},
    {.name = "Park", .handle = park},
    {.name = "Change", .writes = true, .handle = echo},
    {0},
};

/* ---- the two sides ---- */

static void on_message(void *ctx, struct slice packed) {
  struct asker *a = ctx;
  assert_int_equal(a->ended, 0);
  a->out_of_order += packed.size == 1 && packed.data[0] != (uint8_t)a->messages;
  a->messages++;
  snprintf(a->last, sizeof a->last, "%.*s", SLICE_FMT(packed));
}

static void on_end(void *ctx, int status, const char *message) {
  struct asker *a = ctx;
  a->ended++;
  a->status = status;
  snprintf(a->message, sizeof a->message, "%s", message);
}

static const struct admin_events EVENTS = {on_message, on_end};

static void both_open(struct control *c, struct asker *a, gid_t writers) {
  *c = (struct control){0};
  *a = (struct asker){0};
  assert_int_equal(loop_create(&c->loop), 0);
  assert_int_equal(loop_create(&a->loop), 0);
  assert_int_equal(admin_create(c->loop, METHODS, writers, c, &c->admin), 0);
  assert_int_equal(pthread_create(&c->thread, NULL, control_main, c), 0);
}

/* As the node closes them: the asking loop may still hold messages when control
 * has ended. */
static void both_close(struct control *c, struct asker *a) {
  loop_stop(c->loop);
  pthread_join(c->thread, NULL);
  loop_destroy(c->loop);
  loop_destroy(a->loop);
  admin_destroy(c->admin);
}

/* Waits until control has begun so many questions. */
static void wait_asked(struct control *c, int count) {
  uint64_t deadline = loop_clock_ms() + PUMP_DEADLINE_MS;
  while (c->asked < count && loop_clock_ms() < deadline)
    sched_yield();
  assert_true(c->asked >= count);
}

static void ask_as(struct control *c, struct asker *a, const char *method,
                   struct admin_caller caller) {
  struct loop *loop = a->loop;
  *a = (struct asker){.loop = loop};
  assert_int_equal(admin_start(c->admin, a->loop, method, &caller,
                               SLICE("what"), &EVENTS, a, &a->call),
                   0);
  assert_int_equal(a->messages + a->ended, 0); /* never inside */
}

static void ask(struct control *c, struct asker *a, const char *method) {
  ask_as(c, a, method, (struct admin_caller){0});
}

static void test_admin__answers_a_question_once(void **state) {
  (void)state;
  struct control c;
  struct asker a;
  both_open(&c, &a, (gid_t)-1);
  ask(&c, &a, "Echo");
  PUMP(a.loop, a.ended, 1);
  assert_int_equal(a.messages, 1);
  assert_string_equal(a.last, "what");
  assert_int_equal(a.status, GRPC_OK);
  assert_string_equal(a.message, "");
  ask(&c, &a, "Refuse");
  PUMP(a.loop, a.ended, 1);
  assert_int_equal(a.messages, 0);
  assert_int_equal(a.status, GRPC_NOT_FOUND);
  assert_string_equal(a.message, "there is no such thing: look elsewhere");
  both_close(&c, &a);
}

static void test_admin__knows_its_methods_alone(void **state) {
  (void)state;
  static const char *const names[] = {"", "echo", "Echo2", "Ech",
                                      "/grid.v1.Control/Echo"};
  struct control c;
  struct asker a;
  struct admin_call *call;
  both_open(&c, &a, (gid_t)-1);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    assert_int_equal(admin_start(c.admin, a.loop, names[i],
                                 &(struct admin_caller){0}, SLICE(""), &EVENTS,
                                 &a, &call),
                     GRID_ENOENT);
  both_close(&c, &a);
}

static void test_admin__streams_in_order(void **state) {
  (void)state;
  struct control c;
  struct asker a;
  both_open(&c, &a, (gid_t)-1);
  for (int i = 0; i < 20; i++) {
    ask(&c, &a, "Stream");
    PUMP(a.loop, a.ended, 1);
    assert_int_equal(a.messages, STREAMED);
    assert_int_equal(a.out_of_order, 0);
  }
  both_close(&c, &a);
}

static void test_admin__ends_a_question_whose_asker_left(void **state) {
  (void)state;
  struct control c;
  struct asker a;
  both_open(&c, &a, (gid_t)-1);
  ask(&c, &a, "Hold");
  PUMP(a.loop, a.messages, 1);
  admin_cancel(a.call);
  admin_cancel(a.call); /* again does nothing */
  PUMP(a.loop, a.ended, 1);
  assert_int_equal(a.status, GRPC_CANCELLED);
  assert_int_equal(a.messages, 1);
  assert_int_equal(c.cancels, 1);
  ask(&c, &a, "Hold"); /* before control has even heard of it */
  admin_cancel(a.call);
  PUMP(a.loop, a.ended, 1);
  assert_int_equal(a.status, GRPC_CANCELLED);
  assert_int_equal(a.messages, 0);
  both_close(&c, &a);
}

static void
test_admin__lets_a_handler_finish_that_does_not_hear_of_cancels(void **state) {
  (void)state;
  struct control c;
  struct asker a;
  both_open(&c, &a, (gid_t)-1);
  ask(&c, &a, "Park");
  wait_asked(&c, 1);
  admin_cancel(a.call);
  assert_int_equal(loop_post(c.loop, unpark, &c), 0);
  PUMP(a.loop, a.ended, 1);
  assert_int_equal(a.status, GRPC_CANCELLED);
  assert_int_equal(a.messages, 0);
  both_close(&c, &a);
}

/* The asker leaves while the end is on its way to it. */
static void test_admin__takes_a_cancel_that_crosses_the_end(void **state) {
  (void)state;
  struct control c;
  struct asker a;
  both_open(&c, &a, (gid_t)-1);
  for (int i = 1; i <= 200; i++) {
    ask(&c, &a, "Echo");
    if (i % 2)
      wait_asked(&c, i);
    admin_cancel(a.call);
    PUMP(a.loop, a.ended, 1);
    assert_int_equal(a.status, GRPC_CANCELLED);
    assert_int_equal(a.messages, 0);
  }
  assert_int_equal(c.cancels, 0);
  both_close(&c, &a);
}

static void test_admin__leaks_nothing_when_the_loops_end_first(void **state) {
  (void)state;
  struct control c;
  struct asker a;
  both_open(&c, &a, (gid_t)-1);
  ask(&c, &a, "Hold");
  wait_asked(&c, 1);
  admin_cancel(a.call);
  both_close(&c, &a);
  assert_int_equal(a.ended, 1);
}

/* ---- who may change things ---- */

static void test_admin__lets_writers_write(void **state) {
  (void)state;
  enum { GROUP = 64001, STRANGER = 64002 };
  static const struct {
    struct admin_caller caller;
    bool may;
  } cases[] = {
      {{.uid_known = true, .uid = 0}, true},
      {{.uid_known = true, .uid = STRANGER, .gid = STRANGER}, false},
      {{.uid_known = true, .uid = STRANGER, .gid = GROUP}, true},
      {{.uid_known = true, .uid = STRANGER, .gid = (gid_t)-1}, false},
      {{.uid_known = false, .uid = 0}, false},
      {{.uid_known = false, .gid = GROUP}, false},
      {{.token = true}, true},
      {{.remote = true, .roles = TLS_ROLE_ADMIN}, true},
      {{.remote = true, .roles = TLS_ROLE_NODE | TLS_ROLE_INVOKE}, false},
      {{.remote = true, .uid_known = true, .uid = 0}, false},
  };
  struct control c;
  struct asker a;
  both_open(&c, &a, GROUP);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ask_as(&c, &a, "Change", cases[i].caller);
    PUMP(a.loop, a.ended, 1);
    assert_int_equal(a.status, cases[i].may ? GRPC_OK : GRPC_PERMISSION_DENIED);
    assert_int_equal(a.messages, cases[i].may);
    ask_as(&c, &a, "Echo", cases[i].caller); /* everybody may read */
    PUMP(a.loop, a.ended, 1);
    assert_int_equal(a.status, GRPC_OK);
  }
  ask_as(&c, &a, "Change",
         (struct admin_caller){
             .uid_known = true, .uid = geteuid(), .gid = STRANGER});
  PUMP(a.loop, a.ended, 1);
  assert_int_equal(a.status, GRPC_OK);
  both_close(&c, &a);
}

static void
test_admin__asks_the_user_database_on_another_thread_than_controls(
    void **state) {
  (void)state;
  struct control c;
  struct asker a;
  struct admin_caller ann = {.uid_known = true, .uid = ANN, .gid = ANN};
  both_open(&c, &a, ANNS_GROUP);
  ask_as(&c, &a, "Change", ann);
  PUMP(a.loop, a.ended, 1);
  assert_int_equal(a.status, GRPC_OK);
  assert_string_equal(a.last, "what");
  assert_int_equal(pthread_equal(looked_up_by, c.thread), 0);
  int before = lookups;
  ann.groups_known = true; /* a process that has given the group up */
  ask_as(&c, &a, "Change", ann);
  PUMP(a.loop, a.ended, 1);
  assert_int_equal(a.status, GRPC_PERMISSION_DENIED);
  assert_int_equal(lookups, before);
  ann.groups_known = false;
  for (int i = 0; i < 50; i++) { /* who leaves meanwhile hears of it */
    ask_as(&c, &a, "Change", ann);
    admin_cancel(a.call);
    PUMP(a.loop, a.ended, 1);
    assert_int_equal(a.status, GRPC_CANCELLED);
    assert_int_equal(a.messages, 0);
  }
  both_close(&c, &a);
}

static void test_admin__has_no_writers_group_when_there_is_none(void **state) {
  (void)state;
  struct control c;
  struct asker a;
  both_open(&c, &a, (gid_t)-1);
  ask_as(
      &c, &a, "Change",
      (struct admin_caller){.uid_known = true, .uid = 64002, .gid = (gid_t)-1});
  PUMP(a.loop, a.ended, 1);
  assert_int_equal(a.status, GRPC_PERMISSION_DENIED);
  assert_non_null(strstr(a.message, "gridcontrol"));
  both_close(&c, &a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_admin__answers_a_question_once),
      cmocka_unit_test(test_admin__knows_its_methods_alone),
      cmocka_unit_test(test_admin__streams_in_order),
      cmocka_unit_test(test_admin__ends_a_question_whose_asker_left),
      cmocka_unit_test(
          test_admin__lets_a_handler_finish_that_does_not_hear_of_cancels),
      cmocka_unit_test(test_admin__takes_a_cancel_that_crosses_the_end),
      cmocka_unit_test(test_admin__leaks_nothing_when_the_loops_end_first),
      cmocka_unit_test(test_admin__lets_writers_write),
      cmocka_unit_test(
          test_admin__asks_the_user_database_on_another_thread_than_controls),
      cmocka_unit_test(test_admin__has_no_writers_group_when_there_is_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
