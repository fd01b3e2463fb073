/* The HTTP/1.1 serializers: every head is written anew from its parts, and refused rather than written with a control character. */
#include <stdio.h>

#include "base/err.h"
#include "net/http1.h"

struct reason {
    int status;
    const char *text;
};

/* The registry of RFC 9110 section 15, and those of RFC 6585. */
static const struct reason REASONS[] = {
    {100, "Continue"}, {101, "Switching Protocols"}, {103, "Early Hints"}, {200, "OK"}, {201, "Created"}, {202, "Accepted"},
    {203, "Non-Authoritative Information"}, {204, "No Content"}, {205, "Reset Content"}, {206, "Partial Content"},
    {207, "Multi-Status"}, {300, "Multiple Choices"}, {301, "Moved Permanently"}, {302, "Found"}, {303, "See Other"},
    {304, "Not Modified"}, {307, "Temporary Redirect"}, {308, "Permanent Redirect"}, {400, "Bad Request"}, {401, "Unauthorized"},
    {402, "Payment Required"}, {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"}, {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"}, {408, "Request Timeout"}, {409, "Conflict"}, {410, "Gone"}, {411, "Length Required"},
    {412, "Precondition Failed"}, {413, "Content Too Large"}, {414, "URI Too Long"}, {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"}, {417, "Expectation Failed"}, {421, "Misdirected Request"}, {422, "Unprocessable Content"},
    {425, "Too Early"}, {426, "Upgrade Required"}, {428, "Precondition Required"}, {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"}, {451, "Unavailable For Legal Reasons"}, {499, "Client Closed Request"},
    {500, "Internal Server Error"}, {501, "Not Implemented"}, {502, "Bad Gateway"}, {503, "Service Unavailable"},
    {504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"},
};

const char *http1_reason(int status)
{
    for (size_t i = 0; i < sizeof REASONS / sizeof REASONS[0]; i++) {
        if (REASONS[i].status == status)
            return REASONS[i].text;
    }
    return "Unknown";
}

/* ---- checks and sizes ---- */

static bool target_valid(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] <= 0x20 || text.data[i] >= 0x7f)
            return false;
    }
    return text.size > 0;
}

static bool header_valid(const struct http_header *h)
{
    return http1_name_valid(h->name) && http1_value_valid(h->value);
}

static bool headers_valid(const struct http_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!header_valid(&headers[i]))
            return false;
    }
    return true;
}

/* Bytes that the headers take at most. */
static size_t headers_size(const struct http_header *headers, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += headers[i].name.size + headers[i].value.size + 4;
    return total;
}

/* ---- writing into reserved room ---- */

static void put(struct buf *out, struct slice s)
{
    if (s.size > 0)
        memcpy(out->data + out->size, s.data, s.size);
    out->size += s.size;
}

static void put_header(struct buf *out, struct slice name, struct slice value)
{
    put(out, name);
    put(out, SLICE(": "));
    put(out, value);
    put(out, SLICE("\r\n"));
}

static void put_headers(struct buf *out, const struct http_header *headers, size_t count, bool answer)
{
    for (size_t i = 0; i < count; i++) {
        if (!http1_name_is_hop(headers[i].name) && !(answer && slice_equal_str(headers[i].name, "date")))
            put_header(out, headers[i].name, headers[i].value);
    }
}

static void put_framing(struct buf *out, const struct http1_framed *framed)
{
    char number[SLICE_U64_TEXT];
    if (framed->framing == HTTP1_BODY_LENGTH) {
        put_header(out, SLICE("content-length"), slice_of_u64(framed->length, number));
    } else if (framed->framing == HTTP1_BODY_CHUNKED) {
        put_header(out, SLICE("transfer-encoding"), SLICE("chunked"));
    }
    if (framed->expect_continue)
        put_header(out, SLICE("expect"), SLICE("100-continue"));
    if (framed->close)
        put_header(out, SLICE("connection"), SLICE("close"));
    put(out, SLICE("\r\n"));
}

enum { FRAMING_ROOM = 192 }; /* put_framing, version, spaces, status, date's and host's names */

int http1_write_request(struct buf *out, const struct http_request_head *head, const struct http1_framed *framed)
{
    if (!http1_name_valid(head->method) || !target_valid(head->target) || !http1_value_valid(head->authority) ||
        !headers_valid(head->headers, head->header_count))
        return GRID_EINVAL;
    size_t room = head->method.size + head->target.size + head->authority.size + headers_size(head->headers, head->header_count);
    int err = buf_reserve(out, room + FRAMING_ROOM);
    if (err != 0)
        return err;
    put(out, head->method);
    put(out, SLICE(" "));
    put(out, head->target);
    put(out, SLICE(" HTTP/1.1\r\n"));
    put_header(out, SLICE("host"), head->authority);
    put_headers(out, head->headers, head->header_count, false);
    put_framing(out, framed);
    return 0;
}

static void put_status_line(struct buf *out, int status)
{
    char number[SLICE_U64_TEXT];
    put(out, SLICE("HTTP/1.1 "));
    put(out, slice_of_u64((uint64_t) status, number));
    put(out, SLICE(" "));
    put(out, slice_of_str(http1_reason(status)));
    put(out, SLICE("\r\n"));
}

int http1_write_response(struct buf *out, int status, const struct http_header *headers, size_t count,
                         const struct http1_framed *framed, struct slice date)
{
    if (status < 100 || status > 999 || !headers_valid(headers, count))
        return GRID_EINVAL;
    int err = buf_reserve(out, headers_size(headers, count) + date.size + FRAMING_ROOM);
    if (err != 0)
        return err;
    put_status_line(out, status);
    if (date.size > 0)
        put_header(out, SLICE("date"), date);
    put_headers(out, headers, count, true);
    put_framing(out, framed);
    return 0;
}

int http1_write_chunk(struct buf *out, struct slice bytes)
{
    char size[24];
    if (bytes.size == 0)
        return 0;
    int err = buf_reserve(out, bytes.size + sizeof size);
    if (err != 0)
        return err;
    int length = snprintf(size, sizeof size, "%zx\r\n", bytes.size);
    put(out, slice_of(size, (size_t) length));
    put(out, bytes);
    put(out, SLICE("\r\n"));
    return 0;
}

int http1_write_last_chunk(struct buf *out, const struct http_header *trailers, size_t count)
{
    int err = buf_reserve(out, headers_size(trailers, count) + 8);
    if (err != 0)
        return err;
    put(out, SLICE("0\r\n"));
    for (size_t i = 0; i < count; i++) {
        if (header_valid(&trailers[i]))
            put_headers(out, &trailers[i], 1, true);
    }
    put(out, SLICE("\r\n"));
    return 0;
}
