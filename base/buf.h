/* base/buf.h: owned, growing bytes with a hard cap. Any one thread at a time. */
#ifndef GRID_BASE_BUF_H
#define GRID_BASE_BUF_H

#include <stdarg.h>

#include "base/slice.h"

/* `size` bytes at `data` are in use. Fields may be read; they change only through buf_*. */
struct buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t max_size; /* appending beyond it is GRID_ELIMIT and changes nothing */
    bool wiped;      /* what leaves it is overwritten */
};

/* `max_size` 0 means no cap but SIZE_MAX / 2. Takes no memory yet. */
void buf_init(struct buf *b, size_t max_size);
void buf_dispose(struct buf *b);
/* The same, for what held a secret: the memory is overwritten first. That which it had before it grew is not: buf_reserve at once as much as it will need. */
void buf_dispose_wiped(struct buf *b);

/* For secrets on their way: from here on whatever leaves the buffer is overwritten, and the memory that it grows out of, until it is disposed of or this is called
 * with false. */
void buf_set_wiped(struct buf *b, bool wiped);

/* Forgets the content and keeps the memory. */
void buf_clear(struct buf *b);

/* Drops all but the first `size` bytes; nothing when there are fewer. */
void buf_truncate(struct buf *b, size_t size);

/* Makes room for `extra` more bytes. 0, GRID_ELIMIT or GRID_ENOMEM; on an error nothing has changed. */
int buf_reserve(struct buf *b, size_t extra);

/* All of these: 0, GRID_ELIMIT or GRID_ENOMEM, unchanged on an error. */
int buf_append(struct buf *b, struct slice s);
int buf_append_str(struct buf *b, const char *str);
int buf_append_byte(struct buf *b, uint8_t byte);
int buf_append_u16be(struct buf *b, uint16_t value);
int buf_append_u32be(struct buf *b, uint32_t value);
int buf_append_u64be(struct buf *b, uint64_t value);
int buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
int buf_vprintf(struct buf *b, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

/* Drops the first `count` bytes (at most all of them), moving the rest down. */
void buf_consume(struct buf *b, size_t count);

/* The content, valid until the next buf_* call on it. */
static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->data, b->size);
}

/* Makes the content a C string: a NUL stands behind it without counting. NULL when out of memory. Valid until the next call. */
const char *buf_cstr(struct buf *b);

/* Gives the memory away as a malloc'ed block of `*size` bytes and leaves the buffer empty. NULL when it holds nothing. */
uint8_t *buf_detach(struct buf *b, size_t *size);

#endif
