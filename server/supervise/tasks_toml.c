/* A table for each task, with a list of platforms. */
#include "server/supervise/tasks_toml.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

enum { ARENA_BLOCK = 4096, ARENA_MAX = 8 * 1024 * 1024 };

/* Where something is wrong, for sentences. */
struct place {
    const char *folder;
    unsigned line;
    char *error;
};

__attribute__((format(printf, 2, 3))) static int refuse(const struct place *at, const char *format, ...)
{
    char what[TASK_ERROR_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(at->error, TASK_ERROR_MAX, "%.200s/" TASKS_TOML_NAME ", line %u: %.400s", at->folder, at->line, what);
    return GRID_EINVAL;
}

/* A name with a dot stands in quotes. */
void tasks_toml_task_of(const struct toml_entry *e, char out[TASK_NAME_MAX + 2])
{
    size_t size = 0;
    for (size_t i = 0; i < e->table.size && size <= TASK_NAME_MAX; i++)
        if (e->table.data[i] != '"')
            out[size++] = (char) e->table.data[i];
    out[size] = '\0';
}

static int check_list(const struct toml_value *list, const struct place *at)
{
    size_t count = 0;
    if (list->type != TOML_ARRAY || !list->first)
        return refuse(at, "platforms is a list of one or more, such as [\"linux-x64\", \"linux-arm64\"]");
    for (const struct toml_value *v = list->first; v; v = v->next, count++)
        if (v->type != TOML_STRING || !task_platform_is_sound(v->string))
            return refuse(at, "a platform is a string such as \"linux-x64\" or \"linux-arm64\" (grid list shows the nodes')");
    return count <= TASKS_TOML_PLATFORMS_MAX ? 0 : refuse(at, "more than %d platforms", TASKS_TOML_PLATFORMS_MAX);
}

static int check_entry(const struct toml_entry *e, const struct place *at)
{
    if (!slice_equal_str(e->key, "platforms"))
        return refuse(at, "\"%.*s\" is nothing that can be said of a task: it may have platforms", SLICE_FMT(slice_first(e->key, 100)));
    if (e->table.size == 0)
        return refuse(at, "platforms of which task? Put its name above, in brackets");
    return check_list(&e->value, at);
}

static int read_text(struct slice text, const char *folder, struct tasks_toml *t, char error[TASK_ERROR_MAX])
{
    struct toml_error wrong = {0};
    struct place at = {.folder = folder, .error = error};
    int err = toml_parse(text, t->arena, &t->document, &wrong);
    at.line = wrong.line;
    if (err == GRID_EPROTO || err == GRID_ELIMIT)
        return refuse(&at, "%s", wrong.message);
    for (const struct toml_entry *e = t->document.first; err == 0 && e; e = e->next) {
        at.line = e->line;
        err = check_entry(e, &at);
    }
    return err;
}

int tasks_toml_open(struct slice text, const char *folder, struct tasks_toml *out, char error[TASK_ERROR_MAX])
{
    *out = (struct tasks_toml){0};
    if (text.size == 0)
        return 0;
    out->arena = arena_create(ARENA_BLOCK, ARENA_MAX);
    int err = out->arena ? read_text(text, folder, out, error) : GRID_ENOMEM;
    if (err != 0)
        tasks_toml_dispose(out);
    return err;
}

void tasks_toml_dispose(struct tasks_toml *t)
{
    arena_destroy(t->arena);
    *t = (struct tasks_toml){0};
}

const struct toml_value *tasks_toml_platforms(const struct tasks_toml *t, const char *task)
{
    char name[TASK_NAME_MAX + 2];
    for (const struct toml_entry *e = t->document.first; e; e = e->next) {
        tasks_toml_task_of(e, name);
        if (strcmp(name, task) == 0)
            return e->value.first;
    }
    return NULL;
}
