/* A line-by-line reader: [headers] set the current table, keys add entries, and a register of paths finds what is given twice. */
#include "base/toml.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/utf8.h"

enum path_kind {
    PATH_VALUE,
    PATH_HEADER,   /* a table with a [header] of its own */
    PATH_IMPLICIT, /* a table that only stands before a dot in a [header] */
    PATH_DOTTED,   /* a table made by a dotted key */
};

struct path {
    struct path *next;
    struct slice text;
    enum path_kind kind;
    unsigned line;
    unsigned section; /* the header under which a dotted key made it */
};

struct parser {
    struct slice text;
    const uint8_t *at;
    const uint8_t *end;
    struct arena *arena;
    struct toml_error *error;
    struct buf scratch;
    struct path *paths;
    size_t path_count;
    struct slice table;
    unsigned section;
    unsigned line; /* of `line_mark` */
    const uint8_t *line_mark;
    struct toml_document *document;
    struct toml_entry *last;
};

struct key {
    struct slice parts[TOML_MAX_DEPTH];
    size_t count;
};

static unsigned current_line(struct parser *p)
{
    for (; p->line_mark < p->at; p->line_mark++)
        p->line += *p->line_mark == '\n';
    return p->line;
}

/* Characters, not bytes, between the line's start and here. */
static unsigned column_of(const uint8_t *start, const uint8_t *at)
{
    unsigned column = 1;
    for (; at > start && at[-1] != '\n'; at--)
        column += (at[-1] & 0xc0) != 0x80;
    return column;
}

__attribute__((format(printf, 3, 4))) static int fail(struct parser *p, int err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(p->error->message, sizeof p->error->message, format, args);
    va_end(args);
    p->error->line = current_line(p);
    p->error->column = column_of(p->text.data, p->at);
    return err;
}

static int expected(struct parser *p, const char *what)
{
    return fail(p, GRID_EPROTO, "expected %s", what);
}

static bool at_byte(const struct parser *p, uint8_t byte)
{
    return p->at < p->end && *p->at == byte;
}

static bool at_literal(const struct parser *p, const char *literal)
{
    return slice_has_prefix(slice_of(p->at, (size_t) (p->end - p->at)), slice_of_str(literal));
}

static bool take_literal(struct parser *p, const char *literal)
{
    if (!at_literal(p, literal))
        return false;
    p->at += strlen(literal);
    return true;
}

static bool take_newline(struct parser *p)
{
    return take_literal(p, "\n") || take_literal(p, "\r\n");
}

static void skip_spaces(struct parser *p)
{
    while (at_byte(p, ' ') || at_byte(p, '\t'))
        p->at++;
}

static bool is_control(uint8_t c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

static int skip_comment(struct parser *p)
{
    if (!at_byte(p, '#'))
        return 0;
    while (p->at < p->end && !at_literal(p, "\n") && !at_literal(p, "\r\n")) {
        if (is_control(*p->at))
            return expected(p, "no control characters in a comment");
        p->at++;
    }
    return 0;
}

/* Spaces, comments and line ends, as they may stand between the elements of an array. */
static int skip_lines(struct parser *p)
{
    int err;
    do {
        skip_spaces(p);
        err = skip_comment(p);
    } while (err == 0 && take_newline(p));
    return err;
}

static int append_code_point(struct parser *p, uint32_t c)
{
    uint8_t bytes[4];
    return buf_append(&p->scratch, slice_of(bytes, utf8_encode(c, bytes)));
}

/* The hexadecimal digits behind \u and \U. */
static int parse_unicode_escape(struct parser *p, int digits)
{
    uint32_t c = 0;
    for (int i = 0; i < digits; i++, p->at++) {
        int digit = p->at < p->end ? hex_digit(*p->at) : -1;
        if (digit < 0)
            return expected(p, digits == 4 ? "four hexadecimal digits after \\u" : "eight hexadecimal digits after \\U");
        c = c << 4 | (uint32_t) digit;
    }
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return expected(p, "the number of a Unicode character");
    return append_code_point(p, c);
}

/* A backslash at a line's end swallows the line end and all blanks that follow. False when it does not stand there. */
static bool take_line_continuation(struct parser *p)
{
    const uint8_t *start = p->at;
    skip_spaces(p);
    if (!take_newline(p)) {
        p->at = start;
        return false;
    }
    do
        skip_spaces(p);
    while (take_newline(p));
    return true;
}

/* From behind the backslash. */
static int parse_escape(struct parser *p, bool multi_line)
{
    static const char letters[] = "btnfr\"\\", meanings[] = "\b\t\n\f\r\"\\";
    if (multi_line && take_line_continuation(p))
        return 0;
    const char *letter = p->at < p->end && *p->at ? strchr(letters, *p->at) : NULL;
    if (letter) {
        p->at++;
        return buf_append_byte(&p->scratch, (uint8_t) meanings[letter - letters]);
    }
    if (take_literal(p, "u"))
        return parse_unicode_escape(p, 4);
    if (take_literal(p, "U"))
        return parse_unicode_escape(p, 8);
    return expected(p, "one of b t n f r u U \" \\ after a backslash; text in single quotes has no escapes");
}

/* At a quote inside a multi-line string: three to five of them end it, the first of more than three belonging to the text. */
static int take_quotes(struct parser *p, uint8_t quote, bool *ended)
{
    size_t run = 0;
    int err = 0;
    while (run < 5 && at_byte(p, quote)) {
        p->at++;
        run++;
    }
    *ended = run >= 3;
    for (size_t text = *ended ? run - 3 : run; err == 0 && text > 0; text--)
        err = buf_append_byte(&p->scratch, quote);
    return err;
}

/* One character, escape or run of quotes of a string; sets `ended` behind the closing quote. */
static int parse_string_piece(struct parser *p, uint8_t quote, bool multi_line, bool *ended)
{
    if (p->at == p->end)
        return expected(p, multi_line ? "three closing quotes before the end of the file"
                                      : "a closing quote before the end of the line");
    if (at_byte(p, quote)) {
        if (multi_line)
            return take_quotes(p, quote, ended);
        p->at++;
        *ended = true;
        return 0;
    }
    if (quote == '"' && take_literal(p, "\\"))
        return parse_escape(p, multi_line);
    if (multi_line && take_newline(p))
        return buf_append_byte(&p->scratch, '\n');
    if (at_literal(p, "\n") || at_literal(p, "\r\n"))
        return expected(p, "a closing quote before the end of the line");
    if (is_control(*p->at))
        return expected(p, "no control characters in a text; write them as an escape such as \\u001b");
    return buf_append_byte(&p->scratch, *p->at++);
}

static int parse_string(struct parser *p, bool may_be_multi_line, struct slice *out)
{
    uint8_t quote = *p->at;
    bool multi_line = may_be_multi_line && take_literal(p, quote == '"' ? "\"\"\"" : "'''");
    bool ended = false;
    int err = 0;
    buf_clear(&p->scratch);
    if (multi_line)
        take_newline(p);
    else
        p->at++;
    while (err == 0 && !ended)
        err = parse_string_piece(p, quote, multi_line, &ended);
    if (err != 0)
        return err;
    *out = arena_copy(p->arena, buf_slice(&p->scratch));
    return out->data ? 0 : GRID_ENOMEM;
}

static bool is_bare(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static struct slice take_bare(struct parser *p)
{
    const uint8_t *start = p->at;
    while (p->at < p->end && is_bare(*p->at))
        p->at++;
    return slice_of(start, (size_t) (p->at - start));
}

static int parse_key_part(struct parser *p, struct slice *out)
{
    if (at_byte(p, '"') || at_byte(p, '\''))
        return parse_string(p, false, out);
    *out = take_bare(p);
    return out->size > 0 ? 0 : expected(p, "a key: letters, digits, - and _, or a text in quotes");
}

static int parse_key(struct parser *p, struct key *key)
{
    int err;
    key->count = 0;
    do {
        if (key->count == TOML_MAX_DEPTH)
            return fail(p, GRID_ELIMIT, "expected at most %d parts in a key", TOML_MAX_DEPTH);
        skip_spaces(p);
        err = parse_key_part(p, &key->parts[key->count]);
        key->count += err == 0;
        skip_spaces(p);
    } while (err == 0 && take_literal(p, "."));
    return err;
}

static bool is_bare_key(struct slice part)
{
    for (size_t i = 0; i < part.size; i++)
        if (!is_bare(part.data[i]))
            return false;
    return part.size > 0;
}

/* `table`.`part` in its one canonical spelling. */
static int join_path(struct parser *p, struct slice table, struct slice part, struct slice *out)
{
    buf_clear(&p->scratch);
    int err = buf_append(&p->scratch, table);
    if (err == 0 && table.size > 0)
        err = buf_append_byte(&p->scratch, '.');
    if (err == 0)
        err = is_bare_key(part) ? buf_append(&p->scratch, part) : json_append_string(&p->scratch, part);
    if (err != 0)
        return err;
    *out = arena_copy(p->arena, buf_slice(&p->scratch));
    return out->data ? 0 : GRID_ENOMEM;
}

static struct path *find_path(struct parser *p, struct slice text)
{
    for (struct path *path = p->paths; path; path = path->next)
        if (slice_equal(path->text, text))
            return path;
    return NULL;
}

static int add_path(struct parser *p, struct slice text, enum path_kind kind)
{
    if (p->path_count == TOML_MAX_KEYS)
        return fail(p, GRID_ELIMIT, "expected at most %d keys", TOML_MAX_KEYS);
    struct path *path = arena_alloc(p->arena, sizeof *path);
    if (!path)
        return GRID_ENOMEM;
    *path = (struct path){.next = p->paths, .text = text, .kind = kind, .line = current_line(p), .section = p->section};
    p->paths = path;
    p->path_count++;
    return 0;
}

static int fail_twice(struct parser *p, const struct path *path)
{
    struct slice shown = slice_first(path->text, 80);
    return fail(p, GRID_EPROTO, "\"%.*s\" is given a second time; the first is on line %u", SLICE_FMT(shown), path->line);
}

/* A table on the way of a [header]. */
static int pass_header_parent(struct parser *p, struct slice text)
{
    struct path *path = find_path(p, text);
    if (!path)
        return add_path(p, text, PATH_IMPLICIT);
    return path->kind == PATH_VALUE ? fail_twice(p, path) : 0;
}

static int enter_table(struct parser *p, struct slice text)
{
    struct path *path = find_path(p, text);
    p->table = text;
    p->section++;
    if (!path)
        return add_path(p, text, PATH_HEADER);
    if (path->kind != PATH_IMPLICIT)
        return fail_twice(p, path);
    path->kind = PATH_HEADER;
    path->line = current_line(p);
    return 0;
}

/* A table on the way of a dotted key: only those may be extended that this section made, or that no one has given yet. */
static int pass_dotted_parent(struct parser *p, struct slice text)
{
    struct path *path = find_path(p, text);
    if (!path)
        return add_path(p, text, PATH_DOTTED);
    if (path->kind == PATH_IMPLICIT) {
        path->kind = PATH_DOTTED;
        path->section = p->section;
    }
    return path->kind == PATH_DOTTED && path->section == p->section ? 0 : fail_twice(p, path);
}

static int walk_key(struct parser *p, const struct key *key, struct slice *table, int (*pass_parent)(struct parser *, struct slice))
{
    int err = 0;
    for (size_t i = 0; err == 0 && i + 1 < key->count; i++) {
        err = join_path(p, *table, key->parts[i], table);
        if (err == 0)
            err = pass_parent(p, *table);
    }
    return err;
}

static int parse_header(struct parser *p)
{
    struct key key;
    struct slice path = SLICE("");
    if (take_literal(p, "[["))
        return expected(p, "[table]: arrays of tables are not used here");
    p->at++;
    int err = parse_key(p, &key);
    if (err == 0 && !at_byte(p, ']'))
        err = expected(p, "\"]\" after the table's name");
    if (err == 0)
        err = walk_key(p, &key, &path, pass_header_parent);
    if (err == 0)
        err = join_path(p, path, key.parts[key.count - 1], &path);
    if (err == 0)
        err = enter_table(p, path);
    p->at += err == 0;
    return err;
}

static unsigned take_base(struct slice *token)
{
    static const struct {
        const char *prefix;
        unsigned base;
    } bases[] = {{"0x", 16}, {"0o", 8}, {"0b", 2}};
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
        if (slice_has_prefix(*token, slice_of_str(bases[i].prefix))) {
            *token = slice_from(*token, 2);
            return bases[i].base;
        }
    }
    return 10;
}

/* Digits with single underscores between them. 0, GRID_EINVAL, or GRID_ELIMIT above `max`. */
static int parse_digits(struct slice digits, unsigned base, uint64_t max, uint64_t *out)
{
    bool after_digit = false;
    uint64_t value = 0;
    int err = 0;
    for (size_t i = 0; i < digits.size; i++) {
        int digit = hex_digit(digits.data[i]);
        bool is_digit = digit >= 0 && (unsigned) digit < base;
        if (!is_digit && !(digits.data[i] == '_' && after_digit))
            return GRID_EINVAL;
        after_digit = is_digit;
        if (is_digit && value > (max - (uint64_t) digit) / base)
            err = GRID_ELIMIT;
        if (is_digit && err == 0)
            value = value * base + (uint64_t) digit;
    }
    *out = value;
    return after_digit ? err : GRID_EINVAL;
}

static int parse_integer(struct slice token, int64_t *out)
{
    uint64_t magnitude = 0;
    unsigned base = take_base(&token);
    bool negative = base == 10 && slice_has_prefix(token, SLICE("-"));
    if (negative || (base == 10 && slice_has_prefix(token, SLICE("+"))))
        token = slice_from(token, 1);
    if (base == 10 && token.size > 1 && token.data[0] == '0')
        return GRID_EINVAL;
    int err = parse_digits(token, base, (uint64_t) INT64_MAX + negative, &magnitude);
    *out = (int64_t) (negative ? 0 - magnitude : magnitude);
    return err;
}

/* true, false, or a number; what looks like one and is none is named. */
static int parse_word(struct parser *p, struct toml_value *value)
{
    const uint8_t *start = p->at;
    while (p->at < p->end && (is_bare(*p->at) || strchr("+.:", *p->at)) && *p->at)
        p->at++;
    struct slice word = slice_of(start, (size_t) (p->at - start));
    p->at = start;
    value->type = TOML_BOOL;
    value->boolean = slice_equal_str(word, "true");
    int err = value->boolean || slice_equal_str(word, "false") ? 0 : GRID_EINVAL;
    if (err != 0) {
        value->type = TOML_INTEGER;
        err = parse_integer(word, &value->integer);
    }
    if (err == GRID_ELIMIT)
        return fail(p, GRID_EPROTO, "expected a whole number that fits 64 bits");
    if (err != 0)
        return expected(p, "a value: \"text\" in quotes, a whole number, true, false or an [array]");
    p->at = start + word.size;
    return 0;
}

static int parse_value(struct parser *p, struct toml_value *value, unsigned depth);

static int parse_array(struct parser *p, struct toml_value *array, unsigned depth)
{
    const struct toml_value **link = &array->first;
    if (depth == TOML_MAX_DEPTH)
        return fail(p, GRID_ELIMIT, "expected at most %d arrays in one another", TOML_MAX_DEPTH);
    array->type = TOML_ARRAY;
    p->at++;
    int err = skip_lines(p);
    while (err == 0 && !at_byte(p, ']')) {
        struct toml_value *value = arena_calloc(p->arena, 1, sizeof *value);
        err = value ? parse_value(p, value, depth + 1) : GRID_ENOMEM;
        *link = value;
        if (err == 0)
            err = skip_lines(p);
        if (err == 0 && !at_byte(p, ']') && !take_literal(p, ","))
            err = expected(p, "\",\" or \"]\" after an array's element");
        if (err == 0)
            err = skip_lines(p);
        if (err == 0)
            link = &value->next;
    }
    p->at += err == 0;
    return err;
}

static int parse_value(struct parser *p, struct toml_value *value, unsigned depth)
{
    value->offset = (size_t) (p->at - p->text.data);
    if (at_byte(p, '[')) {
        return parse_array(p, value, depth);
    } else if (at_byte(p, '"') || at_byte(p, '\'')) {
        value->type = TOML_STRING;
        return parse_string(p, true, &value->string);
    } else if (at_byte(p, '{')) {
        return expected(p, "no inline table; write a [table] of its own");
    }
    return parse_word(p, value);
}

/* Adds the path of the key; its last part names the entry, the rest its table. */
static int register_key(struct parser *p, const struct key *key, struct toml_entry *entry)
{
    struct slice text;
    entry->table = p->table;
    int err = walk_key(p, key, &entry->table, pass_dotted_parent);
    entry->key = key->parts[key->count - 1];
    if (err == 0)
        err = join_path(p, entry->table, entry->key, &text);
    if (err != 0)
        return err;
    struct path *path = find_path(p, text);
    return path ? fail_twice(p, path) : add_path(p, text, PATH_VALUE);
}

static void append_entry(struct parser *p, struct toml_entry *entry)
{
    if (p->last)
        p->last->next = entry;
    else
        p->document->first = entry;
    p->last = entry;
    p->document->count++;
}

static int parse_entry(struct parser *p)
{
    struct key key;
    struct toml_entry *entry = arena_calloc(p->arena, 1, sizeof *entry);
    int err = entry ? parse_key(p, &key) : GRID_ENOMEM;
    if (err == 0)
        err = register_key(p, &key, entry);
    if (err != 0)
        return err;
    entry->line = current_line(p);
    if (!take_literal(p, "="))
        return expected(p, "\"=\" after the key");
    skip_spaces(p);
    err = parse_value(p, &entry->value, 0);
    if (err != 0)
        return err;
    append_entry(p, entry);
    return 0;
}

static int parse_line(struct parser *p)
{
    int err = 0;
    skip_spaces(p);
    if (at_byte(p, '['))
        err = parse_header(p);
    else if (p->at < p->end && !at_byte(p, '#') && !at_literal(p, "\n") && !at_literal(p, "\r\n"))
        err = parse_entry(p);
    skip_spaces(p);
    if (err == 0)
        err = skip_comment(p);
    if (err == 0 && p->at < p->end && !take_newline(p))
        err = expected(p, "the end of the line");
    return err;
}

/* Leaves `at` on the first byte that is not UTF-8. */
static int check_utf8(struct parser *p)
{
    const uint8_t *start = p->at;
    while (p->at < p->end) {
        size_t length = slice_utf8_length(slice_of(p->at, (size_t) (p->end - p->at)));
        if (length == 0)
            return expected(p, "UTF-8 text");
        p->at += length;
    }
    p->at = start;
    return 0;
}

static int parse_document(struct parser *p)
{
    if (p->text.size > TOML_MAX_BYTES)
        return fail(p, GRID_ELIMIT, "expected a file of at most %d bytes", TOML_MAX_BYTES);
    int err = at_literal(p, "\xef\xbb\xbf") ? expected(p, "no byte-order mark: save the file as UTF-8 without one") : check_utf8(p);
    while (err == 0 && p->at < p->end)
        err = parse_line(p);
    return err;
}

int toml_parse(struct slice text, struct arena *arena, struct toml_document *out, struct toml_error *error)
{
    if (text.size == 0)
        text = SLICE("");
    *out = (struct toml_document){0};
    *error = (struct toml_error){0};
    struct parser p = {.text = text,
                       .at = text.data,
                       .end = text.data + text.size,
                       .arena = arena,
                       .error = error,
                       .table = SLICE(""),
                       .line = 1,
                       .line_mark = text.data,
                       .document = out};
    buf_init(&p.scratch, 0);
    int err = buf_reserve(&p.scratch, text.size); /* no string is longer: it never moves, and nothing of it is left behind */
    if (err == 0)
        err = parse_document(&p);
    buf_dispose_wiped(&p.scratch);
    return err;
}

void toml_position(struct slice text, size_t offset, unsigned *line, unsigned *column)
{
    *line = 1;
    for (size_t i = 0; i < offset && i < text.size; i++)
        *line += text.data[i] == '\n';
    *column = column_of(text.data, text.data + (offset < text.size ? offset : text.size));
}

const struct toml_entry *toml_find(const struct toml_document *document, const char *table, const char *key)
{
    for (const struct toml_entry *entry = document->first; entry; entry = entry->next)
        if (slice_equal_str(entry->table, table) && slice_equal_str(entry->key, key))
            return entry;
    return NULL;
}
