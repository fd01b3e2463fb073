/* Completion scripts for bash, zsh and fish. */
#include "base/err.h"
#include "cli/help.h"

static int bash_options(const struct verb *verb, struct buf *out)
{
    struct option_row rows[VERB_OPTIONS_MAX];
    size_t count = verb_options(verb, rows);
    int err = verb->alias ? buf_printf(out, "    %s|%s) words='", verb->name, verb->alias) : buf_printf(out, "    %s) words='", verb->name);
    for (size_t i = 0; err == 0 && i < count; i++)
        err = buf_printf(out, "%s--%s", i ? " " : "", rows[i].name);
    return err ? err : buf_append_str(out, "' ;;\n");
}

static int write_bash(struct buf *out)
{
    int err = buf_append_str(out, "# bash completion of grid: eval \"$(grid completion bash)\"\n_grid() {\n"
                                  "    local words='' current=${COMP_WORDS[COMP_CWORD]}\n    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words='");
    for (size_t i = 0; err == 0 && i < VERB_COUNT; i++)
        err = buf_printf(out, "%s%s", i ? " " : "", VERBS[i]->name);
    if (err == 0)
        err = buf_append_str(out, "'\n    else case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; err == 0 && i < VERB_COUNT; i++)
        err = bash_options(VERBS[i], out);
    return err ? err
               : buf_append_str(out, "    esac fi\n    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n}\n"
                                     "complete -o default -F _grid grid\n");
}

/* Inside single quotes; "sep" is escaped with a backslash for zsh's _describe. */
static int quoted(struct buf *out, const char *text, char separator)
{
    int err = 0;
    for (; err == 0 && *text; text++) {
        if (*text == '\'')
            err = buf_append_str(out, "'\\''");
        else if (separator && *text == separator)
            err = buf_printf(out, "\\%c", separator);
        else
            err = buf_append_byte(out, (uint8_t) *text);
    }
    return err;
}

static int zsh_options(const struct verb *verb, struct buf *out)
{
    struct option_row rows[VERB_OPTIONS_MAX];
    size_t count = verb_options(verb, rows);
    int err = verb->alias ? buf_printf(out, "        %s|%s) choices=(", verb->name, verb->alias) : buf_printf(out, "        %s) choices=(", verb->name);
    for (size_t i = 0; err == 0 && i < count; i++) {
        err = buf_printf(out, "%s'--%s:", i ? " " : "", rows[i].name);
        if (err == 0)
            err = quoted(out, rows[i].help, ':');
        if (err == 0)
            err = buf_append_byte(out, '\'');
    }
    return err ? err : buf_append_str(out, ") ;;\n");
}

static int write_zsh(struct buf *out)
{
    int err = buf_append_str(out, "#compdef grid\n# zsh completion of grid: source <(grid completion zsh)\n_grid() {\n    local -a choices\n"
                                  "    if (( CURRENT == 2 )); then\n        choices=(\n");
    for (size_t i = 0; err == 0 && i < VERB_COUNT; i++) {
        err = buf_printf(out, "            '%s:", VERBS[i]->name);
        if (err == 0)
            err = quoted(out, VERBS[i]->summary, ':');
        if (err == 0)
            err = buf_append_str(out, "'\n");
    }
    if (err == 0)
        err = buf_append_str(out, "        )\n        _describe verb choices\n        return\n    fi\n    case ${words[2]} in\n");
    for (size_t i = 0; err == 0 && i < VERB_COUNT; i++)
        err = zsh_options(VERBS[i], out);
    return err ? err : buf_append_str(out, "    esac\n    _describe option choices\n    _files\n}\ncompdef _grid grid\n");
}

static int fish_verb(const struct verb *verb, struct buf *out)
{
    struct option_row rows[VERB_OPTIONS_MAX];
    size_t count = verb_options(verb, rows);
    int err = buf_printf(out, "complete -c grid -n __fish_use_subcommand -f -a %s -d '", verb->name);
    if (err == 0)
        err = quoted(out, verb->summary, 0);
    if (err == 0)
        err = buf_append_str(out, "'\n");
    for (size_t i = 0; err == 0 && i < count; i++) {
        err = buf_printf(out, "complete -c grid -n '__fish_seen_subcommand_from %s' -l %s%s -d '", verb->name, rows[i].name,
                         rows[i].kind == OPTION_FLAG ? "" : " -r");
        if (err == 0)
            err = quoted(out, rows[i].help, 0);
        if (err == 0)
            err = buf_append_str(out, "'\n");
    }
    return err;
}

static int write_fish(struct buf *out)
{
    int err = buf_append_str(out, "# fish completion of grid: grid completion fish | source\n");
    for (size_t i = 0; err == 0 && i < VERB_COUNT; i++)
        err = fish_verb(VERBS[i], out);
    return err;
}

int completion_write(const char *shell, struct buf *out)
{
    if (strcmp(shell, "bash") == 0)
        return write_bash(out);
    if (strcmp(shell, "zsh") == 0)
        return write_zsh(out);
    if (strcmp(shell, "fish") == 0)
        return write_fish(out);
    return GRID_ENOENT;
}
