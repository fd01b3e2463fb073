/* Bencoding: one pass over the input with a small stack of the containers that are open. */
#include "discovery/bencode.h"

#include <inttypes.h>

#include "base/err.h"

/* A list or dictionary that has not ended. */
struct open_container {
    uint16_t token;
    uint16_t keys[BENCODE_KEYS_MAX]; /* token indexes */
    uint16_t key_count;
    bool wants_value; /* the last token in this dictionary was a key */
};

struct parser {
    struct bencode *b;
    size_t at;
    struct open_container open[BENCODE_DEPTH_MAX];
    size_t depth;
};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Digits up to `end`, which is consumed too. */
static int parse_digits(struct parser *p, uint8_t end, uint64_t max, uint64_t *out)
{
    struct slice rest = slice_from(p->b->in, p->at);
    ptrdiff_t size = slice_find_byte(rest, 0, end);
    if (size <= 0 || (size > 1 && rest.data[0] == '0'))
        return GRID_EPROTO;
    p->at += (size_t) size + 1;
    return slice_parse_u64(slice_first(rest, (size_t) size), max, out) == 0 ? 0 : GRID_EPROTO;
}

static struct bencode_token *add_token(struct parser *p, enum bencode_kind kind, size_t start)
{
    if (p->b->count == BENCODE_TOKENS_MAX)
        return NULL;
    struct bencode_token *t = &p->b->tokens[p->b->count++];
    *t = (struct bencode_token){.kind = (uint8_t) kind, .start = (uint16_t) start, .next = (uint16_t) p->b->count};
    return t;
}

static int parse_integer(struct parser *p)
{
    size_t start = p->at++;
    bool negative = p->at < p->b->in.size && p->b->in.data[p->at] == '-';
    uint64_t magnitude;
    if (negative)
        p->at++;
    int err = parse_digits(p, 'e', negative ? (uint64_t) INT64_MAX + 1 : INT64_MAX, &magnitude);
    if (err != 0 || (negative && magnitude == 0))
        return GRID_EPROTO;
    struct bencode_token *t = add_token(p, BENCODE_INTEGER, start);
    if (!t)
        return GRID_ELIMIT;
    t->size = (uint16_t) (p->at - start);
    t->number = negative ? (int64_t) -(magnitude - 1) - 1 : (int64_t) magnitude;
    return 0;
}

static int parse_string(struct parser *p)
{
    uint64_t size;
    int err = parse_digits(p, ':', BENCODE_INPUT_MAX, &size);
    if (err != 0 || size > p->b->in.size - p->at)
        return GRID_EPROTO;
    struct bencode_token *t = add_token(p, BENCODE_STRING, p->at);
    if (!t)
        return GRID_ELIMIT;
    t->size = (uint16_t) size;
    p->at += size;
    return 0;
}

static int open_container(struct parser *p, enum bencode_kind kind)
{
    if (p->depth == BENCODE_DEPTH_MAX || !add_token(p, kind, p->at))
        return GRID_ELIMIT;
    struct open_container *top = &p->open[p->depth++];
    top->token = (uint16_t) (p->b->count - 1);
    top->key_count = 0;
    top->wants_value = false;
    p->at++;
    return 0;
}

static int close_container(struct parser *p)
{
    if (p->depth == 0 || p->open[p->depth - 1].wants_value)
        return GRID_EPROTO;
    struct bencode_token *t = &p->b->tokens[p->open[--p->depth].token];
    p->at++;
    t->size = (uint16_t) (p->at - t->start);
    t->next = (uint16_t) p->b->count;
    return 0;
}

/* The string that was just read is a key: it must be new in its dictionary. */
static int take_key(struct parser *p, struct open_container *dict)
{
    uint16_t key = (uint16_t) (p->b->count - 1);
    struct slice name = bencode_bytes(p->b, &p->b->tokens[key]);
    if (dict->key_count == BENCODE_KEYS_MAX)
        return GRID_ELIMIT;
    for (size_t i = dict->key_count; i > 0; i--) {
        int order = slice_compare(bencode_bytes(p->b, &p->b->tokens[dict->keys[i - 1]]), name);
        if (order == 0)
            return GRID_EPROTO;
        if (order > 0)
            p->b->sorted = false;
    }
    dict->keys[dict->key_count++] = key;
    dict->wants_value = true;
    return 0;
}

/* One step: a scalar, the beginning of a container, or the end of one. */
static int parse_step(struct parser *p)
{
    struct open_container *top = p->depth > 0 ? &p->open[p->depth - 1] : NULL;
    bool in_dict = top && p->b->tokens[top->token].kind == BENCODE_DICT;
    bool wants_key = in_dict && !top->wants_value;
    uint8_t c = p->b->in.data[p->at];
    if (c == 'e')
        return close_container(p);
    if (wants_key) {
        int err = is_digit(c) ? parse_string(p) : GRID_EPROTO;
        return err == 0 ? take_key(p, top) : err;
    }
    if (in_dict)
        top->wants_value = false;
    if (c == 'i')
        return parse_integer(p);
    if (c == 'd' || c == 'l')
        return open_container(p, c == 'd' ? BENCODE_DICT : BENCODE_LIST);
    return is_digit(c) ? parse_string(p) : GRID_EPROTO;
}

int bencode_parse(struct slice in, struct bencode *out)
{
    struct parser p;
    int err = 0;
    p.b = out;
    p.at = p.depth = 0;
    out->in = in;
    out->count = 0;
    out->sorted = true;
    if (in.size > BENCODE_INPUT_MAX)
        return GRID_ELIMIT;
    do {
        err = p.at < in.size ? parse_step(&p) : GRID_EPROTO;
    } while (err == 0 && p.depth > 0);
    if (err == 0 && p.at != in.size)
        err = GRID_EPROTO;
    return err;
}

struct slice bencode_bytes(const struct bencode *b, const struct bencode_token *t)
{
    return slice_of(b->in.data + t->start, t->size);
}

const struct bencode_token *bencode_first(const struct bencode *b, const struct bencode_token *container)
{
    size_t at = (size_t) (container - b->tokens) + 1;
    return at < container->next ? &b->tokens[at] : NULL;
}

const struct bencode_token *bencode_next(const struct bencode *b, const struct bencode_token *container, const struct bencode_token *t)
{
    return t->next < container->next ? &b->tokens[t->next] : NULL;
}

const struct bencode_token *bencode_find(const struct bencode *b, const struct bencode_token *dict, const char *key)
{
    const struct bencode_token *t = dict && dict->kind == BENCODE_DICT ? bencode_first(b, dict) : NULL;
    while (t) {
        const struct bencode_token *value = &b->tokens[t->next];
        if (slice_equal_str(bencode_bytes(b, t), key))
            return value;
        t = bencode_next(b, dict, value);
    }
    return NULL;
}

bool bencode_find_string(const struct bencode *b, const struct bencode_token *dict, const char *key, struct slice *out)
{
    const struct bencode_token *t = bencode_find(b, dict, key);
    if (!t || t->kind != BENCODE_STRING)
        return false;
    *out = bencode_bytes(b, t);
    return true;
}

bool bencode_find_integer(const struct bencode *b, const struct bencode_token *dict, const char *key, int64_t *out)
{
    const struct bencode_token *t = bencode_find(b, dict, key);
    if (!t || t->kind != BENCODE_INTEGER)
        return false;
    *out = t->number;
    return true;
}

const struct bencode_token *bencode_find_list(const struct bencode *b, const struct bencode_token *dict, const char *key)
{
    const struct bencode_token *t = bencode_find(b, dict, key);
    return t && t->kind == BENCODE_LIST ? t : NULL;
}

int bencode_put_string(struct buf *out, struct slice s)
{
    size_t before = out->size;
    int err = buf_printf(out, "%zu:", s.size);
    if (err == 0)
        err = buf_append(out, s);
    if (err != 0)
        buf_truncate(out, before);
    return err;
}

int bencode_put_integer(struct buf *out, int64_t number)
{
    return buf_printf(out, "i%" PRId64 "e", number);
}
