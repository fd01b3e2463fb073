/* The doors over a real loopback connection: which route, which method, who is
 * refused how, and what happens to a caller that leaves. The control thread is
 * a table of this test on the same loop; no task is ready anywhere. */
// cost: 6
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <stdio.h>

// links: grid_server
#include "base/buf.h"
#include "server/admin.h"
#include "server/ingress/ingress_internal.h"
#include "tests/unit/net/pump.h"

enum { MAX_PAYLOAD = 1000 };

struct world {
  struct loop *loop;
  struct dispatch *dispatch;
  struct admin *admin;
  struct ingress *ingress;
  struct http_server *server;
  struct listener *listener;
  struct addr at;
  struct route_shared *shared;
  struct route_task_shared *task;
  int held, cancelled, closed;
  bool asked_by_a_task;
};

/* One request of a client, and its answer. */
struct asked {
  int status, closed;
  char allow[64], type[64], error_type[64];
  struct buf body;
};

/* ---- control: questions that are answered, and one that is not ---- */

static void answer_empty(void *ctx, struct admin_call *call,
                         struct slice request) {
  (void)ctx;
  (void)request;
  admin_reply(call, SLICE(""));
  admin_finish(call, GRPC_OK, NULL);
}

static void answer_nothing(void *ctx, struct admin_call *call,
                           struct slice request) {
  (void)ctx;
  (void)request;
  admin_finish(call, GRPC_OK, NULL);
}

static void on_cancel(void *arg, struct admin_call *call) {
  struct world *w = arg;
  w->cancelled++;
  admin_finish(call, GRPC_CANCELLED, NULL);
}

static void hold(void *ctx, struct admin_call *call, struct slice request) {
  struct world *w = ctx;
  (void)request;
  w->held++;
  admin_on_cancel(call, on_cancel, w);
}

static void refuse(void *ctx, struct admin_call *call, struct slice request) {
  (void)ctx;
  (void)request;
  admin_finish(call, GRPC_INVALID_ARGUMENT,
               "the folder is not there: give another");
}

static const struct admin_method METHODS[] = {
    {.name = "ListTasks", .handle = answer_empty},
    {.name = "GetNode", .handle = answer_nothing},
    {.name = "ListNodes", .handle = hold},
    {.name = "Deploy", .handle = refuse},
    {0},
};

/* ---- the node ---- */

static void metrics(void *ctx, struct buf *out) {
  (void)ctx;
  buf_append_str(out, "grid_ready 0\n");
}

static bool ready(void *ctx, char why[160]) {
  (void)ctx;
  snprintf(why, 160, "tasks are starting");
  return false;
}

static bool is_task(void *ctx, uid_t uid) {
  struct world *w = ctx;
  assert_int_equal(uid, geteuid());
  return w->asked_by_a_task;
}

static void on_accept(void *ctx, int fd, const struct addr *from) {
  struct world *w = ctx;
  (void)from;
  http_server_accept(w->server, fd, NULL);
}

/* A table that knows the tasks "echo" and "a.b", with no instance anywhere. */
static void publish(struct world *w) {
  static const char *const names[] = {"echo", "a.b"};
  struct route_node node = {.id = "0a",
                            .name = "node-0",
                            .local = true,
                            .routable = true,
                            .host_json = SLICE("{\"started_at\":1}")};
  struct route_builder *b = route_builder_create(1, w->shared);
  uint32_t none[1] = {0};
  assert_int_equal(route_builder_node(b, &node), 0);
  for (size_t i = 0; i < 2; i++) {
    struct route_task_spec spec = {
        .name = names[i], .shared = w->task, .ready = none, .known_here = true};
    assert_int_equal(route_builder_task(b, &spec), 0);
  }
  dispatch_publish(w->dispatch, route_builder_finish(b, false, "", NULL));
}

static void world_open(struct world *w, const char *token) {
  struct addr at;
  *w = (struct world){0};
  struct ingress_options options = {.max_payload = MAX_PAYLOAD,
                                    .default_deadline_ms = 60000,
                                    .api_token = token,
                                    .metrics = metrics,
                                    .ready = ready,
                                    .is_task = is_task,
                                    .ctx = w};
  addr_loopback_v4(0, &at);
  assert_int_equal(loop_create(&w->loop), 0);
  assert_int_equal(
      dispatch_create(w->loop,
                      &(struct dispatch_options){.max_payload = MAX_PAYLOAD},
                      &w->dispatch),
      0);
  assert_int_equal(admin_create(w->loop, METHODS, (gid_t)-1, w, &w->admin), 0);
  assert_int_equal(
      ingress_create(w->loop, &options, w->dispatch, w->admin, &w->ingress), 0);
  assert_int_equal(http_server_create(w->loop, &HTTP_SERVER_LIMITS_DEFAULT,
                                      ingress_on_api_request, w->ingress,
                                      &w->server),
                   0);
  assert_int_equal(listener_create(w->loop, &at, &(struct listener_options){0},
                                   on_accept, w, &w->at, &w->listener),
                   0);
  w->shared = route_shared_create();
  w->task = route_task_shared_create(1);
  publish(w);
}

static void on_closed(void *arg) {
  struct world *w = arg;
  w->closed++;
}

static void world_close(struct world *w) {
  listener_close(w->listener);
  http_server_close(w->server, on_closed, w);
  PUMP(w->loop, w->closed, 1);
  dispatch_close(w->dispatch, on_closed, w);
  PUMP(w->loop, w->closed, 2);
  loop_destroy(w->loop);
  ingress_destroy(w->ingress);
  admin_destroy(w->admin);
  route_task_shared_unref(w->task);
  route_shared_unref(w->shared);
  invocation_thread_cleanup();
}

/* ---- a client ---- */

static void note(char out[64], const struct http_header *headers, size_t count,
                 const char *name) {
  struct slice value = http_header_find(headers, count, name);
  snprintf(out, 64, "%.*s", value.data ? (int)value.size : 0,
           value.data ? (const char *)value.data : "");
}

static void on_head(void *ctx, struct http_call *c, int status,
                    const struct http_header *headers, size_t count) {
  struct asked *a = ctx;
  (void)c;
  assert_int_equal(a->status, 0);
  a->status = status;
  note(a->allow, headers, count, "allow");
  note(a->type, headers, count, "content-type");
  note(a->error_type, headers, count, "x-amzn-errortype");
}

static void on_data(void *ctx, struct http_call *c, struct slice bytes) {
  struct asked *a = ctx;
  (void)c;
  buf_append(&a->body, bytes);
}

static void on_close(void *ctx, struct http_call *c, int err,
                     enum http_sent sent, uint32_t code,
                     const struct http_header *trailers, size_t count) {
  struct asked *a = ctx;
  (void)c, (void)err, (void)sent, (void)code, (void)trailers, (void)count;
  a->closed++;
}

static const struct http_call_events CALL_EVENTS = {
    .on_head = on_head, .on_data = on_data, .on_close = on_close};

static void client_on_event(void *ctx, struct http_client *c) {
  (void)ctx;
  (void)c;
}

static void client_on_close(void *ctx, struct http_client *c, int err) {
  int *closed = ctx;
  (void)c;
  (void)err;
  (*closed)++;
}

static const struct http_client_events CLIENT_EVENTS = {
    client_on_event, client_on_event, client_on_close};

struct question {
  const char *method, *target, *host, *type, *authorization;
  struct slice body;
};

static struct http_client *begin(struct world *w, const struct question *q,
                                 struct asked *a, int *client_closed,
                                 bool more) {
  struct http_client *client;
  struct http_call *call;
  struct http_header headers[2];
  size_t count = 0;
  if (q->type)
    headers[count++] =
        (struct http_header){SLICE("content-type"), slice_of_str(q->type)};
  if (q->authorization)
    headers[count++] = (struct http_header){SLICE("authorization"),
                                            slice_of_str(q->authorization)};
  struct http_request_head head = {
      slice_of_str(q->method), slice_of_str(q->target),
      slice_of_str(q->host ? q->host : "localhost"), headers, count};
  *a = (struct asked){0};
  buf_init(&a->body, 0);
  assert_int_equal(http1_client_dial(w->loop, &w->at, &CLIENT_EVENTS,
                                     client_closed, &client),
                   0);
  assert_int_equal(
      http_client_call(client, &head, q->body, more, &CALL_EVENTS, a, &call),
      0);
  if (more)
    assert_int_equal(http_call_data(call, slice_of(NULL, 0), true), 0);
  return client;
}

/* Asks and waits. `chunked`: the body's length is not announced. */
static const char *ask(struct world *w, const struct question *q,
                       struct asked *a, bool chunked) {
  int client_closed = 0;
  struct http_client *client = begin(w, q, a, &client_closed, chunked);
  PUMP(w->loop, a->closed, 1);
  http_client_close(client);
  PUMP(w->loop, client_closed, 1);
  return buf_cstr(&a->body);
}

static void expect(struct world *w, struct question q, int status,
                   const char *text) {
  struct asked a;
  const char *body = ask(w, &q, &a, false);
  if (a.status != status || !strstr(body, text))
    fail_msg("%s %s: %d %s", q.method, q.target, a.status, body);
  buf_dispose(&a.body);
}

/* ---- claims ---- */

static void test_door__finds_its_route(void **state) {
  (void)state;
  struct world w;
  world_open(&w, NULL);
  expect(&w, (struct question){.method = "GET", .target = "/ping?x=1"}, 200,
         "pong");
  expect(&w, (struct question){.method = "GET", .target = "/ping/"}, 404,
         "NOT_FOUND");
  expect(&w, (struct question){.method = "GET", .target = "/"}, 404,
         "NOT_FOUND");
  expect(&w, (struct question){.method = "POST", .target = "/invoke/"}, 404,
         "NOT_FOUND");
  expect(&w, (struct question){.method = "POST", .target = "/invoke/nosuch"},
         404, "Task file nosuch does not exists");
  expect(&w, (struct question){.method = "POST", .target = "/invoke/%zz"}, 400,
         "INVALID_ARGUMENT");
  expect(&w,
         (struct question){.method = "POST", .target = "/grid.v1.Invoke/Call"},
         415, "application/grpc");
  expect(&w, (struct question){.method = "GET", .target = "/healthz"}, 200,
         "ok");
  expect(&w, (struct question){.method = "GET", .target = "/readyz"}, 503,
         "tasks are starting");
  expect(&w, (struct question){.method = "GET", .target = "/metrics"}, 200,
         "grid_ready 0");
  world_close(&w);
}

static void test_door__takes_head_and_names_the_methods_it_takes(void **state) {
  (void)state;
  static const struct {
    const char *method, *target;
    int status;
    const char *allow;
  } cases[] = {
      {"HEAD", "/ping", 200, ""},
      {"HEAD", "/healthz", 200, ""},
      {"HEAD", "/tasks/list", 200, ""},
      {"HEAD", "/invoke/echo", 405, "POST"},
      {"OPTIONS", "/invoke/echo", 405, "POST"},
      {"DELETE", "/tasks/list", 405, "GET, HEAD"},
      {"GET", "/tasks/init", 405, "POST"},
      {"GET", "/tasks/clear", 405, "DELETE"},
      {"POST", "/metrics", 405, "GET, HEAD"},
  };
  struct world w;
  world_open(&w, NULL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct asked a;
    ask(&w,
        &(struct question){.method = cases[i].method,
                           .target = cases[i].target},
        &a, false);
    assert_int_equal(a.status, cases[i].status);
    assert_string_equal(a.allow, cases[i].allow);
    assert_true(strcmp(cases[i].method, "HEAD") != 0 || a.body.size == 0);
    buf_dispose(&a.body);
  }
  world_close(&w);
}

static void test_door__refuses_too_much_in_its_own_form(void **state) {
  (void)state;
  static const struct {
    const char *target;
    size_t bytes;
    int status;
    const char *text;
  } cases[] = {
      {"/invoke/echo", MAX_PAYLOAD + 1, 413,
       "{\"error\":{\"code\":\"RESOURCE_EXHAUSTED\""},
      {"/2015-03-31/functions/echo/invocations", MAX_PAYLOAD + 1, 413,
       "{\"Type\":\"User\",\"Message\":"},
      {"/tasks/init", MAX_PAYLOAD * 3 + 1, 500, "\"success\":false}"},
      {"/tasks/lb_trigger_single", MAX_PAYLOAD * 3 + 1, 200,
       "{\"err\":{\"name\":\"Error\",\"message\":\"the payload is larger"},
      {"/tasks/lb_trigger_all", MAX_PAYLOAD * 3 + 1, 200,
       "{\"err\":{\"name\":\"Error\",\"message\":\"the payload is larger"},
  };
  static uint8_t bytes[MAX_PAYLOAD * 3 + 1];
  struct world w;
  world_open(&w, NULL);
  memset(bytes, '1', sizeof bytes);
  for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
    struct asked a;
    struct question q = {.method = "POST",
                         .target = cases[i / 2].target,
                         .type = "application/json",
                         .body = slice_of(bytes, cases[i / 2].bytes)};
    const char *body = ask(&w, &q, &a, i % 2);
    assert_int_equal(a.status, cases[i / 2].status);
    assert_non_null(strstr(body, cases[i / 2].text));
    buf_dispose(&a.body);
  }
  world_close(&w);
}

static void test_door__measures_the_data_of_a_trigger(void **state) {
  (void)state;
  static char body[MAX_PAYLOAD + 100];
  struct world w;
  world_open(&w, NULL);
  int size =
      snprintf(body, sizeof body, "{\"task_id\":\"nosuch\",\"data\":\"%0*d\"}",
               MAX_PAYLOAD, 0);
  for (int i = 0; i < 2; i++)
    expect(&w,
           (struct question){.method = "POST",
                             .target = i ? "/tasks/lb_trigger_all"
                                         : "/tasks/lb_trigger_single",
                             .type = "application/json",
                             .body = slice_of(body, (size_t)size)},
           200, "data is larger than 1000 bytes");
  world_close(&w);
}

static void test_door__takes_forms_where_the_original_did(void **state) {
  (void)state;
  static const char form[] = "application/x-www-form-urlencoded";
  struct world w;
  world_open(&w, NULL);
  struct question q = {.method = "POST",
                       .target = "/tasks/lb_trigger_single",
                       .type = form,
                       .body = SLICE("task_id=nosuch&data=1")};
  expect(&w, q, 200, "Task file nosuch does not exists");
  q.target = "/invoke/nosuch";
  expect(&w, q, 415, "INVALID_ARGUMENT");
  q.type = "text/plain";
  expect(&w, q, 415, "INVALID_ARGUMENT");
  q.target = "/2015-03-31/functions/nosuch/invocations";
  expect(&w, q, 415, "\"Type\":\"User\"");
  q.type = NULL;
  q.target = "/invoke/nosuch";
  expect(&w, q, 404, "NOT_FOUND");
  world_close(&w);
}

static void test_door__guards_every_path(void **state) {
  (void)state;
  static const char *const targets[] = {"/ping", "/nothing", "/tasks/list",
                                        "/grid.v1.Invoke/Call"};
  struct world w;
  world_open(&w, NULL);
  for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
    expect(&w,
           (struct question){
               .method = "GET", .target = targets[i], .host = "evil.example"},
           403, "PERMISSION_DENIED");
  expect(&w,
         (struct question){
             .method = "GET", .target = "/metrics", .host = "scraper.example"},
         200, "grid_ready");
  world_close(&w);
  world_open(&w, "secret");
  expect(&w, (struct question){.method = "GET", .target = "/ping"}, 401,
         "UNAUTHENTICATED");
  expect(&w, (struct question){.method = "GET", .target = "/metrics"}, 401,
         "UNAUTHENTICATED");
  expect(&w, (struct question){.method = "GET", .target = "/healthz"}, 200,
         "ok");
  expect(&w,
         (struct question){.method = "GET",
                           .target = "/ping",
                           .authorization = "Bearer secret"},
         200, "pong");
  world_close(&w);
}

static void test_door__lets_a_task_invoke_and_nothing_else(void **state) {
  (void)state;
  static const struct {
    const char *method, *target;
    int others, tasks;
  } cases[] = {
      {"GET", "/ping", 200, 200},
      {"GET", "/healthz", 200, 200},
      {"GET", "/readyz", 503, 503},
      {"POST", "/invoke/nosuch", 404, 404},
      {"POST", "/2015-03-31/functions/nosuch/invocations", 404, 404},
      {"POST", "/tasks/lb_trigger_single", 200, 200},
      {"POST", "/tasks/lb_trigger_all", 200, 200},
      {"GET", "/metrics", 200, 403},
      {"GET", "/tasks/list", 200, 403},
      {"GET", "/tasks/stats", 200, 403},
      {"GET", "/2015-03-31/functions", 200, 403},
      {"GET", "/conf", 502, 403},
      {"POST", "/tasks/init", 500, 403},
      {"GET", "/nothing", 404, 404},
  };
  struct world w;
  world_open(&w, NULL);
  for (size_t i = 0; i < 2 * (sizeof cases / sizeof *cases); i++) {
    size_t n = i / 2;
    struct question q = {.method = cases[n].method, .target = cases[n].target};
    w.asked_by_a_task = i % 2;
    expect(&w, q, i % 2 ? cases[n].tasks : cases[n].others, "");
  }
  world_close(&w);
}

static void test_door__asks_control_and_says_what_it_said(void **state) {
  (void)state;
  struct world w;
  world_open(&w, NULL);
  expect(&w, (struct question){.method = "GET", .target = "/tasks/list"}, 200,
         "[]");
  expect(&w, (struct question){.method = "GET", .target = "/tasks/stats"}, 200,
         "{}");
  expect(&w, (struct question){.method = "GET", .target = "/conf"}, 502,
         "the node gave no answer");
  struct question q = {.method = "POST",
                       .target = "/tasks/init",
                       .type = "application/json",
                       .body = SLICE("{\"base_folder\":\"/x\"}")};
  expect(
      &w, q, 500,
      "{\"msg\":\"the folder is not there: give another\",\"success\":false}");
  q.body = SLICE("[]");
  expect(&w, q, 500, "not a JSON object");
  world_close(&w);
}

static void test_door__cancels_what_a_leaving_caller_asked(void **state) {
  (void)state;
  struct world w;
  struct asked a;
  int client_closed = 0;
  world_open(&w, NULL);
  struct question q = {.method = "GET", .target = "/hosts/list"};
  struct http_client *client = begin(&w, &q, &a, &client_closed, false);
  PUMP(w.loop, w.held, 1);
  http_client_close(client);
  PUMP(w.loop, w.cancelled, 1);
  PUMP(w.loop, client_closed, 1);
  q = (struct question){.method = "POST",
                        .target =
                            "/invoke/echo"}; /* waits: no instance is ready */
  client = begin(&w, &q, &a, &client_closed, false);
  while (dispatch_in_flight(w.dispatch) == 0)
    uv_run(loop_uv(w.loop), UV_RUN_ONCE);
  http_client_close(client);
  PUMP(w.loop, client_closed, 2);
  while (dispatch_in_flight(w.dispatch) > 0)
    uv_run(loop_uv(w.loop), UV_RUN_ONCE);
  client = begin(&w, &q, &a, &client_closed,
                 false); /* and one that is under way when the node ends */
  while (dispatch_in_flight(w.dispatch) == 0)
    uv_run(loop_uv(w.loop), UV_RUN_ONCE);
  http_client_close(client);
  world_close(&w);
}

static void test_ingress__splits_at_the_longest_task(void **state) {
  (void)state;
  static const char *const cases[][3] = {
      {"echo", "echo", ""},
      {"echo.h", "echo", "h"},
      {"echo.h.i", "echo", "h.i"},
      {"a.b", "a.b", ""},
      {"a.b.c", "a.b", "c"},
      {"a.b.c.d", "a.b", "c.d"},
      {"a.c", "a", "c"},
      {"x.y.z", "x", "y.z"},
      {"", "", ""},
      {".", "", ""},
      {".echo", "", "echo"},
      {"echo.", "echo", ""},
      {"echo..h", "echo", ".h"},
      {"...", "", ".."},
  };
  struct world w;
  world_open(&w, NULL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct slice task, handler;
    ingress_split_task(w.ingress, slice_of_str(cases[i][0]), &task, &handler);
    if (!slice_equal_str(task, cases[i][1]) ||
        !slice_equal_str(handler, cases[i][2]))
      fail_msg("%s: %.*s and %.*s", cases[i][0], SLICE_FMT(task),
               SLICE_FMT(handler));
  }
  world_close(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_door__finds_its_route),
      cmocka_unit_test(test_door__takes_head_and_names_the_methods_it_takes),
      cmocka_unit_test(test_door__refuses_too_much_in_its_own_form),
      cmocka_unit_test(test_door__measures_the_data_of_a_trigger),
      cmocka_unit_test(test_door__takes_forms_where_the_original_did),
      cmocka_unit_test(test_door__guards_every_path),
      cmocka_unit_test(test_door__lets_a_task_invoke_and_nothing_else),
      cmocka_unit_test(test_door__asks_control_and_says_what_it_said),
      cmocka_unit_test(test_door__cancels_what_a_leaving_caller_asked),
      cmocka_unit_test(test_ingress__splits_at_the_longest_task),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
