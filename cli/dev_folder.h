/* cli/dev_folder.h: a temporary folder that goes away again. Blocks on disk. */
#ifndef GRID_CLI_DEV_FOLDER_H
#define GRID_CLI_DEV_FOLDER_H

enum { DEV_PATH_MAX = 256 };

/* Makes one, mode 0700 (as root 0711, so that the tasks' own user passes it), in $TMPDIR or /tmp (where TMPDIR is too long for the path of a socket). 0, or -1 with errno. */
int dev_folder_create(char path[DEV_PATH_MAX]);
/* Removes it and all that is in it, without following links. */
void dev_folder_remove(const char *path);

#endif
