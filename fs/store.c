/* The store: segments on disk, an index of where each object's newest record lies, batches that append, a collector that rewrites. */
#include "fs/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "fs/segment.h"

#define SEGMENT_BYTES_DEFAULT (64u * 1024 * 1024)
#define SEGMENT_BYTES_MAX (1024u * 1024 * 1024)
#define BATCH_BYTES (1024u * 1024)
/* A sweep looks again at a segment that came into use meanwhile, so many times. */
#define SWEEP_ROUNDS 4

/* Where an object's record lies, beside its id in the map. */
struct location {
    uint32_t segment; /* number */
    uint32_t offset;
    uint32_t raw_size;
    uint32_t stored_size;
    uint32_t epoch; /* when it was last put, found or read */
};

struct store_batch_row {
    uint32_t offset; /* in the batch */
    uint32_t raw_size;
    uint32_t stored_size;
};

struct store {
    int dir_fd;
    int lock_fd;
    struct store_options options;
    pthread_mutex_t sync;
    pthread_mutex_t append;
    pthread_mutex_t index; /* guards all below */
    struct id_map ids;
    struct location *locations;
    uint32_t location_capacity;
    struct segment **segments; /* by ascending number; the last one is written to */
    uint32_t segment_count;
    uint32_t segment_capacity;
    uint64_t stored_bytes;
    uint64_t disk_bytes;
    uint64_t dropped;
    uint32_t epoch;
    struct store_hold *holds;
    bool dir_dirty;
    bool collecting;
    bool broken; /* a sync failed; guarded by the append mutex */
};

static uint32_t record_bytes(uint32_t stored_size)
{
    return RECORD_HEADER_BYTES + stored_size;
}

/* ---- the index, under its mutex ---- */

static bool index_reserve(struct store *s)
{
    if (s->ids.count < s->location_capacity)
        return true;
    uint32_t capacity = s->location_capacity ? s->location_capacity + s->location_capacity / 2 : 256;
    struct location *locations = realloc(s->locations, capacity * sizeof *locations);
    if (!locations)
        return false;
    s->locations = locations;
    s->location_capacity = capacity;
    return true;
}

/* Sets where an object lies; a record of it elsewhere is dead from now on. */
static int index_set(struct store *s, const struct object_id *id, const struct location *at)
{
    uint32_t before = s->ids.count;
    if (!index_reserve(s))
        return GRID_ENOMEM;
    uint32_t number = id_map_add(&s->ids, id);
    if (number == ID_MAP_NONE)
        return GRID_ENOMEM;
    if (s->ids.count == before)
        s->stored_bytes -= record_bytes(s->locations[number].stored_size);
    s->locations[number] = *at;
    s->stored_bytes += record_bytes(at->stored_size);
    return 0;
}

static void index_remove(struct store *s, uint32_t number)
{
    s->stored_bytes -= record_bytes(s->locations[number].stored_size);
    id_map_remove(&s->ids, number);
    s->locations[number] = s->locations[s->ids.count];
}

/* Finds an object and notes that it is in use. */
static struct location *index_touch(struct store *s, const struct object_id *id)
{
    uint32_t number = id_map_find(&s->ids, id);
    if (number == ID_MAP_NONE)
        return NULL;
    s->locations[number].epoch = s->epoch;
    return &s->locations[number];
}

static struct segment *segment_find(struct store *s, uint32_t number)
{
    uint32_t low = 0, high = s->segment_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->segments[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->segment_count && s->segments[low]->number == number ? s->segments[low] : NULL;
}

static void segment_release(struct segment *segment)
{
    if (--segment->refs > 0)
        return;
    segment_close(segment);
    free(segment);
}

static void segment_unref(struct store *s, struct segment *segment)
{
    pthread_mutex_lock(&s->index);
    segment_release(segment);
    pthread_mutex_unlock(&s->index);
}

static int segments_add(struct store *s, const struct segment *segment)
{
    if (s->segment_count == s->segment_capacity) {
        uint32_t capacity = s->segment_capacity ? s->segment_capacity * 2 : 16;
        struct segment **segments = realloc(s->segments, capacity * sizeof(struct segment *));
        if (!segments)
            return GRID_ENOMEM;
        s->segments = segments;
        s->segment_capacity = capacity;
    }
    struct segment *copy = malloc(sizeof *copy);
    if (!copy)
        return GRID_ENOMEM;
    *copy = *segment;
    copy->refs = 1;
    s->segments[s->segment_count++] = copy;
    s->disk_bytes += copy->size;
    return 0;
}

/* ---- opening ---- */

struct scan {
    struct store *store;
    uint32_t segment;
};

static int scan_record(void *arg, const struct record_header *h, uint32_t offset)
{
    struct scan *scan = arg;
    struct location at = {scan->segment, offset, h->raw_size, h->stored_size, 0};
    return index_set(scan->store, &h->id, &at);
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
        err = segments_add(s, &segment);
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
        segment_release(s->segments[i]);
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

/* ---- reading ---- */

bool store_has(struct store *s, const struct object_id *id)
{
    pthread_mutex_lock(&s->index);
    bool has = index_touch(s, id) != NULL;
    pthread_mutex_unlock(&s->index);
    return has;
}

/* Where the object lies, and its segment with a reference. */
static int locate(struct store *s, const struct object_id *id, struct location *at, struct segment **segment)
{
    pthread_mutex_lock(&s->index);
    struct location *found = index_touch(s, id);
    *segment = found ? segment_find(s, found->segment) : NULL;
    if (*segment) {
        *at = *found;
        (*segment)->refs++;
    }
    pthread_mutex_unlock(&s->index);
    return *segment ? 0 : GRID_ENOENT;
}

/* Forgets an object whose record turned out damaged, unless it has been put anew elsewhere. */
static void drop_damaged(struct store *s, const struct object_id *id, const struct location *at)
{
    pthread_mutex_lock(&s->index);
    uint32_t number = id_map_find(&s->ids, id);
    if (number != ID_MAP_NONE && s->locations[number].segment == at->segment && s->locations[number].offset == at->offset) {
        index_remove(s, number);
        s->dropped++;
    }
    pthread_mutex_unlock(&s->index);
}

/* Reads a record and checks its checksums. out->data borrows from *memory, which the caller frees. */
static int read_record(const struct segment *segment, const struct object_id *id, const struct location *at, uint8_t **memory,
                       struct record_packed *out)
{
    struct record_header header;
    size_t size = record_bytes(at->stored_size);
    *memory = malloc(size);
    if (!*memory)
        return GRID_ENOMEM;
    int err = segment_read(segment, at->offset, *memory, size);
    if (err == 0)
        err = record_decode(slice_of(*memory, size), &header, out);
    if (err == 0 && !object_id_equal(&header.id, id))
        err = GRID_ECORRUPT;
    return err == GRID_EAGAIN ? GRID_ECORRUPT : err;
}

/* What is done with a record once it is read. */
typedef int (*record_fn)(const struct object_id *id, const struct record_packed *packed, enum object_type *type, struct buf *out);

static int unpack_checked(const struct object_id *id, const struct record_packed *packed, enum object_type *type, struct buf *out)
{
    struct object_id real;
    int err = record_unpack(packed, type, out);
    if (err == 0)
        err = object_id_compute(*type, buf_slice(out), &real);
    if (err == GRID_EPROTO || (err == 0 && !object_id_equal(&real, id)))
        err = GRID_ECORRUPT;
    return err;
}

static int copy_packed(const struct object_id *id, const struct record_packed *packed, enum object_type *type, struct buf *out)
{
    (void) id;
    *type = (enum object_type) packed->data.data[0];
    return buf_append(out, packed->data);
}

static int read_object(struct store *s, const struct object_id *id, record_fn fn, struct record_packed *packed, enum object_type *type,
                       struct buf *out)
{
    struct location at;
    struct segment *segment;
    uint8_t *memory = NULL;
    buf_clear(out);
    int err = locate(s, id, &at, &segment);
    if (err != 0)
        return err;
    err = read_record(segment, id, &at, &memory, packed);
    if (err == 0)
        err = fn(id, packed, type, out);
    free(memory);
    if (err == GRID_ECORRUPT)
        drop_damaged(s, id, &at);
    if (err != 0)
        buf_clear(out);
    segment_unref(s, segment);
    return err;
}

int store_get(struct store *s, const struct object_id *id, enum object_type *type, struct buf *out)
{
    struct record_packed packed;
    return read_object(s, id, unpack_checked, &packed, type, out);
}

int store_get_typed(struct store *s, const struct object_id *id, enum object_type type, struct buf *out)
{
    enum object_type real;
    int err = store_get(s, id, &real, out);
    return err == 0 && real != type ? GRID_EPROTO : err;
}

int store_get_packed(struct store *s, const struct object_id *id, struct buf *memory, struct record_packed *out)
{
    enum object_type type;
    int err = read_object(s, id, copy_packed, out, &type, memory);
    if (err == 0)
        out->data = buf_slice(memory);
    return err;
}

/* ---- writing ---- */

void store_batch_init(struct store_batch *b, struct store *s)
{
    *b = (struct store_batch){.store = s};
    buf_init(&b->records, BATCH_BYTES + OBJECT_LISTING_MAX + 1 + RECORD_HEADER_BYTES);
    id_map_init(&b->ids);
}

void store_batch_dispose(struct store_batch *b)
{
    buf_dispose(&b->records);
    id_map_dispose(&b->ids);
    free(b->rows);
    record_packer_dispose(&b->packer);
}

static bool batch_reserve(struct store_batch *b)
{
    if (b->ids.count < b->row_capacity)
        return true;
    uint32_t capacity = b->row_capacity ? b->row_capacity * 2 : 64;
    struct store_batch_row *rows = realloc(b->rows, capacity * sizeof *rows);
    if (!rows)
        return false;
    b->rows = rows;
    b->row_capacity = capacity;
    return true;
}

static int batch_add(struct store_batch *b, const struct object_id *id, const struct record_packed *packed)
{
    struct store_batch_row row = {(uint32_t) b->records.size, packed->raw_size, (uint32_t) packed->data.size};
    if (!batch_reserve(b))
        return GRID_ENOMEM;
    int err = record_append(&b->records, id, packed);
    if (err != 0)
        return err;
    uint32_t number = id_map_add(&b->ids, id);
    if (number == ID_MAP_NONE) {
        buf_truncate(&b->records, row.offset);
        return GRID_ENOMEM;
    }
    b->rows[number] = row;
    return b->records.size >= BATCH_BYTES ? store_batch_commit(b) : 0;
}

static bool batch_knows(struct store_batch *b, const struct object_id *id)
{
    return id_map_find(&b->ids, id) != ID_MAP_NONE || store_has(b->store, id);
}

int store_batch_put(struct store_batch *b, enum object_type type, struct slice content, struct object_id *id)
{
    struct record_packed packed;
    if (content.size > object_type_limit(type))
        return GRID_ELIMIT;
    int err = object_id_compute(type, content, id);
    if (err != 0)
        return err;
    b->raw_bytes += content.size;
    if (batch_knows(b, id)) {
        b->saved_bytes += content.size;
        return 0;
    }
    err = record_pack(&b->packer, type, content, &packed);
    return err == 0 ? batch_add(b, id, &packed) : err;
}

int store_batch_put_packed(struct store_batch *b, const struct object_id *id, const struct record_packed *packed)
{
    b->raw_bytes += packed->raw_size - 1;
    if (!batch_knows(b, id))
        return batch_add(b, id, packed);
    b->saved_bytes += packed->raw_size - 1;
    return 0;
}

static struct segment *last_segment(struct store *s)
{
    return s->segment_count > 0 ? s->segments[s->segment_count - 1] : NULL;
}

/* Begins the next segment. Under the append mutex. */
static int begin_segment(struct store *s)
{
    struct segment segment, *last = last_segment(s);
    uint32_t number = last ? last->number + 1 : 1;
    int err = segment_create(s->dir_fd, number, &segment);
    if (err != 0)
        return err;
    pthread_mutex_lock(&s->index);
    err = segments_add(s, &segment);
    s->dir_dirty = true;
    pthread_mutex_unlock(&s->index);
    if (err != 0) {
        segment_close(&segment);
        segment_unlink(s->dir_fd, number);
    }
    return err;
}

/* Makes sure that the last segment takes `size` bytes more. Under the append mutex. */
static int make_room(struct store *s, size_t size)
{
    struct segment *last = last_segment(s);
    if (s->broken)
        return GRID_EIO;
    if (s->options.max_bytes > 0 && s->disk_bytes + size > s->options.max_bytes)
        return GRID_ENOSPC;
    if (last && !last->damaged && (last->size <= SEGMENT_HEADER_BYTES || last->size + size <= s->options.segment_bytes))
        return 0;
    return begin_segment(s);
}

/* Makes written records known. Under the append mutex. */
static int publish_rows(struct store *s, const struct store_batch *b, const struct segment *segment, uint64_t start)
{
    int err = 0;
    pthread_mutex_lock(&s->index);
    s->disk_bytes += b->records.size;
    for (uint32_t i = 0; i < b->ids.count && err == 0; i++) {
        struct location at = {segment->number, (uint32_t) (start + b->rows[i].offset), b->rows[i].raw_size, b->rows[i].stored_size,
                              s->epoch};
        err = index_set(s, &b->ids.ids[i], &at);
    }
    pthread_mutex_unlock(&s->index);
    return err;
}

static int append_batch(struct store *s, struct store_batch *b)
{
    int err = make_room(s, b->records.size);
    if (err != 0)
        return err;
    struct segment *segment = last_segment(s);
    uint64_t start = segment->size;
    err = segment_append(segment, buf_slice(&b->records));
    return err == 0 ? publish_rows(s, b, segment, start) : err;
}

int store_batch_commit(struct store_batch *b)
{
    struct store *s = b->store;
    if (b->ids.count == 0)
        return 0;
    pthread_mutex_lock(&s->append);
    int err = append_batch(s, b);
    pthread_mutex_unlock(&s->append);
    if (err != 0)
        return err;
    b->new_bytes += b->records.size;
    buf_clear(&b->records);
    id_map_clear(&b->ids);
    return 0;
}

/* Takes a segment that was written to, with a reference; NULL when there is none. */
static struct segment *take_dirty(struct store *s)
{
    struct segment *dirty = NULL;
    pthread_mutex_lock(&s->append);
    pthread_mutex_lock(&s->index);
    for (uint32_t i = 0; i < s->segment_count && !dirty; i++)
        if (s->segments[i]->dirty)
            dirty = s->segments[i];
    if (dirty) {
        dirty->dirty = false;
        dirty->refs++;
    }
    pthread_mutex_unlock(&s->index);
    pthread_mutex_unlock(&s->append);
    return dirty;
}

static bool take_dir_dirty(struct store *s)
{
    pthread_mutex_lock(&s->index);
    bool dirty = s->dir_dirty;
    s->dir_dirty = false;
    pthread_mutex_unlock(&s->index);
    return dirty;
}

static int mark_broken(struct store *s)
{
    pthread_mutex_lock(&s->append);
    s->broken = true;
    pthread_mutex_unlock(&s->append);
    return GRID_EIO;
}

static bool is_broken(struct store *s)
{
    pthread_mutex_lock(&s->append);
    bool broken = s->broken;
    pthread_mutex_unlock(&s->append);
    return broken;
}

static int sync_taken(struct store *s)
{
    for (struct segment *segment; (segment = take_dirty(s));) {
        int err = segment_sync(segment);
        segment_unref(s, segment);
        if (err != 0)
            return mark_broken(s);
    }
    if (take_dir_dirty(s) && fsync(s->dir_fd) != 0)
        return mark_broken(s);
    return 0;
}

/* One at a time: a second caller waits until what the first one took is on disk. */
int store_sync(struct store *s)
{
    pthread_mutex_lock(&s->sync);
    int err = is_broken(s) ? GRID_EIO : sync_taken(s);
    pthread_mutex_unlock(&s->sync);
    return err;
}

/* ---- holds and collection ---- */

void store_hold_begin(struct store *s, struct store_hold *h)
{
    pthread_mutex_lock(&s->index);
    h->epoch = ++s->epoch;
    h->next = s->holds;
    h->prev = &s->holds;
    if (h->next)
        h->next->prev = &h->next;
    s->holds = h;
    pthread_mutex_unlock(&s->index);
}

void store_hold_end(struct store *s, struct store_hold *h)
{
    pthread_mutex_lock(&s->index);
    *h->prev = h->next;
    if (h->next)
        h->next->prev = h->prev;
    pthread_mutex_unlock(&s->index);
}

int store_collect_begin(struct store *s, struct store_collection *c)
{
    pthread_mutex_lock(&s->index);
    bool busy = s->collecting;
    if (!busy) {
        s->collecting = true;
        c->limit = ++s->epoch;
        for (struct store_hold *h = s->holds; h; h = h->next)
            if (h->epoch < c->limit)
                c->limit = h->epoch;
    }
    pthread_mutex_unlock(&s->index);
    return busy ? GRID_EBUSY : 0;
}

void store_collect_abort(struct store *s, struct store_collection *c)
{
    (void) c;
    pthread_mutex_lock(&s->index);
    s->collecting = false;
    pthread_mutex_unlock(&s->index);
}

struct sweep {
    struct store *store;
    uint32_t limit;
    const struct id_map *live;
    struct store_collected *out;
};

/* Under the index mutex. */
static bool is_alive(const struct sweep *w, uint32_t number)
{
    return w->store->locations[number].epoch >= w->limit || id_map_find(w->live, &w->store->ids.ids[number]) != ID_MAP_NONE;
}

static uint64_t alive_bytes(const struct sweep *w, uint32_t segment)
{
    const struct store *s = w->store;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < s->ids.count; i++)
        if (s->locations[i].segment == segment && is_alive(w, i))
            bytes += record_bytes(s->locations[i].stored_size);
    return bytes;
}

/* The index of a segment's entry in the table; segment_count when it is not there. Under the index mutex. */
static uint32_t segment_index(const struct store *s, uint32_t number)
{
    uint32_t i = 0;
    while (i < s->segment_count && s->segments[i]->number != number)
        i++;
    return i;
}

/* Lists segments of which less than half is alive, by one pass over the index: alive[] is of as many as there are segments. */
static uint32_t pick_victims(const struct sweep *w, uint64_t *alive, uint32_t *victims)
{
    const struct store *s = w->store;
    uint32_t count = 0, number = 0, at = 0;
    for (uint32_t i = 0; i < s->ids.count; i++) {
        if (number != s->locations[i].segment)
            at = segment_index(s, number = s->locations[i].segment);
        if (at < s->segment_count && is_alive(w, i))
            alive[at] += record_bytes(s->locations[i].stored_size);
    }
    for (uint32_t i = 0; i < s->segment_count; i++)
        if (s->segments[i]->size > SEGMENT_HEADER_BYTES && alive[i] * 2 < s->segments[i]->size)
            victims[count++] = s->segments[i]->number;
    return count;
}

/* The numbers of the segments to empty, as malloc'ed memory. */
static int list_victims(const struct sweep *w, uint32_t **victims, uint32_t *count)
{
    struct store *s = w->store;
    int err = GRID_ENOMEM;
    pthread_mutex_lock(&s->append);
    pthread_mutex_lock(&s->index);
    uint64_t *alive = calloc(s->segment_count + 1, sizeof *alive);
    *victims = calloc(s->segment_count + 1, sizeof **victims);
    *count = 0;
    if (alive && *victims) {
        *count = pick_victims(w, alive, *victims);
        err = 0;
    }
    pthread_mutex_unlock(&s->index);
    pthread_mutex_unlock(&s->append);
    free(alive);
    return err;
}

/* Nothing may be appended to a victim: when it is the last segment the next one is begun. */
static int seal_victim(struct store *s, uint32_t victim)
{
    pthread_mutex_lock(&s->append);
    int err = last_segment(s)->number == victim ? begin_segment(s) : 0;
    pthread_mutex_unlock(&s->append);
    return err;
}

/* Some live object of the victim; false when none is left. */
static bool next_survivor(const struct sweep *w, uint32_t victim, uint32_t *cursor, struct object_id *id, struct location *at)
{
    struct store *s = w->store;
    bool found = false;
    pthread_mutex_lock(&s->index);
    for (; *cursor < s->ids.count && !found; (*cursor)++) {
        if (s->locations[*cursor].segment == victim && is_alive(w, *cursor)) {
            *id = s->ids.ids[*cursor];
            *at = s->locations[*cursor];
            found = true;
        }
    }
    pthread_mutex_unlock(&s->index);
    return found;
}

/* Copies one record as it is into the batch; a damaged one is dropped instead. */
static int copy_survivor(struct sweep *w, struct store_batch *b, const struct segment *segment, const struct object_id *id,
                         const struct location *at)
{
    struct record_packed packed;
    uint8_t *memory = NULL;
    int err = read_record(segment, id, at, &memory, &packed);
    if (err == 0)
        err = batch_add(b, id, &packed);
    if (err == 0)
        w->out->copied_bytes += record_bytes(at->stored_size);
    if (err == GRID_ECORRUPT) {
        drop_damaged(w->store, id, at);
        err = 0;
    }
    free(memory);
    return err;
}

static int copy_survivors(struct sweep *w, const struct segment *segment)
{
    struct object_id id;
    struct location at;
    struct store_batch batch;
    uint32_t cursor = 0;
    int err = 0;
    store_batch_init(&batch, w->store);
    while (err == 0 && next_survivor(w, segment->number, &cursor, &id, &at))
        err = copy_survivor(w, &batch, segment, &id, &at);
    if (err == 0)
        err = store_batch_commit(&batch);
    store_batch_dispose(&batch);
    return err == 0 ? store_sync(w->store) : err;
}

/* Under both mutexes. */
static void forget_segment(struct sweep *w, uint32_t at)
{
    struct store *s = w->store;
    w->out->segments++;
    w->out->freed_bytes += s->segments[at]->size;
    s->disk_bytes -= s->segments[at]->size;
    segment_release(s->segments[at]);
    memmove(&s->segments[at], &s->segments[at + 1], (s->segment_count - at - 1) * sizeof(struct segment *));
    s->segment_count--;
}

/* Takes the segment and its dead objects out, unless one of them has come into use: then false. */
static bool remove_victim(struct sweep *w, uint32_t victim)
{
    struct store *s = w->store;
    pthread_mutex_lock(&s->append);
    pthread_mutex_lock(&s->index);
    bool removed = alive_bytes(w, victim) == 0;
    for (uint32_t i = s->ids.count; removed && i-- > 0;)
        if (s->locations[i].segment == victim)
            index_remove(s, i);
    if (removed)
        forget_segment(w, segment_index(s, victim));
    pthread_mutex_unlock(&s->index);
    pthread_mutex_unlock(&s->append);
    return removed;
}

static struct segment *segment_take(struct store *s, uint32_t number)
{
    pthread_mutex_lock(&s->index);
    struct segment *segment = segment_find(s, number);
    if (segment)
        segment->refs++;
    pthread_mutex_unlock(&s->index);
    return segment;
}

static int sweep_victim(struct sweep *w, uint32_t victim)
{
    bool removed = false;
    struct segment *segment = segment_take(w->store, victim);
    int err = seal_victim(w->store, victim);
    for (int round = 0; err == 0 && !removed && round < SWEEP_ROUNDS; round++) {
        err = copy_survivors(w, segment);
        if (err == 0)
            removed = remove_victim(w, victim);
    }
    segment_unref(w->store, segment);
    return removed ? segment_unlink(w->store->dir_fd, victim) : err;
}

/* ---- dead ends of segments ---- */

/* By segment: where its last live record ends, or its size when it is to be left as it is. Under both mutexes. */
static void find_ends(const struct sweep *w, uint64_t *ends)
{
    const struct store *s = w->store;
    for (uint32_t i = 0; i < s->segment_count; i++) {
        const struct segment *segment = s->segments[i];
        bool in_use = segment->refs > 1 || segment->damaged || segment->size < SEGMENT_HEADER_BYTES;
        ends[i] = in_use ? segment->size : SEGMENT_HEADER_BYTES;
    }
    for (uint32_t i = 0; i < s->ids.count; i++) {
        const struct location *at = &s->locations[i];
        uint32_t segment = segment_index(s, at->segment);
        uint64_t end = at->offset + (uint64_t) record_bytes(at->stored_size);
        if (segment < s->segment_count && ends[segment] < end && is_alive(w, i))
            ends[segment] = end;
    }
}

/* From here on nobody finds what lies behind the ends. Under both mutexes. */
static void forget_behind(struct sweep *w, const uint64_t *ends)
{
    struct store *s = w->store;
    for (uint32_t i = s->ids.count; i-- > 0;) {
        uint32_t segment = segment_index(s, s->locations[i].segment);
        if (segment < s->segment_count && s->locations[i].offset >= ends[segment])
            index_remove(s, i);
    }
    for (uint32_t i = 0; i < s->segment_count; i++) {
        w->out->freed_bytes += s->segments[i]->size - ends[i];
        s->disk_bytes -= s->segments[i]->size - ends[i];
    }
}

/* Under the append mutex, so that the table of segments stays as it is. */
static int cut_segments(struct store *s, const uint64_t *ends)
{
    int err = 0;
    for (uint32_t i = 0; i < s->segment_count && err == 0; i++)
        if (s->segments[i]->size > ends[i])
            err = segment_truncate(s->segments[i], ends[i]);
    return err;
}

/* Gives back what lies dead at the ends of segments, such as all of a publish that failed: this needs no room, where rewriting does. */
static int cut_dead_ends(struct sweep *w)
{
    struct store *s = w->store;
    int err = GRID_ENOMEM;
    pthread_mutex_lock(&s->append);
    uint64_t *ends = calloc(s->segment_count + 1, sizeof *ends);
    if (ends) {
        pthread_mutex_lock(&s->index);
        find_ends(w, ends);
        forget_behind(w, ends);
        pthread_mutex_unlock(&s->index);
        err = cut_segments(s, ends);
    }
    pthread_mutex_unlock(&s->append);
    free(ends);
    return err;
}

int store_collect_sweep(struct store *s, struct store_collection *c, const struct id_map *live, struct store_collected *out)
{
    struct sweep w = {s, c->limit, live, out};
    uint32_t *victims = NULL, count = 0;
    *out = (struct store_collected){0};
    int err = cut_dead_ends(&w);
    if (err == 0)
        err = list_victims(&w, &victims, &count);
    for (uint32_t i = 0; i < count && err == 0; i++)
        err = sweep_victim(&w, victims[i]);
    free(victims);
    store_collect_abort(s, c);
    return err;
}

void store_stats(struct store *s, struct store_stats *out)
{
    pthread_mutex_lock(&s->index);
    *out = (struct store_stats){s->ids.count, s->stored_bytes, s->disk_bytes, s->segment_count, s->dropped};
    pthread_mutex_unlock(&s->index);
}
