/* A node as the original shows it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/pb.h"
#include "server/ingress/host_json.h"

static void write_host(struct buf *out, int64_t now, bool local)
{
    Grid__V1__Host host = GRID__V1__HOST__INIT;
    struct json_writer w;
    host.public_ip = pb_str("203.0.113.9");
    host.private_ip = pb_str("10.0.0.9");
    host.api_port = 10000;
    host.name = pb_str("fluffy-\"donkey\"");
    host.hostname = pb_str("h");
    host.platform = pb_str("linux-x64");
    host.grid = pb_str("demo");
    host.user = pb_str("u");
    host.version = pb_str("1");
    host.started_at_ms = 1000;
    host.synchronized = true;
    host.local = local;
    host.id = pb_str("ab");
    buf_clear(out);
    json_writer_init(&w, out);
    host_json_write(&w, &host, now);
    assert_int_equal(json_writer_finish(&w), 0);
}

static void test_host_json__has_the_originals_fields(void **state)
{
    (void) state;
    struct buf out;
    buf_init(&out, 0);
    write_host(&out, 3500, true);
    assert_string_equal(
        buf_cstr(&out),
        "{\"public_ip\":\"203.0.113.9\",\"private_ip\":\"10.0.0.9\",\"api_port\":10000,\"name\":\"fluffy-\\\"donkey\\\"\","
        "\"hostname\":\"h\",\"platform\":\"linux-x64\",\"ns\":\"demo\",\"user\":\"u\",\"grid_version\":\"1\","
        "\"started_at\":1000,\"uptime\":2500,\"synchronized\":true,\"local\":true,\"id\":\"ab\"}");
    write_host(&out, 999, false); /* a clock that was set back */
    assert_non_null(strstr(buf_cstr(&out), "\"uptime\":0,"));
    assert_null(strstr(buf_cstr(&out), "local"));
    buf_dispose(&out);
}

static void test_host_json__is_aged_at_each_answer(void **state)
{
    (void) state;
    struct buf kept, aged;
    struct slice raw, uptime;
    buf_init(&kept, 0);
    buf_init(&aged, 0);
    write_host(&kept, 0, false);
    assert_null(strstr(buf_cstr(&kept), "uptime"));
    assert_int_equal(host_json_append_aged(&aged, buf_slice(&kept), 61000), 0);
    assert_int_equal(json_validate(buf_slice(&aged), &raw, NULL), 0);
    assert_int_equal(json_object_get(raw, "uptime", &uptime), 0);
    assert_true(slice_equal_str(uptime, "60000"));
    buf_clear(&aged);
    assert_int_equal(host_json_append_aged(&aged, SLICE("{}"), 61000), 0);
    assert_string_equal(buf_cstr(&aged), "{}");
    buf_dispose(&kept);
    buf_dispose(&aged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_json__has_the_originals_fields),
        cmocka_unit_test(test_host_json__is_aged_at_each_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
