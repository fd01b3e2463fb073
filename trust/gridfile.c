/* The Gridfile: a table of its keys drives reading, checking and writing. */
#include "trust/gridfile.h"

#include <stdio.h>

#include "base/err.h"

struct field {
    const char *key;
    size_t at;       /* offset of the text or the list */
    size_t count_at; /* of a list's length; 0 for a text */
    bool secret;
    const char *(*judge)(struct slice value); /* NULL, or what is expected of it */
};

#define TEXT(name, secret, judge) {#name, offsetof(struct gridfile, name), 0, secret, judge}
#define LIST(name, list, count, judge) {#name, offsetof(struct gridfile, list), offsetof(struct gridfile, count), false, judge}

static const char *judge_name(struct slice value)
{
    return trust_name_valid(value) ? NULL : "a name of 1 to 63 bytes without control characters";
}

static const char *judge_id(struct slice value)
{
    bool fine = value.size == TRUST_ID_SIZE - 1;
    for (size_t i = 0; fine && i < value.size; i++)
        fine = (value.data[i] >= '0' && value.data[i] <= '9') || (value.data[i] >= 'a' && value.data[i] <= 'f');
    return fine ? NULL : "ids of 64 lowercase hexadecimal digits";
}

static const char *judge_any(struct slice value)
{
    return memchr(value.data, '\0', value.size) ? "a text without NUL" : NULL;
}

static const struct field fields[] = {
    TEXT(grid_name, false, judge_name),
    TEXT(grid_password, true, judge_any),
    LIST(servers, servers, server_count, judge_any),
    TEXT(ssh_key, true, judge_any),
    TEXT(ssh_public_key, false, judge_any),
    LIST(publishers, publishers, publisher_count, judge_id),
    TEXT(authority_certificate, false, judge_any),
    TEXT(authority_key, true, judge_any),
};
enum { FIELD_COUNT = sizeof fields / sizeof fields[0] };

static const char **text_at(const struct gridfile *g, const struct field *f)
{
    return (const char **) (uintptr_t) ((const char *) g + f->at);
}

static const char *const **list_at(const struct gridfile *g, const struct field *f)
{
    return (const char *const **) (uintptr_t) ((const char *) g + f->at);
}

static size_t *count_at(const struct gridfile *g, const struct field *f)
{
    return (size_t *) (uintptr_t) ((const char *) g + f->count_at);
}

/* ---- reading ---- */

/* What taking one entry needs. */
struct taking {
    const struct gridfile *card;
    struct slice text;
    const struct toml_entry *entry;
    char *sentence;
};

static int expected(const struct taking *t, const struct toml_value *at, const char *what)
{
    unsigned line, column;
    toml_position(t->text, at->offset, &line, &column);
    snprintf(t->sentence, TRUST_SENTENCE_MAX, "Gridfile line %u, column %u: expected %s for %.*s", line, column, what, SLICE_FMT(t->entry->key));
    return GRID_EPROTO;
}

static int take_text(const struct taking *t, const struct field *f)
{
    const struct toml_value *value = &t->entry->value;
    if (value->type != TOML_STRING)
        return expected(t, value, "a string");
    const char *fault = f->judge(value->string);
    if (!fault)
        fault = judge_any(value->string);
    if (fault)
        return expected(t, value, fault);
    *text_at(t->card, f) = (const char *) value->string.data;
    return 0;
}

static int take_list(const struct taking *t, const struct field *f)
{
    const struct toml_value *value = &t->entry->value;
    const char *list_wanted = "a list of at most 1024 strings";
    size_t count = 0;
    if (value->type != TOML_ARRAY)
        return expected(t, value, list_wanted);
    for (const struct toml_value *v = value->first; v; v = v->next, count++) {
        const char *fault = v->type != TOML_STRING || count >= GRIDFILE_LIST_MAX ? list_wanted : f->judge(v->string);
        if (fault)
            return expected(t, v, fault);
    }
    const char **list = arena_calloc(t->card->arena, count + 1, sizeof *list);
    if (!list)
        return GRID_ENOMEM;
    *count_at(t->card, f) = count;
    *list_at(t->card, f) = list;
    for (const struct toml_value *v = value->first; v; v = v->next)
        *list++ = (const char *) v->string.data;
    return 0;
}

static const struct field *field_of(const struct toml_entry *entry)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (entry->table.size == 0 && slice_equal_str(entry->key, fields[i].key))
            return &fields[i];
    return NULL;
}

static int take_entries(struct taking *t, const struct toml_document *document, gridfile_other_fn other, void *ctx)
{
    int err = 0;
    for (t->entry = document->first; err == 0 && t->entry; t->entry = t->entry->next) {
        const struct field *f = field_of(t->entry);
        if (f)
            err = f->count_at ? take_list(t, f) : take_text(t, f);
        else if (other)
            other(ctx, t->entry);
    }
    return err;
}

static int parse_toml(struct slice text, struct arena *arena, struct toml_document *document, char sentence[TRUST_SENTENCE_MAX])
{
    struct toml_error error = {0};
    int err = toml_parse(text, arena, document, &error);
    if (err == GRID_EPROTO || err == GRID_ELIMIT)
        snprintf(sentence, TRUST_SENTENCE_MAX, "Gridfile line %u, column %u: %s", error.line, error.column, error.message);
    return err;
}

int gridfile_parse(struct slice text, gridfile_other_fn other, void *ctx, struct gridfile *out, char sentence[TRUST_SENTENCE_MAX])
{
    struct toml_document document = {0};
    *out = (struct gridfile){.arena = arena_create(4096, 0)};
    snprintf(sentence, TRUST_SENTENCE_MAX, "Gridfile: %s", grid_err_text(GRID_ENOMEM));
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (!fields[i].count_at)
            *text_at(out, &fields[i]) = "";
    int err = out->arena ? parse_toml(text, out->arena, &document, sentence) : GRID_ENOMEM;
    if (err == 0)
        err = take_entries(&(struct taking){.card = out, .text = text, .sentence = sentence}, &document, other, ctx);
    if (err == 0)
        sentence[0] = '\0';
    else
        gridfile_dispose(out);
    return err;
}

void gridfile_dispose(struct gridfile *g)
{
    arena_destroy_wiped(g->arena);
    *g = (struct gridfile){0};
}

void gridfile_forget_secrets(struct gridfile *g)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (fields[i].secret && *text_at(g, &fields[i])) {
            char *secret = (char *) (uintptr_t) *text_at(g, &fields[i]);
            explicit_bzero(secret, strlen(secret));
        }
}

static bool holds(const char *text)
{
    return text && text[0] != '\0';
}

bool gridfile_is_secret(const struct gridfile *g)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (fields[i].secret && holds(*text_at(g, &fields[i])))
            return true;
    return false;
}

/* ---- writing ---- */

static bool fits_literal(const char *text)
{
    if (strstr(text, "'''") || text[strlen(text) - 1] == '\'')
        return false;
    for (const char *at = text; *at; at++)
        if (((unsigned char) *at < 0x20 && *at != '\n' && *at != '\t') || *at == 0x7f)
            return false;
    return true;
}

static int append_basic(struct buf *out, const char *text)
{
    int err = buf_append_byte(out, '"');
    for (const char *at = text; err == 0 && *at; at++) {
        unsigned char c = (unsigned char) *at;
        if (c == '"' || c == '\\')
            err = buf_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            err = buf_printf(out, "\\u%04x", c);
        else
            err = buf_append_byte(out, c);
    }
    return err != 0 ? err : buf_append_byte(out, '"');
}

static int append_text(struct buf *out, const char *text)
{
    if (!slice_is_utf8(slice_of_str(text)))
        return GRID_EINVAL;
    return strchr(text, '\n') && fits_literal(text) ? buf_printf(out, "'''\n%s'''", text) : append_basic(out, text);
}

static int append_list(struct buf *out, const char *const *list, size_t count)
{
    int err = buf_append_byte(out, '[');
    for (size_t i = 0; err == 0 && i < count; i++) {
        err = buf_append_str(out, i ? ", " : "");
        if (err == 0)
            err = append_text(out, list[i]);
    }
    return err != 0 ? err : buf_append_byte(out, ']');
}

static int append_field(const struct gridfile *g, const struct field *f, struct buf *out)
{
    bool present = f->count_at ? *count_at(g, f) > 0 : holds(*text_at(g, f));
    if (!present)
        return 0;
    int err = buf_printf(out, "%s = ", f->key);
    if (err == 0)
        err = f->count_at ? append_list(out, *list_at(g, f), *count_at(g, f)) : append_text(out, *text_at(g, f));
    return err != 0 ? err : buf_append_byte(out, '\n');
}

int gridfile_format(const struct gridfile *g, struct buf *out)
{
    int err = buf_append_str(out, "# The access card of a grid: who has it can let servers and people in. Keep it secret (chmod 600).\n");
    for (size_t i = 0; err == 0 && i < FIELD_COUNT; i++)
        err = append_field(g, &fields[i], out);
    return err;
}

/* ---- its authority ---- */

static int judge_grid(const struct gridfile *g, const struct authority *a, const char *grid_name, char sentence[TRUST_SENTENCE_MAX])
{
    const char *own = authority_grid_name(a);
    if (holds(g->grid_name) && strcmp(g->grid_name, own) != 0) {
        snprintf(sentence, TRUST_SENTENCE_MAX,
                 "the Gridfile says grid_name \"%.63s\" but its authority is of grid \"%s\": put the name back, or make a new one with grid new",
                 g->grid_name, own);
        return GRID_EINVAL;
    }
    if (grid_name && strcmp(grid_name, own) != 0) {
        snprintf(sentence, TRUST_SENTENCE_MAX, "the Gridfile is of grid \"%s\", not of \"%.63s\": give that grid's Gridfile, or its name",
                 own, grid_name);
        return GRID_EINVAL;
    }
    return 0;
}

int gridfile_authority(const struct gridfile *g, const char *grid_name, struct authority **out, char sentence[TRUST_SENTENCE_MAX])
{
    char why[TRUST_WHY_MAX];
    struct authority *a;
    if (!holds(g->authority_certificate)) {
        snprintf(sentence, TRUST_SENTENCE_MAX, "the Gridfile has no authority_certificate: make one with grid new, or take one from a member");
        return GRID_ENOENT;
    }
    struct slice key = slice_of_str(g->authority_key ? g->authority_key : "");
    int err = authority_load(slice_of_str(g->authority_certificate), key, &a, why);
    if (err != 0) {
        snprintf(sentence, TRUST_SENTENCE_MAX, "the Gridfile's authority is damaged: %s; take the Gridfile from a copy", why);
        return err;
    }
    err = judge_grid(g, a, grid_name, sentence);
    if (err == 0)
        *out = a;
    else
        authority_destroy(a);
    return err;
}
