/* tests/sim/sim_course.h: what happens in a simulation: a course of faults made from a seed, 60 s of them, then calm until all views are equal
 * and a little longer. */
#ifndef GRID_TESTS_SIM_COURSE_H
#define GRID_TESTS_SIM_COURSE_H

#include "tests/sim/sim_world.h"

enum {
    SIM_FAULTS_FROM_MS = 4000, /* the grid has come together */
    SIM_FAULTS_TO_MS = 64000,
    SIM_FAULTS_MAX = 40,
    SIM_KINDS_LEAST = 3,
};

struct sim_fault {
    uint32_t at, until, kind;
    uint32_t node;     /* whom it befalls; SIM_NEVER: the network */
    uint32_t amount;   /* percent, milliseconds, a seed: as the kind has it */
};

struct sim_plan {
    struct sim_fault faults[SIM_FAULTS_MAX];
    uint32_t count, kinds; /* kinds: how many different ones */
};

struct sim_result {
    char broken[256]; /* "": every invariant held */
    uint32_t converged_ms; /* from the end of the faults until all views were equal */
    struct sim_worst worst[SIM_STATES], unnoticed, undead;
    uint64_t frames, bytes, events, fingerprint;
};

struct sim_plan sim_plan_make(uint32_t nodes, uint64_t seed);
void sim_plan_print(const struct sim_plan *plan);
void sim_plan_drop(struct sim_plan *plan, uint32_t place);

/* Schedules the plan's faults in a world that has just been made. The plan must outlive it. */
void sim_plan_apply(struct sim_world *w, const struct sim_plan *plan);

/* A whole course. */
struct sim_result sim_course_run(const struct sim_config *config, const struct sim_plan *plan);
/* The same and its plan, less those faults without which the same invariant breaks. */
struct sim_plan sim_course_shrink(const struct sim_config *config, struct sim_plan plan);

/* Runs on until all views are equal, at most until `deadline`; what it took since `from` in ms, or SIM_NEVER. */
uint32_t sim_converge(struct sim_world *w, uint32_t from, uint32_t deadline);
/* What the world has come to. */
struct sim_result sim_result_of(const struct sim_world *w);

#endif
