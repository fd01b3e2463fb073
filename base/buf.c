/* Owned bytes: grows by doubling, never beyond its cap. */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

enum { BUF_FIRST_CAPACITY = 256 };

void buf_init(struct buf *b, size_t max_size)
{
    *b = (struct buf){.max_size = max_size ? max_size : SIZE_MAX / 2};
}

static void wipe(const struct buf *b, size_t from, size_t to)
{
    if (b->wiped && from < to)
        explicit_bzero(b->data + from, to - from);
}

void buf_dispose(struct buf *b)
{
    wipe(b, 0, b->capacity);
    free(b->data);
    *b = (struct buf){.max_size = b->max_size};
}

void buf_dispose_wiped(struct buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->capacity);
    buf_dispose(b);
}

void buf_set_wiped(struct buf *b, bool wiped)
{
    b->wiped = wiped;
}

void buf_clear(struct buf *b)
{
    wipe(b, 0, b->size);
    b->size = 0;
}

void buf_truncate(struct buf *b, size_t size)
{
    if (size >= b->size)
        return;
    wipe(b, size, b->size);
    b->size = size;
}

/* As realloc, which may leave a copy behind. */
static uint8_t *move(const struct buf *b, size_t capacity)
{
    uint8_t *data = malloc(capacity);
    if (!data)
        return NULL;
    if (b->size > 0)
        memcpy(data, b->data, b->size);
    wipe(b, 0, b->capacity);
    free(b->data);
    return data;
}

/* Room for `extra` bytes of content and `spare` that do not count against the cap. */
static int buf_grow(struct buf *b, size_t extra, size_t spare)
{
    size_t capacity = b->capacity ? b->capacity : BUF_FIRST_CAPACITY;
    if (extra > b->max_size || b->size > b->max_size - extra)
        return GRID_ELIMIT;
    size_t needed = b->size + extra + spare;
    if (needed <= b->capacity)
        return 0;
    while (capacity < needed)
        capacity *= 2;
    uint8_t *data = b->wiped ? move(b, capacity) : realloc(b->data, capacity);
    if (!data)
        return GRID_ENOMEM;
    b->data = data;
    b->capacity = capacity;
    return 0;
}

int buf_reserve(struct buf *b, size_t extra)
{
    return buf_grow(b, extra, 0);
}

int buf_append(struct buf *b, struct slice s)
{
    int err = buf_reserve(b, s.size);
    if (err == 0 && s.size > 0) {
        memcpy(b->data + b->size, s.data, s.size);
        b->size += s.size;
    }
    return err;
}

int buf_append_str(struct buf *b, const char *str)
{
    return buf_append(b, slice_of_str(str));
}

int buf_append_byte(struct buf *b, uint8_t byte)
{
    return buf_append(b, slice_of(&byte, 1));
}

int buf_append_u16be(struct buf *b, uint16_t value)
{
    uint8_t bytes[2] = {(uint8_t) (value >> 8), (uint8_t) value};
    return buf_append(b, slice_of(bytes, sizeof bytes));
}

int buf_append_u32be(struct buf *b, uint32_t value)
{
    uint8_t bytes[4] = {(uint8_t) (value >> 24), (uint8_t) (value >> 16), (uint8_t) (value >> 8), (uint8_t) value};
    return buf_append(b, slice_of(bytes, sizeof bytes));
}

int buf_append_u64be(struct buf *b, uint64_t value)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t) (value >> (56 - 8 * i));
    return buf_append(b, slice_of(bytes, sizeof bytes));
}

int buf_vprintf(struct buf *b, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0)
        return GRID_EINVAL;
    int err = buf_grow(b, (size_t) length, 1);
    if (err != 0)
        return err;
    vsnprintf((char *) b->data + b->size, (size_t) length + 1, format, args);
    b->size += (size_t) length;
    return 0;
}

int buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int err = buf_vprintf(b, format, args);
    va_end(args);
    return err;
}

void buf_consume(struct buf *b, size_t count)
{
    if (count > b->size)
        count = b->size;
    if (count > 0 && count < b->size)
        memmove(b->data, b->data + count, b->size - count);
    wipe(b, b->size - count, b->size);
    b->size -= count;
}

const char *buf_cstr(struct buf *b)
{
    if (buf_grow(b, 0, 1) != 0)
        return NULL;
    b->data[b->size] = '\0';
    return (const char *) b->data;
}

uint8_t *buf_detach(struct buf *b, size_t *size)
{
    uint8_t *data = b->data;
    *size = b->size;
    *b = (struct buf){.max_size = b->max_size};
    return data;
}
