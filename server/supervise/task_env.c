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

/* "NAME" is that name, "NAME*" every name that begins so. */
static bool names(const char *pattern, struct slice name)
{
    size_t size = strlen(pattern);
    if (size > 0 && pattern[size - 1] == '*')
        return slice_has_prefix(name, slice_of(pattern, size - 1));
    return slice_equal_str(name, pattern);
}

static bool names_any(const char *const *patterns, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++)
        if (names(patterns[i], name))
            return true;
    return false;
}

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

bool task_env_inherits(const char *variable, const struct task_env_names *more)
{
    static const char *const allowed[] = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_*", "TZ", "TZDIR", "TERM", "NO_COLOR",
                                          "http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY",
                                          "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
                                          "LD_LIBRARY_PATH", "NODE_ENV", "NODE_PATH", "PYTHONPATH"};
    static const char *const never[] = {"GRID", "GRID_*", "NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY", "INVOCATION_ID", "JOURNAL_STREAM", "MAINPID", "LISTEN_*",
                                        "WATCHDOG_*", "SYSTEMD_*", "TASK_PORT", "TASK_NAME", "TASK_PATH", "PORT"};
    struct slice name = name_of(variable);
    if (names_any(never, COUNT_OF(never), name))
        return false;
    return names_any(allowed, COUNT_OF(allowed), name) || (more && names_any(more->names, more->count, name));
}

struct list {
    char *const *first;
    bool filtered;
    const struct task_env_names *more;
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
    if (name.size == 0 || (lists[at].filtered && !task_env_inherits(*variable, lists[at].more)) || stands_in(variable + 1, name))
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

char **task_env_build(char *const *daemon, const struct task_env_names *more, char *const *project, char *const *own)
{
    const struct list lists[3] = {{daemon, true, more}, {project, false, NULL}, {own, false, NULL}};
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
