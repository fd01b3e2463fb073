/* Writing JSON straight into a buffer. */
#include <inttypes.h>

#include "base/err.h"
#include "base/json.h"

static bool needs_escape(uint8_t c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

static int append_escape(struct buf *out, uint8_t c)
{
    static const char controls[] = "\b\f\n\r\t", letters[] = "bfnrt";
    const char *control = c ? strchr(controls, c) : NULL;
    if (control)
        return buf_printf(out, "\\%c", letters[control - controls]);
    return c < 0x20 ? buf_printf(out, "\\u%04x", c) : buf_printf(out, "\\%c", c);
}

/* Length of the leading bytes that pass as they are: sound UTF-8 that needs no escape. */
static size_t plain_run(struct slice s)
{
    size_t run = 0;
    while (run < s.size && !needs_escape(s.data[run])) {
        size_t length = s.data[run] < 0x80 ? 1 : slice_utf8_length(slice_from(s, run));
        if (length == 0)
            break;
        run += length;
    }
    return run;
}

int json_append_string(struct buf *out, struct slice bytes)
{
    int err = buf_append_byte(out, '"');
    while (err == 0 && bytes.size > 0) {
        size_t run = plain_run(bytes);
        err = buf_append(out, slice_first(bytes, run));
        bytes = slice_from(bytes, run);
        if (err != 0 || bytes.size == 0)
            break;
        err = needs_escape(bytes.data[0]) ? append_escape(out, bytes.data[0]) : buf_append_str(out, "\xef\xbf\xbd");
        bytes = slice_from(bytes, 1);
    }
    return err ? err : buf_append_byte(out, '"');
}

void json_writer_init(struct json_writer *w, struct buf *out)
{
    *w = (struct json_writer){.out = out};
}

int json_writer_finish(struct json_writer *w)
{
    return w->err;
}

static void put(struct json_writer *w, struct slice bytes)
{
    if (w->err == 0)
        w->err = buf_append(w->out, bytes);
}

/* Places the comma that a member or element needs, none behind a key. */
static void begin_item(struct json_writer *w)
{
    if (w->has_member[w->depth] && !w->after_key)
        put(w, SLICE(","));
    w->has_member[w->depth] = true;
    w->after_key = false;
}

static void open_container(struct json_writer *w, struct slice bracket)
{
    begin_item(w);
    put(w, bracket);
    if (w->err == 0 && w->depth == JSON_MAX_DEPTH)
        w->err = GRID_ELIMIT;
    if (w->err == 0)
        w->has_member[++w->depth] = false;
}

static void close_container(struct json_writer *w, struct slice bracket)
{
    put(w, bracket);
    if (w->err == 0 && w->depth > 0)
        w->depth--;
}

void json_open_object(struct json_writer *w)
{
    open_container(w, SLICE("{"));
}

void json_close_object(struct json_writer *w)
{
    close_container(w, SLICE("}"));
}

void json_open_array(struct json_writer *w)
{
    open_container(w, SLICE("["));
}

void json_close_array(struct json_writer *w)
{
    close_container(w, SLICE("]"));
}

void json_write_key(struct json_writer *w, const char *key)
{
    json_write_key_slice(w, slice_of_str(key));
}

void json_write_key_slice(struct json_writer *w, struct slice key)
{
    json_write_string(w, key);
    put(w, SLICE(":"));
    w->after_key = true;
}

void json_write_string(struct json_writer *w, struct slice bytes)
{
    begin_item(w);
    if (w->err == 0)
        w->err = json_append_string(w->out, bytes);
}

void json_write_str(struct json_writer *w, const char *str)
{
    if (str)
        json_write_string(w, slice_of_str(str));
    else
        json_write_null(w);
}

void json_write_int(struct json_writer *w, int64_t value)
{
    begin_item(w);
    if (w->err == 0)
        w->err = buf_printf(w->out, "%" PRId64, value);
}

void json_write_uint(struct json_writer *w, uint64_t value)
{
    begin_item(w);
    if (w->err == 0)
        w->err = buf_printf(w->out, "%" PRIu64, value);
}

void json_write_bool(struct json_writer *w, bool value)
{
    json_write_raw(w, value ? SLICE("true") : SLICE("false"));
}

void json_write_null(struct json_writer *w)
{
    json_write_raw(w, SLICE("null"));
}

void json_write_raw(struct json_writer *w, struct slice raw)
{
    begin_item(w);
    put(w, raw);
}
