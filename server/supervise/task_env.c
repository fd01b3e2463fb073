/* Three lists of variables become one, without the daemon's secrets. */
#include "server/supervise/task_env.h"

#include <stdlib.h>
#include <string.h>

#include "base/slice.h"

static struct slice name_of(const char *variable)
{
    const char *equals = strchr(variable, '=');
    return slice_of(variable, equals ? (size_t) (equals - variable) : 0);
}

bool task_env_inherits(const char *variable)
{
    static const char *const whole[] = {"GRID", "NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "INVOCATION_ID", "JOURNAL_STREAM",
                                        "MAINPID", "TASK_PORT", "TASK_NAME", "TASK_PATH", "PORT"};
    static const char *const prefixes[] = {"GRID_", "LISTEN_", "WATCHDOG_", "SYSTEMD_"};
    struct slice name = name_of(variable);
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        if (slice_equal_str(name, whole[i]))
            return false;
    }
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        if (slice_has_prefix(name, slice_of_str(prefixes[i])))
            return false;
    }
    return true;
}

struct list {
    char *const *first;
    bool filtered;
};

static bool stands_in(char *const *variables, struct slice name)
{
    for (; variables && *variables; variables++) {
        if (slice_equal(name_of(*variables), name))
            return true;
    }
    return false;
}

/* Whether a variable of list `at` is part of the result: no later variable of its own or a later list has its name. */
static bool is_kept(const struct list *lists, size_t at, char *const *variable)
{
    struct slice name = name_of(*variable);
    if (name.size == 0 || (lists[at].filtered && !task_env_inherits(*variable)) || stands_in(variable + 1, name))
        return false;
    for (size_t later = at + 1; later < 3; later++) {
        if (stands_in(lists[later].first, name))
            return false;
    }
    return true;
}

/* Counts what is kept, and with `out` copies it too: pointers first, the strings behind `text`. */
static void walk(const struct list *lists, size_t *count, size_t *bytes, char **out, char *text)
{
    *count = *bytes = 0;
    for (size_t at = 0; at < 3; at++) {
        for (char *const *v = lists[at].first; v && *v; v++) {
            if (!is_kept(lists, at, v))
                continue;
            size_t size = strlen(*v) + 1;
            if (out)
                out[*count] = memcpy(text + *bytes, *v, size);
            (*count)++;
            *bytes += size;
        }
    }
}

char **task_env_build(char *const *daemon, char *const *project, char *const *own)
{
    const struct list lists[3] = {{daemon, true}, {project, false}, {own, false}};
    size_t count, bytes;
    walk(lists, &count, &bytes, NULL, NULL);
    char **env = malloc((count + 1) * sizeof *env + bytes);
    if (!env)
        return NULL;
    env[count] = NULL;
    char *text = (char *) (env + count + 1);
    walk(lists, &count, &bytes, env, text);
    return env;
}
