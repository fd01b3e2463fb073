/* discovery/reach.h: whether anybody takes connections at an address: a question for many addresses at once, before something dear is begun at one of them. The loop's
 * thread. */
#ifndef GRID_DISCOVERY_REACH_H
#define GRID_DISCOVERY_REACH_H

#include "net/loop.h"
#include "net/tls.h"

enum { REACH_MAX = 64, REACH_WITHIN_MS = 2000 };

enum reach_state { REACH_ASKING, REACH_YES, REACH_NO, REACH_SELF };

struct reach;

/* With `tls` (a context for guests; referenced) TLS must come about as well, so that silence is no answer, and who answers with this context's own key is oneself: REACH_SELF. NULL:
 * TCP is enough. 0 or GRID_ENOMEM. */
int reach_create(struct loop *l, struct tls_context *tls, struct reach **out);
/* `on_closed` comes when its memory is gone. */
void reach_close(struct reach *r, loop_fn on_closed, void *arg);

/* What is known of an address ("host:port", numeric). Of one that is new a connection is begun, which is closed once it stands; of REACH_MAX the one whose answer came first
 * makes room, and while all are still asked a new one waits. REACH_NO: refused, or not there within REACH_WITHIN_MS. */
enum reach_state reach_look(struct reach *r, const char *address);

/* It is asked anew the next time. */
void reach_forget(struct reach *r, const char *address);

#endif
