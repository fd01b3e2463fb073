/* Reading JSON in place: one strict scan says that a text is sound, after which values are found by skipping. */
#include "base/json.h"

#include "base/err.h"
#include "base/hex.h"
#include "base/utf8.h"

struct scanner {
    const uint8_t *at;
    const uint8_t *end;
    int err;
};

static bool scan_value(struct scanner *s, unsigned depth);

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* A string's characters that stand for themselves and need no further look. */
static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static void skip_blanks(struct scanner *s)
{
    while (s->at < s->end && is_blank(*s->at))
        s->at++;
}

static bool scan_fail(struct scanner *s, int err)
{
    s->err = err;
    return false;
}

static bool scan_byte(struct scanner *s, uint8_t byte)
{
    if (s->at == s->end || *s->at != byte)
        return scan_fail(s, GRID_EPROTO);
    s->at++;
    return true;
}

static bool at_byte(const struct scanner *s, uint8_t byte)
{
    return s->at < s->end && *s->at == byte;
}

/* Steps over `byte` if it comes next. */
static bool take_byte(struct scanner *s, uint8_t byte)
{
    if (!at_byte(s, byte))
        return false;
    s->at++;
    return true;
}

static bool scan_escape(struct scanner *s)
{
    s->at++;
    if (s->at == s->end || *s->at == '\0' || !strchr("\"\\/bfnrtu", *s->at))
        return scan_fail(s, GRID_EPROTO);
    if (*s->at++ != 'u')
        return true;
    for (int i = 0; i < 4; i++, s->at++)
        if (s->at == s->end || hex_digit(*s->at) < 0)
            return scan_fail(s, GRID_EPROTO);
    return true;
}

static bool scan_multibyte(struct scanner *s)
{
    size_t length = slice_utf8_length(slice_of(s->at, (size_t) (s->end - s->at)));
    if (length < 2)
        return scan_fail(s, GRID_EPROTO);
    s->at += length;
    return true;
}

static bool scan_string(struct scanner *s)
{
    if (!scan_byte(s, '"'))
        return false;
    for (;;) {
        while (s->at < s->end && is_plain(*s->at))
            s->at++;
        if (take_byte(s, '"'))
            return true;
        if (!(at_byte(s, '\\') ? scan_escape(s) : scan_multibyte(s)))
            return false;
    }
}

static bool scan_digits(struct scanner *s)
{
    if (s->at == s->end || !is_digit(*s->at))
        return scan_fail(s, GRID_EPROTO);
    while (s->at < s->end && is_digit(*s->at))
        s->at++;
    return true;
}

/* number = [ "-" ] ( "0" / 1-9 *DIGIT ) [ "." 1*DIGIT ] [ "e" [ "+" / "-" ] 1*DIGIT ] (section 6) */
static bool scan_number(struct scanner *s)
{
    take_byte(s, '-');
    if (!take_byte(s, '0') && !scan_digits(s))
        return false;
    if (take_byte(s, '.') && !scan_digits(s))
        return false;
    if (!take_byte(s, 'e') && !take_byte(s, 'E'))
        return true;
    if (!take_byte(s, '+'))
        take_byte(s, '-');
    return scan_digits(s);
}

static bool scan_literal(struct scanner *s, const char *literal)
{
    for (; *literal; literal++)
        if (!scan_byte(s, (uint8_t) *literal))
            return false;
    return true;
}

static bool scan_member(struct scanner *s, unsigned depth)
{
    skip_blanks(s);
    if (!scan_string(s))
        return false;
    skip_blanks(s);
    return scan_byte(s, ':') && scan_value(s, depth);
}

/* From behind the opening bracket to behind the closing one. */
static bool scan_container(struct scanner *s, uint8_t close, bool (*scan_item)(struct scanner *, unsigned), unsigned depth)
{
    if (depth >= JSON_MAX_DEPTH)
        return scan_fail(s, GRID_ELIMIT);
    s->at++;
    skip_blanks(s);
    if (take_byte(s, close))
        return true;
    do {
        if (!scan_item(s, depth + 1))
            return false;
        skip_blanks(s);
    } while (take_byte(s, ','));
    return scan_byte(s, close);
}

static bool scan_value(struct scanner *s, unsigned depth)
{
    skip_blanks(s);
    switch (s->at < s->end ? *s->at : '\0') {
    case '{':
        return scan_container(s, '}', scan_member, depth);
    case '[':
        return scan_container(s, ']', scan_value, depth);
    case '"':
        return scan_string(s);
    case 't':
        return scan_literal(s, "true");
    case 'f':
        return scan_literal(s, "false");
    case 'n':
        return scan_literal(s, "null");
    default:
        return scan_number(s);
    }
}

int json_validate(struct slice text, struct slice *out_raw, size_t *out_at)
{
    if (text.size == 0)
        text = SLICE("");
    struct scanner s = {.at = text.data, .end = text.data + text.size};
    skip_blanks(&s);
    const uint8_t *start = s.at;
    if (scan_value(&s, 0)) {
        *out_raw = slice_of(start, (size_t) (s.at - start));
        skip_blanks(&s);
        if (s.at < s.end)
            scan_fail(&s, GRID_EPROTO);
    }
    if (s.err != 0 && out_at)
        *out_at = (size_t) (s.at - text.data);
    return s.err;
}

enum json_type json_type(struct slice raw)
{
    switch (raw.size > 0 ? raw.data[0] : 'n') {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
    case 'f':
        return JSON_BOOL;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

/* Length of the string that `s` starts with, quotes included. */
static size_t string_length(struct slice s)
{
    for (size_t i = 1; i < s.size; i++) {
        if (s.data[i] == '"')
            return i + 1;
        if (s.data[i] == '\\')
            i++;
    }
    return s.size;
}

/* Length of the object or array that `s` starts with. The kinds of bracket need no telling apart in a sound text. */
static size_t container_length(struct slice s)
{
    size_t depth = 0;
    for (size_t i = 0; i < s.size;) {
        uint8_t c = s.data[i];
        if (c == '"') {
            i += string_length(slice_from(s, i));
            continue;
        }
        i++;
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            return i;
    }
    return s.size;
}

static size_t scalar_length(struct slice s)
{
    size_t length = 0;
    while (length < s.size && !is_blank(s.data[length]) && !strchr(",:]}", s.data[length]))
        length++;
    return length;
}

/* Takes the value at the iterator, and the blanks and separators before it. False at the end. */
static bool iter_take(struct json_iter *iter, struct slice *out)
{
    struct slice s = iter->rest;
    while (s.size > 0 && (is_blank(s.data[0]) || s.data[0] == ',' || s.data[0] == ':'))
        s = slice_from(s, 1);
    if (s.size == 0 || s.data[0] == '}' || s.data[0] == ']')
        return false;
    enum json_type type = json_type(s);
    size_t length = type == JSON_STRING                         ? string_length(s)
                    : type == JSON_OBJECT || type == JSON_ARRAY ? container_length(s)
                                                                : scalar_length(s);
    *out = slice_first(s, length);
    iter->rest = slice_from(s, length);
    return length > 0;
}

int json_iter_init_object(struct json_iter *iter, struct slice raw)
{
    iter->rest = slice_from(raw, 1);
    return json_type(raw) == JSON_OBJECT ? 0 : GRID_EINVAL;
}

int json_iter_init_array(struct json_iter *iter, struct slice raw)
{
    iter->rest = slice_from(raw, 1);
    return json_type(raw) == JSON_ARRAY ? 0 : GRID_EINVAL;
}

bool json_object_next(struct json_iter *iter, struct slice *out_key_raw, struct slice *out_value_raw)
{
    return iter_take(iter, out_key_raw) && iter_take(iter, out_value_raw);
}

bool json_array_next(struct json_iter *iter, struct slice *out_value_raw)
{
    return iter_take(iter, out_value_raw);
}

int json_object_get(struct slice raw, const char *key, struct slice *out_value_raw)
{
    struct json_iter iter;
    struct slice key_raw, value_raw;
    int err = json_iter_init_object(&iter, raw);
    if (err != 0)
        return err;
    err = GRID_ENOENT;
    while (json_object_next(&iter, &key_raw, &value_raw)) {
        if (json_string_equal(key_raw, slice_of_str(key))) {
            *out_value_raw = value_raw;
            err = 0;
        }
    }
    return err;
}

static uint32_t four_digits(struct slice s)
{
    uint32_t value = 0;
    for (size_t i = 0; i < 4; i++)
        value = value << 4 | ((uint32_t) hex_digit(s.data[i]) & 15);
    return value;
}

/* Decodes "\uXXXX", or two of them that are a surrogate pair, at the start of `s`. Returns how much it took. */
static size_t decode_unicode(struct slice s, uint8_t out[4], size_t *out_size)
{
    size_t taken = 6;
    uint32_t c = four_digits(slice_from(s, 2));
    if (c >= 0xd800 && c < 0xe000) {
        uint32_t low = c < 0xdc00 && s.size >= 12 && s.data[6] == '\\' && s.data[7] == 'u' ? four_digits(slice_from(s, 8)) : 0;
        bool pair = low >= 0xdc00 && low < 0xe000;
        c = pair ? 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00) : 0xfffd;
        taken = pair ? 12 : 6;
    }
    *out_size = utf8_encode(c, out);
    return taken;
}

/* Decodes the character or escape at the start of `s` into at most four bytes. Returns how much of `s` it took, at least 1. */
static size_t decode_character(struct slice s, uint8_t out[4], size_t *out_size)
{
    static const char letters[] = "bfnrt", controls[] = "\b\f\n\r\t";
    *out_size = 1;
    out[0] = s.data[0];
    if (s.data[0] != '\\' || s.size < 2)
        return 1;
    if (s.data[1] == 'u' && s.size >= 6)
        return decode_unicode(s, out, out_size);
    const char *letter = s.data[1] ? strchr(letters, s.data[1]) : NULL;
    out[0] = letter ? (uint8_t) controls[letter - letters] : s.data[1];
    return 2;
}

/* What stands between the quotes of a raw string; false when it is none. */
static bool string_body(struct slice raw, struct slice *out)
{
    if (raw.size < 2 || raw.data[0] != '"')
        return false;
    *out = slice_of(raw.data + 1, raw.size - 2);
    return true;
}

bool json_string_equal(struct slice raw, struct slice bytes)
{
    struct slice body;
    uint8_t character[4];
    size_t size;
    if (!string_body(raw, &body))
        return false;
    while (body.size > 0) {
        size_t taken = decode_character(body, character, &size);
        if (size > bytes.size || memcmp(bytes.data, character, size) != 0)
            return false;
        bytes = slice_from(bytes, size);
        body = slice_from(body, taken);
    }
    return bytes.size == 0;
}

int json_string_decode(struct slice raw, struct arena *arena, struct slice *out)
{
    struct slice body;
    uint8_t character[4];
    size_t size, used = 0;
    if (!string_body(raw, &body))
        return GRID_EINVAL;
    uint8_t *bytes = arena_alloc(arena, body.size + 1); /* an escape is never shorter than what it stands for */
    if (!bytes)
        return GRID_ENOMEM;
    while (body.size > 0) {
        size_t taken = decode_character(body, character, &size);
        memcpy(bytes + used, character, size);
        used += size;
        body = slice_from(body, taken);
    }
    bytes[used] = '\0';
    *out = slice_of(bytes, used);
    return 0;
}

int json_int_decode(struct slice raw, int64_t min, int64_t max, int64_t *out)
{
    bool negative = raw.size > 0 && raw.data[0] == '-';
    uint64_t magnitude;
    int err = slice_parse_u64(negative ? slice_from(raw, 1) : raw, (uint64_t) INT64_MAX + negative, &magnitude);
    if (err != 0)
        return err;
    /* Negated below zero in unsigned arithmetic, so that INT64_MIN needs no case of its own. */
    int64_t value = (int64_t) (negative ? 0 - magnitude : magnitude);
    if (value < min || value > max)
        return GRID_ELIMIT;
    *out = value;
    return 0;
}

int json_bool_decode(struct slice raw, bool *out)
{
    if (!slice_equal_str(raw, "true") && !slice_equal_str(raw, "false"))
        return GRID_EINVAL;
    *out = raw.data[0] == 't';
    return 0;
}
