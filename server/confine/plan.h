/* server/confine/plan.h: what grid-task-exec does before it becomes a task: told by the node through a descriptor as "key=value" records,
 * each ended by a NUL, so that nothing of it stands in a command line and none of a task's variables acts on the program itself. Pure; the C
 * library alone. server/supervise/task_plan.h writes it. */
#ifndef GRID_SERVER_CONFINE_PLAN_H
#define GRID_SERVER_CONFINE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CONFINE_PLACES_MAX = 16,
    CONFINE_COVERS_MAX = 4,
    CONFINE_PLAN_MAX = 8 * 1024 * 1024,
    CONFINE_PLAN_FD = 3,   /* the plan is read from here */
    CONFINE_REPORT_FD = 4, /* a struct confine_report goes here when the task could not be started; closed by its start */
};

/* What Landlock is asked for. The task never may look into, or signal, a process that it did not start. */
enum confine_landlock {
    CONFINE_LANDLOCK_NONE,
    CONFINE_LANDLOCK_PROCESSES, /* that alone */
    CONFINE_LANDLOCK_WRITES,    /* and it writes to its own places only */
    CONFINE_LANDLOCK_ALL,       /* and it reads them and the system's folders only, and listens on its port only */
};

/* A folder that belongs to the task's surroundings: `from` is seen at `to`. */
struct confine_place {
    char *from;
    char *to;
    bool writes;
};

/* Strings are borrowed from the text that was decoded. */
struct confine_plan {
    bool change_user; /* to uid and gid, without further groups */
    uint32_t uid, gid;
    bool view;                          /* a mount namespace of its own, in which */
    char *covers[CONFINE_COVERS_MAX];   /* these folders are empty, and */
    size_t cover_count;
    struct confine_place places[CONFINE_PLACES_MAX]; /* these stand at their place */
    size_t place_count;
    enum confine_landlock landlock;
    uint16_t port; /* the task's */
    char *filter;  /* seccomp instructions in hex, NULL for none */
    char *folder;  /* to start in */
    char **argv;   /* NULL-terminated, at least one */
    char **env;    /* NULL-terminated */
};

/* Takes `text` apart in place: it must outlive the plan. 0; -1 when it is no plan or memory lacks. confine_plan_dispose in any case. */
int confine_plan_decode(char *text, size_t size, struct confine_plan *out);
void confine_plan_dispose(struct confine_plan *p);

/* What could not be done. */
enum confine_stage {
    CONFINE_STAGE_PLAN = 1,
    CONFINE_STAGE_DESCRIPTORS,
    CONFINE_STAGE_VIEW,
    CONFINE_STAGE_USER,
    CONFINE_STAGE_LANDLOCK,
    CONFINE_STAGE_FILTER,
    CONFINE_STAGE_FOLDER,
    CONFINE_STAGE_PROGRAM,
};
struct confine_report {
    int32_t stage;
    int32_t error; /* errno */
};

#endif
