/* base/toml.h: the part of TOML 1.0 that a Gridfile uses, as a flat list of settings. No state; any thread.
 *
 * Understood: comments, bare and quoted and dotted keys, [tables], strings of all four kinds, integers (also 0x, 0o, 0b and _),
 * booleans, and arrays of these over any number of lines. Refused with a sentence: floats, dates, inline tables, [[arrays of
 * tables]]. What both understand means the same as in any other TOML reader. */
#ifndef GRID_BASE_TOML_H
#define GRID_BASE_TOML_H

#include "base/arena.h"

enum { TOML_MAX_BYTES = 1 << 20, TOML_MAX_KEYS = 4096, TOML_MAX_DEPTH = 16 };

enum toml_type { TOML_STRING, TOML_INTEGER, TOML_BOOL, TOML_ARRAY };

struct toml_value {
    const struct toml_value *next; /* the next element of the same array */
    enum toml_type type;
    struct slice string; /* UTF-8; a NUL behind it does not count; it may hold NULs itself */
    int64_t integer;
    bool boolean;
    const struct toml_value *first; /* of an array; NULL when it is empty */
    size_t offset; /* of its first byte in the text: for toml_position */
};

struct toml_entry {
    const struct toml_entry *next; /* in the order of the text */
    struct slice table; /* "" outside of tables, "a.b" for [a.b] and for a.b.key; parts that are no bare keys stand in quotes */
    struct slice key;   /* as meant, without quotes */
    struct toml_value value;
    unsigned line; /* counted from 1 */
};

struct toml_document {
    const struct toml_entry *first;
    size_t count;
};

struct toml_error {
    unsigned line;     /* from 1 */
    unsigned column;   /* from 1, in characters */
    char message[192]; /* a clause such as: expected "=" after the key */
};

/* Everything in `out` lives in the arena. 0; GRID_EPROTO with `error` filled (a key or table given twice too); GRID_ELIMIT over
 * TOML_MAX_BYTES, TOML_MAX_KEYS, or TOML_MAX_DEPTH parts in a key or arrays in one another, `error` filled too; GRID_ENOMEM. */
int toml_parse(struct slice text, struct arena *arena, struct toml_document *out, struct toml_error *error);

/* Line and column, as toml_error counts them, of a byte of the text. */
void toml_position(struct slice text, size_t offset, unsigned *line, unsigned *column);

/* The entry of a table and key, NULL when there is none. */
const struct toml_entry *toml_find(const struct toml_document *document, const char *table, const char *key);

#endif
