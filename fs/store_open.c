/* Opening a store: its folder, its lock, and what its segments hold. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "fs/store_internal.h"

#define SEGMENT_BYTES_DEFAULT (64u * 1024 * 1024)
#define SEGMENT_BYTES_MAX (1024u * 1024 * 1024)

struct scan {
    struct store *store;
    uint32_t segment;
};

static int scan_record(void *arg, const struct record_header *h, uint32_t offset)
{
    struct scan *scan = arg;
    struct store_location at = {scan->segment, offset, h->raw_size, h->stored_size, 0};
    return store_index_set(scan->store, &h->id, &at);
}

/* Reads what no hint tells of. Whoever wrote that may not have lived to sync it: what is found here is synced with whatever finds it useful. */
static int scan_segment(struct store *s, struct segment *segment, bool last)
{
    struct scan scan = {s, segment->number};
    uint64_t end, from = segment->hinted > 0 ? segment->hinted : SEGMENT_HEADER_BYTES;
    if (segment->hinted == segment->size)
        return 0;
    segment->dirty = s->dir_dirty = true;
    int err = segment_scan(segment, from, scan_record, &scan, &end);
    return err == 0 && last && end < segment->size ? segment_truncate(segment, end) : err;
}

/* Reads one segment into the index. The last one's torn tail is cut off: it is written to again. */
static int load_segment(struct store *s, uint32_t number, bool last)
{
    struct segment segment;
    int err = segment_open(s->dir_fd, number, &segment);
    if (err == GRID_EAGAIN)
        return segment_unlink(s->dir_fd, number);
    if (err != 0)
        return err;
    err = store_hint_load(s, &segment);
    if (err == 0)
        err = scan_segment(s, &segment, last);
    if (err == 0)
        err = store_segments_add(s, &segment);
    if (err != 0)
        segment_close(&segment);
    return err;
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
    return x < y ? -1 : x > y;
}

/* Numbers in files' names. */
struct numbers {
    uint32_t *items;
    size_t count, capacity;
};

static int numbers_add(struct numbers *n, uint32_t number)
{
    if (n->count == n->capacity) {
        size_t capacity = n->capacity ? n->capacity * 2 : 64;
        uint32_t *items = realloc(n->items, capacity * sizeof *items);
        if (!items)
            return GRID_ENOMEM;
        n->items = items;
        n->capacity = capacity;
    }
    n->items[n->count++] = number;
    return 0;
}

static void numbers_sort(struct numbers *n)
{
    if (n->count > 0)
        qsort(n->items, n->count, sizeof *n->items, compare_numbers);
}

static int sort_names(DIR *dir, struct numbers *segments, struct numbers *hints)
{
    struct dirent *entry;
    uint32_t number;
    int err = 0;
    while (err == 0 && (errno = 0, entry = readdir(dir))) {
        if (segment_parse_name(entry->d_name, &number))
            err = numbers_add(segments, number);
        else if (store_hint_parse_name(entry->d_name, &number))
            err = numbers_add(hints, number);
    }
    return err == 0 && errno != 0 ? GRID_EIO : err;
}

/* The numbers of all segments and of all hints, ascending. */
static int list_files(int dir_fd, struct numbers *segments, struct numbers *hints)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return GRID_EIO;
    }
    int err = sort_names(dir, segments, hints);
    closedir(dir);
    numbers_sort(segments);
    numbers_sort(hints);
    return err;
}

/* Of segments that were unlinked when a crash came: their numbers must not be found taken when they come again. */
static int drop_orphans(struct store *s, const struct numbers *hints)
{
    int err = 0;
    for (size_t i = 0; i < hints->count && err == 0; i++) {
        struct segment gone = {.number = hints->items[i], .has_hint = true};
        if (!store_segment_find(s, gone.number))
            err = store_hint_drop(s, &gone);
    }
    return err;
}

static int load_segments(struct store *s)
{
    struct numbers segments = {0}, hints = {0};
    int err = list_files(s->dir_fd, &segments, &hints);
    for (size_t i = 0; err == 0 && i < segments.count; i++)
        err = load_segment(s, segments.items[i], i + 1 == segments.count);
    if (err == 0)
        err = drop_orphans(s, &hints);
    free(segments.items);
    free(hints.items);
    return err;
}

static int open_folder(struct store *s, const char *path, struct fs_report *report)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return fs_report_fail(report, grid_err_from_errno(errno), "the store folder %s cannot be made: %s", path, strerror(errno));
    s->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0)
        return fs_report_fail(report, grid_err_from_errno(errno), "the store folder %s cannot be opened: %s", path, strerror(errno));
    s->lock_fd = openat(s->dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return fs_report_fail(report, grid_err_from_errno(errno), "the lock of the store %s cannot be opened: %s", path, strerror(errno));
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return fs_report_fail(report, errno == EWOULDBLOCK ? GRID_EBUSY : GRID_EIO,
                              "the store %s is in use by another process; stop that one or choose another state folder", path);
    return 0;
}

static struct store *store_alloc(const struct store_options *options)
{
    struct store *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->options = options ? *options : (struct store_options){0};
    if (s->options.segment_bytes == 0)
        s->options.segment_bytes = SEGMENT_BYTES_DEFAULT;
    if (s->options.segment_bytes > SEGMENT_BYTES_MAX)
        s->options.segment_bytes = SEGMENT_BYTES_MAX;
    s->dir_fd = s->lock_fd = -1;
    s->epoch = 1;
    id_map_init(&s->ids);
    pthread_mutex_init(&s->sync, NULL);
    pthread_mutex_init(&s->append, NULL);
    pthread_mutex_init(&s->index, NULL);
    return s;
}

int store_open(const char *path, const struct store_options *options, struct fs_report *report, struct store **out)
{
    struct store *s = store_alloc(options);
    *out = NULL;
    if (!s)
        return GRID_ENOMEM;
    int err = open_folder(s, path, report);
    if (err == 0 && (err = load_segments(s)) != 0)
        fs_report_fail(report, err, "the store %s cannot be read: %s", path,
                       err == GRID_EUNSUPPORTED ? "it was written by a newer version; upgrade this node" : grid_err_text(err));
    if (err != 0)
        store_close(s);
    else
        *out = s;
    return err;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (!s->broken && !s->dir_dirty && s->segment_count > 0)
        store_hints_write(s, &s->segments[s->segment_count - 1], 1);
    for (uint32_t i = 0; i < s->segment_count; i++)
        store_segment_release(s->segments[i]);
    free(s->segments);
    free(s->locations);
    id_map_dispose(&s->ids);
    id_map_dispose(&s->lost);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    pthread_mutex_destroy(&s->sync);
    pthread_mutex_destroy(&s->append);
    pthread_mutex_destroy(&s->index);
    free(s);
}
