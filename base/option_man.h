/* base/option_man.h: what manual pages of a table of options are made of, in man(7). Pure. */
#ifndef GRID_BASE_OPTION_MAN_H
#define GRID_BASE_OPTION_MAN_H

#include "base/buf.h"
#include "base/option_table.h"

/* All return as buf_append. */

/* Text for troff: backslashes and hyphens escaped, no control line by accident. */
int man_write_text(struct buf *out, const char *text);

/* `text` escaped, between what is troff already. */
int man_write_line(struct buf *out, const char *before, const char *text, const char *after);

/* One option: its name, its short letter (0 for none), its value, its help. */
int option_write_man(const struct option_row *row, char letter, struct buf *out);

#endif
