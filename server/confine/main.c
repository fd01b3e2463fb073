/* grid-task-exec: becomes a task. The node starts it with an empty environment; it does what the plan in descriptor 3 says, to itself, and
 * execs the task's program. What could not be done is told in descriptor 4, and the exit status is 126. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/confine/confine.h"

enum { STATUS_FAILED = 126 };

/* The whole of descriptor 3, or NULL. */
static char *read_plan(size_t *size)
{
    struct stat st;
    if (fstat(CONFINE_PLAN_FD, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > CONFINE_PLAN_MAX)
        return NULL;
    char *text = malloc((size_t) st.st_size);
    ssize_t got = text ? pread(CONFINE_PLAN_FD, text, (size_t) st.st_size, 0) : -1;
    if (got != st.st_size) {
        free(text);
        return NULL;
    }
    *size = (size_t) got;
    return text;
}

static enum confine_stage become(const struct confine_plan *p)
{
    enum confine_stage failed = confine_apply(p);
    if (failed != 0)
        return failed;
    environ = p->env; /* its PATH says where the program is */
    execvpe(p->argv[0], p->argv, p->env);
    return CONFINE_STAGE_PROGRAM;
}

int main(void)
{
    struct confine_plan plan = {.view = false};
    size_t size = 0;
    char *text = read_plan(&size);
    errno = EINVAL;
    enum confine_stage failed = text && confine_plan_decode(text, size, &plan) == 0 ? become(&plan) : CONFINE_STAGE_PLAN;
    struct confine_report report = {.stage = (int32_t) failed, .error = errno};
    if (write(CONFINE_REPORT_FD, &report, sizeof report) != (ssize_t) sizeof report)
        fputs("grid-task-exec starts the tasks of gridd and is of no use by itself\n", stderr);
    _exit(STATUS_FAILED);
}
