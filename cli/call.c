/* Calls: input read, errors said. */
#include "cli/call.h"

#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/json.h"
#include "cli/text.h"

enum { INPUT_MAX = 64 * 1024 * 1024, READ_SIZE = 64 * 1024 };

struct grid_input call_classify(struct slice data, bool is_raw, const char **content_type)
{
    struct slice value;
    *content_type = NULL;
    if (!is_raw && json_validate(data, &value, NULL) == 0)
        return (struct grid_input){GRID_INPUT_JSON, data.data, data.size};
    if (!is_raw && slice_is_utf8(data))
        *content_type = "text/plain; charset=utf-8";
    return grid_bytes(data.data, data.size);
}

static int read_all(FILE *file, const char *name, struct buf *out)
{
    int err = 0;
    size_t got = 1;
    while (err == 0 && got > 0) {
        err = buf_reserve(out, READ_SIZE);
        got = err ? 0 : fread(out->data + out->size, 1, READ_SIZE, file);
        out->size += got;
    }
    if (err == GRID_ELIMIT)
        return cli_fail(GRID_FAILED, "%s is over %d MiB: send less", name, INPUT_MAX >> 20);
    if (err != 0)
        return cli_fail(GRID_FAILED, "out of memory");
    return ferror(file) ? cli_fail(GRID_FAILED, "%s cannot be read: %m", name) : GRID_DONE;
}

static int read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rbe");
    if (!file)
        return cli_fail(GRID_FAILED, "%s cannot be read (%s): -d @FILE sends what a file holds, so give one that you may read", path, strerror(errno));
    int code = read_all(file, path, out);
    fclose(file);
    return code;
}

/* What --data says: text, @FILE or -. */
static int read_data(const char *data, struct buf *out)
{
    if (strcmp(data, "-") == 0)
        return read_all(stdin, "standard input", out);
    if (*data == '@')
        return read_file(data + 1, out);
    return buf_append_str(out, data) == 0 ? GRID_DONE : cli_fail(GRID_FAILED, "out of memory");
}

/* A forgotten brace would otherwise reach the task as a string. */
static void warn_of_broken_json(const struct call *call)
{
    struct slice data = buf_slice(&call->data);
    if (call->options.content_type && data.size > 0 && (data.data[0] == '{' || data.data[0] == '['))
        fprintf(stderr, "grid: warning: the data begins like JSON and is none: it is sent as text\n");
}

int call_init(struct call *call, struct cli *cli)
{
    const char *data = option_string(cli->options, "data");
    *call = (struct call){.task = cli->arguments[0]};
    buf_init(&call->data, INPUT_MAX);
    call->options.timeout_ms = (uint32_t) option_number(cli->options, "timeout");
    int code = data ? read_data(data, &call->data) : GRID_DONE;
    if (code == GRID_DONE && data)
        call->input = call_classify(buf_slice(&call->data), option_flag(cli->options, "raw"), &call->options.content_type);
    warn_of_broken_json(call);
    return code == GRID_DONE ? node_link_open(cli) : code;
}

void call_dispose(struct call *call)
{
    buf_dispose(&call->data);
}

int call_fail(const struct grid_error *error)
{
    if (error->code != GRID_CODE_DEADLINE_EXCEEDED)
        return node_link_fail(error);
    return cli_fail(GRID_FAILED, "%s: give it longer with --timeout, or see in grid logs --all what it does meanwhile", error->message);
}

/* Python's frames have lines of their own: the place, and what stands there. */
static void append_frame(struct buf *out, struct slice frame)
{
    while (frame.size > 0) {
        ptrdiff_t end = slice_find_byte(frame, 0, '\n');
        buf_append_str(out, "    ");
        text_append_line(out, slice_first(frame, end < 0 ? frame.size : (size_t) end));
        buf_append_byte(out, '\n');
        frame = slice_from(frame, end < 0 ? frame.size : (size_t) end + 1);
    }
}

int call_explain_error(const char *task, const struct grid_result *result)
{
    const struct grid_task_error *error = result->task_error;
    struct buf stack;
    buf_init(&stack, 0);
    cli_fail(GRID_FAILED, "%s failed on %s: %s%s%s", task, *result->node ? result->node : "a node", error->type, *error->type ? ": " : "",
             error->message);
    for (size_t i = 0; i < error->stack_count; i++)
        append_frame(&stack, slice_trim(slice_of_str(error->stack[i])));
    if (stack.size > 0)
        fwrite(stack.data, 1, stack.size, stderr);
    buf_dispose(&stack);
    return GRID_FAILED;
}
