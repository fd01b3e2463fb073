/* discovery/avahi_library.h: one of Avahi's libraries, loaded when it is needed. Both cannot be linked into one program: libavahi-core exports functions of its own under names that libavahi-client has
 * too (avahi_entry_group_free), and each would call the other's. Loaded for itself alone, each calls its own; and a node that looks for nobody by mDNS carries neither. */
#ifndef GRID_DISCOVERY_AVAHI_LIBRARY_H
#define GRID_DISCOVERY_AVAHI_LIBRARY_H

#include <stddef.h>

/* Loads `file` for good and fills `count` function pointers, side by side at `out`, by their names. 0, or GRID_EIO with a clause in `why`. Any one thread at a time. */
int avahi_library_load(const char *file, const char *const *names, size_t count, void *out, char why[160]);

/* For a list of functions FUNCTIONS(X), each as X(what follows "avahi_"): a struct of pointers to them, and their names. */
#define AVAHI_LIBRARY_POINTER(name) __typeof__(avahi_##name) *name;
#define AVAHI_LIBRARY_NAME(name) "avahi_" #name,

#endif
