/* Where calls go: the turn of the nodes, the least loaded instance, pins, peers, waiting, and all of it under four threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "server/route/route_load.h"
#include "server/route/router.h"

enum { NODES = 3, LIMIT = 100 };

/* One grid: node 0 is ours. `ready` per node; node 0's instances are made. */
struct grid {
    struct route_shared *shared;
    struct route_task_shared *task;
    struct route_node_shared *others[NODES]; /* none of ours */
    struct instance *instances[8];
    size_t instance_count;
    struct route_table *table;
};

static struct route_node node_make(unsigned index, bool routable)
{
    struct route_node n = {.local = index == 0, .routable = routable, .host_json = SLICE("{}")};
    snprintf(n.id, sizeof n.id, "%064u", index);
    snprintf(n.name, sizeof n.name, "node-%u", index);
    return n;
}

static void grid_build(struct grid *g, const uint32_t ready[NODES], unsigned unroutable, bool settling)
{
    *g = (struct grid){.shared = route_shared_create(), .task = route_task_shared_create(4), .instance_count = ready[0]};
    struct route_builder *b = route_builder_create(1, g->shared);
    for (unsigned i = 0; i < NODES; i++) {
        struct route_node n = node_make(i, (unroutable >> i & 1) == 0);
        n.shared = g->others[i] = i > 0 ? route_node_shared_create() : NULL;
        assert_int_equal(route_builder_node(b, &n), i);
    }
    const char *releases[sizeof g->instances / sizeof *g->instances];
    for (uint32_t i = 0; i < ready[0]; i++)
        releases[i] = i == 0 ? "old" : "00ff";
    for (uint32_t i = 0; i < ready[0]; i++)
        g->instances[i] = instance_create(i + 1, "echo", i, 1);
    struct route_task_spec spec = {"echo", g->task, ready, g->instances, releases, g->instance_count, NULL, true, NULL};
    assert_int_equal(route_builder_task(b, &spec), 0);
    spec = (struct route_task_spec){"absent", g->task, (const uint32_t[NODES]){0}, NULL, NULL, 0, (const char *const[NODES]){"it exited", NULL, "it is silent"}, true, NULL};
    assert_int_equal(route_builder_task(b, &spec), 0);
    spec = (struct route_task_spec){.name = "partly", .shared = g->task, .ready = (const uint32_t[NODES]){0}, .lacking = (const bool[NODES]){false, false, true}};
    assert_int_equal(route_builder_task(b, &spec), 0);
    assert_int_equal(route_builder_dead(b, "f00d", "gone"), 0);
    g->table = route_builder_finish(b, settling, "00ff", NULL);
}

static void grid_dispose(struct grid *g)
{
    for (size_t i = 0; i < g->instance_count; i++)
        instance_unref(g->instances[i]);
    route_table_unref(g->table);
    for (int i = 1; i < NODES; i++) {
        assert_int_equal(g->others[i]->references, 1);
        route_node_shared_unref(g->others[i]);
    }
    route_task_shared_unref(g->task);
    route_shared_unref(g->shared);
}

static struct router_query query(const char *task)
{
    return (struct router_query){.task = slice_of_str(task), .in_flight_limit = LIMIT};
}

static void test_router__decides_by_the_table(void **state)
{
    (void) state;
    static const struct {
        const char *claim, *task, *node;
        uint32_t ready[NODES];
        unsigned unroutable;
        bool settling, from_peer;
        enum invocation_strategy strategy;
        uint64_t avoid_nodes, avoid_instance;
        enum router_verdict verdict;
        unsigned at;
        bool avoided;
        int status;
        const char *message;
    } cases[] = {
        {.claim = "the only node is ours", .task = "echo", .ready = {1, 0, 0}, .verdict = ROUTER_RUN_HERE},
        {.claim = "the only ready node is another", .task = "echo", .ready = {0, 0, 1}, .verdict = ROUTER_FORWARD, .at = 2},
        {.claim = "a node that is not routable is passed over",
         .task = "echo",
         .ready = {0, 1, 1},
         .unroutable = 2,
         .verdict = ROUTER_FORWARD,
         .at = 2},
        {.claim = "nowhere ready: wait", .task = "echo", .verdict = ROUTER_WAIT},
        {.claim = "known with a fault: wait", .task = "absent", .ready = {1, 0, 0}, .verdict = ROUTER_WAIT},
        {.claim = "unknown",
         .task = "no",
         .ready = {1, 0, 0},
         .verdict = ROUTER_REFUSE,
         .status = GRPC_NOT_FOUND,
         .message = "Task file no does not exists"},
        {.claim = "unknown while settling", .task = "no", .settling = true, .verdict = ROUTER_WAIT},
        {.claim = "pinned by name", .task = "echo", .node = "node-1", .ready = {1, 1, 1}, .verdict = ROUTER_FORWARD, .at = 1},
        {.claim = "pinned to us by id",
         .task = "echo",
         .node = "0000000000000000000000000000000000000000000000000000000000000000",
         .ready = {1, 1, 1},
         .verdict = ROUTER_RUN_HERE},
        {.claim = "pinned to a node that is not ready",
         .task = "echo",
         .node = "node-2",
         .ready = {1, 1, 0},
         .verdict = ROUTER_WAIT},
        {.claim = "pinned to us while not ready", .task = "echo", .node = "node-0", .ready = {0, 1, 0}, .verdict = ROUTER_WAIT},
        {.claim = "pinned to a node that does not have it",
         .task = "partly",
         .node = "node-2",
         .verdict = ROUTER_REFUSE,
         .status = GRPC_NOT_FOUND,
         .message = "Task file partly does not exists on the node asked for"},
        {.claim = "pinned to a node that has it and is starting", .task = "partly", .node = "node-1", .verdict = ROUTER_WAIT},
        {.claim = "pinned to a node that synchronizes", .task = "partly", .node = "node-2", .unroutable = 4, .verdict = ROUTER_WAIT},
        {.claim = "pinned to us, who do not have it",
         .task = "partly",
         .node = "node-0",
         .verdict = ROUTER_REFUSE,
         .status = GRPC_NOT_FOUND,
         .message = "Task file partly does not exists on the node asked for"},
        {.claim = "pinned to us, who may have it soon", .task = "partly", .node = "node-0", .settling = true, .verdict = ROUTER_WAIT},
        {.claim = "pinned to nobody",
         .task = "echo",
         .node = "x",
         .ready = {1, 1, 1},
         .verdict = ROUTER_REFUSE,
         .status = GRPC_NOT_FOUND,
         .message = "no node of this grid is called x: `grid list` shows them"},
        {.claim = "pinned to a dead node",
         .task = "echo",
         .node = "gone",
         .ready = {1, 1, 1},
         .verdict = ROUTER_REFUSE,
         .status = GRPC_NOT_FOUND,
         .message = "the node gone is dead: start it again, or ask another one"},
        {.claim = "pinned to a dead node by id",
         .task = "echo",
         .node = "f00d",
         .ready = {1, 1, 1},
         .verdict = ROUTER_REFUSE,
         .status = GRPC_NOT_FOUND,
         .message = "the node f00d is dead: start it again, or ask another one"},
        {.claim = "pinned to a node that failed it",
         .task = "echo",
         .node = "node-1",
         .ready = {1, 1, 1},
         .avoid_nodes = 2,
         .verdict = ROUTER_WAIT,
         .avoided = true},
        {.claim = "a local call stays",
         .task = "echo",
         .strategy = INVOCATION_LOCAL,
         .ready = {1, 9, 9},
         .verdict = ROUTER_RUN_HERE},
        {.claim = "a local call leaves when it must",
         .task = "echo",
         .strategy = INVOCATION_LOCAL,
         .ready = {0, 1, 0},
         .verdict = ROUTER_FORWARD,
         .at = 1},
        {.claim = "a peer's call runs here", .task = "echo", .from_peer = true, .ready = {1, 9, 9}, .verdict = ROUTER_RUN_HERE},
        {.claim = "a peer's call is never forwarded",
         .task = "echo",
         .from_peer = true,
         .ready = {0, 1, 1},
         .verdict = ROUTER_REFUSE,
         .status = GRPC_UNAVAILABLE,
         .message = "no instance of the task echo is ready on this node"},
        {.claim = "a peer's unknown task",
         .task = "no",
         .from_peer = true,
         .ready = {1, 1, 1},
         .verdict = ROUTER_REFUSE,
         .status = GRPC_NOT_FOUND,
         .message = "Task file no does not exists"},
        {.claim = "a peer's task that may yet come",
         .task = "no",
         .from_peer = true,
         .settling = true,
         .verdict = ROUTER_REFUSE,
         .status = GRPC_UNAVAILABLE,
         .message = "no instance of the task no is ready on this node"},
        {.claim = "who failed it is avoided",
         .task = "echo",
         .ready = {1, 1, 1},
         .avoid_nodes = 5,
         .verdict = ROUTER_FORWARD,
         .at = 1},
        {.claim = "all failed it", .task = "echo", .ready = {1, 1, 1}, .avoid_nodes = 7, .verdict = ROUTER_WAIT, .avoided = true},
        {.claim = "our only instance failed it",
         .task = "echo",
         .ready = {1, 0, 0},
         .avoid_instance = 1,
         .verdict = ROUTER_WAIT,
         .avoided = true},
        {.claim = "our other instance takes it",
         .task = "echo",
         .ready = {2, 0, 0},
         .avoid_instance = 1,
         .verdict = ROUTER_RUN_HERE},
        {.claim = "another node takes it",
         .task = "echo",
         .ready = {1, 1, 0},
         .avoid_instance = 1,
         .verdict = ROUTER_FORWARD,
         .at = 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct grid g;
        grid_build(&g, cases[i].ready, cases[i].unroutable, cases[i].settling);
        struct router_query q = query(cases[i].task);
        q.node = slice_of_str(cases[i].node);
        q.strategy = cases[i].strategy;
        q.from_peer = cases[i].from_peer;
        q.avoid_nodes = cases[i].avoid_nodes;
        q.avoid_instance = cases[i].avoid_instance;
        struct router_decision d;
        router_pick(g.table, &q, &d);
        if (d.verdict != cases[i].verdict)
            print_error("%s\n", cases[i].claim);
        assert_int_equal(d.verdict, cases[i].verdict);
        assert_int_equal(d.avoided, cases[i].avoided);
        assert_int_equal(d.status, cases[i].status);
        if (d.verdict == ROUTER_FORWARD)
            assert_int_equal(d.node, cases[i].at);
        if (d.verdict == ROUTER_RUN_HERE)
            assert_true(d.instance->in_flight == 1 && d.instance->id != cases[i].avoid_instance);
        if (cases[i].message)
            assert_string_equal(d.message, cases[i].message);
        grid_dispose(&g);
    }
}

static unsigned pick_node(const struct grid *g)
{
    struct router_query q = query("echo");
    struct router_decision d;
    router_pick(g->table, &q, &d);
    if (d.verdict == ROUTER_RUN_HERE)
        d.instance->in_flight--;
    else
        assert_int_equal(d.verdict, ROUTER_FORWARD);
    return d.node;
}

static void test_router__visits_every_node_in_turn(void **state)
{
    (void) state;
    struct grid g;
    grid_build(&g, (const uint32_t[]){1, 1, 1}, 0, false);
    for (unsigned i = 0; i < 30; i++)
        assert_int_equal(pick_node(&g), i % 3);
    grid_dispose(&g);
}

static void test_router__weighs_nodes_by_their_instances(void **state)
{
    (void) state;
    struct grid g;
    grid_build(&g, (const uint32_t[]){2, 1, 3}, 0, false);
    static const unsigned order[] = {0, 1, 2, 0, 2, 2};
    for (unsigned i = 0; i < 30; i++)
        assert_int_equal(pick_node(&g), order[i % 6]);
    grid_dispose(&g);
}

static void test_router__prefers_the_least_loaded_instance_and_takes_equals_in_turn(void **state)
{
    (void) state;
    struct grid g;
    grid_build(&g, (const uint32_t[]){4, 0, 0}, 0, false);
    g.instances[0]->in_flight = 5;
    g.instances[2]->draining = 1;
    struct router_query q = query("echo");
    for (int i = 0; i < 6; i++) {
        struct router_decision d;
        router_pick(g.table, &q, &d);
        assert_int_equal(d.verdict, ROUTER_RUN_HERE);
        assert_string_equal(d.release, "00ff");
    }
    atomic_store(&g.instances[0]->in_flight, 0);
    struct router_decision first;
    router_pick(g.table, &q, &first);
    assert_ptr_equal(first.instance, g.instances[0]);
    assert_string_equal(first.release, "old");
    assert_int_equal(g.instances[0]->in_flight, 1);
    assert_int_equal(g.instances[1]->in_flight, 3);
    assert_int_equal(g.instances[2]->in_flight, 0);
    assert_int_equal(g.instances[3]->in_flight, 3);
    grid_dispose(&g);
}

static void test_router__is_busy_at_the_limit_unless_another_node_has_one(void **state)
{
    (void) state;
    struct grid g;
    grid_build(&g, (const uint32_t[]){1, 0, 0}, 0, false);
    g.instances[0]->in_flight = LIMIT;
    struct router_query q = query("echo");
    struct router_decision d;
    router_pick(g.table, &q, &d);
    assert_int_equal(d.verdict, ROUTER_BUSY);
    q.from_peer = true;
    router_pick(g.table, &q, &d);
    assert_int_equal(d.verdict, ROUTER_BUSY);
    grid_dispose(&g);
    grid_build(&g, (const uint32_t[]){1, 1, 0}, 0, false);
    g.instances[0]->in_flight = LIMIT;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pick_node(&g), 1);
    assert_int_equal(g.instances[0]->in_flight, LIMIT);
    grid_dispose(&g);
}

static void grid_say(const struct grid *g, unsigned node, uint32_t room)
{
    route_load_note(g->others[node], g->task, &(struct route_load){.in_flight = LIMIT - room, .ready = 1, .room = room}, 1000);
}

/* Where four calls go, now or when a word of 1000 is old. */
static void assert_picks(const struct grid *g, uint64_t now_ms, const unsigned nodes[4])
{
    for (int i = 0; i < 4; i++) {
        struct router_query q = query("echo");
        struct router_decision d;
        q.now_ms = now_ms;
        router_pick(g->table, &q, &d);
        if (d.verdict == ROUTER_RUN_HERE)
            d.instance->in_flight--;
        assert_int_equal(d.verdict, nodes[i] == 0 ? ROUTER_RUN_HERE : ROUTER_FORWARD);
        assert_int_equal(d.node, nodes[i]);
    }
}

static void test_router__passes_over_nodes_that_said_they_were_full(void **state)
{
    (void) state;
    struct grid g;
    grid_build(&g, (const uint32_t[]){1, 1, 1}, 0, false);
    grid_say(&g, 1, 1);
    assert_picks(&g, 1000, (const unsigned[]){0, 1, 2, 0});
    grid_say(&g, 1, 0);
    assert_picks(&g, 1000, (const unsigned[]){2, 2, 0, 2});
    /* One call goes to see. */
    assert_picks(&g, 1000 + ROUTE_FULL_MS, (const unsigned[]){2, 0, 1, 2});
    assert_picks(&g, 1000 + ROUTE_FULL_MS, (const unsigned[]){0, 2, 2, 0});
    grid_say(&g, 1, 1);
    assert_picks(&g, 1000, (const unsigned[]){1, 2, 0, 1});
    grid_dispose(&g);
}

static void test_router__where_all_are_full_a_call_goes_to_the_first_of_them(void **state)
{
    (void) state;
    struct grid g;
    grid_build(&g, (const uint32_t[]){1, 1, 1}, 0, false);
    grid_say(&g, 1, 0);
    grid_say(&g, 2, 0);
    assert_picks(&g, 1000, (const unsigned[]){0, 0, 0, 0});
    g.instances[0]->in_flight = LIMIT;
    assert_picks(&g, 1000, (const unsigned[]){1, 2, 1, 1});
    struct router_query q = query("echo");
    struct router_decision d;
    q.now_ms = 1000;
    q.avoid_nodes = 2; /* it has failed this call: full is better */
    router_pick(g.table, &q, &d);
    assert_int_equal(d.node, 2);
    q.node = SLICE("node-1"); /* asked for by name, full or not */
    q.avoid_nodes = 0;
    router_pick(g.table, &q, &d);
    assert_int_equal(d.node, 1);
    grid_dispose(&g);
}

enum { THREADS = 4, ROUNDS = 20000 };

struct hammer {
    const struct grid *grid;
    unsigned visits[NODES];
    unsigned over_limit;
};

static void *hammer_run(void *arg)
{
    struct hammer *h = arg;
    struct router_query q = query("echo");
    q.in_flight_limit = 3;
    for (int i = 0; i < ROUNDS; i++) {
        struct router_decision d;
        router_pick(h->grid->table, &q, &d);
        if (d.verdict != ROUTER_RUN_HERE && d.verdict != ROUTER_FORWARD)
            continue;
        h->visits[d.node]++;
        if (d.verdict == ROUTER_FORWARD)
            continue;
        h->over_limit += d.load > 3;
        atomic_fetch_sub_explicit(&d.instance->in_flight, 1, memory_order_relaxed);
    }
    return NULL;
}

static void test_router__stays_fair_and_within_limits_under_four_threads(void **state)
{
    (void) state;
    struct grid g;
    grid_build(&g, (const uint32_t[]){2, 2, 2}, 0, false);
    pthread_t threads[THREADS];
    struct hammer hammers[THREADS];
    unsigned visits[NODES] = {0};
    for (int i = 0; i < THREADS; i++) {
        hammers[i] = (struct hammer){.grid = &g};
        assert_int_equal(pthread_create(&threads[i], NULL, hammer_run, &hammers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(hammers[i].over_limit, 0);
        for (int n = 0; n < NODES; n++)
            visits[n] += hammers[i].visits[n];
    }
    /* One cursor for all: the turns differ by one at most (four threads never fill two instances of three). */
    for (int n = 1; n < NODES; n++)
        assert_in_range(visits[n], visits[0] - 1, visits[0] + 1);
    assert_int_equal(g.instances[0]->in_flight + g.instances[1]->in_flight, 0);
    grid_dispose(&g);
}

static void test_route_budget__begins_with_ten_and_earns_one_retry_per_ten_calls(void **state)
{
    (void) state;
    struct route_shared *s = route_shared_create();
    for (int i = 0; i < 10; i++)
        assert_true(route_budget_withdraw(s));
    assert_false(route_budget_withdraw(s));
    for (int i = 0; i < 9; i++)
        route_budget_deposit(s);
    assert_false(route_budget_withdraw(s));
    route_budget_deposit(s);
    assert_true(route_budget_withdraw(s));
    for (int i = 0; i < 5000; i++)
        route_budget_deposit(s);
    int count = 0;
    while (route_budget_withdraw(s))
        count++;
    assert_int_equal(count, 100);
    route_shared_unref(s);
}

static void test_route_table__finds_what_was_put_in_and_lets_go_of_it(void **state)
{
    (void) state;
    struct grid g;
    grid_build(&g, (const uint32_t[]){1, 1, 1}, 0, false);
    struct route_view *v = route_view_create(route_table_ref(g.table));
    assert_int_equal(g.instances[0]->references, 2);
    assert_string_equal(route_table_task(g.table, SLICE("absent"))->faults[0], "it exited");
    assert_null(route_table_task(g.table, SLICE("ech")));
    assert_null(route_table_task(g.table, SLICE("echoo")));
    assert_int_equal(route_table_node(g.table, SLICE("node-2")), 2);
    assert_int_equal(route_table_node(g.table, SLICE("")), -1);
    assert_string_equal(g.table->release, "00ff");
    route_view_unref(route_view_ref(v));
    route_view_unref(v);
    assert_int_equal(g.table->references, 1);
    struct route_builder *b = route_builder_create(2, g.shared);
    struct route_node n = node_make(0, true);
    route_builder_node(b, &n);
    struct route_task_spec spec = {"echo", g.task, (const uint32_t[]){1}, g.instances, (const char *const[]){"00ff"}, 1, NULL, true, NULL};
    route_builder_task(b, &spec);
    route_builder_abort(b);
    assert_int_equal(g.instances[0]->references, 2);
    grid_dispose(&g);
}

static void test_router__a_peers_call_waits_for_the_successors_of_draining_instances(void **state)
{
    (void) state;
    struct grid g;
    struct router_decision d;
    struct router_query q = {.task = SLICE("echo"), .from_peer = true, .in_flight_limit = 100};
    grid_build(&g, (const uint32_t[]){1, 1, 1}, 0, false);
    g.instances[0]->draining = 1;
    router_pick(g.table, &q, &d);
    assert_int_equal(d.verdict, ROUTER_WAIT);
    grid_dispose(&g);
    grid_build(&g, (const uint32_t[]){0, 1, 1}, 0, false);
    router_pick(g.table, &q, &d);
    assert_int_equal(d.verdict, ROUTER_REFUSE);
    grid_dispose(&g);
}

static void test_router_fault__is_of_the_nodes_a_call_may_run_on(void **state)
{
    (void) state;
    struct grid g;
    grid_build(&g, (const uint32_t[]){1, 0, 1}, 0, false);
    const struct route_task *absent = route_table_task(g.table, SLICE("absent")), *echo = route_table_task(g.table, SLICE("echo"));
    assert_string_equal(router_fault(g.table, absent, SLICE("")), "it exited");
    assert_string_equal(router_fault(g.table, absent, SLICE("node-0")), "it exited");
    assert_null(router_fault(g.table, absent, SLICE("node-1")));
    assert_string_equal(router_fault(g.table, absent, SLICE("node-2")), "it is silent");
    assert_null(router_fault(g.table, absent, SLICE("nobody")));
    assert_null(router_fault(g.table, echo, SLICE("")));
    grid_dispose(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_router__decides_by_the_table),
        cmocka_unit_test(test_router__visits_every_node_in_turn),
        cmocka_unit_test(test_router__weighs_nodes_by_their_instances),
        cmocka_unit_test(test_router__prefers_the_least_loaded_instance_and_takes_equals_in_turn),
        cmocka_unit_test(test_router__is_busy_at_the_limit_unless_another_node_has_one),
        cmocka_unit_test(test_router__passes_over_nodes_that_said_they_were_full),
        cmocka_unit_test(test_router__where_all_are_full_a_call_goes_to_the_first_of_them),
        cmocka_unit_test(test_router__stays_fair_and_within_limits_under_four_threads),
        cmocka_unit_test(test_route_budget__begins_with_ten_and_earns_one_retry_per_ten_calls),
        cmocka_unit_test(test_router__a_peers_call_waits_for_the_successors_of_draining_instances),
        cmocka_unit_test(test_router_fault__is_of_the_nodes_a_call_may_run_on),
        cmocka_unit_test(test_route_table__finds_what_was_put_in_and_lets_go_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
