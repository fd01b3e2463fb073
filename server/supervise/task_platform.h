/* server/supervise/task_platform.h: names in a tasks folder that say on which machines they run: "resize@linux-arm64", "resize@linux-x64.sh". Pure. */
#ifndef GRID_SERVER_SUPERVISE_TASK_PLATFORM_H
#define GRID_SERVER_SUPERVISE_TASK_PLATFORM_H

#include <stdbool.h>

#include "base/slice.h"

enum { TASK_PLATFORM_MAX = 31 };

/* Parts of an entry's name, borrowed from it. */
struct task_name {
    struct slice name;      /* of the task: what is before the '@', or before the extension */
    struct slice platform;  /* "linux-arm64"; empty: any */
    const char *extension;  /* ".sh" or "" */
    bool has_platform;      /* there is an '@' */
};

/* A folder has no extension. */
void task_name_read(const char *entry, bool folder, struct task_name *out);

/* "OS-ARCHITECTURE" as `grid list` shows it: lowercase letters and digits, one '-', at most TASK_PLATFORM_MAX bytes. */
bool task_platform_is_sound(struct slice platform);

#endif
