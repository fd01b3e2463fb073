/* client/address.h: where a node's local API may be found. No sockets; the environment is given. */
#ifndef GRID_CLIENT_ADDRESS_H
#define GRID_CLIENT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

enum { ADDRESS_MAX = 256, ADDRESS_CANDIDATES_MAX = 3 };

/* What decides where to look: GRID_API_SOCKET, GRID_API, XDG_RUNTIME_DIR (NULL when unset), and whether the caller is root. */
struct address_surroundings {
    const char *api_socket;
    const char *api;
    const char *runtime_dir;
    bool is_root;
};

/* An address as people write it, also as the URL "http://127.0.0.1:1/", as the library shows it ("127.0.0.1:1", "unix:/path"). 0, GRID_EINVAL, or GRID_ELIMIT when too long. */
int address_normalize(const char *text, char out[ADDRESS_MAX]);

/* The target that gRPC wants, from a normalized address: literal IP addresses and sockets need no resolver. 0 or GRID_ELIMIT. */
int address_target(const char *normalized, char out[ADDRESS_MAX]);

/* The host of a normalized address that is a name, which a resolver must know. False for literal IP addresses and sockets. */
bool address_host_name(const char *normalized, char out[ADDRESS_MAX]);

/* The path behind "unix:", NULL for other addresses. Borrowed from `normalized`. */
const char *address_socket_path(const char *normalized);

/* Normalized, in the order to try: GRID_API alone where it is set, so that nothing meant for one grid goes to another; else the caller's own socket, root's (which is open to the group gridcontrol), the port. An address that is unsound is left out, and *unsound (may be NULL) says which. */
size_t address_candidates(const struct address_surroundings *around, char out[ADDRESS_CANDIDATES_MAX][ADDRESS_MAX],
                          const char **unsound);

#endif
