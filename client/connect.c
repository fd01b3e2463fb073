/* Connecting to a node: the first address that speaks HTTP/2 is taken. */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <grpc/grpc_security.h>

#include "client/address.h"
#include "client/fault.h"
#include "client/rpc.h"

enum { CONNECT_TIMEOUT_MS = 5000, MAX_MESSAGE_BYTES = 64 * 1024 * 1024 };

static grpc_arg int_arg(const char *key, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *) (uintptr_t) key, .value.integer = value};
}

/* A channel that goes straight to the address: no proxy of the environment, no service configuration from DNS. */
static grpc_channel *open_channel(const char *address, uint32_t max_message_bytes)
{
    char target[ADDRESS_MAX];
    grpc_arg args[] = {
        int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int) max_message_bytes),
        int_arg(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
        int_arg(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
        int_arg(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1),
        int_arg(GRPC_ARG_ENABLE_RETRIES, 0),
    };
    grpc_channel_args all = {.num_args = sizeof args / sizeof *args, .args = args};
    if (address_target(address, target) != 0)
        return NULL;
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    grpc_channel *channel = grpc_channel_create(target, credentials, &all);
    grpc_channel_credentials_release(credentials);
    return channel;
}

/* Waits until the channel is ready; false when the connection fails or takes too long. */
static bool await_ready(grpc_channel *channel, uint32_t timeout_ms)
{
    grpc_completion_queue *queue = grpc_completion_queue_create_for_next(NULL);
    gpr_timespec deadline = rpc_deadline(timeout_ms);
    grpc_connectivity_state state = grpc_channel_check_connectivity_state(channel, 1);
    while (state == GRPC_CHANNEL_IDLE || state == GRPC_CHANNEL_CONNECTING) {
        grpc_channel_watch_connectivity_state(channel, state, deadline, queue, NULL);
        grpc_event event = grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        if (!event.success)
            break;
        state = grpc_channel_check_connectivity_state(channel, 1);
    }
    rpc_queue_destroy(queue);
    return state == GRPC_CHANNEL_READY;
}

/* A socket that is not there, or not for this user, needs no try. */
static bool is_absent(const char *address)
{
    struct stat st;
    const char *path = address_socket_path(address);
    return path && (stat(path, &st) != 0 || !S_ISSOCK(st.st_mode) || access(path, W_OK) != 0);
}

/* A name must have an address; getaddrinfo's code when it has none. What is no name has its own. */
static int look_up(const char *address)
{
    struct addrinfo *found = NULL;
    char host[ADDRESS_MAX];
    if (!address_host_name(address, host))
        return 0;
    int err = getaddrinfo(host, NULL, &(struct addrinfo){.ai_socktype = SOCK_STREAM}, &found);
    if (err == 0)
        freeaddrinfo(found);
    return err;
}

static grpc_channel *connect_to(const char *address, const struct grid_client_options *options)
{
    if (is_absent(address))
        return NULL;
    grpc_channel *channel = open_channel(address, options->max_message_bytes ? options->max_message_bytes : MAX_MESSAGE_BYTES);
    if (channel && await_ready(channel, options->connect_timeout_ms ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS))
        return channel;
    if (channel)
        grpc_channel_destroy(channel);
    return NULL;
}

/* The addresses to try; 0 with `error` set when there is none. */
static size_t list_addresses(const char *given, char out[ADDRESS_CANDIDATES_MAX][ADDRESS_MAX], struct grid_error *error)
{
    struct address_surroundings around = {getenv("GRID_API_SOCKET"), getenv("GRID_API"), getenv("XDG_RUNTIME_DIR"), geteuid() == 0};
    const char *unsound = given;
    if (given && address_normalize(given, out[0]) == 0)
        return 1;
    size_t count = given ? 0 : address_candidates(&around, out, &unsound);
    if (!unsound)
        return count;
    fault_set(error, GRID_CODE_INVALID_ARGUMENT, "%.200s is not an address: give host:port or the path of a socket, such as 127.0.0.1:10000",
              unsound);
    return 0;
}

/* "a, b or c" into the error. */
static enum grid_code explain_unreachable(char tried[][ADDRESS_MAX], size_t count, struct grid_error *error)
{
    char list[ADDRESS_CANDIDATES_MAX * (ADDRESS_MAX + 4)] = "";
    for (size_t i = 0; i < count; i++) {
        strcat(list, i == 0 ? "" : i + 1 == count ? " or " : ", ");
        strcat(list, tried[i]);
    }
    return fault_set(error, GRID_CODE_UNAVAILABLE, "no node reachable at %s", list);
}

static enum grid_code create_client(grpc_channel *channel, const char *address, struct grid_client **out, struct grid_error *error)
{
    struct grid_client *client = calloc(1, sizeof *client);
    char *copy = strdup(address);
    if (!client || !copy) {
        free(client);
        free(copy);
        grpc_channel_destroy(channel);
        grpc_shutdown();
        return fault_set(error, GRID_CODE_RESOURCE_EXHAUSTED, "out of memory");
    }
    *client = (struct grid_client){channel, copy};
    *out = client;
    return GRID_CODE_OK;
}

enum grid_code grid_client_create(const struct grid_client_options *options, struct grid_client **out, struct grid_error *error)
{
    static const struct grid_client_options DEFAULTS = {0};
    char addresses[ADDRESS_CANDIDATES_MAX][ADDRESS_MAX];
    if (!options)
        options = &DEFAULTS;
    int err;
    *out = NULL;
    size_t count = list_addresses(options->address, addresses, error);
    if (count == 0)
        return GRID_CODE_INVALID_ARGUMENT;
    if (count == 1 && (err = look_up(addresses[0])) != 0)
        return fault_set(error, GRID_CODE_NOT_FOUND, "the name in the address %s is not found (%s): give a name that this machine knows, or an IP address", addresses[0], gai_strerror(err));
    grpc_init();
    for (size_t i = 0; i < count; i++) {
        grpc_channel *channel = connect_to(addresses[i], options);
        if (channel)
            return create_client(channel, addresses[i], out, error);
    }
    grpc_shutdown();
    return explain_unreachable(addresses, count, error);
}

void grid_client_destroy(struct grid_client *client)
{
    if (!client)
        return;
    grpc_channel_destroy(client->channel);
    grpc_shutdown();
    free(client->address);
    free(client);
}

const char *grid_client_address(const struct grid_client *client)
{
    return client->address;
}
