/* Arenas: alignment, growth, the cap, and reset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"

static void test_arena__gives_aligned_memory_of_any_size(void **state)
{
    (void) state;
    struct arena *a = arena_create(64, 0);
    for (size_t size = 0; size < 300; size += 7) {
        uint8_t *bytes = arena_alloc(a, size);
        assert_non_null(bytes);
        assert_int_equal((uintptr_t) bytes % _Alignof(max_align_t), 0);
        memset(bytes, 0xff, size);
    }
    uint8_t *zeroed = arena_calloc(a, 10, 10);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(zeroed[i], 0);
    assert_null(arena_calloc(a, SIZE_MAX / 2, 3));
    arena_destroy(a);
    arena_destroy(NULL);
}

static void test_arena__copies_strings(void **state)
{
    (void) state;
    struct arena *a = arena_create(64, 0);
    assert_string_equal(arena_str(a, SLICE("abc")), "abc");
    assert_string_equal(arena_str(a, slice_of(NULL, 0)), "");
    struct slice copy = arena_copy(a, SLICE("a\0b"));
    assert_int_equal(copy.size, 3);
    assert_memory_equal(copy.data, "a\0b", 4);
    assert_string_equal(arena_printf(a, "%s-%d", "x", 7), "x-7");
    arena_destroy(a);
}

static void test_arena__holds_its_cap_until_reset(void **state)
{
    (void) state;
    struct arena *a = arena_create(64, 256);
    assert_null(arena_alloc(a, 257));
    assert_null(arena_alloc(a, SIZE_MAX));
    assert_non_null(arena_alloc(a, 128));
    assert_non_null(arena_alloc(a, 128));
    assert_null(arena_alloc(a, 1));
    assert_int_equal(arena_used(a), 256);
    arena_reset(a);
    assert_int_equal(arena_used(a), 0);
    assert_non_null(arena_alloc(a, 256));
    arena_destroy(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena__gives_aligned_memory_of_any_size),
        cmocka_unit_test(test_arena__copies_strings),
        cmocka_unit_test(test_arena__holds_its_cap_until_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
