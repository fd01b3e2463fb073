/* cli/arguments.h: the command line brought into the form that option_table reads. Pure. */
#ifndef GRID_CLI_ARGUMENTS_H
#define GRID_CLI_ARGUMENTS_H

#include "base/arena.h"
#include "cli/verb.h"

struct arguments {
    char **argv; /* "-d X" has become "--data=X", and --env is gone */
    int argc;
    const char **env;
    size_t env_count;
};

/* Rewrites what stands behind the verb. Everything lives in the arena or in argv. 0, GRID_EINVAL with `error` filled, or GRID_ENOMEM. */
int arguments_prepare(const struct verb *verb, int argc, char *const argv[], struct arena *arena, struct arguments *out,
                      struct option_error *error);

/* The index of the verb in argv, passing over options that may stand before it ("--api ADDR", "--help", "--json"); argc when there is
 * none. */
int arguments_verb_index(int argc, char *const argv[]);

#endif
