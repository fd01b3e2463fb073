/* Hint files of segments: what is taken is written again as the same bytes. An input is tried as it is and with its checksum made right. */
// links: grid_fs
// covers: fs/hint.c
#include <stdlib.h>

#include "fs/hint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void try_hint(struct slice in)
{
    struct hint hint, second;
    struct hint_row row;
    struct buf again;
    if (hint_open(in, &hint) != 0)
        return;
    buf_init(&again, 0);
    check(hint_begin(&again, hint.segment, hint.row_count, hint.covered) == 0);
    for (uint32_t i = 0; i < hint.row_count; i++) {
        hint_row_at(&hint, i, &row);
        check(hint_add(&again, &row) == 0);
    }
    check(hint_end(&again) == 0 && slice_equal(buf_slice(&again), in));
    check(hint_open(buf_slice(&again), &second) == 0 && second.row_count == hint.row_count && second.covered == hint.covered);
    buf_dispose(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf mended;
    try_hint(slice_of(data, size));
    if (size < 4)
        return 0;
    buf_init(&mended, 0);
    check(buf_append(&mended, slice_of(data, size - 4)) == 0 && hint_end(&mended) == 0);
    try_hint(buf_slice(&mended));
    buf_dispose(&mended);
    return 0;
}
