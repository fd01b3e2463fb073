/* A table. */
#include "server/join_complaint.h"

#define CANNOT "this node cannot join"

static const struct {
    const char *before, *after; /* of the address */
    const char *remedy;         /* behind the clause */
    const char *line;
    bool lasts;
} COMPLAINTS[] = {
    [JOIN_COMPLAINT_UNREACHED] = {CANNOT " at ", "", "; see that a gridd of the grid runs there, and that the port can be reached from here", "this node could not join yet and keeps trying", false},
    [JOIN_COMPLAINT_BROKEN] = {CANNOT " at ", "", "; see that the address and the port are a gridd's of the grid, and that both machines' clocks are right",
                               CANNOT ": see that --join names nodes of the grid, and that all machines' clocks are right", false},
    [JOIN_COMPLAINT_LATER] = {CANNOT " at ", " yet", "; it tries again by itself", "this node could not join yet and keeps trying", false},
    [JOIN_COMPLAINT_DIFFERS] = {"", " does not let this node in", ": see that all nodes of the grid have the same name and password, and that --join names one of them",
                                CANNOT ": see that all nodes of the grid have the same name and password, and that --join names one of them", true},
    [JOIN_COMPLAINT_REFUSED] = {"", " does not let this node in", "", CANNOT, true},
    [JOIN_COMPLAINT_UNWANTED] = {"", " does not let this node in", ": if the grid has evicted it, stop it, and start it with a new state folder to join as another node", CANNOT, true},
};

enum join_complaint join_complaint_of(enum join_reason reason)
{
    static const enum join_complaint OF[JOIN_REASON_END] = {
        [JOIN_NOT_ISSUER] = JOIN_COMPLAINT_UNREACHED, [JOIN_DOOR_CLOSED] = JOIN_COMPLAINT_REFUSED, [JOIN_BUSY] = JOIN_COMPLAINT_LATER,          [JOIN_TOO_MANY] = JOIN_COMPLAINT_LATER,
        [JOIN_ENOUGH] = JOIN_COMPLAINT_LATER,         [JOIN_MISMATCH] = JOIN_COMPLAINT_DIFFERS,    [JOIN_OTHER_GRID] = JOIN_COMPLAINT_REFUSED, [JOIN_NOT_ADMITTED] = JOIN_COMPLAINT_UNWANTED,
    };
    return reason > 0 && reason < JOIN_REASON_END ? OF[reason] : JOIN_COMPLAINT_DIFFERS;
}

bool join_complaint_lasts(enum join_complaint c)
{
    return COMPLAINTS[c].lasts;
}

const char *join_complaint_sentence(enum join_complaint c, const char *address, const char *why, struct arena *arena)
{
    if (c == JOIN_COMPLAINT_NONE)
        return NULL;
    return arena_printf(arena, "%s%s%s: %s%s", COMPLAINTS[c].before, address, COMPLAINTS[c].after, why, COMPLAINTS[c].remedy);
}

const char *join_complaint_line(enum join_complaint c)
{
    return COMPLAINTS[c].line;
}
