/* Directory and file objects: one encoding each, every other refused. */
#include "tests/unit/fs/tree.h"

#include "fs/manifest.h"

static struct manifest_entry file_entry(const char *name, uint64_t size)
{
    return (struct manifest_entry){.name = slice_of_str(name), .kind = size > OBJECT_CHUNK_MAX ? MANIFEST_LONG_FILE : MANIFEST_FILE,
                                   .size = size};
}

static struct manifest_entry link_entry(const char *name, const char *target)
{
    return (struct manifest_entry){
        .name = slice_of_str(name), .kind = MANIFEST_SYMLINK, .size = strlen(target), .target = slice_of_str(target)};
}

static int encode(struct buf *out, const struct manifest_entry *entries, size_t count, bool root)
{
    struct manifest_writer w;
    buf_clear(out);
    manifest_dir_begin(&w, out, root ? &chunker_default_params : NULL);
    for (size_t i = 0; i < count; i++)
        manifest_dir_add(&w, &entries[i]);
    return manifest_end(&w);
}

static void test_manifest__a_directory_reads_back_as_written(void **state)
{
    (void) state;
    struct buf out;
    struct manifest_dir dir;
    struct manifest_entry entry, entries[] = {file_entry("a", 0), file_entry("b", 1 << 20), link_entry("c", "../x"),
                                              {.name = SLICE_INIT("d"), .kind = MANIFEST_DIRECTORY, .size = 6}};
    entries[1].executable = true;
    entries[3].id.bytes[31] = 9;
    buf_init(&out, 0);
    for (int root = 0; root < 2; root++) {
        assert_int_equal(encode(&out, entries, 4, root), 0);
        assert_int_equal(manifest_dir_open(buf_slice(&out), &dir), 0);
        assert_int_equal(dir.root, root);
        assert_int_equal(dir.count, 4);
        if (root)
            assert_memory_equal(&dir.chunker, &chunker_default_params, sizeof dir.chunker);
        for (size_t i = 0; i < 4; i++) {
            assert_true(manifest_dir_next(&dir, &entry));
            assert_true(slice_equal(entry.name, entries[i].name));
            assert_true(slice_equal(entry.target, entries[i].target));
            assert_int_equal(entry.kind, entries[i].kind);
            assert_int_equal(entry.size, entries[i].size);
            assert_int_equal(entry.executable, entries[i].executable);
            assert_true(object_id_equal(&entry.id, &entries[i].id));
        }
        assert_false(manifest_dir_next(&dir, &entry));
    }
    buf_dispose(&out);
}

static void test_manifest__the_documented_bytes_of_an_empty_directory(void **state)
{
    (void) state;
    struct buf out;
    buf_init(&out, 0);
    assert_int_equal(encode(&out, NULL, 0, false), 0);
    assert_true(slice_equal(buf_slice(&out), slice_of("\x01\x00\x00\x00\x00\x00", 6)));
    assert_int_equal(encode(&out, NULL, 0, true), 0);
    assert_true(slice_equal(buf_slice(&out), slice_of("\x01\x01\x00\x00\x40\x00\x00\x01\x00\x00\x00\x04\x00\x00gridchnk\x00\x00\x00\x00", 26)));
    buf_dispose(&out);
}

static void test_manifest__the_writer_refuses_what_the_reader_would(void **state)
{
    (void) state;
    struct buf out;
    struct manifest_entry two[2];
    static const char *const names[] = {"", ".", "..", "a/b"};
    buf_init(&out, 0);
    for (size_t i = 0; i < 4; i++) {
        two[0] = file_entry(names[i], 1);
        assert_int_equal(encode(&out, two, 1, false), GRID_EINVAL);
    }
    two[0] = file_entry("b", 1);
    two[1] = file_entry("a", 1);
    assert_int_equal(encode(&out, two, 2, false), GRID_EINVAL);
    two[1] = file_entry("b", 1);
    assert_int_equal(encode(&out, two, 2, false), GRID_EINVAL);
    two[0] = link_entry("a", "/etc/passwd");
    assert_int_equal(encode(&out, two, 1, false), GRID_EINVAL);
    buf_dispose(&out);
}

static void test_manifest__refuses_every_single_changed_length_and_every_truncation(void **state)
{
    (void) state;
    struct buf out;
    struct manifest_dir dir;
    struct manifest_entry entries[] = {file_entry("a", 5), link_entry("l", "a")};
    buf_init(&out, 0);
    assert_int_equal(encode(&out, entries, 2, true), 0);
    for (size_t size = 0; size < out.size; size++)
        assert_int_not_equal(manifest_dir_open(slice_first(buf_slice(&out), size), &dir), 0);
    assert_int_equal(buf_append_byte(&out, 0), 0);
    assert_int_equal(manifest_dir_open(buf_slice(&out), &dir), GRID_EPROTO);
    out.data[0] = 2;
    assert_int_equal(manifest_dir_open(buf_slice(&out), &dir), GRID_EUNSUPPORTED);
    buf_dispose(&out);
}

/* Raw directories: the header "1, 0, count", then this. */
static void test_manifest__refuses_malformed_directories(void **state)
{
    (void) state;
#define ID32 "0123456789abcdef0123456789abcdef"
#define SIZE5 "\0\0\0\0\0\0\0\5"
    static const struct {
        const char *bytes;
        size_t size;
        int err;
    } cases[] = {
#define CASE(literal, err) {literal, sizeof(literal) - 1, err}
        CASE("\1\0\0\0\0\1\1\0\1a" SIZE5 ID32, 0),
        CASE("\1\2\0\0\0\1\1\0\1a" SIZE5 ID32, GRID_EPROTO),                             /* unknown flag */
        CASE("\1\0\0\0\0\1\0\0\1a" SIZE5 ID32, GRID_EPROTO),                             /* unknown kind */
        CASE("\1\0\0\0\0\1\5\0\1a" SIZE5 ID32, GRID_EPROTO),                             /* unknown kind */
        CASE("\1\0\0\0\0\1\1\2\1a" SIZE5 ID32, GRID_EPROTO),                             /* unknown mode */
        CASE("\1\0\0\0\0\1\1\0\0" SIZE5 ID32, GRID_EPROTO),                              /* no name */
        CASE("\1\0\0\0\0\1\1\0\2.." SIZE5 ID32, GRID_EPROTO),                            /* dots */
        CASE("\1\0\0\0\0\1\1\0\3a/b" SIZE5 ID32, GRID_EPROTO),                           /* slash */
        CASE("\1\0\0\0\0\1\1\0\2a\0" SIZE5 ID32, GRID_EPROTO),                           /* NUL */
        CASE("\1\0\0\0\0\2\1\0\1a" SIZE5 ID32 "\1\0\1a" SIZE5 ID32, GRID_EPROTO),        /* twice */
        CASE("\1\0\0\0\0\2\1\0\1b" SIZE5 ID32 "\1\0\1a" SIZE5 ID32, GRID_EPROTO),        /* unsorted */
        CASE("\1\0\0\0\0\2\1\0\1a" SIZE5 ID32 "\1\0\1b" SIZE5 ID32, 0),
        CASE("\1\0\377\377\377\377\1\0\1a" SIZE5 ID32, GRID_EPROTO),                     /* count lies */
        CASE("\1\0\0\0\0\1\1\0\1a\0\0\0\0\0\4\0\1" ID32, GRID_EPROTO),                   /* a chunk too large */
        CASE("\1\0\0\0\0\1\2\0\1a\0\0\0\0\0\0\0\1" ID32, GRID_EPROTO),                   /* long file of one byte */
        CASE("\1\0\0\0\0\1\2\0\1a\377\377\377\377\0\0\0\0" ID32, GRID_EPROTO),           /* of 16 EiB */
        CASE("\1\0\0\0\0\1\3\1\1a\0\0\0\0\0\0\0\6" ID32, GRID_EPROTO),                   /* executable folder */
        CASE("\1\0\0\0\0\1\4\0\1a\0\0\0\0\0\0\0\1x", 0),
        CASE("\1\0\0\0\0\1\4\0\1a\0\0\0\0\0\0\0\0", GRID_EPROTO),                        /* empty link */
        CASE("\1\0\0\0\0\1\4\0\1a\0\0\0\0\0\0\0\4a/..", GRID_EPROTO),                    /* climbs late */
        CASE("\1\0\0\0\0\1\4\0\1a\377\0\0\0\0\0\0\1x", GRID_EPROTO),                     /* endless link */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct manifest_dir dir;
        int err = manifest_dir_open(slice_of(cases[i].bytes, cases[i].size), &dir);
        if (err != cases[i].err)
            fail_msg("case %zu: %s", i, grid_err_name(err));
    }
}

static void test_manifest__a_long_file_reads_back_and_its_lies_are_refused(void **state)
{
    (void) state;
    struct buf out;
    struct manifest_writer w;
    struct manifest_file file;
    struct manifest_chunk chunk, chunks[2] = {{.size = 70000}, {.size = 5}};
    chunks[1].id.bytes[0] = 1;
    buf_init(&out, 0);
    manifest_file_begin(&w, &out);
    manifest_file_add(&w, &chunks[0]);
    manifest_file_add(&w, &chunks[1]);
    assert_int_equal(manifest_end(&w), 0);
    assert_int_equal(manifest_file_open(buf_slice(&out), &file), 0);
    assert_int_equal(file.size, 70005);
    for (size_t i = 0; i < 2; i++) {
        assert_true(manifest_file_next(&file, &chunk));
        assert_int_equal(chunk.size, chunks[i].size);
        assert_true(object_id_equal(&chunk.id, &chunks[i].id));
    }
    assert_false(manifest_file_next(&file, &chunk));
    for (size_t size = 0; size < out.size; size++)
        assert_int_not_equal(manifest_file_open(slice_first(buf_slice(&out), size), &file), 0);
    out.data[4] = 1; /* one chunk is not a long file */
    assert_int_equal(manifest_file_open(slice_first(buf_slice(&out), 41), &file), GRID_EPROTO);
    out.data[4] = 2;
    memset(out.data + 41, 0, 4); /* an empty chunk */
    assert_int_equal(manifest_file_open(buf_slice(&out), &file), GRID_EPROTO);
    out.data[0] = 9;
    assert_int_equal(manifest_file_open(buf_slice(&out), &file), GRID_EUNSUPPORTED);
    buf_dispose(&out);
}

static void test_manifest__tells_how_far_a_link_climbs(void **state)
{
    (void) state;
    static const struct {
        const char *target;
        int climb;
    } cases[] = {{"a", 0},     {"a/b", 0},   {"./a", 0},      {"../a", 1},  {"../../a/b", 2}, {"./.././../a", 2}, {"..", 1}, {".", 0},
                 {"a/..", -1}, {"/a", -1},   {"a/../b", -1},  {"", -1},     {"a//b", 0},      {"..a/..b", 0},     {"a/", 0}, {"...", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(manifest_target_climb(slice_of_str(cases[i].target)), cases[i].climb);
}

static void test_manifest__ids_are_hex_both_ways(void **state)
{
    (void) state;
    struct object_id id, again;
    char hex[OBJECT_ID_HEX + 1];
    assert_int_equal(object_id_compute(OBJECT_CHUNK, SLICE("abc"), &id), 0);
    object_id_to_hex(&id, hex);
    assert_int_equal(object_id_from_hex(slice_of_str(hex), &again), 0);
    assert_true(object_id_equal(&id, &again));
    hex[5] = 'g';
    assert_int_equal(object_id_from_hex(slice_of_str(hex), &again), GRID_EINVAL);
    assert_int_equal(object_id_from_hex(SLICE("ab"), &again), GRID_EINVAL);
    uint8_t plain[32];
    assert_int_equal(hash_sha256(SLICE("\1abc"), plain), 0);
    assert_memory_equal(plain, id.bytes, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manifest__a_directory_reads_back_as_written),
        cmocka_unit_test(test_manifest__the_documented_bytes_of_an_empty_directory),
        cmocka_unit_test(test_manifest__the_writer_refuses_what_the_reader_would),
        cmocka_unit_test(test_manifest__refuses_every_single_changed_length_and_every_truncation),
        cmocka_unit_test(test_manifest__refuses_malformed_directories),
        cmocka_unit_test(test_manifest__a_long_file_reads_back_and_its_lies_are_refused),
        cmocka_unit_test(test_manifest__tells_how_far_a_link_climbs),
        cmocka_unit_test(test_manifest__ids_are_hex_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
