/* Cuts: within bounds, independent of how a file is fed, and back in step after a change. */
#include "tests/unit/fs/tree.h"

#include "fs/chunker.h"

#define MAX_CUTS 4096

struct cuts {
    size_t at[MAX_CUTS];
    size_t count;
};

static void cut_all(const uint8_t *data, size_t size, size_t step, struct cuts *out)
{
    struct chunker c;
    assert_int_equal(chunker_init(&c, &chunker_default_params), 0);
    out->count = 0;
    for (size_t at = 0; at < size;) {
        bool cut;
        size_t want = size - at < step ? size - at : step;
        size_t taken = chunker_feed(&c, slice_of(data + at, want), &cut);
        assert_true(taken > 0 && taken <= want);
        assert_true(cut || taken == want);
        at += taken;
        if (cut || at == size)
            out->at[out->count++] = at;
    }
}

static uint8_t *noise(size_t size, uint64_t seed)
{
    uint8_t *data = malloc(size);
    assert_non_null(data);
    tree_noise(data, size, seed);
    return data;
}

static void test_chunker__cuts_do_not_depend_on_how_a_file_is_fed(void **state)
{
    (void) state;
    static const size_t steps[] = {1, 7, 4096, 65536, 1000003};
    size_t size = 3 * 1024 * 1024 + 17;
    uint8_t *data = noise(size, 1);
    static struct cuts whole, fed;
    cut_all(data, size, size, &whole);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        cut_all(data, size, steps[i], &fed);
        assert_int_equal(fed.count, whole.count);
        assert_memory_equal(fed.at, whole.at, whole.count * sizeof *whole.at);
    }
    free(data);
}

static void test_chunker__chunks_stay_within_bounds_and_near_the_average(void **state)
{
    (void) state;
    size_t size = 16 * 1024 * 1024, last = 0;
    uint8_t *data = noise(size, 2);
    static struct cuts cuts;
    cut_all(data, size, size, &cuts);
    for (size_t i = 0; i < cuts.count; last = cuts.at[i++]) {
        assert_true(cuts.at[i] - last <= CHUNKER_MAX_BYTES);
        assert_true(cuts.at[i] - last > CHUNKER_MIN_BYTES || i + 1 == cuts.count);
    }
    assert_in_range(size / cuts.count, CHUNKER_AVERAGE_BYTES / 2, CHUNKER_AVERAGE_BYTES * 2);
    free(data);
}

static void test_chunker__bytes_without_content_are_cut_at_the_maximum_or_minimum(void **state)
{
    (void) state;
    size_t size = 1024 * 1024;
    uint8_t *data = calloc(1, size);
    static struct cuts cuts;
    cut_all(data, size, size, &cuts);
    for (size_t i = 0; i < cuts.count; i++)
        assert_true(cuts.at[i] - (i ? cuts.at[i - 1] : 0) <= CHUNKER_MAX_BYTES);
    free(data);
}

/* How many chunks of `b` are not in `a`, by content. */
static size_t changed_chunks(const uint8_t *a, const struct cuts *x, const uint8_t *b, const struct cuts *y)
{
    size_t changed = 0;
    for (size_t i = 0; i < y->count; i++) {
        size_t start = i ? y->at[i - 1] : 0, size = y->at[i] - start;
        bool found = false;
        for (size_t j = 0; j < x->count && !found; j++) {
            size_t other = j ? x->at[j - 1] : 0;
            found = x->at[j] - other == size && memcmp(a + other, b + start, size) == 0;
        }
        changed += !found;
    }
    return changed;
}

static void test_chunker__resynchronises_after_one_inserted_byte(void **state)
{
    (void) state;
    size_t size = 4 * 1024 * 1024;
    uint8_t *data = noise(size, 3), *longer = malloc(size + 1);
    static struct cuts before, after;
    cut_all(data, size, size, &before);
    for (size_t i = 0; i < 24; i++) {
        size_t at = (size / 24) * i + i * 977;
        memcpy(longer, data, at);
        longer[at] = 0x5a;
        memcpy(longer + at + 1, data + at, size - at);
        cut_all(longer, size + 1, size + 1, &after);
        assert_in_range(changed_chunks(data, &before, longer, &after), 1, 3);
    }
    free(data);
    free(longer);
}

static void test_chunker__a_short_file_is_one_chunk(void **state)
{
    (void) state;
    uint8_t *data = noise(CHUNKER_MIN_BYTES, 4);
    static struct cuts cuts;
    cut_all(data, CHUNKER_MIN_BYTES, CHUNKER_MIN_BYTES, &cuts);
    assert_int_equal(cuts.count, 1);
    free(data);
}

static void test_chunker__the_documented_cuts_of_a_documented_file(void **state)
{
    (void) state;
    /* The file of docs/formats/chunks.md: byte i is the top byte of i * i * 2654435761 (32 bits), 256 KiB long. */
    size_t size = 256 * 1024;
    uint8_t *data = malloc(size);
    static struct cuts cuts;
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t) ((uint32_t) (i * i * UINT32_C(2654435761)) >> 24);
    cut_all(data, size, size, &cuts);
    static const size_t documented[] = {71080, 100148, 188866, 262144};
    assert_int_equal(cuts.count, 4);
    assert_memory_equal(cuts.at, documented, sizeof documented);
    free(data);
}

static void test_chunker__refuses_parameters_out_of_bounds(void **state)
{
    (void) state;
    struct chunker c;
    static const struct chunker_params bad[] = {
        {63, 128, 256, 0}, {128, 128, 256, 0}, {64, 129, 256, 0}, {64, 128, 128, 0}, {64, 128, 256 * 1024 + 1, 0}, {0, 0, 0, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(chunker_init(&c, &bad[i]), GRID_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunker__cuts_do_not_depend_on_how_a_file_is_fed),
        cmocka_unit_test(test_chunker__chunks_stay_within_bounds_and_near_the_average),
        cmocka_unit_test(test_chunker__bytes_without_content_are_cut_at_the_maximum_or_minimum),
        cmocka_unit_test(test_chunker__resynchronises_after_one_inserted_byte),
        cmocka_unit_test(test_chunker__a_short_file_is_one_chunk),
        cmocka_unit_test(test_chunker__the_documented_cuts_of_a_documented_file),
        cmocka_unit_test(test_chunker__refuses_parameters_out_of_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
