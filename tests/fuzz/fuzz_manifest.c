/* Directory objects, file objects and release logs: what decodes must encode to the same bytes. */
// links: grid_fs
#include <stdlib.h>

#include "base/err.h"
#include "fs/manifest.h"
#include "fs/release_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void try_directory(struct slice in)
{
    struct manifest_dir dir;
    struct manifest_entry entry;
    struct manifest_writer w;
    struct buf again;
    uint32_t count = 0;
    if (manifest_dir_open(in, &dir) != 0)
        return;
    buf_init(&again, 0);
    manifest_dir_begin(&w, &again, dir.root ? &dir.chunker : NULL);
    for (; manifest_dir_next(&dir, &entry); count++)
        manifest_dir_add(&w, &entry);
    check(count == dir.count && manifest_end(&w) == 0 && slice_equal(buf_slice(&again), in));
    check(manifest_dir_open(buf_slice(&again), &dir) == 0);
    buf_dispose(&again);
}

static void try_file(struct slice in)
{
    struct manifest_file file;
    struct manifest_chunk chunk;
    struct manifest_writer w;
    struct buf again;
    uint64_t total = 0;
    if (manifest_file_open(in, &file) != 0)
        return;
    buf_init(&again, 0);
    manifest_file_begin(&w, &again);
    for (; manifest_file_next(&file, &chunk); total += chunk.size)
        manifest_file_add(&w, &chunk);
    check(total == file.size && manifest_end(&w) == 0 && slice_equal(buf_slice(&again), in));
    check(manifest_file_open(buf_slice(&again), &file) == 0);
    buf_dispose(&again);
}

static void try_entry(struct slice in)
{
    struct release_entry entry, second;
    struct buf again;
    if (release_entry_decode(in, &entry) != 0)
        return;
    buf_init(&again, 0);
    check(release_entry_encode(&entry, &again) == 0 && slice_equal(buf_slice(&again), in));
    check(release_entry_decode(buf_slice(&again), &second) == 0 && release_entry_compare(&entry, &second) == 0);
    buf_dispose(&again);
}

static void try_log(struct slice in)
{
    struct release_log *log, *second = NULL;
    struct buf once, twice;
    if (release_log_decode(in, &log) != 0)
        return;
    buf_init(&once, 0);
    buf_init(&twice, 0);
    check(release_log_encode(log, &once) == 0 && release_log_decode(buf_slice(&once), &second) == 0);
    check(release_log_encode(second, &twice) == 0 && slice_equal(buf_slice(&once), buf_slice(&twice)));
    release_log_destroy(log);
    release_log_destroy(second);
    buf_dispose(&once);
    buf_dispose(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    try_directory(in);
    try_file(in);
    try_entry(in);
    try_log(in);
    return 0;
}
