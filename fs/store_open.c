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

/* Reads one segment into the index. The last one's data is checked too, and its torn tail cut off: it is written to again. */
static int load_segment(struct store *s, uint32_t number, bool last)
{
    struct segment segment;
    struct scan scan = {s, number};
    uint64_t end;
    int err = segment_open(s->dir_fd, number, &segment);
    if (err != 0)
        return err;
    err = segment_scan(&segment, last, scan_record, &scan, &end);
    if (err == 0 && last && end < segment.size)
        err = segment_truncate(&segment, end);
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

/* The numbers of all segment files, ascending, as malloc'ed memory. */
static int list_segments(int dir_fd, uint32_t **numbers, size_t *count)
{
    size_t capacity = 0;
    uint32_t number;
    int err = 0, fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    *numbers = NULL;
    *count = 0;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return GRID_EIO;
    }
    for (struct dirent *entry; err == 0 && (entry = readdir(dir));) {
        if (!segment_parse_name(entry->d_name, &number))
            continue;
        if (*count == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            uint32_t *more = realloc(*numbers, capacity * sizeof *more);
            if (!more) {
                err = GRID_ENOMEM;
                break;
            }
            *numbers = more;
        }
        (*numbers)[(*count)++] = number;
    }
    closedir(dir);
    if (*count > 0)
        qsort(*numbers, *count, sizeof **numbers, compare_numbers);
    return err;
}

static int load_segments(struct store *s)
{
    uint32_t *numbers;
    size_t count;
    int err = list_segments(s->dir_fd, &numbers, &count);
    for (size_t i = 0; err == 0 && i < count; i++)
        err = load_segment(s, numbers[i], i + 1 == count);
    free(numbers);
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
    for (uint32_t i = 0; i < s->segment_count; i++)
        store_segment_release(s->segments[i]);
    free(s->segments);
    free(s->locations);
    id_map_dispose(&s->ids);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    pthread_mutex_destroy(&s->sync);
    pthread_mutex_destroy(&s->append);
    pthread_mutex_destroy(&s->index);
    free(s);
}
