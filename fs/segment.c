/* Segment files: creation, the scan that finds records again, appends that can be taken back. */
#include "fs/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/err.h"

/* Bytes looked at in one go by a scan; a record of any size fits. */
#define SCAN_WINDOW_BYTES (1024u * 1024)
#define SCAN_WINDOW_MAX (OBJECT_LISTING_MAX + 1 + RECORD_HEADER_BYTES + SCAN_WINDOW_BYTES)

static const uint8_t segment_magic[8] = {'G', 'R', 'I', 'D', 'S', 'E', 'G', 1};

#define SEGMENT_NAME_SIZE 16

static void segment_name(uint32_t number, char out[SEGMENT_NAME_SIZE])
{
    snprintf(out, SEGMENT_NAME_SIZE, "%08x.seg", number);
}

bool segment_parse_name(const char *name, uint32_t *number)
{
    char again[SEGMENT_NAME_SIZE];
    unsigned value;
    if (strlen(name) != 12 || sscanf(name, "%8x", &value) != 1)
        return false;
    segment_name(value, again);
    *number = value;
    return strcmp(name, again) == 0;
}

static void segment_header(uint32_t number, uint8_t out[SEGMENT_HEADER_BYTES])
{
    memcpy(out, segment_magic, sizeof segment_magic);
    for (unsigned i = 0; i < 4; i++)
        out[8 + i] = (uint8_t) (number >> (24 - 8 * i));
    uint32_t crc = crc32c(0, slice_of(out, 12));
    for (unsigned i = 0; i < 4; i++)
        out[12 + i] = (uint8_t) (crc >> (24 - 8 * i));
}

static int write_all(int fd, uint64_t offset, struct slice bytes)
{
    while (bytes.size > 0) {
        ssize_t n = pwrite(fd, bytes.data, bytes.size, (off_t) offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? (errno == EFBIG ? GRID_ENOSPC : grid_err_from_errno(errno)) : GRID_EIO;
        bytes = slice_from(bytes, (size_t) n);
        offset += (uint64_t) n;
    }
    return 0;
}

int segment_create(int dir_fd, uint32_t number, struct segment *out)
{
    char name[SEGMENT_NAME_SIZE];
    uint8_t header[SEGMENT_HEADER_BYTES];
    segment_name(number, name);
    int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return grid_err_from_errno(errno);
    segment_header(number, header);
    int err = write_all(fd, 0, slice_of(header, sizeof header));
    if (err != 0) {
        close(fd);
        unlinkat(dir_fd, name, 0);
        return err;
    }
    *out = (struct segment){.number = number, .fd = fd, .size = sizeof header, .dirty = true};
    return 0;
}

static int segment_check_header(struct segment *s)
{
    uint8_t real[SEGMENT_HEADER_BYTES];
    if (s->size < sizeof real)
        return GRID_EAGAIN;
    int err = segment_read(s, 0, real, sizeof real);
    if (err == 0 && memcmp(real, segment_magic, 7) == 0 && real[7] != segment_magic[7] &&
        crc32c(0, slice_of(real, 12)) == ((uint32_t) real[12] << 24 | (uint32_t) real[13] << 16 | (uint32_t) real[14] << 8 | real[15]))
        err = GRID_EUNSUPPORTED;
    return err; /* records check themselves: a damaged header alone loses nothing */
}

int segment_open(int dir_fd, uint32_t number, struct segment *out)
{
    char name[SEGMENT_NAME_SIZE];
    struct stat st;
    segment_name(number, name);
    int fd = openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return grid_err_from_errno(errno);
    int err = fstat(fd, &st) == 0 ? 0 : grid_err_from_errno(errno);
    if (err == 0 && (!S_ISREG(st.st_mode) || st.st_size > UINT32_MAX))
        err = GRID_EUNSUPPORTED;
    *out = (struct segment){.number = number, .fd = fd, .size = err == 0 ? (uint64_t) st.st_size : 0};
    if (err == 0)
        err = segment_check_header(out);
    if (err != 0)
        segment_close(out);
    return err;
}

void segment_close(struct segment *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

int segment_unlink(int dir_fd, uint32_t number)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(number, name);
    return unlinkat(dir_fd, name, 0) == 0 ? 0 : grid_err_from_errno(errno);
}

int segment_read(const struct segment *s, uint64_t offset, uint8_t *out, size_t size)
{
    while (size > 0) {
        ssize_t n = pread(s->fd, out, size, (off_t) offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? GRID_EIO : GRID_ECORRUPT;
        out += n;
        size -= (size_t) n;
        offset += (uint64_t) n;
    }
    return 0;
}

/* ---- the scan ---- */

/* A part of the file in memory. */
struct window {
    const struct segment *segment;
    uint8_t *bytes;
    size_t capacity;
    uint64_t start;
    size_t size;
};

/* Bytes from `offset`, at least `want` of them unless the file ends before. */
static int window_at(struct window *w, uint64_t offset, size_t want, struct slice *out)
{
    uint64_t left = w->segment->size - offset;
    want = want < left ? want : (size_t) left;
    if (offset < w->start || offset + want > w->start + w->size) {
        size_t size = want > SCAN_WINDOW_BYTES ? want : SCAN_WINDOW_BYTES;
        size = size < left ? size : (size_t) left;
        if (size > w->capacity) {
            free(w->bytes);
            w->bytes = malloc(size);
            w->capacity = w->bytes ? size : 0;
            if (!w->bytes)
                return GRID_ENOMEM;
        }
        w->size = 0;
        int err = segment_read(w->segment, offset, w->bytes, size);
        if (err != 0)
            return err;
        w->start = offset;
        w->size = size;
    }
    *out = slice_of(w->bytes + (offset - w->start), (size_t) (w->start + w->size - offset));
    return 0;
}

/* The offset of the next 'G' (a header's first byte) behind `offset`, or the file's end. */
static int next_candidate(struct window *w, uint64_t offset, uint64_t *out)
{
    struct slice bytes;
    for (offset++; offset < w->segment->size; offset += bytes.size) {
        int err = window_at(w, offset, RECORD_HEADER_BYTES, &bytes);
        if (err != 0)
            return err;
        ptrdiff_t hit = slice_find_byte(bytes, 0, 'G');
        if (hit >= 0) {
            *out = offset + (uint64_t) hit;
            return 0;
        }
    }
    *out = w->segment->size;
    return 0;
}

/* Whether a sound record stands at `offset`: *out is its header and *behind the offset behind it (also when only data is damaged). */
static int record_at(struct window *w, uint64_t offset, struct record_header *out, uint64_t *behind, bool *sound)
{
    struct record_packed packed;
    struct slice bytes;
    *sound = false;
    *behind = offset;
    int err = window_at(w, offset, RECORD_HEADER_BYTES, &bytes);
    if (err != 0 || record_header_decode(bytes, out) != 0 || offset + RECORD_HEADER_BYTES + out->stored_size > w->segment->size)
        return err;
    *behind = offset + RECORD_HEADER_BYTES + out->stored_size;
    err = window_at(w, offset, RECORD_HEADER_BYTES + out->stored_size, &bytes);
    *sound = err == 0 && record_decode(bytes, out, &packed) == 0;
    return err;
}

int segment_scan(struct segment *s, uint64_t from, segment_record_fn fn, void *arg, uint64_t *end)
{
    struct window w = {.segment = s};
    struct record_header header;
    uint64_t offset = from, behind;
    bool sound;
    int err = 0;
    *end = offset;
    while (offset < s->size && err == 0) {
        err = record_at(&w, offset, &header, &behind, &sound);
        if (err == 0 && sound) {
            err = fn(arg, &header, (uint32_t) offset);
            *end = behind;
        }
        if (err == 0 && behind > offset)
            offset = behind;
        else if (err == 0)
            err = next_candidate(&w, offset, &offset);
    }
    free(w.bytes);
    return err;
}

int segment_truncate(struct segment *s, uint64_t size)
{
    if (ftruncate(s->fd, (off_t) size) != 0)
        return grid_err_from_errno(errno);
    s->size = size;
    s->dirty = true;
    return 0;
}

int segment_append(struct segment *s, struct slice bytes)
{
    if (s->damaged)
        return GRID_EIO;
    int err = write_all(s->fd, s->size, bytes);
    s->dirty = true;
    if (err == 0)
        s->size += bytes.size;
    else if (ftruncate(s->fd, (off_t) s->size) != 0)
        s->damaged = true;
    return err;
}

int segment_sync(struct segment *s)
{
    return fdatasync(s->fd) == 0 ? 0 : GRID_EIO;
}
