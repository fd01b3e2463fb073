/* server/supervise/firewall.h: shuts ports off from outside this machine, by a table of our own in nftables; no other table is touched. One `nft`
 * at a time, run beside the loop; each replaces the whole table in one transaction. Control thread. */
#ifndef GRID_SERVER_SUPERVISE_FIREWALL_H
#define GRID_SERVER_SUPERVISE_FIREWALL_H

#include "base/buf.h"
#include "net/loop.h"

enum { FIREWALL_PORTS_MAX = 1024 };

struct firewall;

/* `table` is its name: letters, digits and '_'; copied. `leftovers`: a node that crashed may have left the table: it goes now. Else nothing is run before there is a
 * port to shut. `on_change`: firewall_is_shut may say something else now. NULL without memory. */
struct firewall *firewall_create(struct loop *l, const char *table, bool leftovers, loop_fn on_change, void *ctx);

/* Removes the table; `done` when that is over, never inside, and the memory is gone then. */
void firewall_close(struct firewall *f, loop_fn done, void *arg);

/* The ports to shut off, from now on; sorted. What is beyond FIREWALL_PORTS_MAX is left open. */
void firewall_set(struct firewall *f, const uint16_t *ports, size_t count);

/* Whether the kernel has taken the rule for this port. */
bool firewall_is_shut(const struct firewall *f, uint16_t port);

/* The transaction, as nft's language. Pure. 0 or GRID_ENOMEM. */
int firewall_script(const char *table, const uint16_t *ports, size_t count, struct buf *out);

#endif
