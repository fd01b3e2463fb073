/* Log lines of tasks. */
#include "cli/log_line.h"

#include "base/json.h"
#include "cli/text.h"

#define DIM "\x1b[2m"
#define RED "\x1b[31m"
#define YELLOW "\x1b[33m"
#define PLAIN "\x1b[0m"

/* The colour of a stream, NULL for the terminal's own. */
static const char *stream_colour(struct slice stream)
{
    if (slice_equal_str(stream, "stderr"))
        return RED;
    return slice_equal_str(stream, "grid") ? YELLOW : NULL;
}

static void append_text(struct buf *out, const Grid__V1__LogLine *line, enum log_style style)
{
    const char *colour = style == LOG_STYLE_COLOUR ? stream_colour(pb_slice(line->stream)) : NULL;
    if (colour)
        buf_append_str(out, colour);
    if (style == LOG_STYLE_RAW)
        buf_append(out, pb_slice(line->text));
    else
        text_append_line(out, pb_slice(line->text));
    if (colour)
        buf_append_str(out, PLAIN);
}

void log_line_append(struct buf *out, const Grid__V1__LogLine *line, enum log_style style, bool shows_node)
{
    char moment[TEXT_SHORT_MAX];
    text_moment(line->time_ms, moment);
    buf_printf(out, style == LOG_STYLE_COLOUR ? DIM "%s" PLAIN " " : "%s ", moment);
    if (shows_node) {
        text_append_line(out, pb_slice(line->node));
        buf_append_byte(out, ' ');
    }
    text_append_line(out, line->task.len ? pb_slice(line->task) : SLICE("grid"));
    if (line->task.len)
        buf_printf(out, ".%u", line->instance);
    buf_append_str(out, "  ");
    append_text(out, line, style);
    buf_append_byte(out, '\n');
}

static bool read_string(struct slice object, const char *key, struct arena *arena, ProtobufCBinaryData *out)
{
    struct slice raw, value;
    if (json_object_get(object, key, &raw) != 0 || json_string_decode(raw, arena, &value) != 0)
        return false;
    *out = pb_bytes(value);
    return true;
}

bool log_line_parse(struct slice json, struct arena *arena, Grid__V1__LogLine *out)
{
    struct slice object, raw;
    int64_t instance;
    grid__v1__log_line__init(out);
    if (json_validate(json, &object, NULL) != 0 || json_type(object) != JSON_OBJECT || json_object_get(object, "time_ms", &raw) != 0 ||
        json_int_decode(raw, 0, INT64_MAX, &out->time_ms) != 0 || json_object_get(object, "instance", &raw) != 0 || json_int_decode(raw, 0, UINT32_MAX, &instance) != 0)
        return false;
    out->instance = (uint32_t) instance;
    return read_string(object, "task", arena, &out->task) && read_string(object, "stream", arena, &out->stream) && read_string(object, "text", arena, &out->text);
}
