/* server/errands.h: how often a member may make this node dial, which is what costs this node most of all that a member may ask for (a handshake's 1 ms on the control
 * thread): a turn, a look, a tunnel that is passed on. Each has a bucket of its own. No sockets, no clock; one thread at a time. */
#ifndef GRID_SERVER_ERRANDS_H
#define GRID_SERVER_ERRANDS_H

#include <stdbool.h>
#include <stdint.h>

enum { ERRANDS_PER_S = 10, ERRANDS_BURST = 32, ERRANDS_MEMBERS_MAX = 1024 /* as many as a grid has */ };

struct errands;

/* NULL when out of memory. */
struct errands *errands_create(void);
void errands_destroy(struct errands *e);

/* One more dial for the member with this id. False: it has had its share, or there are more of them than a grid has, all of late, or no memory. `now_ms` is monotonic. */
bool errands_allow(struct errands *e, const char *member, uint64_t now_ms);

#endif
