/* A stack of jobs under one lock. Helpers are started between two jobs of the calling thread. */
#include "fs/crew.h"

#include <sched.h>
#include <signal.h>

/* ---- jobs ---- */

unsigned crew_cpus(unsigned most)
{
    cpu_set_t cpus;
    unsigned count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? (unsigned) CPU_COUNT(&cpus) : 1;
    return count < most ? count : most;
}

void crew_init(struct crew *c, const struct crew_plan *plan)
{
    *c = (struct crew){.plan = plan, .next_member = 1};
    c->members_max = plan->members_max > 0 && plan->members_max < CREW_MAX ? plan->members_max : plan->members_max > 0 ? CREW_MAX : crew_cpus(CREW_MAX);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->news, NULL);
}

static struct crew_job *pop(struct crew *c)
{
    struct crew_job *job = c->jobs;
    c->jobs = job->next;
    c->job_count--;
    return job;
}

void crew_dispose(struct crew *c)
{
    while (c->jobs) {
        struct crew_job *job = pop(c);
        if (c->plan->drop)
            c->plan->drop(job);
    }
    pthread_cond_destroy(&c->news);
    pthread_mutex_destroy(&c->lock);
}

void crew_push(struct crew *c, struct crew_job *job)
{
    pthread_mutex_lock(&c->lock);
    job->next = c->jobs;
    c->jobs = job;
    c->job_count++;
    pthread_cond_signal(&c->news);
    pthread_mutex_unlock(&c->lock);
}

/* ---- threads; all under the lock ---- */

static int enter(struct crew *c, unsigned member)
{
    pthread_mutex_unlock(&c->lock);
    int err = c->plan->enter ? c->plan->enter(c->plan->arg, member) : 0;
    pthread_mutex_lock(&c->lock);
    return err;
}

static void leave(struct crew *c, unsigned member)
{
    pthread_mutex_unlock(&c->lock);
    if (c->plan->leave)
        c->plan->leave(c->plan->arg, member);
    pthread_mutex_lock(&c->lock);
}

static void *help(void *arg);

/* Without a thread the others do its part. */
static int start_helper(struct crew *c)
{
    sigset_t all, before;
    leave(c, 0);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the main thread's */
    if (pthread_create(&c->helpers[c->helper_count], NULL, help, c) == 0)
        c->helper_count++;
    else
        c->members_max = c->helper_count + 1;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return enter(c, 0);
}

static void stop(struct crew *c, int err)
{
    c->err = c->err != 0 ? c->err : err;
}

static void do_job(struct crew *c, unsigned member)
{
    struct crew_job *job = pop(c);
    c->busy++;
    pthread_mutex_unlock(&c->lock);
    int err = c->plan->run(c->plan->arg, member, job);
    pthread_mutex_lock(&c->lock);
    c->busy--;
    stop(c, err);
}

/* False when there is nothing left to wait for. */
static bool wait_for_job(struct crew *c)
{
    while (!c->jobs && c->busy > 0 && c->err == 0)
        pthread_cond_wait(&c->news, &c->lock);
    return c->jobs && c->err == 0;
}

static bool is_helper_worth(const struct crew *c, unsigned member)
{
    return member == 0 && c->helper_count + 1 < c->members_max && c->job_count >= c->plan->jobs_a_member * (c->helper_count + 1);
}

/* False when entering failed anew: the thread has not entered. */
static bool work(struct crew *c, unsigned member)
{
    while (wait_for_job(c)) {
        int err = is_helper_worth(c, member) ? start_helper(c) : 0;
        stop(c, err);
        if (err != 0)
            return false;
        if (c->jobs && c->err == 0)
            do_job(c, member);
    }
    return true;
}

static int take_part(struct crew *c, unsigned member)
{
    pthread_mutex_lock(&c->lock);
    int err = enter(c, member);
    if (err == 0 && work(c, member))
        leave(c, member);
    if (member == 0)
        stop(c, err);
    pthread_cond_broadcast(&c->news);
    pthread_mutex_unlock(&c->lock);
    return err;
}

static void *help(void *arg)
{
    struct crew *c = arg;
    pthread_mutex_lock(&c->lock);
    unsigned member = c->next_member++;
    pthread_mutex_unlock(&c->lock);
    take_part(c, member);
    return NULL;
}

int crew_run(struct crew *c)
{
    take_part(c, 0);
    for (unsigned i = 0; i < c->helper_count; i++)
        pthread_join(c->helpers[i], NULL);
    return c->err;
}
