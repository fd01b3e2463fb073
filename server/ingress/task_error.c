/* Reads a function wrapper's failure, or makes one of a plain HTTP failure. */
#include "server/ingress/task_error.h"

#include "base/json.h"

enum { STACK_LINES_MAX = 64, MESSAGE_BYTES_MAX = 4096 };

/* The text of a member; what is no string as it is written. */
static struct slice text_member(struct arena *a, struct slice object, const char *key)
{
    struct slice raw, text = {0};
    if (json_object_get(object, key, &raw) == 0 && json_string_decode(raw, a, &text) != 0)
        text = arena_copy(a, raw);
    return text;
}

static struct slice raw_member(struct arena *a, struct slice object, const char *key)
{
    struct slice raw;
    return json_object_get(object, key, &raw) == 0 ? arena_copy(a, raw) : slice_of(NULL, 0);
}

static void read_stack(struct arena *a, struct slice object, struct task_error *out)
{
    struct json_iter lines;
    struct slice raw;
    if ((json_object_get(object, "stackTrace", &raw) != 0 && json_object_get(object, "trace", &raw) != 0) ||
        json_iter_init_array(&lines, raw) != 0)
        return;
    out->stack = arena_calloc(a, STACK_LINES_MAX, sizeof *out->stack);
    while (out->stack && out->stack_count < STACK_LINES_MAX && json_array_next(&lines, &raw))
        if (json_string_decode(raw, a, &out->stack[out->stack_count]) == 0)
            out->stack_count++;
}

/* The JavaScript wrapper calls a value that is no Error by its `typeof`, has no frames for it, and writes all but a string as JSON.
 */
static void read_value(struct arena *a, struct slice object, struct task_error *out)
{
    static const char *const TYPES[] = {"string", "object", "number", "boolean", "undefined", "bigint", "symbol", "function"};
    struct slice raw;
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES && out->stack_count == 0 && out->code.size == 0; i++)
        if (slice_equal_str(out->type, TYPES[i]))
            out->value = i > 0 && json_validate(out->message, &raw, NULL) == 0 ? raw : raw_member(a, object, "errorMessage");
}

static bool read_wrapper(struct arena *a, struct slice body, struct task_error *out)
{
    struct slice object, probe;
    if (json_validate(body, &object, NULL) != 0 || json_object_get(object, "errorMessage", &probe) != 0)
        return false;
    out->type = text_member(a, object, "errorType");
    out->message = text_member(a, object, "errorMessage");
    out->code = raw_member(a, object, "code");
    read_stack(a, object, out);
    read_value(a, object, out);
    return true;
}

/* The beginning of a text, not cut inside a character. */
static struct slice text_beginning(struct slice text)
{
    struct slice head = slice_first(text, MESSAGE_BYTES_MAX);
    while (head.size > 0 && head.size < text.size && (text.data[head.size] & 0xc0) == 0x80)
        head.size--;
    return head;
}

bool task_error_from_answer(struct arena *a, int status, struct slice function_error, struct slice body, struct task_error *out)
{
    *out = (struct task_error){0};
    if (function_error.size == 0 && status < 500)
        return false;
    if (read_wrapper(a, body, out))
        return true;
    out->type = function_error.size > 0 ? SLICE("Error") : SLICE("HttpStatus");
    if (body.size > 0 && slice_is_utf8(body))
        out->message = arena_copy(a, text_beginning(body));
    else
        out->message = slice_of_str(arena_printf(a, "the task answered with status %d", status));
    return true;
}
