/* The request that a task gets: which headers it has, and whose trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/exec/task_request.h"

#define ID "01940000-0000-7abc-8def-0123456789ab"

static struct invocation *call_new(void)
{
    struct invocation *inv = invocation_create();
    assert_non_null(inv);
    memcpy(inv->id, ID, sizeof ID);
    inv->handler = SLICE("resize");
    inv->content_type = SLICE("application/json");
    inv->deadline_ms = 5000;
    return inv;
}

static void check_header(const struct task_request *r, const char *name, const char *value)
{
    struct slice found = http_header_find(r->head.headers, r->head.header_count, name);
    if (value)
        assert_true(slice_equal_str(found, value));
    else
        assert_null(found.data);
}

static void test_task_request__says_what_is_called_and_until_when(void **state)
{
    (void) state;
    static const struct http_header METADATA[] = {{SLICE_INIT("user"), SLICE_INIT("7")}, {SLICE_INIT("empty"), SLICE_INIT("")}};
    struct invocation *inv = call_new();
    struct task_request r;
    inv->metadata = METADATA;
    inv->metadata_count = 2;
    assert_int_equal(task_request_make(inv, false, "127.0.0.1:9000", 2000, 1700000000000, &r), 0);
    assert_true(slice_equal_str(r.head.method, "POST") && slice_equal_str(r.head.target, "/") && slice_equal_str(r.head.authority, "127.0.0.1:9000"));
    check_header(&r, "content-type", "application/json");
    check_header(&r, "grid-handler", "resize");
    check_header(&r, "grid-request-id", ID);
    check_header(&r, "grid-deadline-ms", "1700000003000");
    check_header(&r, "grid-meta-user", "7");
    check_header(&r, "grid-meta-empty", NULL);
    check_header(&r, "idempotency-key", NULL);
    invocation_destroy(inv);
    invocation_thread_cleanup();
}

static void test_task_request__of_a_get_has_no_content_type_and_a_late_one_no_time_left(void **state)
{
    (void) state;
    struct invocation *inv = call_new();
    struct task_request r;
    inv->idempotency_key = SLICE("k-1");
    assert_int_equal(task_request_make(inv, true, "127.0.0.1:9000", 6000, 1700000000000, &r), 0);
    assert_true(slice_equal_str(r.head.method, "GET"));
    check_header(&r, "content-type", NULL);
    check_header(&r, "idempotency-key", "k-1");
    check_header(&r, "grid-deadline-ms", "1700000000000");
    invocation_destroy(inv);
    invocation_thread_cleanup();
}

static void test_task_request__passes_on_a_good_trace_alone(void **state)
{
    (void) state;
#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define SPAN "b7ad6b7169203331"
    static const char OWN[] = "00-0194000000007abc8def0123456789ab-8def0123456789ab-01";
    static const struct {
        const char *text;
        bool good;
    } CASES[] = {
        {"00-" TRACE "-" SPAN "-01", true},
        {"00-" TRACE "-" SPAN "-00", true},
        {"cc-" TRACE "-" SPAN "-01", true},
        {"cc-" TRACE "-" SPAN "-01-more", true},
        {"cc-" TRACE "-" SPAN "-01more", false},
        {"00-" TRACE "-" SPAN "-01-more", false},
        {"ff-" TRACE "-" SPAN "-01", false},
        {"00-" TRACE "-" SPAN "-0", false},
        {"00-00000000000000000000000000000000-" SPAN "-01", false},
        {"00-" TRACE "-0000000000000000-01", false},
        {"00-0AF7651916CD43DD8448EB211C80319C-" SPAN "-01", false},
        {"00_" TRACE "-" SPAN "-01", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct invocation *inv = call_new();
        struct task_request r;
        inv->traceparent = slice_of_str(CASES[i].text);
        assert_int_equal(task_request_make(inv, false, "127.0.0.1:9000", 0, 0, &r), 0);
        check_header(&r, "traceparent", CASES[i].good ? CASES[i].text : OWN);
        invocation_destroy(inv);
    }
    invocation_thread_cleanup();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_task_request__says_what_is_called_and_until_when),
        cmocka_unit_test(test_task_request__of_a_get_has_no_content_type_and_a_late_one_no_time_left),
        cmocka_unit_test(test_task_request__passes_on_a_good_trace_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
