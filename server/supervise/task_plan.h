/* server/supervise/task_plan.h: writes what server/confine/plan.h reads. Pure. */
#ifndef GRID_SERVER_SUPERVISE_TASK_PLAN_H
#define GRID_SERVER_SUPERVISE_TASK_PLAN_H

#include "base/buf.h"
#include "server/confine/plan.h"

/* Appends the plan. 0, GRID_ENOMEM or GRID_ELIMIT (`out` then holds a part of it). */
int task_plan_encode(const struct confine_plan *p, struct buf *out);

/* "it needs Node.js ...": what a report means to a person, for a task whose program is argv0. */
void task_plan_explain(const struct confine_report *report, const char *program, char *out, size_t size);

#endif
