/* The temporary folder of `grid dev`. */
#include "cli/dev_folder.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TMPDIR_MAX = 60, OPEN_FOLDERS = 16 };

int dev_folder_create(char path[DEV_PATH_MAX])
{
    const char *base = getenv("TMPDIR");
    if (!base || *base != '/' || strlen(base) > TMPDIR_MAX)
        base = "/tmp";
    snprintf(path, DEV_PATH_MAX, "%s/grid-dev-XXXXXX", base);
    if (!mkdtemp(path))
        return -1;
    return geteuid() == 0 ? chmod(path, 0711) : 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void) st;
    (void) kind;
    (void) at;
    remove(path);
    return 0;
}

void dev_folder_remove(const char *path)
{
    nftw(path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
