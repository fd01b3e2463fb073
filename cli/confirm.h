/* cli/confirm.h: asks the person at the terminal whether to go on, before what cannot be taken back. */
#ifndef GRID_CLI_CONFIRM_H
#define GRID_CLI_CONFIRM_H

#include <stdbool.h>

#include "base/slice.h"

/* Whether somebody is there to ask: stdin is a terminal. */
bool confirm_is_possible(void);

/* Writes `what`, sentences that say what would follow, and asks. GRID_DONE for "y"; else GRID_FAILED, with "nothing was changed" said. */
int confirm_ask(struct slice what);

#endif
