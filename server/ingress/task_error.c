/* Reads a function wrapper's failure, or makes one of a plain HTTP failure. */
#include "server/ingress/task_error.h"

#include "base/err.h"
#include "base/json.h"

enum { STACK_LINES_MAX = 64, MESSAGE_BYTES_MAX = 4096 };

static struct slice string_member(struct arena *a, struct slice object, const char *key)
{
    struct slice raw, text = {0};
    if (json_object_get(object, key, &raw) == 0)
        (void) json_string_decode(raw, a, &text);
    return text;
}

static void read_stack(struct arena *a, struct slice object, struct task_error *out)
{
    struct json_iter lines;
    struct slice raw;
    if ((json_object_get(object, "stackTrace", &raw) != 0 && json_object_get(object, "trace", &raw) != 0) || json_iter_init_array(&lines, raw) != 0)
        return;
    out->stack = arena_calloc(a, STACK_LINES_MAX, sizeof *out->stack);
    while (out->stack && out->stack_count < STACK_LINES_MAX && json_array_next(&lines, &raw))
        if (json_string_decode(raw, a, &out->stack[out->stack_count]) == 0)
            out->stack_count++;
}

static bool read_wrapper(struct arena *a, struct slice body, struct task_error *out)
{
    struct slice object, probe;
    if (json_validate(body, &object, NULL) != 0 || json_object_get(object, "errorMessage", &probe) != 0)
        return false;
    out->type = string_member(a, object, "errorType");
    out->message = string_member(a, object, "errorMessage");
    out->plain_string = slice_equal_str(out->type, "string");
    read_stack(a, object, out);
    return true;
}

bool task_error_from_answer(struct arena *a, int status, struct slice function_error, struct slice body, struct task_error *out)
{
    *out = (struct task_error){0};
    if (function_error.size == 0 && status < 500)
        return false;
    if (read_wrapper(a, body, out))
        return true;
    out->type = SLICE("HttpStatus");
    if (body.size > 0 && slice_is_utf8(body))
        out->message = arena_copy(a, slice_first(body, MESSAGE_BYTES_MAX));
    else
        out->message = slice_of_str(arena_printf(a, "the task answered with status %d", status));
    return true;
}
