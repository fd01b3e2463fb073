/* cli/node_link.h: the way to a node: libgridcontrol, loaded when a verb first needs it, since loading gRPC takes longer than all the rest
 * of `grid --help`. One thread, but for node_stream; nothing forks afterwards. */
#ifndef GRID_CLI_NODE_LINK_H
#define GRID_CLI_NODE_LINK_H

#include <gridcontrol/client.h>

#include "api/pb.h"
#include "cli/cli.h"

/* The library's functions that `grid` uses. */
#define CLIENT_FUNCTIONS(X)                                                                                                         \
    X(grid_client_create)                                                                                                           \
    X(grid_client_address)                                                                                                          \
    X(grid_call)                                                                                                                    \
    X(grid_call_stream)                                                                                                             \
    X(grid_broadcast)                                                                                                               \
    X(grid_unary)                                                                                                                   \
    X(grid_server_stream)                                                                                                           \
    X(grid_result_destroy)

struct client_functions {
#define CLIENT_POINTER(name) __typeof__(&name) name;
    CLIENT_FUNCTIONS(CLIENT_POINTER)
#undef CLIENT_POINTER
};

struct node_link {
    struct client_functions lib;
    struct grid_client *client;
};

/* Loads the library and connects, once; the address is --api's or the usual places. GRID_DONE with cli->link set, or another exit code
 * with the sentence said. The link lives as long as the process. */
int node_link_open(struct cli *cli);

/* Says why a call failed, and returns the exit code. */
int node_link_fail(const struct grid_error *error);

/* Opens the link, asks a unary method of grid.v1.Control ("ListNodes") and decodes the answer into the arena. An exit code. */
int node_ask(struct cli *cli, const char *method, const ProtobufCMessage *request, const ProtobufCMessageDescriptor *answer,
             struct arena *arena, void **out);

/* The same for one answer that nobody keeps: `take` has it for the call, and gives the exit code. */
typedef int (*node_answer_fn)(void *ctx, const void *answer);
int node_ask_for(struct cli *cli, const char *method, const ProtobufCMessage *request, const ProtobufCMessageDescriptor *answer,
                 node_answer_fn take, void *ctx);
/* The same for an answer whose field `message` is a sentence: it is said. */
int node_ask_and_say(struct cli *cli, const char *method, const ProtobufCMessage *request, const ProtobufCMessageDescriptor *answer);

/* A method with many answers; on_message as grid_server_stream's. No deadline. The link is open, nothing is said, and any thread may. */
enum grid_code node_stream(const struct cli *cli, const char *method, const ProtobufCMessage *request, grid_message_fn on_message, void *ctx, struct grid_error *error);
/* The same, with the link opened and a failure said. An exit code. */
int node_follow(struct cli *cli, const char *method, const ProtobufCMessage *request, grid_message_fn on_message, void *ctx);

#endif
