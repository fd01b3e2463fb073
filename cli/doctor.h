/* cli/doctor.h: what is wrong with a node and its grid, as far as its answers tell. Pure. */
#ifndef GRID_CLI_DOCTOR_H
#define GRID_CLI_DOCTOR_H

#include "base/arena.h"
#include "grid/v1/control.pb-c.h"

enum doctor_level { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_FAULT };
enum { DOCTOR_FINDINGS_MAX = 256 };

/* What was asked; the answers are borrowed. */
struct doctor_answers {
    const Grid__V1__NodeInfo *node;
    const Grid__V1__ListNodesResponse *nodes;
    const Grid__V1__ListTasksResponse *tasks;
    const Grid__V1__ListProcessesResponse *processes;
    bool clock_known, clock_synchronized; /* this machine's, as its kernel says */
};

/* One sentence: what is seen and, unless it is well, what to do. */
struct doctor_finding {
    enum doctor_level level;
    const char *about; /* "node", "peers", "tasks", "ports", "clock" */
    const char *text;
};

struct doctor_report {
    struct arena *arena; /* the texts' */
    struct doctor_finding findings[DOCTOR_FINDINGS_MAX];
    size_t count; /* what is beyond the array is left out */
    enum doctor_level worst;
};

/* `arena` is the caller's. */
void doctor_examine(const struct doctor_answers *answers, struct arena *arena, struct doctor_report *out);

/* "ok", "warning", "fault". Static storage. */
const char *doctor_level_name(enum doctor_level level);

#endif
