/* The embedded descriptors: every symbol is found in its file, and a file brings all that it needs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/descriptor.h"

static const char *const FILES[] = {"grid/v1/types.proto",
                                    "grid/v1/invoke.proto",
                                    "grid/v1/control.proto",
                                    "grid/v1/peer.proto",
                                    "grid/v1/sync.proto",
                                    "grpc/health/v1/health.proto",
                                    "grpc/reflection/v1/reflection.proto",
                                    "grpc/reflection/v1alpha/reflection.proto"};

static void test_descriptor__has_every_file(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++)
        if (descriptor_file(slice_of_str(FILES[i])).size == 0)
            fail_msg("%s is not embedded", FILES[i]);
    assert_int_equal(descriptor_file(SLICE("grid/v1/none.proto")).size, 0);
    assert_int_equal(descriptor_file(SLICE("")).size, 0);
}

static void test_descriptor__finds_symbols_in_their_files(void **state)
{
    (void) state;
    static const char *const cases[][2] = {
        {"grid.v1.Invoke", "grid/v1/invoke.proto"},
        {"grid.v1.Invoke.CallStream", "grid/v1/invoke.proto"},
        {"grid.v1.CallRequest", "grid/v1/invoke.proto"},
        {"grid.v1.CallRequest.task", "grid/v1/invoke.proto"},
        {"grid.v1.CallRequest.input", "grid/v1/invoke.proto"},
        {"grid.v1.CallRequest.MetadataEntry", "grid/v1/invoke.proto"},
        {"grid.v1.CallRequest.MetadataEntry.value", "grid/v1/invoke.proto"},
        {"grid.v1.Strategy", "grid/v1/invoke.proto"},
        {"grid.v1.STRATEGY_LOCAL", "grid/v1/invoke.proto"},
        {"grid.v1.Host", "grid/v1/types.proto"},
        {"grid.v1.Control", "grid/v1/control.proto"},
        {"grid.v1.Control.Deploy", "grid/v1/control.proto"},
        {"grid.v1.PeerGossip", "grid/v1/peer.proto"},
        {"grid.v1.SyncChunk", "grid/v1/sync.proto"},
        {"grpc.health.v1.Health", "grpc/health/v1/health.proto"},
        {"grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto"},
        {"grpc.health.v1.HealthCheckResponse.SERVING", "grpc/health/v1/health.proto"},
        {"grpc.reflection.v1.ServerReflection", "grpc/reflection/v1/reflection.proto"},
        {"grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo", "grpc/reflection/v1alpha/reflection.proto"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice found = descriptor_file_of_symbol(slice_of_str(cases[i][0]));
        if (found.size == 0 || found.data != descriptor_file(slice_of_str(cases[i][1])).data)
            fail_msg("%s is not found in %s", cases[i][0], cases[i][1]);
    }
}

static void test_descriptor__finds_nothing_else(void **state)
{
    (void) state;
    static const char *const cases[] = {"",
                                        ".",
                                        "grid",
                                        "grid.v1",
                                        "grid.v1.",
                                        "grid.v1.Invok",
                                        "grid.v1.Invoke.",
                                        "grid.v1.Invoke.None",
                                        ".grid.v1.Invoke",
                                        "grid.v1.InvokeX",
                                        "v1.Invoke",
                                        "grid.v1.Strategy.STRATEGY_LOCAL.x",
                                        "grid.v1.CallRequest.task.x.y"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (descriptor_file_of_symbol(slice_of_str(cases[i])).size != 0)
            fail_msg("%s was found", cases[i]);
}

static bool holds(const struct slice *files, size_t count, const char *name)
{
    struct slice file = descriptor_file(slice_of_str(name));
    for (size_t i = 0; i < count; i++)
        if (files[i].data == file.data)
            return true;
    return false;
}

static void test_descriptor__gives_what_a_file_depends_on(void **state)
{
    (void) state;
    struct slice files[DESCRIPTOR_FILES_MAX];
    size_t count = descriptor_closure(descriptor_file(SLICE("grid/v1/types.proto")), files);
    assert_int_equal(count, 1);
    count = descriptor_closure(descriptor_file(SLICE("grid/v1/invoke.proto")), files);
    assert_int_equal(count, 2);
    assert_true(files[0].data == descriptor_file(SLICE("grid/v1/invoke.proto")).data);
    assert_true(holds(files, count, "grid/v1/types.proto"));
    count = descriptor_closure(descriptor_file(SLICE("grid/v1/control.proto")), files);
    assert_true(holds(files, count, "grid/v1/types.proto") && holds(files, count, "grid/v1/peer.proto"));
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            assert_true(files[i].data != files[j].data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptor__has_every_file),
        cmocka_unit_test(test_descriptor__finds_symbols_in_their_files),
        cmocka_unit_test(test_descriptor__finds_nothing_else),
        cmocka_unit_test(test_descriptor__gives_what_a_file_depends_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
