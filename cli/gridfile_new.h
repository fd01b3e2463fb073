/* cli/gridfile_new.h: minting a grid's access card. */
#ifndef GRID_CLI_GRIDFILE_NEW_H
#define GRID_CLI_GRIDFILE_NEW_H

/* Writes a Gridfile with a fresh authority for the grid `name` to `path`, mode 0600; an existing one is left alone. An exit code, with the
 * sentence said. Blocks on disk. */
int gridfile_new(const char *path, const char *name);

#endif
