/* Where a password may stand: the first place that has one, and whether it will do. */
#include "server/node_password.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "trust/stretch.h"
#include "trust/weak_password.h"

static int read_file(const char *path, struct buf *out, char why[NODE_WHY_MAX])
{
    bool open_to_others = false;
    int err = trust_file_read(path, out, &open_to_others);
    if (err != 0) {
        snprintf(why, NODE_WHY_MAX, "--password-file: %.300s cannot be read (%s): give a file with the password as its only line",
                 path, grid_err_text(err));
        return err;
    }
    if (!open_to_others)
        return 0;
    snprintf(why, NODE_WHY_MAX, "--password-file: %.300s can be read by others: run chmod 600 %.300s", path, path);
    return GRID_EPERM;
}

/* What /proc shows of this process to others of its user, tasks among them. */
static void wipe_environment(char **environment)
{
    static const char NAME[] = "GRID_AUTH=";
    for (char **e = environment; e && *e; e++)
        if (strncmp(*e, NAME, sizeof NAME - 1) == 0)
            explicit_bzero(*e + sizeof NAME - 1, strlen(*e) - (sizeof NAME - 1));
}

/* Without the end of its line. */
static void cut_line_end(struct buf *out)
{
    while (out->size > 0 && (out->data[out->size - 1] == '\n' || out->data[out->size - 1] == '\r'))
        buf_truncate(out, out->size - 1);
}

static int judge(const struct node *n, const char *source, struct slice password, char why[NODE_WHY_MAX])
{
    char clause[WEAK_PASSWORD_WHY];
    const char *fault = password.size == 0                               ? "is empty"
                        : password.size > STRETCH_PASSWORD_MAX           ? "is longer than 1024 bytes"
                        : memchr(password.data, '\0', password.size)     ? "holds a NUL"
                        : memchr(password.data, '\n', password.size)     ? "has more than one line"
                                                                         : NULL;
    if (fault)
        snprintf(why, NODE_WHY_MAX, "%.300s: the password %s: give one line of text", source, fault);
    else if (!n->options->weak_password && weak_password(password, n->grid, clause))
        snprintf(why, NODE_WHY_MAX,
                 "%.300s: the password is weak: %s. Who guesses it runs code on every node: give a longer one (openssl rand "
                 "-base64 15), or say --weak-password",
                 source, clause);
    else
        return 0;
    return GRID_EINVAL;
}

int node_password_read(struct node *n, struct buf *out, char why[NODE_WHY_MAX])
{
    const struct options *o = n->options;
    const char *source = o->password_file ? "--password-file" : o->password ? "GRID_AUTH" : "the Gridfile's grid_password";
    const char *given = o->password ? o->password : n->gridfile.grid_password;
    int err = 0;
    if (!o->password_file && (!given || !*given))
        return 0;
    err = o->password_file ? read_file(o->password_file, out, why) : buf_append_str(out, given);
    if (given == o->password && !o->password_file)
        wipe_environment(o->environment);
    if (err != 0)
        return err;
    cut_line_end(out);
    return judge(n, source, buf_slice(out), why);
}
