/* discovery/bencode.h: bencoding (BEP 3), read in place into a flat array of tokens, and written. No memory of its own, no recursion. Any one thread.
 *
 * What is read: one value that fills the whole input; integers without leading zeros, plus signs or "-0", within 64 bits; lengths likewise;
 * dictionaries whose keys are strings, each once. Keys out of order are taken, since nodes of the mainline DHT send them, and are told by `sorted`. */
#ifndef GRID_DISCOVERY_BENCODE_H
#define GRID_DISCOVERY_BENCODE_H

#include "base/buf.h"

enum {
    BENCODE_INPUT_MAX = 4096, /* bytes */
    BENCODE_TOKENS_MAX = 512,
    BENCODE_DEPTH_MAX = 8,
    BENCODE_KEYS_MAX = 32 /* of one dictionary */
};

enum bencode_kind { BENCODE_NONE, BENCODE_INTEGER, BENCODE_STRING, BENCODE_LIST, BENCODE_DICT };

/* Tokens stand in the order of the input: a list or dictionary, then all that is in it; in a dictionary each key before its value. */
struct bencode_token {
    uint8_t kind;
    uint16_t start, size; /* of a string its bytes; of anything else the whole of it */
    uint16_t next;        /* index of the first token after this value */
    int64_t number;       /* of an integer */
};

struct bencode {
    struct slice in; /* borrowed */
    struct bencode_token tokens[BENCODE_TOKENS_MAX];
    size_t count;
    bool sorted; /* every dictionary's keys were in order */
};

/* 0, GRID_EPROTO, or GRID_ELIMIT for what is over one of the bounds. `in` is borrowed for as long as `out` is asked. */
int bencode_parse(struct slice in, struct bencode *out);

/* A string's bytes; of anything else its encoding. */
struct slice bencode_bytes(const struct bencode *b, const struct bencode_token *t);

/* The value of a key of a dictionary; NULL when there is none, or `dict` is NULL or no dictionary. */
const struct bencode_token *bencode_find(const struct bencode *b, const struct bencode_token *dict, const char *key);

/* The same for a value of one kind. False when it is missing or of another kind, `out` unchanged. */
bool bencode_find_string(const struct bencode *b, const struct bencode_token *dict, const char *key, struct slice *out);
bool bencode_find_integer(const struct bencode *b, const struct bencode_token *dict, const char *key, int64_t *out);
const struct bencode_token *bencode_find_list(const struct bencode *b, const struct bencode_token *dict, const char *key);

/* The first token in a list or dictionary, and the one after a value; NULL when there is none. */
const struct bencode_token *bencode_first(const struct bencode *b, const struct bencode_token *container);
const struct bencode_token *bencode_next(const struct bencode *b, const struct bencode_token *container, const struct bencode_token *t);

/* Writing: containers are begun by "d" or "l" and ended by "e" with buf_append_str; keys are the caller's to order. 0, GRID_ELIMIT or GRID_ENOMEM. */
int bencode_put_string(struct buf *out, struct slice s);
int bencode_put_integer(struct buf *out, int64_t number);

#endif
