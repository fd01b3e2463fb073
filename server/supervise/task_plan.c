/* A plan as "key=value" records, and its failures as sentences. */
#include "server/supervise/task_plan.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

static int add(struct buf *out, int err, const char *key, const char *value)
{
    if (err == 0)
        err = buf_append_str(out, key);
    if (err == 0)
        err = buf_append_str(out, value);
    return err == 0 ? buf_append_byte(out, '\0') : err;
}

static int add_number(struct buf *out, int err, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long) value);
    return add(out, err, key, text);
}

static int add_view(const struct confine_plan *p, struct buf *out)
{
    int err = p->view ? add(out, 0, "view=", "own") : 0;
    for (size_t i = 0; i < p->cover_count; i++)
        err = add(out, err, "cover=", p->covers[i]);
    for (size_t i = 0; i < p->place_count; i++) {
        err = add(out, err, "from=", p->places[i].from);
        err = add(out, err, p->places[i].writes ? "write=" : "read=", p->places[i].to);
    }
    return err;
}

int task_plan_encode(const struct confine_plan *p, struct buf *out)
{
    int err = add_view(p, out);
    if (p->change_user) {
        err = add_number(out, err, "user=", p->uid);
        err = add_number(out, err, "group=", p->gid);
    }
    err = add_number(out, err, "landlock=", (uint64_t) p->landlock);
    err = add_number(out, err, "port=", p->port);
    if (p->filter)
        err = add(out, err, "filter=", p->filter);
    err = add(out, err, "folder=", p->folder);
    for (char *const *argument = p->argv; *argument; argument++)
        err = add(out, err, "arg=", *argument);
    for (char *const *variable = p->env; variable && *variable; variable++)
        err = add(out, err, "env=", *variable);
    return err;
}

void task_plan_explain(const struct confine_report *report, const char *program, char *out, size_t size)
{
    static const char *const what[] = {
        [CONFINE_STAGE_PLAN] = "its plan could not be read",
        [CONFINE_STAGE_DESCRIPTORS] = "the node's descriptors could not be closed",
        [CONFINE_STAGE_VIEW] = "it could not be given its own view of the file system",
        [CONFINE_STAGE_USER] = "it could not be given its own user (--task-user)",
        [CONFINE_STAGE_LANDLOCK] = "it could not be confined by Landlock (--task-sandbox)",
        [CONFINE_STAGE_FILTER] = "it could not be given its system call filter (--task-sandbox strict)",
        [CONFINE_STAGE_FOLDER] = "it cannot enter its release's folder",
        [CONFINE_STAGE_PROGRAM] = "it cannot be run",
    };
    bool known = report->stage > 0 && report->stage < (int32_t) (sizeof what / sizeof *what);
    snprintf(out, size, "%s: %s: %s", program, known ? what[report->stage] : "it could not be started", strerror(report->error));
}
