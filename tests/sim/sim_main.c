/* members_sim: runs seeds of the membership simulator on all processors.
 *
 *   members_sim --seeds 10000            seeds 1 .. 10000, each a grid of 32 members with at least three kinds of fault over 60 s
 *   members_sim --seed 17 --trace        one seed, with what happens in it
 *   members_sim --seed 17 --shrink       the faults of it that matter
 *   members_sim --list tests/sim/seeds.txt   seeds that have broken something once
 *   members_sim --battery                a little of everything, up to the first failure: for planted bugs
 *   members_sim --cases --seeds 20       single troubles with a figure each (sim_cases.c); --case kill one of them
 *
 *   members_sim --scale --nodes 1000     what joining, idling and losing one member take in a great grid
 *
 * Ends with "N passed, N failed"; exit 0 when nothing failed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/sim_cases.h"
#include "tests/sim/sim_course.h"
#include "tests/sim/sim_scale.h"

enum { JOBS_MAX = 64, FAILURES_SHOWN = 30, SEED_SECONDS = 60, LIST_MAX = 1024, BATTERY_SCALE = 90, BATTERY_SCALES = 3 };

struct options {
    uint64_t first, seeds;
    uint32_t nodes, jobs;
    bool one, trace, shrink, battery, scale;
    bool cases;
    const struct sim_case *at_case;
    const char *list, *only; /* only: the case */
};

/* Shared between the jobs. */
struct shared {
    uint64_t next, done, failed, frames, bytes, converged_sum;
    uint64_t fingerprint; /* of all seeds together, whatever their order */
    uint64_t at_work[JOBS_MAX]; /* the seed of each job, 0: none */
    uint32_t converged_worst; /* or a case's figure */
    uint32_t case_failed;
    uint64_t converged_seed;
    struct sim_worst worst[SIM_STATES + 2];
    uint64_t worst_seed[SIM_STATES + 2];
};

static struct shared *shared;

static const char *program = "members_sim";

/* ---- one seed ---- */

static void merge_worst(struct sim_worst *all, uint64_t *seed_of, const struct sim_worst *one, uint64_t seed)
{
    if (one->ms > all->ms) {
        *all = *one;
        *seed_of = seed;
    }
}

/* Two jobs may write at once: the figures are for people, failures are counted apart. */
static void merge_result(const struct sim_result *r, uint64_t seed)
{
    for (int i = 0; i < SIM_STATES; i++)
        merge_worst(&shared->worst[i], &shared->worst_seed[i], &r->worst[i], seed);
    merge_worst(&shared->worst[SIM_STATES], &shared->worst_seed[SIM_STATES], &r->unnoticed, seed);
    merge_worst(&shared->worst[SIM_STATES + 1], &shared->worst_seed[SIM_STATES + 1], &r->undead, seed);
    __atomic_add_fetch(&shared->frames, r->frames, __ATOMIC_RELAXED);
    __atomic_add_fetch(&shared->bytes, r->bytes, __ATOMIC_RELAXED);
    __atomic_add_fetch(&shared->fingerprint, r->fingerprint, __ATOMIC_RELAXED);
    if (r->broken[0])
        return;
    __atomic_add_fetch(&shared->converged_sum, r->converged_ms, __ATOMIC_RELAXED);
    if (r->converged_ms > shared->converged_worst) {
        shared->converged_worst = r->converged_ms;
        shared->converged_seed = seed;
    }
}

static void report_failure(const struct options *o, uint64_t seed, const char *broken)
{
    if (__atomic_add_fetch(&shared->failed, 1, __ATOMIC_SEQ_CST) > FAILURES_SHOWN)
        return;
    printf("FAIL seed %llu: %s; replay: %s --nodes %u --seed %llu --trace\n", (unsigned long long) seed, broken, program, o->nodes,
           (unsigned long long) seed);
    fflush(stdout);
}

static void run_seed(const struct options *o, uint64_t seed)
{
    struct sim_config config = {.nodes = o->nodes, .seed = seed, .trace = o->trace};
    struct sim_plan plan = sim_plan_make(o->nodes, seed);
    struct sim_result result = sim_course_run(&config, &plan);
    merge_result(&result, seed);
    if (result.broken[0])
        report_failure(o, seed, result.broken);
    __atomic_add_fetch(&shared->done, 1, __ATOMIC_SEQ_CST);
}

/* ---- jobs ---- */

static void run_case(const struct options *o, const struct sim_case *c, uint64_t seed)
{
    char broken[256];
    uint32_t measured;
    sim_case_run(c, seed, o->trace, &measured, broken);
    if (measured != SIM_NEVER && measured >= shared->converged_worst) {
        shared->converged_worst = measured;
        shared->converged_seed = seed;
    }
    if (broken[0] && __atomic_add_fetch(&shared->case_failed, 1, __ATOMIC_SEQ_CST) == 1)
        printf("FAIL %s, seed %llu: %s; replay: %s --case %s --seed %llu --trace\n", c->name, (unsigned long long) seed, broken, program, c->name,
               (unsigned long long) seed);
    fflush(stdout);
}

/* A seed that takes so much of the processor ends its job. Not by the clock on the wall: others may have the processor, and a run may be stopped for a while. */
static void limit_time(void)
{
    const struct itimerval limit = {.it_value.tv_sec = SEED_SECONDS};
    if (setitimer(ITIMER_VIRTUAL, &limit, NULL) != 0)
        perror("setitimer");
}

static void work(const struct options *o, uint32_t job)
{
    for (;;) {
        uint64_t seed = __atomic_fetch_add(&shared->next, 1, __ATOMIC_SEQ_CST);
        if (seed >= o->first + o->seeds || (o->battery && shared->failed > 0))
            break;
        shared->at_work[job] = seed;
        limit_time();
        if (o->at_case)
            run_case(o, o->at_case, seed);
        else
            run_seed(o, seed);
    }
    shared->at_work[job] = 0;
}

static pid_t start_job(const struct options *o, uint32_t job)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(1);
    }
    if (pid > 0)
        return pid;
    work(o, job);
    fflush(stdout);
    _exit(0);
}

/* A job that a seed has brought down is started anew, behind that seed. */
static void run_jobs(const struct options *o)
{
    pid_t pids[JOBS_MAX];
    uint32_t running = o->jobs;
    for (uint32_t i = 0; i < o->jobs; i++)
        pids[i] = start_job(o, i);
    while (running > 0) {
        int status;
        pid_t pid = wait(&status);
        uint32_t job = 0;
        while (job < o->jobs && pids[job] != pid)
            job++;
        if (job == o->jobs)
            continue;
        running--;
        if (status == 0)
            continue;
        char what[64];
        snprintf(what, sizeof what, WIFSIGNALED(status) ? "it ended by signal %d" : "it ended with %d",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        report_failure(o, shared->at_work[job], what);
        pids[job] = start_job(o, job);
        running++;
    }
}

/* ---- telling ---- */

static void print_figures(const struct options *o, double seconds)
{
    static const char *const names[SIM_STATES + 2] = {
        [MEMBER_ALIVE] = "alive as its earlier process", [MEMBER_STALLED] = "stalled", [MEMBER_DEAD] = "dead", [MEMBER_LEFT] = "left",
        [SIM_UNKNOWN] = "unknown", [SIM_STATES] = "ended, still alive", [SIM_STATES + 1] = "ended, not dead"};
    double seeds = shared->done > 0 ? (double) shared->done : 1;
    printf("%llu seeds of %u members in %.1f s: %.1f a second, %.0f frames and %.0f KB a seed, fingerprint %016llx; %llu failed\n", (unsigned long long) shared->done, o->nodes,
           seconds, seeds / seconds, (double) shared->frames / seeds, (double) shared->bytes / seeds / 1024, (unsigned long long) shared->fingerprint,
           (unsigned long long) shared->failed);
    printf("equal views %.1f s after the faults on average, %.1f s at worst (seed %llu)\n", (double) shared->converged_sum / seeds / 1000,
           (double) shared->converged_worst / 1000, (unsigned long long) shared->converged_seed);
    for (int i = 0; i < SIM_STATES + 2; i++)
        if (names[i] && shared->worst[i].ms > 0)
            printf("longest %-29s %6.2f s  (seed %llu: node %u of node %u, until %.2f s)\n", names[i], (double) shared->worst[i].ms / 1000,
                   (unsigned long long) shared->worst_seed[i], shared->worst[i].observer, shared->worst[i].target, (double) shared->worst[i].at / 1000);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void run_many(const struct options *o)
{
    double started = now_s();
    shared->next = o->first;
    run_jobs(o);
    print_figures(o, now_s() - started);
}

static void run_one(const struct options *o)
{
    struct sim_config config = {.nodes = o->nodes, .seed = o->first, .trace = o->trace};
    struct sim_plan plan = sim_plan_make(o->nodes, o->first);
    printf("seed %llu:\n", (unsigned long long) o->first);
    sim_plan_print(&plan);
    struct sim_result result = sim_course_run(&config, &plan);
    shared->done = 1;
    merge_result(&result, o->first);
    print_figures(o, 1);
    if (!result.broken[0])
        return;
    report_failure(o, o->first, result.broken);
    if (!o->shrink)
        return;
    plan = sim_course_shrink(&config, plan);
    printf("these faults are enough:\n");
    sim_plan_print(&plan);
    printf("%s\n", sim_course_run(&config, &plan).broken);
}

/* Lines "NODES SEED  # why"; each is a test. */
static void run_list(const struct options *o)
{
    FILE *list = fopen(o->list, "re");
    char line[256];
    if (!list) {
        perror(o->list);
        exit(2);
    }
    for (int i = 0; i < LIST_MAX && fgets(line, sizeof line, list);) {
        struct options one = *o;
        unsigned long long seed;
        if (sscanf(line, "%u %llu", &one.nodes, &seed) != 2)
            continue;
        one.first = seed;
        one.seeds = one.jobs = 1;
        shared->next = seed;
        run_jobs(&one);
        i++;
    }
    fclose(list);
}

/* Each case is a test. */
static void run_cases(const struct options *o)
{
    for (size_t i = 0; i < SIM_CASE_COUNT; i++) {
        struct options one = *o;
        one.at_case = &SIM_CASES[i];
        if ((o->only && strcmp(o->only, one.at_case->name) != 0) || (o->battery && shared->failed > 0))
            continue;
        shared->next = o->first;
        shared->converged_worst = shared->case_failed = 0;
        run_jobs(&one);
        shared->done++;
        shared->failed += shared->case_failed > 0;
        printf("%s %-10s %6u  at most %6u  %s (worst of %llu, seed %llu)", shared->case_failed > 0 ? "FAIL" : "ok  ", one.at_case->name,
               shared->converged_worst, one.at_case->limit, one.at_case->figure, (unsigned long long) o->seeds,
               (unsigned long long) shared->converged_seed);
        printf(shared->case_failed > 0 ? ", %u seeds failed\n" : "\n", shared->case_failed);
    }
}

/* Small grids are quick and have the rarer rules. */
static void run_battery(const struct options *o)
{
    static const struct {
        uint32_t nodes, seeds;
    } parts[] = {{2, 200}, {3, 1000}, {5, 800}, {8, 200}, {32, 24}};
    struct options one = *o;
    one.seeds = 2;
    run_cases(&one);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && shared->failed == 0; i++) {
        one.nodes = parts[i].nodes;
        one.first = shared->next = 1;
        one.seeds = parts[i].seeds;
        run_jobs(&one);
    }
    for (uint64_t seed = 1; seed <= BATTERY_SCALES && shared->failed == 0; seed++)
        shared->failed += !sim_scale_run(BATTERY_SCALE, seed, false);
}

/* ---- options ---- */

static uint64_t number(const char *option, const char *text)
{
    char *end = NULL;
    uint64_t n = text ? strtoull(text, &end, 10) : 0;
    if (!text || end == text || *end != '\0') {
        fprintf(stderr, "%s: %s needs a number\n", program, option);
        exit(2);
    }
    return n;
}

static struct options parse(int argc, char **argv)
{
    struct options o = {.first = 1, .seeds = 100, .nodes = 32, .jobs = (uint32_t) sysconf(_SC_NPROCESSORS_ONLN)};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(name, "--trace") == 0)
            o.trace = true;
        else if (strcmp(name, "--shrink") == 0)
            o.shrink = true;
        else if (strcmp(name, "--seeds") == 0)
            o.seeds = number(name, value), i++;
        else if (strcmp(name, "--first") == 0)
            o.first = number(name, value), i++;
        else if (strcmp(name, "--seed") == 0)
            o.one = true, o.first = number(name, value), i++;
        else if (strcmp(name, "--nodes") == 0)
            o.nodes = (uint32_t) number(name, value), i++;
        else if (strcmp(name, "--jobs") == 0)
            o.jobs = (uint32_t) number(name, value), i++;
        else if (strcmp(name, "--cases") == 0)
            o.cases = true;
        else if (strcmp(name, "--scale") == 0)
            o.scale = true;
        else if (strcmp(name, "--battery") == 0)
            o.battery = true;
        else if (strcmp(name, "--case") == 0 && value)
            o.cases = true, o.only = value, i++;
        else if (strcmp(name, "--list") == 0 && value)
            o.list = value, i++;
        else {
            fprintf(stderr, "usage: %s [--seeds N] [--first N] [--nodes N] [--jobs N] [--seed N [--trace] [--shrink]] [--list FILE]\n       [--cases] [--case NAME] [--battery] [--scale]\n", program);
            exit(2);
        }
    }
    if (o.one && o.cases)
        o.seeds = 1;
    o.jobs = o.jobs < 1 ? 1 : o.jobs > JOBS_MAX ? JOBS_MAX : o.jobs;
    o.nodes = o.nodes < 2 ? 2 : o.nodes > MEMBERS_MAX ? MEMBERS_MAX : o.nodes;
    return o;
}

int main(int argc, char **argv)
{
    program = argv[0];
    struct options o = parse(argc, argv);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    if (o.scale) {
        shared->done = 1;
        shared->failed = !sim_scale_run(o.nodes, o.first, o.trace);
    } else if (o.battery)
        run_battery(&o);
    else if (o.cases)
        run_cases(&o);
    else if (o.list)
        run_list(&o);
    else if (o.one)
        run_one(&o);
    else
        run_many(&o);
    printf("%llu passed, %llu failed\n", (unsigned long long) (shared->done - (shared->failed < shared->done ? shared->failed : shared->done)),
           (unsigned long long) shared->failed);
    return shared->failed == 0 && shared->done > 0 ? 0 : 1;
}
