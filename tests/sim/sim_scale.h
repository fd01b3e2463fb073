/* tests/sim/sim_scale.h: a grid too great for links of each with each, without faults but one. */
#ifndef GRID_TESTS_SIM_SCALE_H
#define GRID_TESTS_SIM_SCALE_H

#include <stdbool.h>
#include <stdint.h>

/* Prints what joining, idling and losing one member take; false when the views do not become equal. */
bool sim_scale_run(uint32_t nodes, uint64_t seed, bool trace);

#endif
