/* server/node_password.h: the grid's password as it was given. Blocks on disk; at start. */
#ifndef GRID_SERVER_NODE_PASSWORD_H
#define GRID_SERVER_NODE_PASSWORD_H

#include "server/node_internal.h"

/* --password-file (mode 0600 or 0400), else GRID_AUTH, else the Gridfile's grid_password; into `out` without its line end, nothing
 * when none is given. A weak one is refused unless --weak-password. GRID_AUTH is wiped from the environment. 0, or GRID_E* with a
 * sentence. The caller wipes `out`. */
int node_password_read(struct node *n, struct buf *out, char why[NODE_WHY_MAX]);

#endif
