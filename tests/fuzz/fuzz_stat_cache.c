/* A stat cache that opens is written again to the same bytes, and each of its entries is found, unless an earlier one has its name and inode. */
// links: grid_fs
// covers: fs/stat_cache.c
#include <stdlib.h>

#include "base/err.h"
#include "base/crc32c.h"
#include "fs/stat_cache.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void try_cache(struct slice in)
{
    struct stat_cache cache, second;
    struct stat_cache_entry entry, found;
    struct stat_cache_writer w;
    struct buf again;
    size_t at = 0;
    if (stat_cache_open(in, &cache) != 0)
        return;
    buf_init(&again, 0);
    stat_cache_begin(&w, &again, &cache.head);
    while (stat_cache_next(&cache, &at, &entry)) {
        stat_cache_add(&w, &entry);
        check(!stat_cache_find(&cache, entry.name, &entry.stamp, &found) || slice_equal(found.name, entry.name));
        (void) stat_cache_trusts(&entry.stamp, cache.head.device % 2 ? entry.stamp.changed : entry.stamp.modified);
    }
    check(w.count == cache.count && stat_cache_end(&w) == 0 && slice_equal(buf_slice(&again), in));
    check(stat_cache_open(buf_slice(&again), &second) == 0 && second.count == cache.count);
    stat_cache_dispose(&second);
    stat_cache_dispose(&cache);
    buf_dispose(&again);
}

/* Once as it is, and once with the right checksum, so that what stands before it is looked at. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf mended;
    try_cache(slice_of(data, size));
    buf_init(&mended, 0);
    if (size >= 4 && buf_append(&mended, slice_of(data, size - 4)) == 0 && buf_append_u32be(&mended, crc32c(0, buf_slice(&mended))) == 0)
        try_cache(buf_slice(&mended));
    buf_dispose(&mended);
    return 0;
}
