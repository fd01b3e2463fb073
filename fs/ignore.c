/* .gridignore: lines become patterns, a pattern with wildcards a list of steps that is run over a path as a set of places
 * (Thompson's simulation), so that no pattern can make it slow. */
#include "fs/ignore.h"

#include <stdlib.h>

#include "base/err.h"

enum step_kind {
    STEP_BYTE,     /* this byte */
    STEP_SET,      /* a byte of a set, never '/' */
    STEP_ANY,      /* '?': any byte but '/' */
    STEP_STAR,     /* '*': any number of bytes but '/' */
    STEP_FOLDERS,  /* at the start of a component: any number of whole components, followed by STEP_INSIDE */
    STEP_INSIDE,   /* within such a component */
    STEP_SOME,     /* a trailing double star: any bytes, at least one, followed by STEP_REST */
    STEP_REST,     /* any bytes */
    STEP_NEVER,    /* matches nothing: the pattern is broken */
};

struct byte_set {
    uint64_t bits[4];
};

struct step {
    uint8_t kind;
    uint8_t byte;
    uint16_t set; /* index */
};

struct pattern {
    struct slice text;  /* the literal, when there are no steps */
    struct step *steps; /* NULL for a literal */
    struct byte_set *sets;
    uint32_t step_count;
    bool negated;
    bool dirs_only;
    bool anchored; /* compared with the path from the list's folder, else with the name alone */
};

struct ignore_list {
    const struct ignore_list *parent;
    char *content;
    char *base;
    size_t base_size;
    struct pattern *patterns;
    uint32_t count;
    uint32_t capacity;
};

/* ---- from text to steps ---- */

static bool set_has(const struct byte_set *s, uint8_t c)
{
    return s->bits[c >> 6] >> (c & 63) & 1;
}

static void set_add(struct byte_set *s, unsigned first, unsigned last)
{
    for (unsigned c = first; c <= last; c++)
        s->bits[c >> 6] |= UINT64_C(1) << (c & 63);
}

/* POSIX classes in the C locale, as ranges: pairs of first and last. */
static const struct {
    const char *name;
    const char *ranges;
    bool with_nul;
} byte_classes[] = {
    {"alnum", "09AZaz", false}, {"alpha", "AZaz", false},   {"blank", "\t\t  ", false},       {"cntrl", "\001\037\177\177", true},
    {"digit", "09", false},     {"graph", "!~", false},     {"lower", "az", false},           {"print", " ~", false},
    {"punct", "!/:@[`{~", false}, {"space", "\t\r  ", false}, {"upper", "AZ", false},           {"xdigit", "09AFaf", false},
};

static bool set_add_class(struct byte_set *s, struct slice name)
{
    for (size_t i = 0; i < sizeof byte_classes / sizeof *byte_classes; i++) {
        if (!slice_equal_str(name, byte_classes[i].name))
            continue;
        for (const char *r = byte_classes[i].ranges; *r; r += 2)
            set_add(s, (uint8_t) r[0], (uint8_t) r[1]);
        if (byte_classes[i].with_nul)
            set_add(s, 0, 0);
        return true;
    }
    return false;
}

/* "[:name:]" at `at`. Returns the offset behind it, 0 when it is broken, `at` when it is no class but an ordinary '['. */
static size_t parse_class(struct slice p, size_t at, struct byte_set *set)
{
    ptrdiff_t close = slice_find_byte(p, at + 2, ']');
    if (close < 0)
        return 0;
    size_t end = (size_t) close;
    if (end < at + 3 || p.data[end - 1] != ':')
        return at;
    return set_add_class(set, slice_of(p.data + at + 2, end - at - 3)) ? end + 1 : 0;
}

/* One byte of a set, with its escape. Returns the offset behind it, 0 at the end of the pattern. */
static size_t parse_set_byte(struct slice p, size_t at, uint8_t *byte)
{
    if (at < p.size && p.data[at] == '\\')
        at++;
    if (at >= p.size)
        return 0;
    *byte = p.data[at];
    return at + 1;
}

/* A byte, or the range that begins with it. */
static size_t parse_range(struct slice p, size_t at, struct byte_set *set)
{
    uint8_t first, last;
    at = parse_set_byte(p, at, &first);
    if (at == 0)
        return 0;
    set_add(set, first, first);
    if (at + 1 >= p.size || p.data[at] != '-' || p.data[at + 1] == ']')
        return at;
    at = parse_set_byte(p, at + 1, &last);
    if (at != 0)
        set_add(set, first, last); /* nothing when the range is upside down */
    return at;
}

/* "[...]" at `at`. Returns the offset behind it, or 0 when it has no end. */
static size_t parse_set(struct slice p, size_t at, struct byte_set *set)
{
    bool negated = false;
    *set = (struct byte_set){{0}};
    if (++at < p.size && (p.data[at] == '!' || p.data[at] == '^')) {
        negated = true;
        at++;
    }
    for (bool first = true;; first = false) {
        if (at >= p.size)
            return 0;
        if (p.data[at] == ']' && !first)
            break;
        size_t next = at;
        if (p.data[at] == '[' && at + 1 < p.size && p.data[at + 1] == ':') {
            next = parse_class(p, at, set);
            if (next == 0)
                return 0;
        }
        at = next != at ? next : parse_range(p, at, set);
        if (at == 0)
            return 0;
    }
    for (size_t i = 0; negated && i < 4; i++)
        set->bits[i] = ~set->bits[i];
    set->bits['/' >> 6] &= ~(UINT64_C(1) << ('/' & 63));
    return at + 1;
}

struct compiler {
    struct step *steps;
    struct byte_set *sets;
    uint32_t step_count;
    uint32_t set_count;
    size_t literal; /* bytes before the first wildcard, 0 unless anchored */
};

static void step_add(struct compiler *c, enum step_kind kind, uint8_t byte, uint32_t set)
{
    c->steps[c->step_count++] = (struct step){(uint8_t) kind, byte, (uint16_t) set};
}

/* A run of stars at `at`, which is whole components when it fills one. git compares what stands before the first wildcard of an anchored pattern by
 * itself, so that stars right behind it stand at a beginning for it. Returns the offset of what is compiled next. */
static size_t compile_stars(struct compiler *c, struct slice p, size_t at)
{
    size_t start = at;
    while (at < p.size && p.data[at] == '*')
        at++;
    bool begins = start == 0 || p.data[start - 1] == '/';
    bool fills = at - start >= 2 && (begins || start == c->literal);
    if (fills && at == p.size) {
        if (begins)
            step_add(c, STEP_SOME, 0, 0);
        step_add(c, STEP_REST, 0, 0);
    } else if (fills && p.data[at] == '/') {
        step_add(c, STEP_FOLDERS, 0, 0);
        step_add(c, STEP_INSIDE, 0, 0);
        at++;
    } else {
        step_add(c, STEP_STAR, 0, 0);
    }
    return at;
}

static size_t compile_one(struct compiler *c, struct slice p, size_t at)
{
    uint8_t byte = p.data[at];
    if (byte == '*')
        return compile_stars(c, p, at);
    if (byte == '[') {
        size_t end = parse_set(p, at, &c->sets[c->set_count]);
        step_add(c, end ? STEP_SET : STEP_NEVER, 0, c->set_count++);
        return end ? end : p.size;
    }
    if (byte == '\\') {
        if (++at == p.size)
            step_add(c, STEP_NEVER, 0, 0);
        else
            step_add(c, STEP_BYTE, p.data[at++], 0);
        return at;
    }
    step_add(c, byte == '?' ? STEP_ANY : STEP_BYTE, byte, 0);
    return at + 1;
}

static size_t count_byte(struct slice s, uint8_t byte)
{
    size_t count = 0;
    for (size_t i = 0; i < s.size; i++)
        count += s.data[i] == byte;
    return count;
}

/* Bytes before the first one that is or may be a wildcard. */
static size_t count_literal(struct slice s)
{
    size_t count = 0;
    while (count < s.size && !strchr("*?[\\", s.data[count]))
        count++;
    return count;
}

/* Turns out->text into steps, two at most for a byte of it. */
static int pattern_compile(struct pattern *out)
{
    struct compiler c = {.literal = out->anchored ? count_literal(out->text) : 0};
    c.steps = calloc(2 * out->text.size + 1, sizeof *c.steps);
    c.sets = calloc(count_byte(out->text, '[') + 1, sizeof *c.sets);
    if (!c.steps || !c.sets) {
        free(c.steps);
        free(c.sets);
        return GRID_ENOMEM;
    }
    for (size_t at = 0; at < out->text.size;)
        at = compile_one(&c, out->text, at);
    out->steps = c.steps;
    out->sets = c.sets;
    out->step_count = c.step_count;
    return 0;
}

/* ---- lines ---- */

/* Without the spaces at the end that no backslash protects. */
static struct slice line_trim(struct slice line)
{
    size_t end = 0;
    for (size_t i = 0; i < line.size; i++) {
        bool escaped = line.data[i] == '\\';
        i += escaped;
        if (i >= line.size)
            return line; /* a lone backslash at the end protects the spaces before it, as in git */
        if (line.data[i] != ' ' || escaped)
            end = i + 1;
    }
    return slice_first(line, end);
}

static struct pattern pattern_from_line(struct slice line)
{
    struct pattern p = {0};
    if (line.size > 0 && line.data[0] == '!') {
        p.negated = true;
        line = slice_from(line, 1);
    }
    if (line.size > 0 && line.data[line.size - 1] == '/') {
        p.dirs_only = true;
        line.size--;
    }
    p.anchored = slice_find_byte(line, 0, '/') >= 0;
    if (line.size > 0 && line.data[0] == '/')
        line = slice_from(line, 1);
    p.text = line;
    return p;
}

static int list_add(struct ignore_list *l, struct pattern p)
{
    if (l->count == l->capacity) {
        uint32_t capacity = l->capacity ? l->capacity * 2 : 16;
        struct pattern *patterns = realloc(l->patterns, capacity * sizeof *patterns);
        if (!patterns)
            return GRID_ENOMEM;
        l->patterns = patterns;
        l->capacity = capacity;
    }
    int err = count_literal(p.text) < p.text.size ? pattern_compile(&p) : 0;
    if (err == 0)
        l->patterns[l->count++] = p;
    return err;
}

static int list_add_line(struct ignore_list *l, struct slice line)
{
    if (line.size > 0 && line.data[line.size - 1] == '\r')
        line.size--;
    ptrdiff_t nul = slice_find_byte(line, 0, '\0');
    if (nul >= 0)
        line.size = (size_t) nul;
    if (line.size > IGNORE_PATTERN_MAX)
        return GRID_ELIMIT;
    if (line.size == 0 || line.data[0] == '#')
        return 0;
    line = line_trim(line);
    return line.size > 0 ? list_add(l, pattern_from_line(line)) : 0;
}

static int list_parse(struct ignore_list *l, struct slice content, uint32_t *line)
{
    int err = 0;
    if (slice_has_prefix(content, SLICE("\xef\xbb\xbf")))
        content = slice_from(content, 3);
    for (size_t start = 0; start < content.size && err == 0;) {
        ptrdiff_t newline = slice_find_byte(content, start, '\n');
        size_t end = newline < 0 ? content.size : (size_t) newline;
        (*line)++;
        err = list_add_line(l, slice_of(content.data + start, end - start));
        start = end + 1;
    }
    return err;
}

int ignore_list_create(const struct ignore_list *parent, struct slice base, struct slice content, struct ignore_list **out,
                       uint32_t *line)
{
    uint32_t at = 0;
    int err = GRID_ELIMIT;
    struct ignore_list *l = NULL;
    if (content.size > IGNORE_CONTENT_MAX)
        goto done;
    err = GRID_ENOMEM;
    l = calloc(1, sizeof *l);
    if (!l)
        goto done;
    l->parent = parent;
    l->base_size = base.size;
    l->base = slice_to_str(base);
    l->content = slice_to_str(content);
    if (l->base && l->content)
        err = list_parse(l, slice_of(l->content, content.size), &at);
done:
    if (line)
        *line = at;
    if (err != 0) {
        ignore_list_destroy(l);
        l = NULL;
    }
    *out = l;
    return err;
}

void ignore_list_destroy(struct ignore_list *l)
{
    if (!l)
        return;
    for (uint32_t i = 0; i < l->count; i++) {
        free(l->patterns[i].steps);
        free(l->patterns[i].sets);
    }
    free(l->patterns);
    free(l->content);
    free(l->base);
    free(l);
}

/* ---- matching ---- */

/* Places in a pattern's steps; step_count itself is the end. */
#define PLACE_WORDS ((2 * IGNORE_PATTERN_MAX + 64) / 64)

struct places {
    uint64_t bits[PLACE_WORDS];
};

/* Adds a place and those reached from it without a byte. */
static void place_add(const struct pattern *p, struct places *set, uint32_t place)
{
    for (;;) {
        set->bits[place >> 6] |= UINT64_C(1) << (place & 63);
        if (place == p->step_count)
            return;
        if (p->steps[place].kind == STEP_STAR || p->steps[place].kind == STEP_REST)
            place++;
        else if (p->steps[place].kind == STEP_FOLDERS)
            place += 2;
        else
            return;
    }
}

/* Adds to `next` where a place goes on a byte. */
static void place_step(const struct pattern *p, struct places *next, uint32_t place, uint8_t c)
{
    const struct step *s = &p->steps[place];
    switch (s->kind) {
    case STEP_BYTE:
        if (s->byte == c)
            place_add(p, next, place + 1);
        break;
    case STEP_SET:
        if (set_has(&p->sets[s->set], c))
            place_add(p, next, place + 1);
        break;
    case STEP_ANY:
        if (c != '/')
            place_add(p, next, place + 1);
        break;
    case STEP_STAR:
        if (c != '/')
            place_add(p, next, place);
        break;
    case STEP_FOLDERS:
        place_add(p, next, c == '/' ? place : place + 1);
        break;
    case STEP_INSIDE:
        place_add(p, next, c == '/' ? place - 1 : place);
        break;
    case STEP_SOME:
        place_add(p, next, place + 1);
        break;
    case STEP_REST:
        place_add(p, next, place);
        break;
    default:
        break;
    }
}

static bool steps_match(const struct pattern *p, struct slice path)
{
    struct places now, next;
    size_t words = p->step_count / 64 + 1;
    memset(now.bits, 0, words * sizeof *now.bits);
    place_add(p, &now, 0);
    for (size_t i = 0; i < path.size; i++) {
        uint64_t any = 0;
        memset(next.bits, 0, words * sizeof *next.bits);
        for (size_t w = 0; w < words; w++) {
            for (uint64_t left = now.bits[w]; left; left &= left - 1) {
                uint32_t place = (uint32_t) (w * 64 + (unsigned) __builtin_ctzll(left));
                if (place < p->step_count)
                    place_step(p, &next, place, path.data[i]);
            }
        }
        for (size_t w = 0; w < words; w++)
            any |= next.bits[w];
        if (!any)
            return false;
        memcpy(now.bits, next.bits, words * sizeof *now.bits);
    }
    return now.bits[p->step_count >> 6] >> (p->step_count & 63) & 1;
}

static struct slice last_component(struct slice path)
{
    size_t start = path.size;
    while (start > 0 && path.data[start - 1] != '/')
        start--;
    return slice_from(path, start);
}

static bool pattern_matches(const struct pattern *p, struct slice path, struct slice name, bool is_dir)
{
    if (p->dirs_only && !is_dir)
        return false;
    struct slice subject = p->anchored ? path : name;
    return p->steps ? steps_match(p, subject) : slice_equal(p->text, subject);
}

/* The path from the list's folder; false when it is not below it. */
static bool path_below(const struct ignore_list *l, struct slice path, struct slice *out)
{
    *out = path;
    if (l->base_size == 0)
        return true;
    if (path.size <= l->base_size || path.data[l->base_size] != '/' || memcmp(path.data, l->base, l->base_size) != 0)
        return false;
    *out = slice_from(path, l->base_size + 1);
    return true;
}

bool ignore_list_excludes(const struct ignore_list *list, struct slice path, bool is_dir)
{
    struct slice below, name = last_component(path);
    for (; list; list = list->parent) {
        if (!path_below(list, path, &below))
            continue;
        for (uint32_t i = list->count; i-- > 0;)
            if (pattern_matches(&list->patterns[i], below, name, is_dir))
                return !list->patterns[i].negated;
    }
    return false;
}

/* ---- what is left out always ---- */

bool ignore_name_reserved(struct slice name)
{
    static const char *const names[] = {".git", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_equal_str(name, names[i]))
            return true;
    return slice_has_prefix(name, SLICE("Gridfile"));
}

static bool contains(struct slice s, struct slice what)
{
    return s.size > 0 && memmem(s.data, s.size, what.data, what.size) != NULL;
}

static bool is_key_material(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '+' || c == '/' || c == '=';
}

/* Behind a marker: an end of line, as it is or as written in a string ("\n"). Returns the bytes it takes, 0 for none. */
static size_t line_end(struct slice s)
{
    static const char *const ends[] = {"\r\n", "\n", "\r", "\\r\\n", "\\n"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (slice_has_prefix(s, slice_of_str(ends[i])))
            return strlen(ends[i]);
    return 0;
}

/* Whether a key follows the marker: 16 bytes of base64 on the next line. */
static bool key_follows(struct slice behind)
{
    struct slice rest = slice_from(behind, line_end(behind));
    size_t run = 0;
    if (rest.size == behind.size)
        return false;
    while (rest.size > 0 && (rest.data[0] == ' ' || rest.data[0] == '\t'))
        rest = slice_from(rest, 1);
    while (run < rest.size && run < 16 && is_key_material(rest.data[run]))
        run++;
    return run == 16;
}

static bool alone_on_line(struct slice head, size_t start, size_t end)
{
    bool begins = start == 0 || head.data[start - 1] == '\n' || head.data[start - 1] == '\r';
    while (end < head.size && (head.data[end] == ' ' || head.data[end] == '\t'))
        end++;
    return begins && (end == head.size || head.data[end] == '\n' || head.data[end] == '\r');
}

/* The end of a marker that begins at `start` ("-----BEGIN " is there), or 0 when it is not one of a private key. */
static size_t marker_end(struct slice head, size_t start)
{
    static const struct slice endings[] = {SLICE_INIT("PRIVATE KEY-----"), SLICE_INIT("PRIVATE KEY BLOCK-----")};
    struct slice label = slice_first(slice_from(head, start + 11), 80);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const uint8_t *hit = label.size ? memmem(label.data, label.size, endings[i].data, endings[i].size) : NULL;
        if (hit && !memchr(label.data, '\n', (size_t) (hit - label.data)))
            return (size_t) (hit - head.data) + endings[i].size;
    }
    return 0;
}

static bool has_key_block(struct slice head)
{
    static const struct slice begin = SLICE_INIT("-----BEGIN ");
    for (size_t at = 0; at < head.size;) {
        const uint8_t *hit = memmem(head.data + at, head.size - at, begin.data, begin.size);
        if (!hit)
            return false;
        size_t start = (size_t) (hit - head.data), end = marker_end(head, start);
        if (end && (alone_on_line(head, start, end) || key_follows(slice_from(head, end))))
            return true;
        at = start + begin.size;
    }
    return false;
}

static bool name_ends_with_any(struct slice name, const char *const *endings)
{
    for (; *endings; endings++)
        if (name.size > strlen(*endings) && slice_equal_nocase(slice_from(name, name.size - strlen(*endings)), slice_of_str(*endings)))
            return true;
    return false;
}

bool ignore_is_private_key(struct slice name, struct slice head)
{
    static const char *const key_files[] = {".pem", ".key", NULL};
    static const char *const certificate_files[] = {".pem", ".key", ".crt", ".cer", ".cert", ".p8", ".pk8", ".asc", NULL};
    if (name_ends_with_any(name, key_files) && contains(head, SLICE("PRIVATE KEY")))
        return true;
    if (!name_ends_with_any(name, certificate_files))
        head = slice_first(head, IGNORE_SNIFF_BYTES);
    return has_key_block(head) || slice_has_prefix(head, SLICE("PuTTY-User-Key-File-"));
}
