/* Dispatch: finds the verb, reads its options, runs it. */
#include "cli/cli.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/err.h"
#include "cli/arguments.h"
#include "cli/help.h"
#include "cli/text.h"

enum { ARENA_BLOCK = 4096 };

__attribute__((format(printf, 2, 0))) static void say(const char *prefix, const char *format, va_list args)
{
    struct buf sentence, line;
    buf_init(&sentence, 0);
    buf_init(&line, 0);
    buf_vprintf(&sentence, format, args);
    buf_append_str(&line, prefix);
    text_append_line(&line, buf_slice(&sentence));
    buf_append_byte(&line, '\n');
    fflush(stdout);
    fwrite(line.data, 1, line.size, stderr);
    buf_dispose(&sentence);
    buf_dispose(&line);
}

void cli_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say("", format, args);
    va_end(args);
}

int cli_fail(int exit, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say("grid: ", format, args);
    va_end(args);
    return exit;
}

int cli_write(struct slice bytes)
{
    if (bytes.size == 0 || (fwrite(bytes.data, 1, bytes.size, stdout) == bytes.size && fflush(stdout) == 0))
        return GRID_DONE;
    return cli_fail(GRID_FAILED, "stdout does not take the output: %m");
}

int cli_write_buf(struct buf *b)
{
    int code = cli_write(buf_slice(b));
    buf_dispose(b);
    return code;
}

const char *cli_argument(const struct cli *cli, size_t index, const char *fallback)
{
    return index < cli->argument_count ? cli->arguments[index] : fallback;
}

bool cli_wants_json(const struct cli *cli)
{
    return option_flag(cli->options, "json");
}

bool cli_env_split(const char *text, struct slice *name, struct slice *value)
{
    static const char ALLOWED[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || strspn(text, ALLOWED) != (size_t) (equals - text) || (*text >= '0' && *text <= '9'))
        return false;
    *name = slice_of(text, (size_t) (equals - text));
    *value = slice_of_str(equals + 1);
    return true;
}

static bool colour_allowed(void)
{
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
    return !(no_colour && *no_colour) && term && strcmp(term, "dumb") != 0;
}

static int check_arguments(struct cli *cli)
{
    const struct verb *verb = cli->verb;
    if (cli->argument_count < verb->min_arguments)
        return cli_fail(GRID_USAGE, "%s needs %s: for example %s", verb->name, verb->arguments, verb->example);
    if (cli->argument_count > verb->max_arguments)
        return cli_fail(GRID_USAGE, "%s takes nothing like \"%s\": grid %s --help", verb->name, cli->arguments[verb->max_arguments],
                        verb->name);
    for (size_t i = 0; i < cli->env_count; i++) {
        struct slice name, value;
        if (!cli_env_split(cli->env[i], &name, &value))
            return cli_fail(GRID_USAGE, "--env: \"%s\" is not NAME=VALUE: give for example --env MODE=test", cli->env[i]);
    }
    return GRID_DONE;
}

/* Runs with the options read. */
static int run_ready(struct cli *cli)
{
    cli->arguments = option_arguments(cli->options, &cli->argument_count);
    cli->out_is_terminal = isatty(STDOUT_FILENO);
    cli->err_is_terminal = isatty(STDERR_FILENO);
    cli->out_has_colour = cli->out_is_terminal && colour_allowed();
    cli->err_has_colour = cli->err_is_terminal && colour_allowed();
    if (option_flag(cli->options, "help"))
        return help_print_verb(cli->verb);
    int code = check_arguments(cli);
    return code ? code : cli->verb->run(cli);
}

/* `argv` is everything but the program and the verb. */
static int run_verb(const struct verb *verb, int argc, char *const argv[], struct arena *arena)
{
    struct option_row rows[VERB_OPTIONS_MAX];
    size_t count = verb_options(verb, rows);
    struct arguments arguments;
    struct option_error error;
    struct cli cli = {.verb = verb};
    if (option_set_create(rows, count, &cli.options) != 0)
        return cli_fail(GRID_FAILED, "out of memory");
    int err = arguments_prepare(verb, argc, argv, arena, &arguments, &error);
    if (err == 0)
        err = option_read_arguments(cli.options, arguments.argc, arguments.argv, &error);
    cli.env = arguments.env;
    cli.env_count = arguments.env_count;
    int code = err == 0 ? run_ready(&cli) : cli_fail(GRID_USAGE, "%s", error.message);
    option_set_destroy(cli.options);
    return code;
}

int cli_fail_unknown_verb(const char *name)
{
    const char *nearest = verb_nearest(name);
    if (verb_is_planned(name))
        return cli_fail(GRID_USAGE, "%s does not exist yet in this version (%s): grid help lists what does", name, GRID_VERSION);
    if (nearest)
        return cli_fail(GRID_USAGE, "there is no verb \"%s\": did you mean %s?", name, nearest);
    return cli_fail(GRID_USAGE, "there is no verb \"%s\": grid help lists them all", name);
}

/* No verb: --help and --version stand alone. */
static int run_bare(int argc, char *const argv[])
{
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
        return help_print_all();
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return cli_run(2, (char *const[]){"grid", "version", NULL});
    if (argc > 1)
        return cli_fail(GRID_USAGE, "%s is not an option here: grid help lists the verbs", argv[1]);
    return cli_fail(GRID_USAGE, "give a verb, such as grid list: grid help lists them all");
}

int cli_run(int argc, char *const argv[])
{
    int index = arguments_verb_index(argc, argv);
    if (index >= argc)
        return run_bare(argc, argv);
    const struct verb *verb = verb_find(argv[index]);
    if (!verb)
        return cli_fail_unknown_verb(argv[index]);
    struct arena *arena = arena_create(ARENA_BLOCK, 0);
    char **rest = arena ? arena_calloc(arena, (size_t) argc, sizeof *rest) : NULL;
    int count = 0, code = GRID_FAILED;
    for (int i = 1; rest && i < argc; i++)
        if (i != index)
            rest[count++] = argv[i];
    code = rest ? run_verb(verb, count, rest, arena) : cli_fail(GRID_FAILED, "out of memory");
    arena_destroy(arena);
    return code;
}
