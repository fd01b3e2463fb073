/* Answers: decoded into one arena, out of which every string of the result is borrowed. */
#include "client/result.h"

#include "api/pb.h"
#include "base/err.h"
#include "grid/v1/invoke.pb-c.h"

enum { ARENA_BLOCK = 4096 };

/* What grid_result_destroy gets back: the result stands first. */
struct owned_result {
    struct grid_result result;
    struct arena *arena;
};

static const char *text(struct arena *arena, ProtobufCBinaryData bytes, bool *failed)
{
    char *copy = arena_str(arena, pb_slice(bytes));
    *failed = *failed || !copy;
    return copy ? copy : "";
}

static struct owned_result *owned_create(void)
{
    struct arena *arena = arena_create(ARENA_BLOCK, 0);
    struct owned_result *owned = arena ? arena_calloc(arena, 1, sizeof *owned) : NULL;
    if (!owned) {
        arena_destroy(arena);
        return NULL;
    }
    owned->arena = arena;
    owned->result.output = "";
    owned->result.content_type = owned->result.node = owned->result.node_id = "";
    owned->result.request_id = owned->result.release = "";
    return owned;
}

void grid_result_destroy(struct grid_result *result)
{
    if (result)
        arena_destroy(((struct owned_result *) result)->arena);
}

static int take_error(struct owned_result *owned, const Grid__V1__FunctionError *from)
{
    bool failed = false;
    if (!from)
        return 0;
    struct grid_task_error *error = arena_calloc(owned->arena, 1, sizeof *error);
    const char **stack = arena_calloc(owned->arena, from->n_stack + 1, sizeof *stack);
    if (!error || !stack)
        return GRID_ENOMEM;
    for (size_t i = 0; i < from->n_stack; i++)
        stack[i] = text(owned->arena, from->stack[i], &failed);
    *error = (struct grid_task_error){text(owned->arena, from->type, &failed), text(owned->arena, from->message, &failed), stack,
                                      from->n_stack};
    owned->result.task_error = error;
    return failed ? GRID_ENOMEM : 0;
}

static int take_node(struct owned_result *owned, const Grid__V1__Host *node)
{
    bool failed = false;
    if (!node)
        return 0;
    owned->result.node = text(owned->arena, node->name, &failed);
    owned->result.node_id = text(owned->arena, node->id, &failed);
    return failed ? GRID_ENOMEM : 0;
}

static int take_output(struct owned_result *owned, struct slice output, bool is_json)
{
    struct slice copy = arena_copy(owned->arena, output);
    owned->result.output = copy.data ? (const void *) copy.data : "";
    owned->result.output_size = copy.size;
    owned->result.output_is_json = is_json;
    return copy.data || output.size == 0 ? 0 : GRID_ENOMEM;
}

static int take_response(struct owned_result *owned, const Grid__V1__CallResponse *from)
{
    struct grid_result *r = &owned->result;
    bool failed = false, is_json = from->output_case == GRID__V1__CALL_RESPONSE__OUTPUT_JSON;
    struct slice output = is_json ? pb_slice(from->json)
                          : from->output_case == GRID__V1__CALL_RESPONSE__OUTPUT_PAYLOAD ? pb_slice(from->payload)
                                                                                         : slice_of(NULL, 0);
    r->content_type = text(owned->arena, from->content_type, &failed);
    r->request_id = text(owned->arena, from->request_id, &failed);
    r->release = text(owned->arena, from->release, &failed);
    r->status = from->status;
    r->attempts = from->attempts;
    int err = failed ? GRID_ENOMEM : take_output(owned, output, is_json);
    if (err == 0)
        err = take_node(owned, from->node);
    return err ? err : take_error(owned, from->error);
}

int result_from_response(struct slice packed, struct grid_result **out)
{
    struct owned_result *owned = owned_create();
    struct arena *scratch = arena_create(ARENA_BLOCK, 0);
    *out = NULL;
    int err = owned && scratch ? 0 : GRID_ENOMEM;
    Grid__V1__CallResponse *response = err ? NULL : pb_unpack(&grid__v1__call_response__descriptor, scratch, packed);
    if (err == 0)
        err = response ? take_response(owned, response) : GRID_EPROTO;
    arena_destroy(scratch);
    if (err == 0)
        *out = &owned->result;
    else if (owned)
        grid_result_destroy(&owned->result);
    return err;
}

static int take_head(struct result_stream *s, const Grid__V1__CallHead *head)
{
    bool failed = false;
    struct owned_result *owned = s->result ? NULL : owned_create();
    if (!owned)
        return s->result ? GRID_EPROTO : GRID_ENOMEM;
    s->result = &owned->result;
    s->result->content_type = text(owned->arena, head->content_type, &failed);
    s->result->request_id = text(owned->arena, head->request_id, &failed);
    s->result->release = text(owned->arena, head->release, &failed);
    s->result->status = head->status;
    s->result->attempts = head->attempts;
    return failed ? GRID_ENOMEM : take_node(owned, head->node);
}

static int take_chunk(struct result_stream *s, const Grid__V1__CallChunk *chunk)
{
    if (chunk->part_case == GRID__V1__CALL_CHUNK__PART_HEAD)
        return take_head(s, chunk->head);
    if (!s->result)
        return GRID_EPROTO;
    if (chunk->part_case == GRID__V1__CALL_CHUNK__PART_END)
        return take_error((struct owned_result *) s->result, chunk->end->error);
    if (chunk->part_case == GRID__V1__CALL_CHUNK__PART_DATA)
        s->is_cancelled = !s->on_data(s->ctx, chunk->data.data, chunk->data.len);
    return 0;
}

bool result_stream_take(struct result_stream *s, struct slice packed)
{
    struct arena *scratch = arena_create(ARENA_BLOCK, 0);
    Grid__V1__CallChunk *chunk = scratch ? pb_unpack(&grid__v1__call_chunk__descriptor, scratch, packed) : NULL;
    s->err = chunk ? take_chunk(s, chunk) : scratch ? GRID_EPROTO : GRID_ENOMEM;
    arena_destroy(scratch);
    return s->err == 0 && !s->is_cancelled;
}
