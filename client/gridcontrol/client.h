/* gridcontrol/client.h: calls tasks of a grid from C, through the node of this machine.
 *
 *     struct grid_client *client;
 *     struct grid_result *result;
 *     struct grid_error error;
 *     if (grid_client_create(NULL, &client, &error) == GRID_CODE_OK &&
 *         grid_call(client, "hello", "", grid_json("{\"name\": \"you\"}"), NULL, &result, &error) == GRID_CODE_OK)
 *         fwrite(result->output, 1, result->output_size, stdout);
 *
 * Every function that can fail returns GRID_CODE_OK, or another code with `error` (which may be NULL) filled; what it would have handed
 * out is then NULL. All calls block. A client may be used by any number of threads at once; it is destroyed when none uses it any
 * more. Callbacks run on the calling thread, and may make other calls. A process that has created a client must not fork without
 * exec. Strings are UTF-8 and NUL-terminated; texts given in are borrowed for the call. */
#ifndef GRIDCONTROL_CLIENT_H
#define GRIDCONTROL_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* gRPC's status codes. */
enum grid_code {
    GRID_CODE_OK = 0,
    GRID_CODE_CANCELLED = 1,
    GRID_CODE_UNKNOWN = 2,
    GRID_CODE_INVALID_ARGUMENT = 3,
    GRID_CODE_DEADLINE_EXCEEDED = 4,
    GRID_CODE_NOT_FOUND = 5, /* no such task, or name */
    GRID_CODE_ALREADY_EXISTS = 6,
    GRID_CODE_PERMISSION_DENIED = 7,
    GRID_CODE_RESOURCE_EXHAUSTED = 8, /* the task is busy, or a message is too large */
    GRID_CODE_FAILED_PRECONDITION = 9,
    GRID_CODE_ABORTED = 10,
    GRID_CODE_OUT_OF_RANGE = 11,
    GRID_CODE_UNIMPLEMENTED = 12,
    GRID_CODE_INTERNAL = 13,
    GRID_CODE_UNAVAILABLE = 14, /* no node, or nothing that can run the task */
    GRID_CODE_DATA_LOSS = 15,
    GRID_CODE_UNAUTHENTICATED = 16
};

struct grid_error {
    enum grid_code code;
    char message[1000]; /* one sentence without a full stop; control characters are replaced */
};

/* ---- the connection ---- */

struct grid_client;

struct grid_client_options {
    /* "127.0.0.1:10000", "[::1]:10000", "unix:/path" or "/path". NULL is $GRID_API, and where that is not set the
     * first that answers of where nodes are by default: the Unix socket ($GRID_API_SOCKET, else as root /run/gridcontrol/api.sock, else
     * $XDG_RUNTIME_DIR/gridcontrol/api.sock and root's, if it may be used), then 127.0.0.1:10000. */
    const char *address;
    uint32_t connect_timeout_ms;   /* for each address; 0: 5,000 */
    uint32_t max_message_bytes;    /* of an answer; 0: 64 MiB */
};

/* Connects to a node; `options` may be NULL. GRID_CODE_UNAVAILABLE: none answers; GRID_CODE_NOT_FOUND: the name in the address is
 * not known; GRID_CODE_INVALID_ARGUMENT: not an address. */
enum grid_code grid_client_create(const struct grid_client_options *options, struct grid_client **out, struct grid_error *error);
/* NULL is allowed. */
void grid_client_destroy(struct grid_client *client);
/* Where it is connected to: "127.0.0.1:10000" or "unix:/path". Lives as long as the client. */
const char *grid_client_address(const struct grid_client *client);

/* ---- calling tasks ---- */

/* What a task is given: nothing, bytes, or JSON text. It travels as the same bytes. */
enum grid_input_kind { GRID_INPUT_NONE = 0, GRID_INPUT_BYTES, GRID_INPUT_JSON };
struct grid_input {
    enum grid_input_kind kind;
    const void *data;
    size_t size;
};

static inline struct grid_input grid_nothing(void)
{
    struct grid_input input = {GRID_INPUT_NONE, NULL, 0};
    return input;
}

static inline struct grid_input grid_bytes(const void *data, size_t size)
{
    struct grid_input input = {GRID_INPUT_BYTES, data, size};
    return input;
}

static inline struct grid_input grid_json(const char *text)
{
    struct grid_input input = {GRID_INPUT_JSON, text, strlen(text)};
    return input;
}

enum grid_strategy { GRID_STRATEGY_DEFAULT = 0, GRID_STRATEGY_ROUND_ROBIN = 1, GRID_STRATEGY_LOCAL = 2 };

struct grid_metadata {
    const char *key;
    const char *value;
};

/* All may be zero. */
struct grid_call_options {
    uint32_t timeout_ms;         /* 0: 60,000 */
    const char *content_type;    /* of bytes; application/octet-stream when NULL */
    enum grid_strategy strategy; /* how the node is chosen */
    const char *node;            /* id or name of the only node that may run it */
    const char *key;             /* calls of one key prefer one node */
    const char *idempotency_key; /* handed to the task */
    const struct grid_metadata *metadata; /* handed to the task as headers grid-meta-KEY */
    size_t metadata_count;
};

/* A failure of the task itself. */
struct grid_task_error {
    const char *type; /* such as "TypeError"; may be empty */
    const char *message;
    const char *const *stack; /* frames, of one line or more */
    size_t stack_count;
};

/* An answer. Everything in it lives until grid_result_destroy. */
struct grid_result {
    const void *output; /* NUL-terminated behind its end */
    size_t output_size;
    bool output_is_json;
    const char *content_type;
    int status; /* the HTTP status that the task answered with */
    const struct grid_task_error *task_error; /* NULL when the task succeeded */
    const char *node;       /* name of the node that ran it */
    const char *node_id;
    const char *request_id; /* UUID, the same in every log line about this call */
    const char *release;    /* hex id of the release that answered */
    unsigned attempts;
};
void grid_result_destroy(struct grid_result *result);

/* Runs a task on whichever node is best. `handler` is the function inside the task, "" or NULL for its default, or for a `task` that names
 * both ("task.handler", which the node tells apart); `options` may be NULL. A task's own failure is GRID_CODE_OK with task_error set. */
enum grid_code grid_call(struct grid_client *client, const char *task, const char *handler, struct grid_input input,
                         const struct grid_call_options *options, struct grid_result **out, struct grid_error *error);

/* The same with the answer's bytes as they come. `on_data` returns false to cancel the call, which then is GRID_CODE_CANCELLED. The
 * result has no output. */
typedef bool (*grid_data_fn)(void *ctx, const void *data, size_t size);
enum grid_code grid_call_stream(struct grid_client *client, const char *task, const char *handler, struct grid_input input,
                                const struct grid_call_options *options, grid_data_fn on_data, void *ctx, struct grid_result **out,
                                struct grid_error *error);

/* Runs a task once on every synchronized node. `on_result` gets each answer as it comes, borrowed for the call, and returns false to
 * cancel the rest. */
typedef bool (*grid_result_fn)(void *ctx, const struct grid_result *result);
enum grid_code grid_broadcast(struct grid_client *client, const char *task, const char *handler, struct grid_input input,
                              const struct grid_call_options *options, grid_result_fn on_result, void *ctx, struct grid_error *error);

/* ---- any other method of the node's API ---- */

/* Calls `method`, such as "/grid.v1.Control/ListNodes", with a packed request. The caller frees *out with free(). timeout_ms 0: none. */
enum grid_code grid_unary(struct grid_client *client, const char *method, const void *request, size_t request_size, uint32_t timeout_ms,
                          void **out, size_t *out_size, struct grid_error *error);

/* Calls a method that answers with any number of messages. `on_message` gets each, borrowed for the call, and returns false to cancel. */
typedef bool (*grid_message_fn)(void *ctx, const void *message, size_t size);
enum grid_code grid_server_stream(struct grid_client *client, const char *method, const void *request, size_t request_size,
                                  uint32_t timeout_ms, grid_message_fn on_message, void *ctx, struct grid_error *error);

#ifdef __cplusplus
}
#endif
#endif
