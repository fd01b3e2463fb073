/* Hint files of a store. One is written only when all that it tells of is on disk, and is gone from there before what it tells of is cut: so what a hint tells
 * need not be checked when the store is opened. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "fs/hint.h"
#include "fs/store_internal.h"

enum { HINT_NAME_SIZE = 16, HINT_GROUP = 32 };

static void hint_name(uint32_t number, char out[HINT_NAME_SIZE])
{
    snprintf(out, HINT_NAME_SIZE, "%08x.hint", number);
}

bool store_hint_parse_name(const char *name, uint32_t *number)
{
    char again[HINT_NAME_SIZE];
    unsigned value;
    if (strlen(name) != 13 || sscanf(name, "%8x", &value) != 1)
        return false;
    hint_name(value, again);
    *number = value;
    return strcmp(name, again) == 0;
}

/* ---- reading ---- */

/* The whole file, when its size may be a hint's of a segment of that size. */
static int read_hint(int fd, uint64_t segment_bytes, struct buf *out)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < HINT_BYTES_MIN || (uint64_t) st.st_size > HINT_BYTES_MIN + segment_bytes)
        return GRID_ECORRUPT;
    int err = buf_reserve(out, (size_t) st.st_size);
    while (err == 0 && out->size < (size_t) st.st_size) {
        uint8_t block[16 * 1024];
        ssize_t n = read(fd, block, sizeof block);
        if (n <= 0)
            return n < 0 && errno == EINTR ? GRID_EAGAIN : GRID_ECORRUPT;
        err = buf_append(out, slice_of(block, (size_t) n));
    }
    return err;
}

static int index_rows(struct store *s, const struct hint *h)
{
    struct hint_row row;
    int err = h->row_count < UINT32_MAX - s->ids.count && id_map_reserve(&s->ids, s->ids.count + h->row_count) ? 0 : GRID_ENOMEM;
    for (uint32_t i = 0; i < h->row_count && err == 0; i++) {
        hint_row_at(h, i, &row);
        struct store_location at = {h->segment, row.offset, row.raw_size, row.stored_size, 0};
        err = store_index_set(s, &row.id, &at);
    }
    return err;
}

int store_hint_load(struct store *s, struct segment *segment)
{
    char name[HINT_NAME_SIZE];
    struct hint hint;
    struct buf bytes;
    hint_name(segment->number, name);
    int fd = openat(s->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return 0;
    segment->has_hint = true;
    buf_init(&bytes, 0);
    int err = read_hint(fd, segment->size, &bytes);
    close(fd);
    if (err == 0)
        err = hint_open(buf_slice(&bytes), &hint);
    if (err == 0 && hint.segment == segment->number && hint.covered >= SEGMENT_HEADER_BYTES && hint.covered <= segment->size) {
        segment->hinted = hint.covered;
        err = index_rows(s, &hint);
    } else if (err != GRID_ENOMEM) {
        err = store_hint_drop(s, segment);
    }
    buf_dispose(&bytes);
    return err;
}

/* ---- writing ---- */

/* Segments whose hints are made in one pass over the index, by ascending number. */
struct hint_group {
    struct segment *segments[HINT_GROUP];
    struct buf bytes[HINT_GROUP];
    uint32_t rows[HINT_GROUP];
    uint32_t count;
};

static uint32_t group_find(const struct hint_group *g, uint32_t number)
{
    return store_segments_place(g->segments, g->count, number);
}

static int group_begin(const struct store *s, struct hint_group *g)
{
    uint32_t at;
    int err = 0;
    for (uint32_t i = 0; i < s->ids.count; i++)
        if ((at = group_find(g, s->locations[i].segment)) < g->count)
            g->rows[at]++;
    for (at = 0; at < g->count && err == 0; at++)
        err = hint_begin(&g->bytes[at], g->segments[at]->number, g->rows[at], (uint32_t) g->segments[at]->size);
    return err;
}

static int group_gather(const struct store *s, struct hint_group *g)
{
    int err = group_begin(s, g);
    for (uint32_t i = 0; i < s->ids.count && err == 0; i++) {
        const struct store_location *at = &s->locations[i];
        const struct hint_row row = {s->ids.ids[i], at->offset, at->raw_size, at->stored_size};
        uint32_t to = group_find(g, at->segment);
        if (to < g->count)
            err = hint_add(&g->bytes[to], &row);
    }
    for (uint32_t i = 0; i < g->count && err == 0; i++)
        err = hint_end(&g->bytes[i]);
    return err;
}

static bool write_hint(int dir_fd, const char *name, struct slice bytes)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    while (bytes.size > 0) {
        ssize_t n = write(fd, bytes.data, bytes.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        bytes = slice_from(bytes, (size_t) n);
    }
    close(fd);
    if (bytes.size > 0)
        unlinkat(dir_fd, name, 0);
    return bytes.size == 0;
}

static void write_group(struct store *s, struct hint_group *g)
{
    char name[HINT_NAME_SIZE];
    pthread_mutex_lock(&s->index);
    int err = g->count > 0 ? group_gather(s, g) : 0;
    pthread_mutex_unlock(&s->index);
    for (uint32_t i = 0; i < g->count; i++) {
        struct segment *segment = g->segments[i];
        hint_name(segment->number, name);
        if (err == 0) {
            segment->has_hint = true;
            segment->hinted = write_hint(s->dir_fd, name, buf_slice(&g->bytes[i])) ? segment->size : 0;
        }
        buf_dispose(&g->bytes[i]);
    }
    *g = (struct hint_group){0};
}

static bool is_due(const struct segment *segment)
{
    return !segment->dirty && !segment->damaged && segment->hinted != segment->size && segment->size <= UINT32_MAX;
}

void store_hints_write(struct store *s, struct segment *const *segments, uint32_t count)
{
    struct hint_group group = {0};
    for (uint32_t i = 0; i < count; i++) {
        if (!is_due(segments[i]))
            continue;
        buf_init(&group.bytes[group.count], 0);
        group.segments[group.count++] = segments[i];
        if (group.count == HINT_GROUP)
            write_group(s, &group);
    }
    write_group(s, &group);
}

int store_hint_drop(struct store *s, struct segment *segment)
{
    char name[HINT_NAME_SIZE];
    if (!segment->has_hint)
        return 0;
    hint_name(segment->number, name);
    if ((unlinkat(s->dir_fd, name, 0) != 0 && errno != ENOENT) || fsync(s->dir_fd) != 0)
        return grid_err_from_errno(errno);
    segment->has_hint = false;
    segment->hinted = 0;
    return 0;
}

void store_hint_unlink(struct store *s, uint32_t number)
{
    char name[HINT_NAME_SIZE];
    hint_name(number, name);
    unlinkat(s->dir_fd, name, 0);
}
