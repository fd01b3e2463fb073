/* Text for people. */
#include "cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"

static uint32_t decode(struct slice s, size_t length)
{
    if (length == 1)
        return s.data[0];
    uint32_t c = s.data[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++)
        c = c << 6 | (s.data[i] & 0x3fu);
    return c;
}

/* True for what a terminal obeys instead of showing, and for what turns the order of a line around. */
static bool is_harmful(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200e && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069);
}

static int append_character(struct buf *out, struct slice at, size_t length, bool keeps_lines)
{
    if (length == 0)
        return buf_printf(out, "\\x%02x", at.data[0]);
    uint32_t c = decode(at, length);
    if (!is_harmful(c) || (keeps_lines && (c == '\n' || c == '\t')))
        return buf_append(out, slice_first(at, length));
    return c < 0x100 ? buf_printf(out, "\\x%02x", (unsigned) c) : buf_printf(out, "\\u%04x", (unsigned) c);
}

static int append_text(struct buf *out, struct slice text, bool keeps_lines)
{
    int err = 0;
    while (err == 0 && text.size > 0) {
        size_t length = slice_utf8_length(text);
        err = append_character(out, text, length, keeps_lines);
        text = slice_from(text, length ? length : 1);
    }
    return err;
}

int text_append_line(struct buf *out, struct slice text)
{
    return append_text(out, text, false);
}

int text_append_lines(struct buf *out, struct slice text)
{
    return append_text(out, text, true);
}

int text_append_hint(struct buf *out, struct slice text, const char *api)
{
    static const char COMMAND[] = "\"grid ";
    const size_t size = sizeof COMMAND - 1;
    int err = 0;
    for (size_t i = 0; err == 0 && i < text.size; i++) {
        err = buf_append_byte(out, text.data[i]);
        if (err == 0 && api && text.data[i] == ' ' && i + 1 >= size && memcmp(text.data + i + 1 - size, COMMAND, size) == 0)
            err = buf_printf(out, "--api %s ", api);
    }
    return err;
}

size_t text_width(struct slice text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.size; i++)
        width += (text.data[i] & 0xc0) != 0x80;
    return width;
}

void text_age(int64_t ms, char out[TEXT_SHORT_MAX])
{
    int64_t s = ms / 1000;
    if (ms < 0)
        snprintf(out, TEXT_SHORT_MAX, "-");
    else if (s < 60)
        snprintf(out, TEXT_SHORT_MAX, "%" PRId64 "s", s);
    else if (s < 3600)
        snprintf(out, TEXT_SHORT_MAX, "%" PRId64 "m %" PRId64 "s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, TEXT_SHORT_MAX, "%" PRId64 "h %" PRId64 "m", s / 3600, s % 3600 / 60);
    else
        snprintf(out, TEXT_SHORT_MAX, "%" PRId64 "d %" PRId64 "h", s / 86400, s % 86400 / 3600);
}

void text_bytes(uint64_t bytes, char out[TEXT_SHORT_MAX])
{
    static const char *const UNITS[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double) bytes / 1024;
    size_t unit = 0;
    if (bytes < 1024) {
        snprintf(out, TEXT_SHORT_MAX, "%" PRIu64 " B", bytes);
        return;
    }
    for (; value >= 1023.95 && unit < 5; unit++)
        value /= 1024;
    snprintf(out, TEXT_SHORT_MAX, "%.1f %s", value, UNITS[unit]);
}

static bool split_time(int64_t unix_ms, struct tm *out)
{
    time_t seconds = (time_t) (unix_ms / 1000);
    return gmtime_r(&seconds, out) != NULL;
}

void text_time(int64_t unix_ms, char out[TEXT_SHORT_MAX])
{
    struct tm tm;
    if (unix_ms <= 0 || !split_time(unix_ms, &tm) || strftime(out, TEXT_SHORT_MAX, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        snprintf(out, TEXT_SHORT_MAX, "-");
}

void text_clock(int64_t unix_ms, char out[TEXT_SHORT_MAX])
{
    struct tm tm;
    if (unix_ms <= 0 || !split_time(unix_ms, &tm))
        snprintf(out, TEXT_SHORT_MAX, "-");
    else
        snprintf(out, TEXT_SHORT_MAX, "%02d:%02d:%02d.%03d", tm.tm_hour, tm.tm_min, tm.tm_sec, (int) (unix_ms % 1000));
}

void text_moment(int64_t unix_ms, char out[TEXT_SHORT_MAX])
{
    text_time(unix_ms, out);
    size_t size = strlen(out);
    if (size > 1)
        snprintf(out + size, TEXT_SHORT_MAX - size, ".%03d", (int) (unix_ms % 1000));
}
