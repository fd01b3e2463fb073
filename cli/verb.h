/* cli/verb.h: what a verb of `grid` is. Dispatch, --help, the manual page, completion and usage errors all read the same rows. */
#ifndef GRID_CLI_VERB_H
#define GRID_CLI_VERB_H

#include "base/option_table.h"

/* What scripts rely on. */
enum grid_exit { GRID_DONE = 0, GRID_FAILED = 1, GRID_USAGE = 2, GRID_NO_NODE = 3, GRID_IN_PART = 4 };

enum verb_trait {
    VERB_READS = 1,      /* has --json */
    VERB_ASKS_NODE = 2,  /* has --api */
    VERB_TAKES_ENV = 4,  /* has --env K=V, which may be repeated and hold commas */
};

enum { VERB_OPTIONS_MAX = 16, VERB_ANY_ARGUMENTS = 255 };

struct cli;

struct verb {
    const char *name;
    const char *alias;     /* NULL for none */
    const char *arguments; /* as usage shows them: "TASK[.HANDLER]"; "" for none */
    const char *summary;   /* a phrase without a full stop */
    const char *details;   /* more for --help, wrapped by hand; NULL for none */
    const char *example;   /* a command line that parses */
    const char *shorts;    /* one-letter options: "d=data f=follow"; NULL for none */
    unsigned min_arguments, max_arguments;
    unsigned traits; /* of enum verb_trait */
    const struct option_row *options;
    size_t option_count;
    /* Returns an enum grid_exit. */
    int (*run)(struct cli *cli);
};

extern const struct verb *const VERBS[];
extern const size_t VERB_COUNT;

/* By name or alias; NULL when there is none. */
const struct verb *verb_find(const char *name);

/* The name probably meant; NULL when none is near. */
const char *verb_nearest(const char *name);

/* True for a verb that is planned and not part of this version. */
bool verb_is_planned(const char *name);

/* All options of a verb, --api, --json and --help included. Returns how many. */
size_t verb_options(const struct verb *verb, struct option_row out[VERB_OPTIONS_MAX]);

/* The long name behind a one-letter option, NULL when there is none. The slice is of `shorts`. */
struct slice verb_short(const struct verb *verb, char letter);
/* The letter of a long option, 0 when it has none. */
char verb_letter(const struct verb *verb, const char *option);

#endif
