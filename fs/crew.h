/* fs/crew.h: jobs that lead to further jobs, last found first, done by the calling thread and, while many wait, by a few helpers. Blocking. */
#ifndef GRID_FS_CREW_H
#define GRID_FS_CREW_H

#include <pthread.h>
#include <stdbool.h>

#define CREW_MAX 4

/* The first member of what a job is; its memory is the user's. */
struct crew_job {
    struct crew_job *next;
};

/* What the work is. `member` numbers the thread, 0 for the calling one. */
struct crew_plan {
    unsigned members_max;     /* threads at most, up to CREW_MAX; 0: as many as this thread may use CPUs */
    unsigned jobs_a_member;   /* a thread more is worth its start when so many jobs wait for each helper there would be */
    /* Called on a thread before its first job and after its last one; also around the start of a helper, which begins with what the thread
     * is then. A thread whose `enter` fails does no job; the calling thread's error ends all. May be NULL. */
    int (*enter)(void *arg, unsigned member);
    void (*leave)(void *arg, unsigned member);
    /* Does one job. An error ends all: the first one is crew_run's. */
    int (*run)(void *arg, unsigned member, struct crew_job *job);
    void (*drop)(struct crew_job *job); /* of a job that is not done after all; may be NULL */
    void *arg;
};

struct crew {
    const struct crew_plan *plan;
    pthread_mutex_t lock;
    pthread_cond_t news;
    struct crew_job *jobs;
    unsigned job_count, busy, next_member, members_max;
    pthread_t helpers[CREW_MAX];
    unsigned helper_count;
    int err;
};

/* Both borrowed for the crew's life. */
void crew_init(struct crew *c, const struct crew_plan *plan);
void crew_dispose(struct crew *c);

/* One more job; before crew_run, and from any thread within `run`. */
void crew_push(struct crew *c, struct crew_job *job);

/* Returns when there is no job left and no thread. 0, or the first error. */
int crew_run(struct crew *c);

/* The CPUs this thread may use, at most `most`, at least 1. */
unsigned crew_cpus(unsigned most);

#endif
