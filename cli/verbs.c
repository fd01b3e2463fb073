/* The table of verbs, in the order in which help shows them. */
#include "cli/verb.h"

#include <stdio.h>

#include "cli/verb_names.h"

#define VERB_POINTER(name) &VERB_##name,
const struct verb *const VERBS[] = {VERB_NAMES(VERB_POINTER)};
#undef VERB_POINTER
const size_t VERB_COUNT = sizeof VERBS / sizeof *VERBS;

static const char *const PLANNED[] = {"install", "uninstall", "provision", "unprovision", "restart", "upgrade", "keygen", "keycopy", "ssh", "multissh",
                                      "detect",  "monit",     "dash",      "map",         "pub",     "sub"};

static const struct option_row HELP_ROW = {.name = "help", .kind = OPTION_FLAG, .help = "print this and exit"};
static const struct option_row JSON_ROW = {.name = "json", .kind = OPTION_FLAG, .help = "print JSON"};
static const struct option_row API_ROW = {.name = "api", .kind = OPTION_STRING, .placeholder = "ADDR", .example = "127.0.0.1:10000",
                                          .help = "the node to ask: host:port or a socket's path; when not given GRID_API, or where that is not set the local socket, then 127.0.0.1:10000"};
static const struct option_row ENV_ROW = {.name = "env", .kind = OPTION_STRING, .placeholder = "K=V", .example = "MODE=test",
                                          .help = "a variable of every task's environment; may be repeated"};

const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (strcmp(VERBS[i]->name, name) == 0 || (VERBS[i]->alias && strcmp(VERBS[i]->alias, name) == 0))
            return VERBS[i];
    return NULL;
}

const char *verb_nearest(const char *name)
{
    struct option_row rows[64] = {{0}};
    size_t count = 0;
    for (size_t i = 0; i < VERB_COUNT && count < sizeof rows / sizeof *rows; i++)
        rows[count++].name = VERBS[i]->name;
    return option_nearest(rows, count, slice_of_str(name));
}

bool verb_is_planned(const char *name)
{
    for (size_t i = 0; i < sizeof PLANNED / sizeof *PLANNED; i++)
        if (strcmp(PLANNED[i], name) == 0)
            return true;
    return false;
}

size_t verb_options(const struct verb *verb, struct option_row out[VERB_OPTIONS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < verb->option_count; i++)
        out[count++] = verb->options[i];
    if (verb->traits & VERB_TAKES_ENV)
        out[count++] = ENV_ROW;
    if (verb->traits & VERB_READS)
        out[count++] = JSON_ROW;
    if (verb->traits & VERB_ASKS_NODE)
        out[count++] = API_ROW;
    out[count++] = HELP_ROW;
    return count;
}

/* The entry at the start of `shorts`, without the blank behind it. */
static struct slice first_entry(const char *shorts)
{
    return slice_of(shorts, strcspn(shorts, " "));
}

static const char *next_entry(const char *shorts)
{
    shorts += strcspn(shorts, " ");
    return shorts + strspn(shorts, " ");
}

struct slice verb_short(const struct verb *verb, char letter)
{
    for (const char *at = verb->shorts ? verb->shorts : ""; *at; at = next_entry(at))
        if (*at == letter)
            return slice_from(first_entry(at), 2);
    return letter == 'h' ? SLICE("help") : slice_of(NULL, 0);
}

char verb_letter(const struct verb *verb, const char *option)
{
    for (const char *at = verb->shorts ? verb->shorts : ""; *at; at = next_entry(at))
        if (slice_equal_str(slice_from(first_entry(at), 2), option))
            return *at;
    return 0;
}
