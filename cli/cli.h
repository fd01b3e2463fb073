/* cli/cli.h: one run of `grid`: its arguments, and how it speaks. One thread. */
#ifndef GRID_CLI_CLI_H
#define GRID_CLI_CLI_H

#include <stdio.h>

#include "cli/verb.h"

struct node_link;

struct cli {
    const struct verb *verb;
    struct option_set *options;
    const char *const *arguments; /* what is no option */
    size_t argument_count;
    const char *const *env; /* the values of --env */
    size_t env_count;
    bool out_is_terminal, err_is_terminal;
    bool out_has_colour, err_has_colour;
    struct node_link *link; /* NULL before the first question to a node */
};

/* Runs the command line; returns the exit code. argv[0] is the program. */
int cli_run(int argc, char *const argv[]);

/* The argument, or `fallback` when there are fewer. */
const char *cli_argument(const struct cli *cli, size_t index, const char *fallback);
bool cli_wants_json(const struct cli *cli);

/* Writes the sentence and a line end to stderr, control characters escaped: for what names nodes, which call themselves as they like. */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Writes "grid: sentence" and a line end to stderr, control characters escaped; returns `exit`. */
int cli_fail(int exit, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Says that there is no such verb, and which may be meant. GRID_USAGE. */
int cli_fail_unknown_verb(const char *name);

/* Writes bytes as they are; GRID_DONE, or GRID_FAILED with a sentence said when stdout does not take them. */
int cli_write(struct slice bytes);
/* Writes and disposes of the buffer. */
int cli_write_buf(struct buf *b);

/* "K=V" to its halves; false when there is no "=" or the name is unsound. */
bool cli_env_split(const char *text, struct slice *name, struct slice *value);

#endif
