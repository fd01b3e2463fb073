/* One line per event: rendered into a fixed buffer on the stack, then given to the kernel in one write. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"

enum {
    LINE_TAIL = 24, /* room kept for closing quotes, the mark of a cut line and the newline */
    LINE_BODY = LOG_LINE_MAX - LINE_TAIL,
    NODE_MAX = 63,
};

struct line {
    char *bytes;
    size_t size;
    bool cut;
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const char *const level_marks[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};

static atomic_int current_level = LOG_INFO;
static enum log_format current_format = LOG_TEXT;
static char current_node[NODE_MAX + 1];

void log_configure(enum log_level level, enum log_format format, const char *node)
{
    log_set_level(level);
    current_format = format;
    snprintf(current_node, sizeof current_node, "%s", node ? node : "");
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&current_level, (int) level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int) level >= atomic_load_explicit(&current_level, memory_order_relaxed);
}

int log_level_parse(const char *name, enum log_level *out)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum log_level) i;
            return 0;
        }
    }
    return GRID_EINVAL;
}

/* Appends all of `size` bytes or none; after the first refusal nothing more is taken, so that a cut line has no holes. */
static bool line_put(struct line *line, const char *bytes, size_t size)
{
    if (line->cut || line->size + size > LINE_BODY) {
        line->cut = true;
        return false;
    }
    memcpy(line->bytes + line->size, bytes, size);
    line->size += size;
    return true;
}

static bool line_puts(struct line *line, const char *str)
{
    return line_put(line, str, strlen(str));
}

/* Into the tail's reserve: for what must stand there even when the line is cut. */
static void line_put_tail(struct line *line, const char *str)
{
    size_t size = strlen(str);
    memcpy(line->bytes + line->size, str, size);
    line->size += size;
}

__attribute__((format(printf, 2, 3))) static bool line_printf(struct line *line, const char *format, ...)
{
    char piece[40];
    va_list args;
    va_start(args, format);
    vsnprintf(piece, sizeof piece, format, args);
    va_end(args);
    return line_puts(line, piece);
}

static void line_put_time(struct line *line, int64_t unix_ms)
{
    char text[64];
    struct tm tm;
    time_t seconds = (time_t) (unix_ms / 1000);
    gmtime_r(&seconds, &tm);
    size_t size = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    line_put(line, text, size);
    line_printf(line, ".%03dZ", (int) (unix_ms % 1000));
}

/* U+200E and 200F, U+2028 to 202E, U+2066 to 2069: ends of lines, and what turns the order of a line around. */
static bool is_separator_or_mark(const uint8_t c[3])
{
    return c[0] == 0xe2 && ((c[1] == 0x80 && (c[2] == 0x8e || c[2] == 0x8f || (c[2] >= 0xa8 && c[2] <= 0xae))) ||
                            (c[1] == 0x81 && c[2] >= 0xa6 && c[2] <= 0xa9));
}

/* C0, DEL, and C1 (which is two bytes in UTF-8): what a terminal could take for a command; and what would show a line as another. */
static bool is_control(const uint8_t *c, size_t length)
{
    return c[0] < 0x20 || c[0] == 0x7f || (length == 2 && c[0] == 0xc2 && c[1] < 0xa0) || (length == 3 && is_separator_or_mark(c));
}

static bool put_text_unit(struct line *line, struct slice unit, size_t utf8_length)
{
    if (utf8_length > 0 && !is_control(unit.data, utf8_length)) {
        if (unit.data[0] == '"' || unit.data[0] == '\\')
            return line_printf(line, "\\%c", unit.data[0]);
        return line_put(line, (const char *) unit.data, utf8_length);
    }
    if (unit.data[0] == '\n')
        return line_puts(line, "\\n");
    if (utf8_length == 2)
        return line_printf(line, "\\x%02x\\x%02x", unit.data[0], unit.data[1]);
    if (utf8_length == 3)
        return line_printf(line, "\\x%02x\\x%02x\\x%02x", unit.data[0], unit.data[1], unit.data[2]);
    return line_printf(line, "\\x%02x", unit.data[0]);
}

/* Of a control character: one to three bytes. */
static unsigned code_point(const uint8_t *c, size_t length)
{
    if (length == 3)
        return (c[0] & 0x0fu) << 12 | (c[1] & 0x3fu) << 6 | (c[2] & 0x3fu);
    return length == 2 ? (c[0] & 0x1fu) << 6 | (c[1] & 0x3fu) : c[0];
}

static bool put_json_unit(struct line *line, struct slice unit, size_t utf8_length)
{
    if (utf8_length == 0)
        return line_puts(line, "\xef\xbf\xbd");
    if (unit.data[0] == '"' || unit.data[0] == '\\')
        return line_printf(line, "\\%c", unit.data[0]);
    if (unit.data[0] == '\n')
        return line_puts(line, "\\n");
    if (is_control(unit.data, utf8_length))
        return line_printf(line, "\\u%04x", code_point(unit.data, utf8_length));
    return line_put(line, (const char *) unit.data, utf8_length);
}

static void put_escaped(struct line *line, struct slice s, enum log_format format)
{
    while (s.size > 0) {
        size_t length = slice_utf8_length(s);
        if (!(format == LOG_JSON ? put_json_unit(line, s, length) : put_text_unit(line, s, length)))
            return;
        s = slice_from(s, length ? length : 1);
    }
}

static bool is_bare(struct slice s)
{
    for (size_t i = 0; i < s.size; i++)
        if (s.data[i] <= ' ' || s.data[i] >= 0x7f || s.data[i] == '"' || s.data[i] == '\\' || s.data[i] == '=')
            return false;
    return s.size > 0;
}

/* An opened quote is always closed: the closing one comes out of the reserve when the line is cut inside. */
static void put_quoted(struct line *line, struct slice s, enum log_format format)
{
    if (!line_puts(line, "\""))
        return;
    put_escaped(line, s, format);
    if (!line_puts(line, "\""))
        line_put_tail(line, "\"");
}

/* Writes what stands before a value, whole or not at all, and only if the shortest value still fits. */
static bool put_key(struct line *line, const char *key, enum log_format format)
{
    size_t mark = line->size;
    bool whole = format == LOG_JSON ? line_puts(line, ",\"") && line_puts(line, key) && line_puts(line, "\":")
                                    : line_puts(line, " ") && line_puts(line, key) && line_puts(line, "=");
    if (whole && line->size + 2 <= LINE_BODY)
        return true;
    line->cut = true;
    line->size = mark;
    return false;
}

static void put_str(struct line *line, const char *key, struct slice value, enum log_format format)
{
    if (!put_key(line, key, format))
        return;
    if (format == LOG_TEXT && is_bare(value))
        put_escaped(line, value, format);
    else
        put_quoted(line, value, format);
}

static void put_int(struct line *line, const char *key, int64_t number, enum log_format format)
{
    size_t mark = line->size;
    if (put_key(line, key, format) && !line_printf(line, "%lld", (long long) number))
        line->size = mark;
}

static void put_head(struct line *line, const struct log_context *context, const char *sentence)
{
    bool json = context->format == LOG_JSON;
    line_puts(line, json ? "{\"ts\":\"" : "");
    line_put_time(line, context->unix_ms);
    if (json) {
        line_printf(line, "\",\"level\":\"%s\"", level_names[context->level]);
        put_str(line, "msg", slice_of_str(sentence), LOG_JSON);
    } else {
        line_printf(line, " %s ", level_marks[context->level]);
        put_escaped(line, slice_of_str(sentence), LOG_TEXT);
    }
    if (context->node && *context->node)
        put_str(line, "node", slice_of_str(context->node), context->format);
}

size_t log_render(char out[LOG_LINE_MAX], const struct log_context *context, const char *sentence, const struct log_field *fields)
{
    struct line line = {.bytes = out};
    put_head(&line, context, sentence);
    for (; fields->kind != LOG_FIELD_END; fields++) {
        if (fields->kind == LOG_FIELD_STR)
            put_str(&line, fields->key, fields->str, context->format);
        else
            put_int(&line, fields->key, fields->number, context->format);
    }
    if (line.cut)
        line_put_tail(&line, context->format == LOG_JSON ? ",\"cut\":true" : " cut=true");
    line_put_tail(&line, context->format == LOG_JSON ? "}\n" : "\n");
    return line.size;
}

void log_write(enum log_level level, const char *sentence, const struct log_field *fields)
{
    int saved_errno = errno;
    char line[LOG_LINE_MAX];
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    struct log_context context = {
        .level = level,
        .format = current_format,
        .unix_ms = (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000,
        .node = current_node,
    };
    size_t size = log_render(line, &context, sentence, fields);
    ssize_t written = write(STDERR_FILENO, line, size);
    (void) written; /* there is nowhere left to say that it failed */
    errno = saved_errno;
}
