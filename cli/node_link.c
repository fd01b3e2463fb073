/* Loading libgridcontrol, and questions to the node. */
#include "cli/node_link.h"

#include <assert.h>
#include <dlfcn.h>
#include <stdlib.h>

#include "base/err.h"

enum { ASK_TIMEOUT_MS = 15000, ARENA_BLOCK = 4096 };

#define LIBRARY "libgridcontrol.so.0"

static int explain_load(void)
{
    return cli_fail(GRID_FAILED, "%s cannot be loaded (%s): install GridControl whole, or set LD_LIBRARY_PATH", LIBRARY, dlerror());
}

/* A function's address into the pointer of its type. */
static bool find_function(void *library, const char *name, void *out)
{
    void *found = dlsym(library, name);
    memcpy(out, &found, sizeof found);
    return found != NULL;
}

static int load_library(struct client_functions *lib)
{
    /* gRPC would write to stderr what the caller is told anyway. */
    setenv("GRPC_VERBOSITY", "NONE", 0);
    void *library = dlopen(LIBRARY, RTLD_LAZY | RTLD_LOCAL);
    if (!library)
        return explain_load();
#define CLIENT_FIND(name)                                                                                                           \
    if (!find_function(library, #name, &lib->name))                                                                                 \
        return explain_load();
    CLIENT_FUNCTIONS(CLIENT_FIND)
#undef CLIENT_FIND
    return GRID_DONE;
}

static int explain_connect(const struct grid_error *error)
{
    if (error->code == GRID_CODE_NOT_FOUND)
        return cli_fail(GRID_NO_NODE, "%s", error->message);
    if (error->code != GRID_CODE_UNAVAILABLE)
        return cli_fail(GRID_USAGE, "%s", error->message);
    return cli_fail(GRID_NO_NODE, "%s: start gridd, or name another address with --api", error->message);
}

int node_link_open(struct cli *cli)
{
    static struct node_link link;
    struct grid_client_options options = {.address = option_string(cli->options, "api")};
    struct grid_error error = {0};
    if (cli->link)
        return GRID_DONE;
    int code = load_library(&link.lib);
    if (code != GRID_DONE)
        return code;
    if (link.lib.grid_client_create(&options, &link.client, &error) != GRID_CODE_OK)
        return explain_connect(&error);
    cli->link = &link;
    return GRID_DONE;
}

int node_link_fail(const struct grid_error *error)
{
    if (error->code == GRID_CODE_DEADLINE_EXCEEDED)
        return cli_fail(GRID_FAILED, "%s: the node is busy or stands still; ask again, or look into its log", error->message);
    return cli_fail(GRID_FAILED, "%s", error->message);
}

/* "/grid.v1.Control/METHOD" and the packed request. */
static int pack(const char *method, const ProtobufCMessage *request, char path[64], struct buf *packed)
{
    snprintf(path, 64, "/grid.v1.Control/%s", method);
    buf_init(packed, 0);
    return pb_append(packed, request) == 0 ? GRID_DONE : cli_fail(GRID_FAILED, "out of memory");
}

int node_ask(struct cli *cli, const char *method, const ProtobufCMessage *request, const ProtobufCMessageDescriptor *answer,
             struct arena *arena, void **out)
{
    char path[64];
    struct buf packed;
    struct grid_error error = {0};
    void *bytes = NULL;
    size_t size = 0;
    int code = node_link_open(cli);
    if (code == GRID_DONE)
        code = pack(method, request, path, &packed);
    if (code != GRID_DONE)
        return code;
    if (cli->link->lib.grid_unary(cli->link->client, path, packed.data, packed.size, ASK_TIMEOUT_MS, &bytes, &size, &error) != GRID_CODE_OK)
        code = node_link_fail(&error);
    else if (!(*out = pb_unpack(answer, arena, slice_of(bytes, size))))
        code = cli_fail(GRID_FAILED, "the node's answer to %s could not be read: it may be of another version; compare grid version on both", method);
    free(bytes);
    buf_dispose(&packed);
    return code;
}

int node_ask_for(struct cli *cli, const char *method, const ProtobufCMessage *request, const ProtobufCMessageDescriptor *answer,
                 node_answer_fn take, void *ctx)
{
    void *taken;
    struct arena *arena = arena_create(ARENA_BLOCK, 0);
    int code = arena ? node_ask(cli, method, request, answer, arena, &taken) : cli_fail(GRID_FAILED, "out of memory");
    if (code == GRID_DONE)
        code = take(ctx, taken);
    arena_destroy(arena);
    return code;
}

static int say(void *ctx, const void *answer)
{
    const ProtobufCMessage *message = answer;
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(message->descriptor, "message");
    (void) ctx;
    assert(field && field->type == PROTOBUF_C_TYPE_BYTES);
    const ProtobufCBinaryData *sentence = (const ProtobufCBinaryData *) (const void *) ((const char *) answer + field->offset);
    cli_say("%.*s", SLICE_FMT(pb_slice(*sentence)));
    return GRID_DONE;
}

int node_ask_and_say(struct cli *cli, const char *method, const ProtobufCMessage *request, const ProtobufCMessageDescriptor *answer)
{
    return node_ask_for(cli, method, request, answer, say, NULL);
}

enum grid_code node_stream(const struct cli *cli, const char *method, const ProtobufCMessage *request, grid_message_fn on_message, void *ctx, struct grid_error *error)
{
    char path[64];
    struct buf packed;
    enum grid_code code = error->code = GRID_CODE_RESOURCE_EXHAUSTED;
    snprintf(error->message, sizeof error->message, "out of memory");
    snprintf(path, sizeof path, "/grid.v1.Control/%s", method);
    buf_init(&packed, 0);
    if (pb_append(&packed, request) == 0)
        code = cli->link->lib.grid_server_stream(cli->link->client, path, packed.data, packed.size, 0, on_message, ctx, error);
    buf_dispose(&packed);
    return code;
}

int node_follow(struct cli *cli, const char *method, const ProtobufCMessage *request, grid_message_fn on_message, void *ctx)
{
    struct grid_error error;
    int code = node_link_open(cli);
    if (code == GRID_DONE && node_stream(cli, method, request, on_message, ctx, &error) != GRID_CODE_OK)
        code = node_link_fail(&error);
    return code;
}
