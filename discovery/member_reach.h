/* discovery/member_reach.h: where a member is dialled: its addresses, and, when it says of itself that it cannot be reached from elsewhere, the member itself, which
 * the loop's carrier finds a way to. No sockets, no clock, no state. */
#ifndef GRID_DISCOVERY_MEMBER_REACH_H
#define GRID_DISCOVERY_MEMBER_REACH_H

#include "discovery/member.h"
#include "net/addr.h"

/* Capabilities: it speaks grid.v1.PeerReach and knows Turn; others have found that they cannot dial it; it relays for others. */
#define MEMBER_REACHES "reach"
#define MEMBER_UNREACHABLE "unreachable"
#define MEMBER_RELAYS "relay"

bool member_has(const struct member *m, const char *capability);

/* Fills in at most `max` addresses in the order in which they are tried: the numeric ones of its record, and last the member itself if it is MEMBER_UNREACHABLE, for which
 * the last of more than fit makes room. Returns how many. */
size_t member_dials(const struct member *m, struct addr *out, size_t max);

/* For who tries one alone: the member itself if it is MEMBER_UNREACHABLE, else its first numeric address. False: there is none. */
bool member_dial(const struct member *m, struct addr *out);

#endif
