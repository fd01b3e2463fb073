/* base/option_table.h: options as a table. One row carries name, kind, bounds, default and help; reading the command line, the
 * environment and files, the help text and every error come from it. Reads nothing by itself and never exits. One thread at a time.
 */
#ifndef GRID_BASE_OPTION_TABLE_H
#define GRID_BASE_OPTION_TABLE_H

#include "base/buf.h"
#include "base/toml.h"

enum option_kind {
    OPTION_STRING,
    OPTION_FLAG, /* --name, --name=true, --name=false */
    OPTION_UINT,
    OPTION_SIZE,     /* as size_parse: "6MiB" */
    OPTION_DURATION, /* as duration_parse: "30s" */
    OPTION_LIST,     /* texts with commas between; on the command line it may be repeated */
    OPTION_HOSTPORT, /* "host:port" or "[v6]:port" */
    OPTION_HOSTPORT_LIST,
};

enum option_attribute {
    OPTION_SECRET = 1,     /* its value is never shown */
    OPTION_RELOADABLE = 2, /* may change while the program runs */
    OPTION_MAY_BE_EMPTY = 4, /* of strings: '' on the command line is a value */
};

struct option_row {
    const char *name; /* without dashes: "log-level"; also the key in files, and GRID_LOG_LEVEL in the environment */
    enum option_kind kind;
    const char *placeholder; /* what help shows for the value: "NAME"; NULL for flags */
    const char *fallback;    /* the default, as text; NULL for none */
    uint64_t min, max;       /* of uint, size and duration, both included; max 0 means no bound */
    const char *choices;     /* of strings and lists: "text|json"; NULL for any */
    const char *env_alias;   /* a second name in the environment; NULL for none */
    const char *example;     /* a sound value for error messages; NULL takes the default or one that fits the kind */
    unsigned attributes;
    const char *help; /* a phrase without a full stop */
};

/* Later ones win over earlier ones. */
enum option_source { OPTION_FROM_NOWHERE, OPTION_FROM_DEFAULT, OPTION_FROM_FILE, OPTION_FROM_ENV, OPTION_FROM_FLAG };

struct option_hostport {
    const char *host; /* without brackets */
    uint16_t port;
};

/* One sentence without a full stop, such as: --workers: "abc" is not a whole number from 1 to 256; give for example --workers 4 */
struct option_error {
    char message[320];
};

struct option_set;

/* A set of values, at first the defaults. The rows are borrowed for its life. GRID_EINVAL when a row's default does not fit the
 * row. */
int option_set_create(const struct option_row *rows, size_t count, struct option_set **out);
void option_set_destroy(struct option_set *set);

/* Reads arguments ("--name value", "--name=value", flags; "--" ends the options), argv[0] being the first argument and not the
 * program. What is no option is kept for option_arguments. 0; GRID_EINVAL with `error` filled; GRID_ENOMEM with `error` filled. */
int option_read_arguments(struct option_set *set, int argc, char *const argv[], struct option_error *error);

/* Reads "NAME=value" strings up to a NULL; an empty value counts as none. Names no row asks for are passed over. Results as above.
 */
int option_read_environment(struct option_set *set, char *const environment[], struct option_error *error);

/* Reads the entries of one table of a file ("" for those outside of tables); `file` is its name for errors. An unknown key is an
 * error. Of two files, the one read later wins. Results as above. */
int option_read_toml(struct option_set *set, const struct toml_document *document, const char *table, const char *file,
                     struct option_error *error);

/* The values. `name` must be in the table. What they return lives as long as the set. */
const char *option_string(const struct option_set *set, const char *name); /* any kind's text; NULL when there is none */
bool option_flag(const struct option_set *set, const char *name);
uint64_t option_number(const struct option_set *set, const char *name); /* uint; bytes; milliseconds; 0 when there is none */
const char *const *option_list(const struct option_set *set, const char *name, size_t *out_count);
const struct option_hostport *option_hostports(const struct option_set *set, const char *name, size_t *out_count);
const char *const *option_arguments(const struct option_set *set, size_t *out_count);

/* Where the value comes from, and as people say it: "--workers", "GRID_WORKERS", "workers in Gridfile, line 3", "default". */
enum option_source option_source(const struct option_set *set, const char *name);
const char *option_origin(const struct option_set *set, const char *name);

/* Fills `error` with the sentence that names the option's value and origin, `fault` ("is in use") and `remedy` ("give another
 * port"). */
void option_explain(const struct option_set *set, const char *name, const char *fault, const char *remedy,
                    struct option_error *error);

/* The `index`th row's name, shown value ("(hidden)" for secrets, NULL when unset) and origin; false behind the last. */
struct option_view {
    const char *name;
    const char *text;
    const char *origin;
};
bool option_view(const struct option_set *set, size_t index, struct option_view *out);

/* The name of the first option that differs between the two sets (of the same rows) and is not reloadable; NULL when there is none.
 */
const char *option_fixed_change(const struct option_set *before, const struct option_set *after);

/* Appends the help of all rows, wrapped to 80 columns. Results as buf_append. */
int option_write_help(const struct option_row *rows, size_t count, struct buf *out);

/* The row's name nearest to `name` by edit distance, NULL when none is near. */
const char *option_nearest(const struct option_row *rows, size_t count, struct slice name);

#endif
