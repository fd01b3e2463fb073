/* cli/help.h: help, the manual page and completion scripts, all from the table of verbs. The writers are pure. */
#ifndef GRID_CLI_HELP_H
#define GRID_CLI_HELP_H

#include "cli/verb.h"

/* Results as buf_append. */
int help_write_all(struct buf *out);
int help_write_verb(const struct verb *verb, struct buf *out);
/* grid.1, in man(7). */
int help_write_man(struct buf *out);

/* "bash", "zsh" or "fish"; GRID_ENOENT for another shell. */
int completion_write(const char *shell, struct buf *out);

/* To stdout. Return an enum grid_exit. */
int help_print_all(void);
int help_print_verb(const struct verb *verb);

#endif
