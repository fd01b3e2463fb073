/* One-letter options to long ones, and --env taken out, since its values may hold commas. */
#include "cli/arguments.h"

#include <stdio.h>

#include "base/err.h"

static bool takes_value(const struct verb *verb, struct slice name)
{
    struct option_row rows[VERB_OPTIONS_MAX];
    size_t count = verb_options(verb, rows);
    for (size_t i = 0; i < count; i++)
        if (slice_equal_str(name, rows[i].name))
            return rows[i].kind != OPTION_FLAG;
    return false;
}

/* "-dX" or "-d X" as "--data=X", "-f" as "--follow"; the argument itself when the letter is unknown. NULL when out of memory. */
static char *expand(const struct verb *verb, int argc, char *const argv[], int *index, struct arena *arena)
{
    char *text = argv[*index];
    struct slice name = verb_short(verb, text[1]);
    if (name.size == 0)
        return text;
    if (!takes_value(verb, name))
        return text[2] ? text : arena_printf(arena, "--%.*s", SLICE_FMT(name));
    if (text[2])
        return arena_printf(arena, "--%.*s=%s", SLICE_FMT(name), text + 2);
    if (*index + 1 >= argc)
        return arena_printf(arena, "--%.*s", SLICE_FMT(name));
    return arena_printf(arena, "--%.*s=%s", SLICE_FMT(name), argv[++*index]);
}

/* The value of --env, or NULL when the argument is another. */
static const char *env_value(const char *text, int argc, char *const argv[], int *index)
{
    if (strncmp(text, "--env=", 6) == 0)
        return text + 6;
    return strcmp(text, "--env") == 0 && *index + 1 < argc ? argv[++*index] : NULL;
}

static int take(const struct verb *verb, int argc, char *const argv[], int *index, struct arena *arena, struct arguments *out)
{
    char *text = argv[*index];
    bool is_short = text[0] == '-' && text[1] && text[1] != '-';
    if (is_short && !(text = expand(verb, argc, argv, index, arena)))
        return GRID_ENOMEM;
    const char *value = verb->traits & VERB_TAKES_ENV ? env_value(text, argc, argv, index) : NULL;
    if (value)
        out->env[out->env_count++] = value;
    else
        out->argv[out->argc++] = text;
    return 0;
}

int arguments_prepare(const struct verb *verb, int argc, char *const argv[], struct arena *arena, struct arguments *out,
                      struct option_error *error)
{
    bool ended = false;
    int err = 0;
    *out = (struct arguments){.argv = arena_calloc(arena, (size_t) argc + 1, sizeof *out->argv),
                              .env = arena_calloc(arena, (size_t) argc + 1, sizeof *out->env)};
    if (!out->argv || !out->env)
        err = GRID_ENOMEM;
    for (int i = 0; err == 0 && i < argc; i++) {
        ended = ended || strcmp(argv[i], "--") == 0;
        if (ended)
            out->argv[out->argc++] = argv[i];
        else
            err = take(verb, argc, argv, &i, arena, out);
    }
    if (err != 0)
        snprintf(error->message, sizeof error->message, "out of memory while reading options");
    return err;
}

int arguments_verb_index(int argc, char *const argv[])
{
    int index = 1;
    while (index < argc && argv[index][0] == '-')
        index += strcmp(argv[index], "--api") == 0 && index + 1 < argc ? 2 : 1;
    return index;
}
