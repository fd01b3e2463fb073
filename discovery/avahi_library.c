/* dlopen with names of its own (RTLD_LOCAL). */
#include "discovery/avahi_library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

int avahi_library_load(const char *file, const char *const *names, size_t count, void *out, char why[160])
{
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        snprintf(why, 160, "%.60s cannot be loaded: install its package", file);
        return GRID_EIO;
    }
    for (size_t i = 0; i < count; i++) {
        void *function = dlsym(library, names[i]);
        if (!function) {
            snprintf(why, 160, "%.40s has no %.50s: install Debian 12's", file, names[i]);
            return GRID_EIO;
        }
        memcpy((char *) out + i * sizeof function, &function, sizeof function);
    }
    return 0;
}
