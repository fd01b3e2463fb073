/* cli/project_mark.h: a number that is another one when a folder has changed. Blocking. */
#ifndef GRID_CLI_PROJECT_MARK_H
#define GRID_CLI_PROJECT_MARK_H

#include <stdint.h>

/* Of all that would be deployed: names, kinds, and the stamps of files. What cannot be looked through has a number too, by why it cannot. */
uint64_t project_mark(const char *root);

#endif
