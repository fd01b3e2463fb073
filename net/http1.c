/* The HTTP/1.x parser: lines are found first, then the whole head is judged in place; bodies are a small state machine. */
#include "net/http1.h"

#include "base/err.h"

enum state {
    STATE_HEAD,
    STATE_LENGTH,
    STATE_UNTIL_CLOSE,
    STATE_CHUNK_SIZE,
    STATE_CHUNK_EXT,
    STATE_CHUNK_SIZE_LF,
    STATE_CHUNK_DATA,
    STATE_CHUNK_DATA_CR,
    STATE_CHUNK_DATA_LF,
    STATE_TRAILERS,
    STATE_END, /* HTTP1_END is due */
    STATE_DONE,
    STATE_FAILED,
};

enum {
    HEADER_LIST_DEFAULT = 16 * 1024,
    FIRST_LINE_MAX = HTTP1_TARGET_MAX + HTTP1_METHOD_MAX + 16,
    CHUNK_DIGITS_MAX = 15, /* 60 bits: no overflow to think of */
};

/* Lower-case of each token character (RFC 9110 section 5.6.2); NUL for what is none. */
static const char TOKEN[256] = "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                               "\0!\0#$%&'\0\0*+\0-.\0"
                               "0123456789\0\0\0\0\0\0"
                               "\0abcdefghijklmnopqrstuvwxyz\0\0\0^_"
                               "`abcdefghijklmnopqrstuvwxyz\0|\0~";

static uint8_t token_lower(uint8_t byte)
{
    return (uint8_t) TOKEN[byte];
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* Value of a hexadecimal digit, -1 for anything else. */
static int hex_value(uint8_t byte)
{
    if (is_digit(byte))
        return byte - '0';
    uint8_t low = byte | 0x20;
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

static int fail(struct http1_parser *p, int status, const char *why)
{
    p->state = STATE_FAILED;
    p->status = status;
    p->why = why;
    return GRID_EPROTO;
}

void http1_parser_init(struct http1_parser *p, enum http1_kind kind, size_t header_list_max)
{
    *p = (struct http1_parser){.kind = kind, .header_list_max = header_list_max ? header_list_max : HEADER_LIST_DEFAULT};
    p->head.content_length = -1;
    buf_init(&p->store, FIRST_LINE_MAX + p->header_list_max + 2);
    buf_init(&p->trail_store, p->header_list_max + 2);
}

void http1_parser_dispose(struct http1_parser *p)
{
    buf_dispose(&p->store);
    buf_dispose(&p->trail_store);
}

/* Forgets one head, but not how many informational ones came before. */
static void forget_head(struct http1_parser *p)
{
    buf_clear(&p->store);
    buf_clear(&p->trail_store);
    p->head = (struct http1_head){.content_length = -1};
    p->state = STATE_HEAD;
    p->line_size = p->first_line_size = 0;
    p->last_byte = p->blank_lines = p->host_count = p->named_count = 0;
    p->close_said = p->keep_alive_said = false;
    p->absolute = slice_of(NULL, 0);
}

void http1_parser_reset(struct http1_parser *p)
{
    forget_head(p);
    p->informational_count = 0;
    p->head_only = false;
    p->data = slice_of(NULL, 0);
    p->status = 0;
    p->why = NULL;
}

void http1_parser_expect_head_only(struct http1_parser *p, bool head_only)
{
    p->head_only = head_only;
}

/* Nothing of the next head has come. */
static bool at_head(const struct http1_parser *p)
{
    return p->state == STATE_HEAD && p->store.size == 0 && p->blank_lines == 0;
}

bool http1_parser_idle(const struct http1_parser *p)
{
    return at_head(p) && p->informational_count == 0;
}

/* ---- finding lines ---- */

/* Ends the line whose LF stands at `end`, `line` bytes after this input's part of it began. *empty: nothing but the line end. */
static int end_line(struct http1_parser *p, const uint8_t *end, size_t line, bool *empty)
{
    bool cr = (line > 0 ? end[-1] : p->last_byte) == '\r' && p->line_size + line > 0;
    if (!cr && p->kind == HTTP1_REQUEST)
        return fail(p, 400, "a line ends in a bare LF; lines end in CRLF");
    *empty = p->line_size + line == (cr ? 1 : 0);
    p->line_size = 0;
    p->last_byte = 0;
    return 0;
}

/* Walks the lines of `in` up to the empty one. *used: bytes that belong to this block; *complete: the empty line was among them. */
static int scan_block(struct http1_parser *p, const struct buf *block, struct slice in, size_t *used, bool *complete)
{
    size_t at = 0;
    *complete = false;
    while (at < in.size && !*complete) {
        const uint8_t *end = memchr(in.data + at, '\n', in.size - at);
        if (!end) {
            p->line_size += in.size - at;
            p->last_byte = in.data[in.size - 1];
            at = in.size;
            break;
        }
        if (end_line(p, end, (size_t) (end - (in.data + at)), complete) != 0)
            return GRID_EPROTO;
        at = (size_t) (end - in.data) + 1;
        if (p->first_line_size == 0)
            p->first_line_size = block->size + at;
    }
    *used = at;
    return 0;
}

/* Holds the head to its bounds before it takes memory. */
static int check_head_size(struct http1_parser *p, size_t total)
{
    size_t first = p->first_line_size ? p->first_line_size : total;
    if (first > FIRST_LINE_MAX)
        return fail(p, 414, "the request line is too long");
    if (total - first > p->header_list_max + 2)
        return fail(p, 431, "the header list is too large");
    return 0;
}

static int check_block_size(struct http1_parser *p, const struct buf *block, size_t used)
{
    if (block == &p->store)
        return check_head_size(p, block->size + used);
    if (block->size + used > p->header_list_max)
        return fail(p, 431, "the trailers are too large");
    return 0;
}

/* Moves bytes of a head or of trailers from the input into `block`; 0 when it is complete, GRID_EAGAIN when more is needed. */
static int take_block(struct http1_parser *p, struct buf *block, struct slice *in)
{
    size_t used;
    bool complete;
    int err = scan_block(p, block, *in, &used, &complete);
    if (err != 0 || (err = check_block_size(p, block, used)) != 0)
        return err;
    if (buf_append(block, slice_first(*in, used)) != 0)
        return fail(p, 500, "out of memory");
    *in = slice_from(*in, used);
    return complete ? 0 : GRID_EAGAIN;
}

/* The next line of a block, without its end; false at the empty one. */
static bool next_line(struct slice *rest, struct slice *line)
{
    const uint8_t *end = rest->size > 0 ? memchr(rest->data, '\n', rest->size) : NULL;
    if (!end)
        return false;
    size_t size = (size_t) (end - rest->data);
    *line = slice_of(rest->data, size > 0 && end[-1] == '\r' ? size - 1 : size);
    *rest = slice_from(*rest, size + 1);
    return line->size > 0;
}

/* ---- the first line ---- */

/* "HTTP/1.0" or "HTTP/1.1" (RFC 9112 section 2.3). */
static int parse_version(struct http1_parser *p, struct slice text)
{
    if (text.size != 8 || memcmp(text.data, "HTTP/", 5) != 0 || !is_digit(text.data[5]) || text.data[6] != '.' ||
        !is_digit(text.data[7]))
        return fail(p, 400, "the HTTP version is malformed");
    if (text.data[5] != '1' || text.data[7] > '1')
        return fail(p, 505, "only HTTP/1.0 and HTTP/1.1 are spoken in this form");
    p->head.version_1_0 = text.data[7] == '0';
    return 0;
}

static int parse_method(struct http1_parser *p, struct slice method)
{
    if (method.size == 0)
        return fail(p, 400, "the request has no method");
    if (method.size > HTTP1_METHOD_MAX)
        return fail(p, 501, "the method's name is too long");
    if (!http1_name_valid(method))
        return fail(p, 400, "the method is no token");
    if (slice_equal_str(method, "CONNECT"))
        return fail(p, 501, "CONNECT is not served");
    p->head.request.method = method;
    return 0;
}

static bool target_characters_valid(struct slice target)
{
    for (size_t i = 0; i < target.size; i++) {
        if (target.data[i] <= 0x20 || target.data[i] >= 0x7f || target.data[i] == '#')
            return false;
    }
    return true;
}

/* absolute-form (RFC 9112 section 3.2.2): the authority is held against Host later. */
static int parse_absolute(struct http1_parser *p, struct slice target, size_t scheme)
{
    struct slice rest = slice_from(target, scheme);
    size_t size = 0;
    while (size < rest.size && rest.data[size] != '/' && rest.data[size] != '?')
        size++;
    struct slice path = slice_from(rest, size);
    if (size == 0 || (path.size > 0 && path.data[0] != '/'))
        return fail(p, 400, "the absolute request-target has no host or no path");
    p->absolute = slice_first(rest, size);
    p->head.request.target = path.size > 0 ? path : SLICE("/");
    return 0;
}

static int parse_target(struct http1_parser *p, struct slice target)
{
    if (target.size > HTTP1_TARGET_MAX)
        return fail(p, 414, "the request-target is too long");
    if (target.size == 0 || !target_characters_valid(target))
        return fail(p, 400, "the request-target is empty or holds a character that must be percent-encoded");
    p->head.request.target = target;
    if (target.data[0] == '/' || (slice_equal_str(target, "*") && slice_equal_str(p->head.request.method, "OPTIONS")))
        return 0;
    if (slice_equal_nocase(slice_first(target, 7), SLICE("http://")))
        return parse_absolute(p, target, 7);
    if (slice_equal_nocase(slice_first(target, 8), SLICE("https://")))
        return parse_absolute(p, target, 8);
    return fail(p, 400, "the request-target is no path");
}

/* method SP request-target SP HTTP-version (RFC 9112 section 3). */
static int parse_request_line(struct http1_parser *p, struct slice line)
{
    ptrdiff_t first = slice_find_byte(line, 0, ' ');
    ptrdiff_t second = first < 0 ? -1 : slice_find_byte(line, (size_t) first + 1, ' ');
    if (second < 0)
        return fail(p, 400, "the request line is not METHOD TARGET HTTP/1.1");
    int err = parse_method(p, slice_first(line, (size_t) first));
    if (err == 0)
        err = parse_target(p, slice_of(line.data + first + 1, (size_t) (second - first - 1)));
    return err != 0 ? err : parse_version(p, slice_from(line, (size_t) second + 1));
}

/* HTTP-version SP status-code SP [reason] (RFC 9112 section 4); the last SP may be missing with the reason. */
static int parse_status_line(struct http1_parser *p, struct slice line)
{
    if (line.size < 12 || line.data[8] != ' ' || (line.size > 12 && line.data[12] != ' '))
        return fail(p, 502, "the status line is not HTTP/1.1 CODE REASON");
    int err = parse_version(p, slice_first(line, 8));
    if (err != 0)
        return err;
    uint64_t status;
    if (slice_parse_u64(slice_of(line.data + 9, 3), 999, &status) != 0 || status < 100 || status > 599)
        return fail(p, 502, "the status is not between 100 and 599");
    p->head.status = (int) status;
    return 0;
}

/* ---- header fields with a meaning of their own ---- */

static bool host_character(uint8_t byte, bool bracketed)
{
    if (bracketed)
        return hex_value(byte) >= 0 || byte == ':' || byte == '.';
    uint8_t low = token_lower(byte);
    return is_digit(byte) || (low >= 'a' && low <= 'z') || (byte != 0 && strchr("-._~%!$&'()*+,;=", byte));
}

/* uri-host [":" port] (RFC 3986 section 3.2.2), or empty. */
static bool host_valid(struct slice host)
{
    size_t at = 0;
    bool bracketed = host.size > 0 && host.data[0] == '[';
    for (at = bracketed; at < host.size && host_character(host.data[at], bracketed); at++)
        ;
    if (bracketed && (at < 3 || at >= host.size || host.data[at++] != ']'))
        return false;
    if (at == host.size)
        return true;
    struct slice port = slice_from(host, at + 1);
    uint64_t number;
    return host.data[at] == ':' && (port.size == 0 || (port.size <= 5 && slice_parse_u64(port, UINT16_MAX, &number) == 0));
}

static int field_host(struct http1_parser *p, struct slice value)
{
    if (p->kind == HTTP1_RESPONSE)
        return 0;
    if (++p->host_count > 1)
        return fail(p, 400, "Host stands more than once");
    if (!host_valid(value))
        return fail(p, 400, "Host is malformed");
    p->head.request.authority = value;
    return 0;
}

static int field_content_length(struct http1_parser *p, struct slice value)
{
    uint64_t length;
    if (p->head.content_length >= 0)
        return fail(p, 400, "Content-Length stands more than once");
    if (slice_parse_u64(value, INT64_MAX, &length) != 0)
        return fail(p, 400, "Content-Length is not one decimal number");
    p->head.content_length = (int64_t) length;
    return 0;
}

/* chunked, once, alone. Other codings before it are 501 (RFC 9112 section 6.1). */
static int field_transfer_encoding(struct http1_parser *p, struct slice value)
{
    struct slice chunked = SLICE("chunked");
    if (p->head.chunked)
        return fail(p, 400, "Transfer-Encoding stands more than once");
    p->head.chunked = true;
    if (slice_equal_nocase(value, chunked))
        return 0;
    bool last = value.size > chunked.size && slice_equal_nocase(slice_from(value, value.size - chunked.size), chunked);
    if (last && !slice_equal_nocase(slice_first(value, chunked.size), chunked))
        return fail(p, 501, "no transfer coding but chunked is understood");
    return fail(p, 400, "Transfer-Encoding is not chunked alone");
}

static int name_connection_option(struct http1_parser *p, struct slice option)
{
    if (slice_equal_nocase(option, SLICE("close"))) {
        p->close_said = true;
    } else if (slice_equal_nocase(option, SLICE("keep-alive"))) {
        p->keep_alive_said = true;
    } else if (option.size > 0) {
        if (p->named_count == HTTP1_NAMED_MAX)
            return fail(p, 400, "Connection names too many headers");
        p->named[p->named_count++] = option;
    }
    return 0;
}

static int field_connection(struct http1_parser *p, struct slice value)
{
    int err = 0;
    while (err == 0 && value.size > 0) {
        ptrdiff_t comma = slice_find_byte(value, 0, ',');
        size_t size = comma < 0 ? value.size : (size_t) comma;
        err = name_connection_option(p, slice_trim(slice_first(value, size)));
        value = slice_from(value, size + 1);
    }
    return err;
}

static int field_expect(struct http1_parser *p, struct slice value)
{
    if (p->kind == HTTP1_REQUEST && slice_equal_nocase(value, SLICE("100-continue")))
        p->head.expect_continue = true;
    return 0;
}

static int field_ignored(struct http1_parser *p, struct slice value)
{
    (void) p;
    (void) value;
    return 0;
}

struct field_rule {
    struct slice name;
    int (*apply)(struct http1_parser *p, struct slice value);
};

/* The connection's own fields: none of them is handed on. */
static const struct field_rule FIELD_RULES[] = {
    {SLICE_INIT("te"), field_ignored},
    {SLICE_INIT("host"), field_host},
    {SLICE_INIT("expect"), field_expect},
    {SLICE_INIT("trailer"), field_ignored},
    {SLICE_INIT("upgrade"), field_ignored},
    {SLICE_INIT("connection"), field_connection},
    {SLICE_INIT("keep-alive"), field_ignored},
    {SLICE_INIT("http2-settings"), field_ignored},
    {SLICE_INIT("content-length"), field_content_length},
    {SLICE_INIT("proxy-connection"), field_ignored},
    {SLICE_INIT("transfer-encoding"), field_transfer_encoding},
};

static const struct field_rule *field_rule_find(struct slice name)
{
    for (size_t i = 0; i < sizeof FIELD_RULES / sizeof FIELD_RULES[0]; i++) {
        if (slice_equal(FIELD_RULES[i].name, name))
            return &FIELD_RULES[i];
    }
    return NULL;
}

/* ---- header lines ---- */

/* Lowers the name in place (the line stands in the parser's own buffer); its size, or 0 when no token followed by ':' is there. */
static size_t lower_name(struct slice line)
{
    uint8_t *at = (uint8_t *) (uintptr_t) line.data;
    size_t size = 0;
    for (uint8_t low; size < line.size && (low = token_lower(at[size])) != 0; size++)
        at[size] = low;
    return size < line.size && at[size] == ':' ? size : 0;
}

bool http1_name_is_hop(struct slice name)
{
    return field_rule_find(name) != NULL;
}

bool http1_name_valid(struct slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        if (token_lower(name.data[i]) == 0)
            return false;
    }
    return name.size > 0;
}

/* Whether one of the eight bytes is below 0x20 or is 0x7f: each test leaves the high bit in a byte that meets it, and may also in
 * one above such a byte, which changes nothing here. */
static bool has_control(const uint8_t *bytes)
{
    const uint64_t ones = UINT64_MAX / 0xff, highs = ones * 0x80;
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    uint64_t deleted = word ^ ones * 0x7f;
    return ((((word - ones * 0x20) & ~word) | ((deleted - ones) & ~deleted)) & highs) != 0;
}

/* field-vchar, SP, HTAB and obs-text. */
bool http1_value_valid(struct slice value)
{
    size_t at = 0;
    while (value.size - at >= sizeof(uint64_t) && !has_control(value.data + at))
        at += sizeof(uint64_t);
    for (; at < value.size; at++) {
        if ((value.data[at] < 0x20 && value.data[at] != '\t') || value.data[at] == 0x7f)
            return false;
    }
    return true;
}

static int parse_field(struct http1_parser *p, struct slice line, struct http_header *out)
{
    if (line.data[0] == ' ' || line.data[0] == '\t')
        return fail(p, 400, "a header line is folded");
    size_t size = lower_name(line);
    if (size == 0)
        return fail(p, 400, "a header line does not begin with a name and a colon");
    out->name = slice_first(line, size);
    out->value = slice_trim(slice_of(line.data + size + 1, line.size - size - 1));
    if (!http1_value_valid(out->value))
        return fail(p, 400, "a header's value holds a control character");
    return 0;
}

static int add_field(struct http1_parser *p, const struct http_header *field)
{
    const struct field_rule *rule = field_rule_find(field->name);
    if (rule)
        return rule->apply(p, field->value);
    if (p->head.request.header_count == HTTP_HEADERS_MAX)
        return fail(p, 431, "there are too many headers");
    p->headers[p->head.request.header_count++] = *field;
    return 0;
}

static int parse_fields(struct http1_parser *p, struct slice rest)
{
    struct slice line;
    int err = 0;
    while (err == 0 && next_line(&rest, &line)) {
        struct http_header field;
        err = parse_field(p, line, &field);
        if (err == 0)
            err = add_field(p, &field);
    }
    return err;
}

static bool is_named(const struct http1_parser *p, struct slice name)
{
    for (size_t i = 0; i < p->named_count; i++) {
        if (slice_equal_nocase(p->named[i], name))
            return true;
    }
    return false;
}

/* Drops the headers that Connection names (RFC 9110 section 7.6.1). */
static void drop_named(struct http1_parser *p)
{
    size_t kept = 0;
    for (size_t i = 0; p->named_count > 0 && i < p->head.request.header_count; i++) {
        if (!is_named(p, p->headers[i].name))
            p->headers[kept++] = p->headers[i];
    }
    if (p->named_count > 0)
        p->head.request.header_count = kept;
}

/* ---- the whole head ---- */

static int check_framing(struct http1_parser *p)
{
    if (p->head.chunked && p->head.content_length >= 0)
        return fail(p, 400, "both Transfer-Encoding and Content-Length frame the body");
    if (p->head.chunked && p->head.version_1_0)
        return fail(p, 400, "Transfer-Encoding does not exist in HTTP/1.0");
    return 0;
}

static int check_host(struct http1_parser *p)
{
    struct http_request_head *request = &p->head.request;
    if (p->host_count == 0 && !p->head.version_1_0)
        return fail(p, 400, "Host is missing");
    if (p->absolute.size == 0)
        return 0;
    if (!host_valid(p->absolute) || (p->host_count > 0 && !slice_equal_nocase(p->absolute, request->authority)))
        return fail(p, 400, "the request-target and Host name different hosts");
    request->authority = p->absolute;
    return 0;
}

static enum state body_state(const struct http1_head *head)
{
    if (head->chunked)
        return STATE_CHUNK_SIZE;
    if (head->content_length > 0)
        return STATE_LENGTH;
    return head->until_close ? STATE_UNTIL_CLOSE : STATE_END;
}

static void enter_body(struct http1_parser *p)
{
    struct http1_head *head = &p->head;
    head->keep_alive = !p->close_said && (!head->version_1_0 || p->keep_alive_said) && !head->until_close;
    head->request.headers = p->headers;
    p->remaining = head->content_length > 0 ? (uint64_t) head->content_length : 0;
    p->digits = p->ext_size = 0;
    p->state = (int) body_state(head);
}

static enum http1_event finish_request_head(struct http1_parser *p)
{
    if (check_framing(p) != 0 || check_host(p) != 0)
        return HTTP1_FAILED;
    enter_body(p);
    return HTTP1_HEAD;
}

static enum http1_event finish_informational(struct http1_parser *p)
{
    if (p->head.status == 101 || ++p->informational_count > HTTP1_INFORMATIONAL_MAX) {
        fail(p, 502, "the answer switches protocols unasked, or has too many interim heads");
        return HTTP1_FAILED;
    }
    int status = p->head.status;
    forget_head(p);
    p->head.status = status;
    return HTTP1_INFORMATIONAL;
}

/* Message body length (RFC 9112 section 6.3). */
static enum http1_event finish_response_head(struct http1_parser *p)
{
    struct http1_head *head = &p->head;
    if (check_framing(p) != 0)
        return HTTP1_FAILED;
    if (head->status < 200)
        return finish_informational(p);
    bool bodyless = p->head_only || head->status == 204 || head->status == 304;
    head->until_close = !bodyless && !head->chunked && head->content_length < 0;
    enter_body(p);
    if (bodyless)
        p->state = STATE_END;
    return HTTP1_HEAD;
}

static int parse_head(struct http1_parser *p)
{
    struct slice rest = buf_slice(&p->store), line = {NULL, 0};
    if (!next_line(&rest, &line))
        return fail(p, p->kind == HTTP1_REQUEST ? 400 : 502, "the message begins with an empty line");
    int err = p->kind == HTTP1_REQUEST ? parse_request_line(p, line) : parse_status_line(p, line);
    if (err == 0)
        err = parse_fields(p, rest);
    if (err == 0)
        drop_named(p);
    return err;
}

/* An empty line before a request is ignored, once (RFC 9112 section 2.2). */
static bool skip_blank_line(struct http1_parser *p)
{
    if (p->kind != HTTP1_REQUEST || p->store.size != 2 || p->blank_lines > 0)
        return false;
    buf_clear(&p->store);
    p->first_line_size = 0;
    p->blank_lines = 1;
    return true;
}

static enum http1_event next_head(struct http1_parser *p, struct slice *in)
{
    int err;
    do {
        err = in->size > 0 ? take_block(p, &p->store, in) : GRID_EAGAIN;
    } while (err == 0 && skip_blank_line(p));
    if (err == GRID_EAGAIN)
        return HTTP1_MORE;
    if (err != 0 || parse_head(p) != 0)
        return HTTP1_FAILED;
    return p->kind == HTTP1_REQUEST ? finish_request_head(p) : finish_response_head(p);
}

/* ---- bodies ---- */

static enum http1_event take_data(struct http1_parser *p, struct slice *in, uint64_t most, enum state then)
{
    if (in->size == 0)
        return HTTP1_MORE;
    p->data = slice_first(*in, in->size < most ? in->size : (size_t) most);
    *in = slice_from(*in, p->data.size);
    p->remaining = most - p->data.size;
    if (p->remaining == 0)
        p->state = (int) then;
    return HTTP1_DATA;
}

/* A byte of the size itself, or what ends it. */
static int chunk_size_byte(struct http1_parser *p, uint8_t byte)
{
    int digit = hex_value(byte);
    if (digit >= 0) {
        if (++p->digits > CHUNK_DIGITS_MAX)
            return fail(p, 400, "a chunk's size is too large");
        p->remaining = p->remaining << 4 | (uint64_t) digit;
        return 0;
    }
    bool extended = byte == ';' || (byte == ' ' && p->kind == HTTP1_RESPONSE);
    if (p->digits == 0 || (byte != '\r' && !extended))
        return fail(p, 400, "a chunk's size is not hexadecimal");
    p->state = extended ? STATE_CHUNK_EXT : STATE_CHUNK_SIZE_LF;
    return 0;
}

static int chunk_ext_byte(struct http1_parser *p, uint8_t byte)
{
    if (byte == '\r')
        p->state = STATE_CHUNK_SIZE_LF;
    else if (++p->ext_size > HTTP1_CHUNK_EXT_MAX || (byte < 0x20 && byte != '\t') || byte == 0x7f)
        return fail(p, 400, "a chunk's extension is too long or holds a control character");
    return 0;
}

static int expect_byte(struct http1_parser *p, uint8_t byte, uint8_t wanted, enum state then)
{
    if (byte != wanted)
        return fail(p, 400, "a chunk does not end in CRLF");
    p->state = (int) then;
    return 0;
}

/* One byte between chunks. */
static int chunk_byte(struct http1_parser *p, uint8_t byte)
{
    switch (p->state) {
    case STATE_CHUNK_SIZE:
        return chunk_size_byte(p, byte);
    case STATE_CHUNK_EXT:
        return chunk_ext_byte(p, byte);
    case STATE_CHUNK_SIZE_LF:
        return expect_byte(p, byte, '\n', p->remaining > 0 ? STATE_CHUNK_DATA : STATE_TRAILERS);
    case STATE_CHUNK_DATA_CR:
        return expect_byte(p, byte, '\r', STATE_CHUNK_DATA_LF);
    default:
        p->digits = p->ext_size = 0;
        return expect_byte(p, byte, '\n', STATE_CHUNK_SIZE);
    }
}

/* A trailer may not frame, route or steer (RFC 9110 section 6.5.1). */
static int add_trailer(struct http1_parser *p, const struct http_header *field)
{
    if (field_rule_find(field->name))
        return fail(p, 400, "a trailer holds a field that only a header may");
    if (p->head.request.header_count + p->head.trailer_count == HTTP_HEADERS_MAX)
        return fail(p, 431, "there are too many trailers");
    p->headers[p->head.request.header_count + p->head.trailer_count++] = *field;
    return 0;
}

static enum http1_event next_trailers(struct http1_parser *p, struct slice *in)
{
    int err = in->size > 0 ? take_block(p, &p->trail_store, in) : GRID_EAGAIN;
    if (err == GRID_EAGAIN)
        return HTTP1_MORE;
    struct slice rest = buf_slice(&p->trail_store), line;
    while (err == 0 && next_line(&rest, &line)) {
        struct http_header field;
        err = parse_field(p, line, &field);
        if (err == 0)
            err = add_trailer(p, &field);
    }
    if (err != 0)
        return HTTP1_FAILED;
    p->head.trailers = p->headers + p->head.request.header_count;
    p->state = STATE_DONE;
    return HTTP1_END;
}

static enum http1_event next_chunked(struct http1_parser *p, struct slice *in)
{
    while (p->state != STATE_CHUNK_DATA && p->state != STATE_TRAILERS) {
        if (in->size == 0)
            return HTTP1_MORE;
        if (chunk_byte(p, in->data[0]) != 0)
            return HTTP1_FAILED;
        *in = slice_from(*in, 1);
    }
    return p->state == STATE_TRAILERS ? next_trailers(p, in) : take_data(p, in, p->remaining, STATE_CHUNK_DATA_CR);
}

static enum http1_event end_message(struct http1_parser *p)
{
    p->state = STATE_DONE;
    return HTTP1_END;
}

enum http1_event http1_parser_next(struct http1_parser *p, struct slice *in)
{
    switch (p->state) {
    case STATE_HEAD:
        return next_head(p, in);
    case STATE_LENGTH:
        return take_data(p, in, p->remaining, STATE_END);
    case STATE_UNTIL_CLOSE:
        return take_data(p, in, UINT64_MAX, STATE_END);
    case STATE_END:
        return end_message(p);
    case STATE_DONE:
        return HTTP1_MORE;
    case STATE_FAILED:
        return HTTP1_FAILED;
    default:
        return next_chunked(p, in);
    }
}

enum http1_event http1_parser_eof(struct http1_parser *p)
{
    if (p->state == STATE_UNTIL_CLOSE || p->state == STATE_END)
        return end_message(p);
    if (p->state == STATE_DONE || at_head(p))
        return HTTP1_MORE;
    if (p->state != STATE_FAILED)
        fail(p, 400, "the connection ended inside a message");
    return HTTP1_FAILED;
}
