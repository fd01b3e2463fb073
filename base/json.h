/* base/json.h: RFC 8259 without a tree. A value is the slice of the text it stands in, so that numbers, escapes and the order of
 * members pass on as the bytes they came as. No state; any thread. Cap a text's size before it is read. */
#ifndef GRID_BASE_JSON_H
#define GRID_BASE_JSON_H

#include "base/arena.h"
#include "base/buf.h"

enum { JSON_MAX_DEPTH = 64 };

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* Checks that `text` is exactly one value with blanks around it, in well-formed UTF-8, no byte order mark, and sets `*out_raw` to
 * the value without the blanks (borrowed from `text`). Returns 0, GRID_EPROTO when malformed, GRID_ELIMIT when nested deeper than
 * JSON_MAX_DEPTH; `*out_at` (may be NULL) is then the offset of the first byte that does not fit. Duplicate keys are allowed. */
int json_validate(struct slice text, struct slice *out_raw, size_t *out_at);

/* Everything below takes raw values: what json_validate gave, or parts of it. On other input it stays in bounds and may say
 * anything. */

enum json_type json_type(struct slice raw);

struct json_iter {
    struct slice rest;
};

/* Starts at the first member of an object or the first element of an array. GRID_EINVAL when `raw` is of another type. */
int json_iter_init_object(struct json_iter *iter, struct slice raw);
int json_iter_init_array(struct json_iter *iter, struct slice raw);

/* The next one in the text's order, false at the end. Keys are raw strings, with their quotes. */
bool json_object_next(struct json_iter *iter, struct slice *out_key_raw, struct slice *out_value_raw);
bool json_array_next(struct json_iter *iter, struct slice *out_value_raw);

/* The value of member `key`; of several the last. GRID_ENOENT when there is none, GRID_EINVAL when `raw` is no object. */
int json_object_get(struct slice raw, const char *key, struct slice *out_value_raw);

/* Whether a raw string stands for exactly these bytes. */
bool json_string_equal(struct slice raw, struct slice bytes);

/* The bytes of a raw string, with its escapes undone, in the arena (a NUL behind them does not count; \u0000 gives a NUL within).
 * A lone surrogate becomes U+FFFD. 0, GRID_EINVAL when it is no string, GRID_ENOMEM. */
int json_string_decode(struct slice raw, struct arena *arena, struct slice *out);

/* A number without fraction and exponent. 0, GRID_EINVAL for another value, GRID_ELIMIT outside min and max (both included). */
int json_int_decode(struct slice raw, int64_t min, int64_t max, int64_t *out);

/* 0 or GRID_EINVAL. */
int json_bool_decode(struct slice raw, bool *out);

/* Appends a quoted string. Bytes that are not UTF-8 become U+FFFD each. Results as buf_append; on an error part may stand there. */
int json_append_string(struct buf *out, struct slice bytes);

/* Writes one value, placing commas. The first error is kept and makes everything after it do nothing; json_writer_finish tells it.
 */
struct json_writer {
    struct buf *out; /* borrowed until the finish */
    int err;
    unsigned depth;
    bool has_member[JSON_MAX_DEPTH + 1];
    bool after_key;
};

void json_writer_init(struct json_writer *w, struct buf *out);
void json_open_object(struct json_writer *w);
void json_close_object(struct json_writer *w);
void json_open_array(struct json_writer *w);
void json_close_array(struct json_writer *w);
void json_write_key(struct json_writer *w, const char *key);
void json_write_key_slice(struct json_writer *w, struct slice key);
void json_write_string(struct json_writer *w, struct slice bytes);
void json_write_str(struct json_writer *w, const char *str); /* NULL writes null */
void json_write_int(struct json_writer *w, int64_t value);
void json_write_uint(struct json_writer *w, uint64_t value);
void json_write_bool(struct json_writer *w, bool value);
void json_write_null(struct json_writer *w);
void json_write_raw(struct json_writer *w, struct slice raw); /* a value that is JSON already, byte for byte */

/* 0, or the first of GRID_ELIMIT (the buffer's cap, or deeper than JSON_MAX_DEPTH) and GRID_ENOMEM. */
int json_writer_finish(struct json_writer *w);

#endif
