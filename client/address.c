/* Addresses of a node's local API. */
#include "client/address.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/slice.h"

#define DEFAULT_API "127.0.0.1:10000"
#define ROOT_SOCKET "/run/gridcontrol/api.sock"

static int copy(char out[ADDRESS_MAX], const char *prefix, const char *text)
{
    int size = snprintf(out, ADDRESS_MAX, "%s%s", prefix, text);
    return size < 0 || size >= ADDRESS_MAX ? GRID_ELIMIT : 0;
}

static bool is_digits_and_dots(const char *text, size_t size)
{
    return strspn(text, "0123456789.") >= size;
}

/* An IP address of the family. */
static bool is_literal(int family, const char *text, size_t size)
{
    uint8_t bytes[sizeof(struct in6_addr)];
    char copied[INET6_ADDRSTRLEN];
    int length = snprintf(copied, sizeof copied, "%.*s", (int) size, text);
    return length < (int) sizeof copied && inet_pton(family, copied, bytes) == 1;
}

/* "host:port" with a host of letters, digits, dots and hyphens, or "[v6]:port". */
static bool is_host_port(const char *text)
{
    static const char HOST[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_";
    const char *colon = strrchr(text, ':');
    uint64_t port = 0;
    if (!colon || colon == text || slice_parse_u64(slice_of_str(colon + 1), 65535, &port) != 0 || port == 0)
        return false;
    if (*text == '[')
        return colon - text > 2 && colon[-1] == ']' && is_literal(AF_INET6, text + 1, (size_t) (colon - text - 2));
    if (is_digits_and_dots(text, (size_t) (colon - text)))
        return is_literal(AF_INET, text, (size_t) (colon - text));
    return strspn(text, HOST) == (size_t) (colon - text);
}

int address_normalize(const char *text, char out[ADDRESS_MAX])
{
    if (strncmp(text, "unix:", 5) == 0)
        text += 5;
    if (*text == '/')
        return copy(out, "unix:", text);
    if (strncmp(text, "http://", 7) != 0)
        return is_host_port(text) ? copy(out, "", text) : GRID_EINVAL;
    int err = copy(out, "", text + 7);
    size_t size = err == 0 ? strlen(out) : 0;
    if (size > 0 && out[size - 1] == '/')
        out[size - 1] = '\0';
    return err == 0 && !is_host_port(out) ? GRID_EINVAL : err;
}

const char *address_socket_path(const char *normalized)
{
    return strncmp(normalized, "unix:", 5) == 0 ? normalized + 5 : NULL;
}

int address_target(const char *normalized, char out[ADDRESS_MAX])
{
    const char *colon = strrchr(normalized, ':');
    if (address_socket_path(normalized))
        return copy(out, "", normalized);
    if (*normalized == '[')
        return copy(out, "ipv6:", normalized);
    if (is_digits_and_dots(normalized, (size_t) (colon - normalized)))
        return copy(out, "ipv4:", normalized);
    return copy(out, "dns:///", normalized);
}

bool address_host_name(const char *normalized, char out[ADDRESS_MAX])
{
    const char *colon = strrchr(normalized, ':');
    if (address_socket_path(normalized) || *normalized == '[' || is_digits_and_dots(normalized, (size_t) (colon - normalized)))
        return false;
    snprintf(out, ADDRESS_MAX, "%.*s", (int) (colon - normalized), normalized);
    return true;
}

static bool has_socket(const struct address_surroundings *around)
{
    return around->api_socket && *around->api_socket;
}

static const char *socket_path(const struct address_surroundings *around, char room[ADDRESS_MAX])
{
    if (has_socket(around))
        return around->api_socket;
    if (around->is_root)
        return ROOT_SOCKET;
    if (!around->runtime_dir || !*around->runtime_dir)
        return NULL;
    int size = snprintf(room, ADDRESS_MAX, "%s/gridcontrol/api.sock", around->runtime_dir);
    return size > 0 && size < ADDRESS_MAX ? room : NULL;
}

size_t address_candidates(const struct address_surroundings *around, char out[ADDRESS_CANDIDATES_MAX][ADDRESS_MAX],
                          const char **unsound)
{
    char room[ADDRESS_MAX];
    bool is_told = around->api && *around->api;
    const char *places[] = {is_told ? NULL : socket_path(around, room), is_told || has_socket(around) ? NULL : ROOT_SOCKET, around->api, is_told ? NULL : DEFAULT_API};
    size_t count = 0;
    if (unsound)
        *unsound = NULL;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (!places[i] || !*places[i])
            continue;
        if (address_normalize(places[i], out[count]) == 0)
            count += count == 0 || strcmp(out[count], out[count - 1]) != 0;
        else if (unsound && i > 0)
            *unsound = places[i];
    }
    return count;
}
