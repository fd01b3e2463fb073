/* fs/segment.h: one append-only file of records. Blocking calls; who shares a segment between threads locks around it, but
 * segment_read may be called by any number of threads at once. */
#ifndef GRID_FS_SEGMENT_H
#define GRID_FS_SEGMENT_H

#include <stdint.h>

#include "fs/record.h"

#define SEGMENT_HEADER_BYTES 16u

struct segment {
    uint32_t number;
    int fd;
    uint64_t size;  /* bytes that hold whole records; the next is written here */
    bool dirty;     /* written to since the last sync */
    bool damaged;   /* a failed write could not be taken back: nothing more is written to it */
    bool has_hint;  /* a hint file of it may be there */
    uint64_t hinted; /* bytes that it tells of, all of them on disk; 0: none */
    uint32_t refs;  /* the store's own count of users */
};

/* Creates the file of that number in the folder. 0 or GRID_E*; nothing is left on an error. */
int segment_create(int dir_fd, uint32_t number, struct segment *out);

/* Opens an existing one; its size is that of the file until it is scanned. GRID_EUNSUPPORTED for another version's; GRID_EAGAIN for one that was torn when it
 * was made, and holds nothing. */
int segment_open(int dir_fd, uint32_t number, struct segment *out);

void segment_close(struct segment *s);
int segment_unlink(int dir_fd, uint32_t number);

/* "NNNNNNNN.seg", eight hex digits. False for any other name. */
bool segment_parse_name(const char *name, uint32_t *number);

/* Called for each sound record. `offset` is that of its header. Returns 0, or an error that ends the scan. */
typedef int (*segment_record_fn)(void *arg, const struct record_header *header, uint32_t offset);

/* Finds all records from offset `from` on, headers and data being checked. Goes on behind damage at the next sound header.
 * `*end` is the offset behind the last sound record: what is behind it is torn. 0, GRID_EIO, GRID_ENOMEM, or what `fn` returned. */
int segment_scan(struct segment *s, uint64_t from, segment_record_fn fn, void *arg, uint64_t *end);

/* Cuts the file at `size`. */
int segment_truncate(struct segment *s, uint64_t size);

/* Writes at the end. On an error (GRID_ENOSPC, GRID_EIO) the file is as before, or marked as damaged. */
int segment_append(struct segment *s, struct slice bytes);

/* Reads exactly `size` bytes. 0, GRID_EIO, or GRID_ECORRUPT when the file ends before. */
int segment_read(const struct segment *s, uint64_t offset, uint8_t *out, size_t size);

/* Makes what was written last, by fdatasync. 0 or GRID_EIO. */
int segment_sync(struct segment *s);

#endif
