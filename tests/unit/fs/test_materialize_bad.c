/* Releases as an enemy would write them: each is refused with a sentence, and nothing is left of it, inside the folder of releases or out of it. */
#include "tests/unit/fs/release.h"

#define ID_BYTES 32

static struct object_id put(struct release_fixture *f, enum object_type type, struct slice content)
{
    struct store_batch batch;
    struct object_id id;
    store_batch_init(&batch, f->store);
    assert_int_equal(store_batch_put(&batch, type, content, &id), 0);
    assert_int_equal(store_batch_commit(&batch), 0);
    store_batch_dispose(&batch);
    return id;
}

/* A directory of raw entries: as many are claimed as `count` says, whatever follows. */
static void dir_begin(struct buf *out, bool root, uint32_t count)
{
    static const uint8_t params[20] = {0, 0, 0x40, 0, 0, 1, 0, 0, 0, 4, 0, 0, 'g', 'r', 'i', 'd', 'c', 'h', 'n', 'k'};
    buf_clear(out);
    buf_append_byte(out, 1);
    buf_append_byte(out, root);
    if (root)
        buf_append(out, slice_of(params, sizeof params));
    buf_append_u32be(out, count);
}

static void dir_entry(struct buf *out, enum manifest_kind kind, struct slice name, uint64_t size, const struct object_id *id)
{
    buf_append_byte(out, (uint8_t) kind);
    buf_append_byte(out, 0);
    buf_append_byte(out, (uint8_t) name.size);
    buf_append(out, name);
    buf_append_u32be(out, (uint32_t) (size >> 32));
    buf_append_u32be(out, (uint32_t) size);
    buf_append(out, slice_of(id->bytes, ID_BYTES));
}

struct bad {
    struct release_fixture *f;
    struct buf bytes;
    struct object_id chunk; /* "hello" */
};

/* ---- one listing that is wrong ---- */

static struct object_id one_name(struct bad *b, struct slice name)
{
    dir_begin(&b->bytes, true, 1);
    dir_entry(&b->bytes, MANIFEST_FILE, name, 5, &b->chunk);
    return put(b->f, OBJECT_DIRECTORY, buf_slice(&b->bytes));
}

static struct object_id ten_million_entries(struct bad *b)
{
    dir_begin(&b->bytes, true, 10000000);
    dir_entry(&b->bytes, MANIFEST_FILE, SLICE("a"), 5, &b->chunk);
    return put(b->f, OBJECT_DIRECTORY, buf_slice(&b->bytes));
}

static struct object_id dots(struct bad *b)
{
    return one_name(b, SLICE(".."));
}

static struct object_id dot(struct bad *b)
{
    return one_name(b, SLICE("."));
}

static struct object_id upward(struct bad *b)
{
    return one_name(b, SLICE("../victim"));
}

static struct object_id absolute(struct bad *b)
{
    return one_name(b, SLICE("/tmp/victim"));
}

static struct object_id nul(struct bad *b)
{
    return one_name(b, SLICE("a\0b"));
}

static struct object_id no_name(struct bad *b)
{
    return one_name(b, SLICE(""));
}

/* Its length does not fit its byte: what is over stands where the size should. */
static struct object_id name_of_300(struct bad *b)
{
    char name[300];
    memset(name, 'n', sizeof name);
    return one_name(b, slice_of(name, sizeof name));
}

static struct object_id twice(struct bad *b)
{
    dir_begin(&b->bytes, true, 2);
    dir_entry(&b->bytes, MANIFEST_FILE, SLICE("a"), 5, &b->chunk);
    dir_entry(&b->bytes, MANIFEST_FILE, SLICE("a"), 5, &b->chunk);
    return put(b->f, OBJECT_DIRECTORY, buf_slice(&b->bytes));
}

static struct object_id no_root(struct bad *b)
{
    dir_begin(&b->bytes, false, 0);
    return put(b->f, OBJECT_DIRECTORY, buf_slice(&b->bytes));
}

/* ---- trees that are wrong ---- */

static struct object_id above(struct bad *b, bool root, unsigned times, struct object_id below, uint64_t below_size)
{
    dir_begin(&b->bytes, root, times);
    for (unsigned i = 0; i < times; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u", i);
        dir_entry(&b->bytes, MANIFEST_DIRECTORY, slice_of_str(name), below_size, &below);
    }
    return put(b->f, OBJECT_DIRECTORY, buf_slice(&b->bytes));
}

/* A folder lists itself only if somebody finds a hash that does; a root inside a tree is what that would look like. */
static struct object_id root_in_root(struct bad *b)
{
    dir_begin(&b->bytes, true, 0);
    struct object_id inner = put(b->f, OBJECT_DIRECTORY, buf_slice(&b->bytes));
    return above(b, true, 1, inner, b->bytes.size);
}

/* 2^50 files in a few kilobytes. */
static struct object_id doubled(struct bad *b)
{
    dir_begin(&b->bytes, false, 1);
    dir_entry(&b->bytes, MANIFEST_FILE, SLICE("a"), 5, &b->chunk);
    struct object_id id = put(b->f, OBJECT_DIRECTORY, buf_slice(&b->bytes));
    for (int i = 0; i < 50; i++)
        id = above(b, false, 2, id, b->bytes.size);
    return above(b, true, 2, id, b->bytes.size);
}

static struct object_id deep(struct bad *b)
{
    dir_begin(&b->bytes, false, 0);
    struct object_id id = put(b->f, OBJECT_DIRECTORY, buf_slice(&b->bytes));
    for (int i = 0; i < 100; i++)
        id = above(b, false, 1, id, b->bytes.size);
    return above(b, true, 1, id, b->bytes.size);
}

static struct object_id chunk_for_folder(struct bad *b)
{
    return above(b, true, 1, b->chunk, 6);
}

static struct object_id folder_for_chunk(struct bad *b)
{
    dir_begin(&b->bytes, false, 0);
    struct object_id folder = put(b->f, OBJECT_DIRECTORY, buf_slice(&b->bytes));
    dir_begin(&b->bytes, true, 1);
    dir_entry(&b->bytes, MANIFEST_FILE, SLICE("a"), 6, &folder);
    return put(b->f, OBJECT_DIRECTORY, buf_slice(&b->bytes));
}

static struct object_id other_size(struct bad *b)
{
    dir_begin(&b->bytes, true, 1);
    dir_entry(&b->bytes, MANIFEST_FILE, SLICE("a"), 6, &b->chunk);
    return put(b->f, OBJECT_DIRECTORY, buf_slice(&b->bytes));
}

static struct object_id long_file_of_another_size(struct bad *b)
{
    buf_clear(&b->bytes);
    buf_append_byte(&b->bytes, 1);
    buf_append_u32be(&b->bytes, 2);
    for (int i = 0; i < 2; i++) {
        buf_append_u32be(&b->bytes, 5);
        buf_append(&b->bytes, slice_of(b->chunk.bytes, ID_BYTES));
    }
    struct object_id file = put(b->f, OBJECT_FILE, buf_slice(&b->bytes));
    dir_begin(&b->bytes, true, 1);
    dir_entry(&b->bytes, MANIFEST_LONG_FILE, SLICE("a"), 11, &file);
    return put(b->f, OBJECT_DIRECTORY, buf_slice(&b->bytes));
}

static const struct {
    const char *what;
    struct object_id (*make)(struct bad *b);
    int err;
    const char *says;
} CASES[] = {
    {"ten million entries", ten_million_entries, GRID_EPROTO, "malformed"},
    {"..", dots, GRID_EPROTO, "malformed"},
    {".", dot, GRID_EPROTO, "malformed"},
    {"upward", upward, GRID_EPROTO, "malformed"},
    {"absolute", absolute, GRID_EPROTO, "malformed"},
    {"NUL", nul, GRID_EPROTO, "malformed"},
    {"no name", no_name, GRID_EPROTO, "malformed"},
    {"a name of 300 bytes", name_of_300, GRID_EPROTO, "malformed"},
    {"one name twice", twice, GRID_EPROTO, "malformed"},
    {"no root", no_root, GRID_EPROTO, "malformed"},
    {"a root in a root", root_in_root, GRID_EPROTO, "malformed"},
    {"2^50 files", doubled, GRID_ELIMIT, "1000000 files"},
    {"100 folders deep", deep, GRID_ELIMIT, "64 folders"},
    {"a chunk for a folder", chunk_for_folder, GRID_EPROTO, "malformed"},
    {"a folder for a chunk", folder_for_chunk, GRID_EPROTO, "malformed"},
    {"a chunk of another size", other_size, GRID_EPROTO, "malformed"},
    {"a long file of another size", long_file_of_another_size, GRID_EPROTO, "malformed"},
};

static void refuse(struct bad *b, const struct object_id *root, const char *spare, size_t i)
{
    struct fs_report report = {0};
    struct materialize_result out;
    struct materialize_options options = {.spares = &spare, .spare_count = spare != NULL};
    int err = materialize_tree(b->f->store, root, b->f->releases, "one", &options, &report, &out);
    if (err != CASES[i].err || !report.error || !strstr(report.error, CASES[i].says))
        fail_msg("%s%s: %s, %s", CASES[i].what, spare ? " (as a patch)" : "", grid_err_name(err), report.error ? report.error : "no sentence");
    fs_report_dispose(&report);
}

static void test_materialize__refuses_bad_releases_and_leaves_nothing(void **state)
{
    struct release_fixture *f = *state;
    struct bad b = {.f = f};
    struct materialize_result out;
    char spare[OBJECT_ID_HEX + 1], command[4096];
    buf_init(&b.bytes, 0);
    b.chunk = put(f, OBJECT_CHUNK, SLICE("hello"));
    tree_file(f->folder, "victim", "safe");
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct object_id root = CASES[i].make(&b), sound = one_name(&b, SLICE("a"));
        refuse(&b, &root, NULL, i);
        assert_int_equal(release_count(f), 0);
        object_id_to_hex(&sound, spare);
        assert_int_equal(materialize_tree(f->store, &sound, f->releases, spare, NULL, NULL, &out), 0);
        refuse(&b, &root, spare, i);
        materialize_remove(f->releases, spare);
        assert_int_equal(release_count(f), 0);
    }
    snprintf(command, sizeof command, "cd %s && test \"$(ls | tr '\\n' ' ')\" = 'p releases store victim ' && test $(cat victim) = safe && ! test -e /tmp/victim", f->folder);
    assert_int_equal(system(command), 0);
    buf_dispose(&b.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_materialize__refuses_bad_releases_and_leaves_nothing, release_setup, release_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
