/* base/slice.h: borrowed bytes. Whoever hands a slice out says how long its bytes live; a slice never owns. */
#ifndef GRID_BASE_SLICE_H
#define GRID_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *data; /* may be NULL only when size is 0 */
    size_t size;
};

/* A slice of a string literal, usable in static initializers: SLICE_INIT("abc"). */
#define SLICE_INIT(literal) {(const uint8_t *) (literal), sizeof(literal) - 1}
/* The same as an expression. */
#define SLICE(literal) ((struct slice) SLICE_INIT(literal))
/* For printf's "%.*s". */
#define SLICE_FMT(s) (int) (s).size, (const char *) (s).data

static inline struct slice slice_of(const void *data, size_t size)
{
    return (struct slice){data, size};
}

/* The bytes of a NUL-terminated string without the NUL; an empty slice for NULL. */
static inline struct slice slice_of_str(const char *str)
{
    return (struct slice){(const uint8_t *) str, str ? strlen(str) : 0};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool slice_equal_str(struct slice a, const char *str)
{
    return slice_equal(a, slice_of_str(str));
}

/* Bytes from `start` to the end; empty when start is past the end. */
static inline struct slice slice_from(struct slice s, size_t start)
{
    return start >= s.size ? slice_of(NULL, 0) : slice_of(s.data + start, s.size - start);
}

/* At most `size` first bytes. */
static inline struct slice slice_first(struct slice s, size_t size)
{
    return slice_of(s.data, size < s.size ? size : s.size);
}

/* ASCII case-insensitive comparison, as HTTP header names need. */
bool slice_equal_nocase(struct slice a, struct slice b);
bool slice_has_prefix(struct slice s, struct slice prefix);
bool slice_has_suffix(struct slice s, struct slice suffix);

/* Byte-wise order, a shorter one first when it is a prefix. */
int slice_compare(struct slice a, struct slice b);

/* Offset of the first `byte` at or after `start`, or -1. */
ptrdiff_t slice_find_byte(struct slice s, size_t start, uint8_t byte);

/* Cuts the first `size` bytes off `in` into `out`; false, with both as they were, when there are fewer. */
bool slice_take(struct slice *in, size_t size, struct slice *out);

/* The same for a big-endian number of `size` bytes, at most 8. */
bool slice_take_uint(struct slice *in, size_t size, uint64_t *out);

/* Without leading and trailing spaces and tabs. */
struct slice slice_trim(struct slice s);

/* Parses the whole slice as an unsigned decimal number without sign or blanks.
 * Returns 0, GRID_EINVAL for anything else, GRID_ELIMIT above `max`. */
int slice_parse_u64(struct slice s, uint64_t max, uint64_t *out);

enum { SLICE_U64_TEXT = 20 };
/* `value` in decimal, as slice_parse_u64 reads it; the digits stand in `text` and live as long as it. */
struct slice slice_of_u64(uint64_t value, char text[SLICE_U64_TEXT]);

/* A malloc'ed NUL-terminated copy, NULL when out of memory. The caller frees it. Embedded NULs are copied as they are. */
char *slice_to_str(struct slice s);

/* True when the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF). */
bool slice_is_utf8(struct slice s);

/* Length (1 to 4) of the well-formed UTF-8 sequence at the start of `s`; 0 when there is none or `s` is empty. */
size_t slice_utf8_length(struct slice s);

#endif
