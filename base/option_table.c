/* Values of options: read from four places, the strongest of which wins, and each remembers where it came from. */
#include "base/option_table.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/json.h"
#include "base/option_value.h"

enum { ARENA_BLOCK = 4096, SHOWN_VALUE_MAX = 80 };

struct option_set {
    const struct option_row *rows;
    size_t count;
    struct arena *arena;
    struct option_value *values; /* one for each row */
    const char **arguments;
    size_t argument_count;
};

/* One value on its way in: where it stands, and how a sound one would be written there. */
struct input {
    const struct option_row *row;
    struct slice text;
    enum option_source source;
    const char *origin;
    const char *example_prefix; /* "--workers ", "GRID_WORKERS=", "workers = " */
    const char *example_quote;  /* around the example: "" or a quote */
};

static int out_of_memory(struct option_error *error)
{
    snprintf(error->message, sizeof error->message, "out of memory while reading options");
    return GRID_ENOMEM;
}

/* The value in quotes with control characters escaped; never that of a secret. */
static int append_shown(struct buf *out, const struct option_row *row, struct slice text)
{
    if (row->attributes & OPTION_SECRET)
        return buf_append_str(out, "the value");
    return json_append_string(out, slice_first(text, SHOWN_VALUE_MAX));
}

static int explain_unfit(const struct input *input, struct option_error *error)
{
    struct buf shown, wanted;
    buf_init(&shown, 0);
    buf_init(&wanted, 0);
    append_shown(&shown, input->row, input->text);
    option_value_describe(input->row, &wanted);
    snprintf(error->message, sizeof error->message, "%s: %.*s is not %.*s; give for example %s%s%s%s", input->origin,
             SLICE_FMT(buf_slice(&shown)), SLICE_FMT(buf_slice(&wanted)), input->example_prefix, input->example_quote,
             option_value_example(input->row), input->example_quote);
    buf_dispose(&shown);
    buf_dispose(&wanted);
    return GRID_EINVAL;
}

/* A list that is given again on the command line grows. */
static int join_list(struct option_set *set, const struct option_value *old, struct input *input)
{
    const char *joined = arena_printf(set->arena, "%s,%.*s", old->text, SLICE_FMT(input->text));
    input->text = slice_of_str(joined);
    return joined ? 0 : GRID_ENOMEM;
}

static int accept_input(struct option_set *set, struct input *input, struct option_error *error)
{
    struct option_value parsed, *value = &set->values[input->row - set->rows];
    int err = option_value_parse(input->row, input->text, set->arena, &parsed);
    if (err == GRID_EINVAL)
        return explain_unfit(input, error);
    if (err == 0 && option_kind_is_list(input->row->kind) && input->source == OPTION_FROM_FLAG &&
        value->source == OPTION_FROM_FLAG) {
        err = join_list(set, value, input);
        if (err == 0)
            err = option_value_parse(input->row, input->text, set->arena, &parsed);
    }
    if (err != 0)
        return out_of_memory(error);
    if (input->source < value->source)
        return 0;
    parsed.source = input->source;
    parsed.origin = input->origin;
    *value = parsed;
    return 0;
}

static int set_defaults(struct option_set *set)
{
    int err = 0;
    for (size_t i = 0; err == 0 && i < set->count; i++) {
        set->values[i].origin = "not set";
        if (!set->rows[i].fallback)
            continue;
        err = option_value_parse(&set->rows[i], slice_of_str(set->rows[i].fallback), set->arena, &set->values[i]);
        set->values[i].source = OPTION_FROM_DEFAULT;
        set->values[i].origin = "default";
    }
    return err;
}

int option_set_create(const struct option_row *rows, size_t count, struct option_set **out)
{
    struct option_set *set = calloc(1, sizeof *set);
    if (!set)
        return GRID_ENOMEM;
    *set = (struct option_set){.rows = rows, .count = count, .arena = arena_create(ARENA_BLOCK, 0)};
    set->values = set->arena ? arena_calloc(set->arena, count, sizeof *set->values) : NULL;
    int err = set->values ? set_defaults(set) : GRID_ENOMEM;
    if (err != 0) {
        option_set_destroy(set);
        return err;
    }
    *out = set;
    return 0;
}

void option_set_destroy(struct option_set *set)
{
    if (!set)
        return;
    arena_destroy(set->arena);
    free(set);
}

static const struct option_row *find_row(const struct option_set *set, struct slice name)
{
    for (size_t i = 0; i < set->count; i++)
        if (slice_equal_str(name, set->rows[i].name))
            return &set->rows[i];
    return NULL;
}

/* `subject` is the unknown thing as it stands there, `prefix` what stands before a name in that place. */
static int explain_unknown(const struct option_set *set, const char *subject, struct slice name, const char *prefix,
                           struct option_error *error)
{
    const char *nearest = option_nearest(set->rows, set->count, name);
    if (nearest)
        snprintf(error->message, sizeof error->message, "%s is not an option; did you mean %s%s?", subject, prefix, nearest);
    else
        snprintf(error->message, sizeof error->message, "%s is not an option; --help lists them all", subject);
    return GRID_EINVAL;
}

/* Quoted where it has characters that a terminal should not see. */
static const char *shown_name(struct option_set *set, const char *prefix, struct slice name)
{
    struct buf quoted;
    buf_init(&quoted, 0);
    name = slice_first(name, SHOWN_VALUE_MAX);
    json_append_string(&quoted, name);
    bool is_plain = quoted.size == name.size + 2;
    const char *shown = is_plain ? arena_printf(set->arena, "%s%.*s", prefix, SLICE_FMT(name))
                                 : arena_printf(set->arena, "%.*s", SLICE_FMT(buf_slice(&quoted)));
    buf_dispose(&quoted);
    return shown ? shown : "it";
}

/* The value behind "=", or the next argument; a flag without "=" is true. Moves `*index` to the last argument it used. */
static int find_argument_value(const struct option_row *row, int argc, char *const argv[], int *index, struct slice *out,
                               struct option_error *error)
{
    const char *equals = strchr(argv[*index], '=');
    if (equals) {
        *out = slice_of_str(equals + 1);
    } else if (row->kind == OPTION_FLAG) {
        *out = SLICE("true");
    } else if (*index + 1 < argc && strncmp(argv[*index + 1], "--", 2) != 0) {
        *out = slice_of_str(argv[++*index]);
    } else {
        snprintf(error->message, sizeof error->message, "--%s needs a value; give for example --%s %s", row->name, row->name,
                 option_value_example(row));
        return GRID_EINVAL;
    }
    return 0;
}

static int read_option(struct option_set *set, int argc, char *const argv[], int *index, struct option_error *error)
{
    struct slice name = slice_of(argv[*index] + 2, strcspn(argv[*index] + 2, "="));
    const struct option_row *row = find_row(set, name);
    struct slice text;
    if (!row)
        return explain_unknown(set, shown_name(set, "--", name), name, "--", error);
    int err = find_argument_value(row, argc, argv, index, &text, error);
    if (err != 0)
        return err;
    const char *origin = arena_printf(set->arena, "--%s", row->name);
    const char *prefix = arena_printf(set->arena, "--%s%s", row->name, row->kind == OPTION_FLAG ? "=" : " ");
    if (!origin || !prefix)
        return out_of_memory(error);
    struct input input = {row, text, OPTION_FROM_FLAG, origin, prefix, ""};
    return accept_input(set, &input, error);
}

int option_read_arguments(struct option_set *set, int argc, char *const argv[], struct option_error *error)
{
    bool ended = false;
    int err = 0;
    set->argument_count = 0;
    set->arguments = arena_calloc(set->arena, (size_t) argc + 1, sizeof *set->arguments);
    if (!set->arguments)
        return out_of_memory(error);
    for (int i = 0; err == 0 && i < argc; i++) {
        if (!ended && strcmp(argv[i], "--") == 0)
            ended = true;
        else if (!ended && strncmp(argv[i], "--", 2) == 0)
            err = read_option(set, argc, argv, &i, error);
        else if (!ended && argv[i][0] == '-' && argv[i][1])
            err = explain_unknown(set, shown_name(set, "", slice_of_str(argv[i])), slice_of_str(argv[i] + 1), "--", error);
        else
            set->arguments[set->argument_count++] = argv[i];
    }
    return err;
}

/* "log-level" -> "GRID_LOG_LEVEL" */
static char *environment_name(struct arena *arena, const char *name)
{
    char *result = arena_printf(arena, "GRID_%s", name);
    for (char *c = result; c && *c; c++)
        *c = (char) (*c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? *c - 32 : *c);
    return result;
}

static const char *find_variable(char *const environment[], const char *name)
{
    size_t length = strlen(name);
    for (; *environment; environment++)
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=' && (*environment)[length + 1])
            return *environment + length + 1;
    return NULL;
}

static int read_variable(struct option_set *set, const struct option_row *row, char *const environment[],
                         struct option_error *error)
{
    const char *name = environment_name(set->arena, row->name);
    if (!name)
        return out_of_memory(error);
    const char *text = find_variable(environment, name);
    if (!text && row->env_alias) {
        name = row->env_alias;
        text = find_variable(environment, name);
    }
    if (!text)
        return 0;
    const char *prefix = arena_printf(set->arena, "%s=", name);
    if (!prefix)
        return out_of_memory(error);
    struct input input = {row, slice_of_str(text), OPTION_FROM_ENV, name, prefix, ""};
    return accept_input(set, &input, error);
}

int option_read_environment(struct option_set *set, char *const environment[], struct option_error *error)
{
    int err = 0;
    for (size_t i = 0; err == 0 && i < set->count; i++)
        err = read_variable(set, &set->rows[i], environment, error);
    return err;
}

/* A file's value as the text that would stand on the command line. An array's elements get commas between; one that holds a comma
 * itself, or is an array again, cannot be written so and gives GRID_EINVAL. */
static int append_toml_text(struct buf *out, const struct toml_value *value, bool is_list)
{
    int err = 0;
    switch (value->type) {
    case TOML_STRING:
        return buf_append(out, value->string);
    case TOML_INTEGER:
        return buf_printf(out, "%" PRId64, value->integer);
    case TOML_BOOL:
        return buf_append_str(out, value->boolean ? "true" : "false");
    case TOML_ARRAY:
        break;
    }
    if (!is_list)
        err = GRID_EINVAL;
    for (const struct toml_value *item = value->first; err == 0 && item; item = item->next) {
        bool fits = item->type != TOML_ARRAY && !(item->type == TOML_STRING && slice_find_byte(item->string, 0, ',') >= 0);
        err = !fits ? GRID_EINVAL : item == value->first ? 0 : buf_append_byte(out, ',');
        if (err == 0)
            err = append_toml_text(out, item, false);
    }
    return err;
}

static int read_entry(struct option_set *set, const struct option_row *row, const struct toml_entry *entry, const char *origin,
                      struct option_error *error)
{
    bool is_bare = row->kind == OPTION_FLAG || row->kind == OPTION_UINT;
    const char *prefix = arena_printf(set->arena, "%s = ", row->name);
    struct buf text;
    if (entry->value.type == TOML_ARRAY && !entry->value.first)
        return 0; /* an empty array says nothing */
    buf_init(&text, 0);
    int err = prefix ? append_toml_text(&text, &entry->value, option_kind_is_list(row->kind)) : GRID_ENOMEM;
    struct input input = {row, buf_slice(&text), OPTION_FROM_FILE, origin, prefix, is_bare ? "" : "\""};
    if (err == 0) {
        err = accept_input(set, &input, error);
    } else if (err == GRID_EINVAL) {
        input.text = SLICE("[...]");
        err = explain_unfit(&input, error);
    } else {
        err = out_of_memory(error);
    }
    buf_dispose(&text);
    return err;
}

int option_read_toml(struct option_set *set, const struct toml_document *document, const char *table, const char *file,
                     struct option_error *error)
{
    int err = 0;
    for (const struct toml_entry *entry = document->first; err == 0 && entry; entry = entry->next) {
        if (!slice_equal_str(entry->table, table))
            continue;
        const char *name = shown_name(set, "", entry->key);
        const char *origin = arena_printf(set->arena, "%s in %s, line %u", name, file, entry->line);
        const struct option_row *row = find_row(set, entry->key);
        if (!origin)
            err = out_of_memory(error);
        else if (!row)
            err = explain_unknown(set, origin, entry->key, "", error);
        else
            err = read_entry(set, row, entry, origin, error);
    }
    return err;
}

static const struct option_value *find_value(const struct option_set *set, const char *name)
{
    const struct option_row *row = find_row(set, slice_of_str(name));
    assert(row && "an option that is not in the table");
    return &set->values[row - set->rows];
}

const char *option_string(const struct option_set *set, const char *name)
{
    return find_value(set, name)->text;
}

bool option_flag(const struct option_set *set, const char *name)
{
    return find_value(set, name)->number != 0;
}

uint64_t option_number(const struct option_set *set, const char *name)
{
    return find_value(set, name)->number;
}

const char *const *option_list(const struct option_set *set, const char *name, size_t *out_count)
{
    const struct option_value *value = find_value(set, name);
    *out_count = value->item_count;
    return value->items;
}

const struct option_hostport *option_hostports(const struct option_set *set, const char *name, size_t *out_count)
{
    const struct option_value *value = find_value(set, name);
    *out_count = value->item_count;
    return value->hostports;
}

const char *const *option_arguments(const struct option_set *set, size_t *out_count)
{
    *out_count = set->argument_count;
    return set->arguments;
}

enum option_source option_source(const struct option_set *set, const char *name)
{
    return find_value(set, name)->source;
}

const char *option_origin(const struct option_set *set, const char *name)
{
    return find_value(set, name)->origin;
}

void option_explain(const struct option_set *set, const char *name, const char *fault, const char *remedy,
                    struct option_error *error)
{
    const struct option_value *value = find_value(set, name);
    struct buf shown;
    buf_init(&shown, 0);
    append_shown(&shown, find_row(set, slice_of_str(name)), slice_of_str(value->text));
    if (value->source == OPTION_FROM_DEFAULT || value->source == OPTION_FROM_NOWHERE)
        snprintf(error->message, sizeof error->message, "--%s (%s): %.*s %s; %s", name, value->origin, SLICE_FMT(buf_slice(&shown)),
                 fault, remedy);
    else
        snprintf(error->message, sizeof error->message, "%s: %.*s %s; %s", value->origin, SLICE_FMT(buf_slice(&shown)), fault,
                 remedy);
    buf_dispose(&shown);
}

bool option_view(const struct option_set *set, size_t index, struct option_view *out)
{
    if (index >= set->count)
        return false;
    const struct option_value *value = &set->values[index];
    bool hidden = value->text && (set->rows[index].attributes & OPTION_SECRET);
    *out = (struct option_view){set->rows[index].name, hidden ? "(hidden)" : value->text, value->origin};
    return true;
}

const char *option_fixed_change(const struct option_set *before, const struct option_set *after)
{
    for (size_t i = 0; i < before->count && i < after->count; i++) {
        struct slice a = slice_of_str(before->values[i].text), b = slice_of_str(after->values[i].text);
        if (!(before->rows[i].attributes & OPTION_RELOADABLE) && !slice_equal(a, b))
            return before->rows[i].name;
    }
    return NULL;
}
