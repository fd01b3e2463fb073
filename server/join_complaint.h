/* server/join_complaint.h: what a person is told of a place where this node could not join by its password. Pure. */
#ifndef GRID_SERVER_JOIN_COMPLAINT_H
#define GRID_SERVER_JOIN_COMPLAINT_H

#include <stdbool.h>

#include "base/arena.h"
#include "trust/join_message.h"

enum join_complaint {
    JOIN_COMPLAINT_NONE,
    JOIN_COMPLAINT_UNREACHED, /* nobody was there, or nobody who takes part in joining */
    JOIN_COMPLAINT_BROKEN,    /* what was said there is against the rules, or does not fit this machine's clock */
    JOIN_COMPLAINT_LATER,     /* it refuses for now */
    JOIN_COMPLAINT_DIFFERS,   /* it refuses: one of the two has another name or password */
    JOIN_COMPLAINT_REFUSED,   /* it refuses, and the reason says what to do */
    JOIN_COMPLAINT_UNWANTED,  /* it refuses this node's key */
};

/* Of a refusal that ends an attempt. */
enum join_complaint join_complaint_of(enum join_reason reason);

/* True when nothing but a person mends it. */
bool join_complaint_lasts(enum join_complaint c);

/* One sentence with a remedy, in the arena; NULL without memory, and for JOIN_COMPLAINT_NONE. `why` is a clause. */
const char *join_complaint_sentence(enum join_complaint c, const char *address, const char *why, struct arena *arena);

/* The log's line, beside which the address and the clause stand. Static storage. */
const char *join_complaint_line(enum join_complaint c);

#endif
