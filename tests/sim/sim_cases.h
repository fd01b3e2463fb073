/* tests/sim/sim_cases.h: single troubles in an otherwise undisturbed grid, each with a figure that is to be reached whatever the seed (the
 * phase, the ids, the delays): the table of docs/performance.md in virtual time, and a few more. */
#ifndef GRID_TESTS_SIM_CASES_H
#define GRID_TESTS_SIM_CASES_H

#include "tests/sim/sim_world.h"

struct sim_case {
    const char *name, *figure; /* what is measured, with its unit */
    uint32_t nodes, limit;     /* at most */
    uint32_t (*run)(struct sim_world *w, uint64_t *random); /* the figure; SIM_NEVER: not within any time */
    const struct members_times *times; /* NULL: MEMBERS_LAN; and what is in struct sim_config with it */
    uint32_t patience;
    uint32_t way_ms, jitter_ms; /* of every way between two hosts; 0: hardly any */
};

extern const struct sim_case SIM_CASES[];
extern const size_t SIM_CASE_COUNT;

/* One case from one seed; the figure into `measured`. `broken` (256 bytes) is "" or a sentence. */
void sim_case_run(const struct sim_case *c, uint64_t seed, bool trace, uint32_t *measured, char *broken);

#endif
