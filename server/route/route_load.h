/* server/route/route_load.h: how busy a node is with a task: what it says of it at the end of each call that another node sent, and
 * what the sender keeps of that. No clock, no memory; what is kept is a relaxed atomic (route_table.h). Any thread.
 *
 * On the wire it is the trailer `grid-load` of a hop (hop.h): five decimal numbers with a space between them, in the order of the
 * struct, rounded down as member_load_quantized does it, so that a load that hardly changes is an indexed header. What a newer version may
 * add behind them is passed over. Only nodes are told. */
#ifndef GRID_SERVER_ROUTE_ROUTE_LOAD_H
#define GRID_SERVER_ROUTE_ROUTE_LOAD_H

#include "server/route/route_table.h"

enum {
    ROUTE_LOAD_TEXT = 64,
    /* A node that said it was full is passed over for so long; then one call goes there to see, and the next one only after as long again. */
    ROUTE_FULL_MS = 100,
};

/* All but cpu_percent are of one task on one node. */
struct route_load {
    uint32_t in_flight;   /* calls at its ready instances */
    uint32_t queued;      /* calls that wait since all of these are at their limit */
    uint32_t cpu_percent; /* of the machine, in steps of 5 */
    uint32_t ready;       /* instances that take calls */
    uint32_t room;        /* calls that they would take now, those that wait already taken off; 0: another one would wait */
};

/* What is so at this node; false when the table does not have the task. `in_flight_limit` is an instance's. */
bool route_load_here(const struct route_table *t, struct slice task, uint32_t in_flight_limit, struct route_load *out);

/* The trailer's value, in `text`. */
struct slice route_load_format(const struct route_load *load, char text[ROUTE_LOAD_TEXT]);
/* False for what is no load; nothing of a peer's is believed to be one. */
bool route_load_parse(struct slice value, struct route_load *out);

/* Keeps the newest word of a node about a task; now_ms is the loop's. */
void route_load_note(struct route_node_shared *node, const struct route_task_shared *task, const struct route_load *load, uint64_t now_ms);
/* Whether its newest word was that it has no room. Who asks when that has grown old is told no, once, and is to send a call there. */
bool route_load_is_full(struct route_node_shared *node, const struct route_task_shared *task, uint64_t now_ms);

#endif
