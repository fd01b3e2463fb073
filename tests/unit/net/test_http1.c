/* HTTP/1.x parsing and writing: every trick in one table, whole and cut at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "net/http1.h"

#define HOST "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

/* All that came of an input: the last event but MORE, and the events' content as text. */
struct outcome {
    enum http1_event last;
    int status;
    char text[4096];
};

static void note(struct outcome *o, const char *format, ...)
{
    size_t used = strlen(o->text);
    va_list args;
    va_start(args, format);
    vsnprintf(o->text + used, sizeof o->text - used, format, args);
    va_end(args);
}

static void note_head(struct outcome *o, const struct http1_head *head)
{
    const struct http_request_head *r = &head->request;
    if (head->status > 0)
        note(o, "%d", head->status);
    else
        note(o, "%.*s %.*s @%.*s", SLICE_FMT(r->method), SLICE_FMT(r->target), SLICE_FMT(r->authority));
    for (size_t i = 0; i < r->header_count; i++)
        note(o, "|%.*s=%.*s", SLICE_FMT(r->headers[i].name), SLICE_FMT(r->headers[i].value));
    note(o, "%s\n", head->keep_alive ? "" : " close");
}

static void note_end(struct outcome *o, const struct http1_head *head)
{
    for (size_t i = 0; i < head->trailer_count; i++)
        note(o, "+%.*s=%.*s", SLICE_FMT(head->trailers[i].name), SLICE_FMT(head->trailers[i].value));
    note(o, "<end>");
}

/* Feeds one piece; true when the message ended or failed. */
static bool feed(struct http1_parser *p, struct slice *in, struct outcome *o)
{
    for (;;) {
        enum http1_event event = http1_parser_next(p, in);
        if (event == HTTP1_MORE)
            return false;
        o->last = event;
        o->status = p->status;
        if (event == HTTP1_HEAD)
            note_head(o, &p->head);
        else if (event == HTTP1_INFORMATIONAL)
            note(o, "(%d)", p->head.status);
        else if (event == HTTP1_DATA)
            note(o, "%.*s", SLICE_FMT(p->data));
        else if (event == HTTP1_END)
            note_end(o, &p->head);
        if (event == HTTP1_END || event == HTTP1_FAILED)
            return true;
    }
}

/* Parses `text` in pieces of `step` bytes, an end of the connection behind it. Returns what was left over. */
static size_t parse(enum http1_kind kind, bool head_only, struct slice text, size_t step, struct outcome *o)
{
    struct http1_parser p;
    http1_parser_init(&p, kind, 0);
    http1_parser_expect_head_only(&p, head_only);
    *o = (struct outcome){.last = HTTP1_MORE};
    bool done = false;
    while (text.size > 0 && !done) {
        struct slice piece = slice_first(text, step);
        size_t size = piece.size;
        done = feed(&p, &piece, o);
        text = slice_from(text, size - piece.size);
    }
    if (!done) {
        o->last = http1_parser_eof(&p);
        o->status = p.status;
        if (o->last == HTTP1_END)
            note_end(o, &p.head);
    }
    http1_parser_dispose(&p);
    return text.size;
}

struct refusal {
    const char *what;
    const char *text;
    int status;
};

static const struct refusal REFUSALS[] = {
    {"a bare LF in the request line", "GET / HTTP/1.1\n" HOST "\r\n", 400},
    {"a bare LF in a header", GET "Host: a\nX: b\r\n\r\n", 400},
    {"a bare LF as the empty line", GET HOST "\n", 400},
    {"a bare CR in a value", GET HOST "X: a\rb\r\n\r\n", 400},
    {"a bare CR as a line end", GET "Host: a\rX: b\r\n\r\n", 400},
    {"obs-fold", GET HOST "X: a\r\n b\r\n\r\n", 400},
    {"obs-fold with a tab", GET HOST "X: a\r\n\tb\r\n\r\n", 400},
    {"a folded first header", GET " Host: a\r\n\r\n", 400},
    {"a space before the colon", POST "Content-Length : 5\r\n\r\nhello", 400},
    {"a tab before the colon", POST "Content-Length\t: 5\r\n\r\nhello", 400},
    {"a space inside a name", GET HOST "X Y: a\r\n\r\n", 400},
    {"no name", GET HOST ": a\r\n\r\n", 400},
    {"no colon", GET HOST "Xyz\r\n\r\n", 400},
    {"a name with a control character", GET HOST "X\001: a\r\n\r\n", 400},
    {"a name beyond ASCII", GET HOST "X\xff: a\r\n\r\n", 400},
    {"a vertical tab before chunked", POST "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", 400},
    {"DEL in a value", GET HOST "X: a\177\r\n\r\n", 400},
    {"chunked twice in one field", POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400},
    {"chunked twice in two fields", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    {"chunked then identity", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400},
    {"identity", POST "Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\nx", 400},
    {"an empty Transfer-Encoding", POST "Transfer-Encoding:\r\n\r\n", 400},
    {"chunked not last", POST "Transfer-Encoding: chunked, gzip\r\n\r\n", 400},
    {"another coding", POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
    {"a near chunked", POST "Transfer-Encoding: xchunked\r\n\r\n", 501},
    {"both framings", POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    {"both framings, reversed", POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
    {"Transfer-Encoding with HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    {"Content-Length twice, different", POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
    {"Content-Length twice, equal", POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
    {"Content-Length as a list", POST "Content-Length: 5, 5\r\n\r\nhello", 400},
    {"a signed Content-Length", POST "Content-Length: +5\r\n\r\nhello", 400},
    {"a negative Content-Length", POST "Content-Length: -1\r\n\r\n", 400},
    {"a hexadecimal Content-Length", POST "Content-Length: 0x5\r\n\r\nhello", 400},
    {"an empty Content-Length", POST "Content-Length:\r\n\r\n", 400},
    {"an overflowing Content-Length", POST "Content-Length: 18446744073709551621\r\n\r\nhello", 400},
    {"HTTP/0.9", "GET /\r\n", 0},
    {"HTTP/0.9 with headers", "GET /\r\n" HOST "\r\n", 400},
    {"no Host", GET "\r\n", 400},
    {"two Hosts", GET HOST "Host: b\r\n\r\n", 400},
    {"two equal Hosts", GET HOST HOST "\r\n", 400},
    {"two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\n" HOST HOST "\r\n", 400},
    {"a Host with a space", GET "Host: a b\r\n\r\n", 400},
    {"a Host with a path", GET "Host: a/b\r\n\r\n", 400},
    {"a Host with a user", GET "Host: u@a\r\n\r\n", 400},
    {"a Host with a bad port", GET "Host: a:http\r\n\r\n", 400},
    {"a Host with too great a port", GET "Host: a:65536\r\n\r\n", 400},
    {"a Host with an open bracket", GET "Host: [::1\r\n\r\n", 400},
    {"an absolute target for another host", "GET http://b/ HTTP/1.1\r\n" HOST "\r\n", 400},
    {"an absolute target without a host", "GET http:/// HTTP/1.1\r\n" HOST "\r\n", 400},
    {"an absolute target without a path", "GET http://a?x HTTP/1.1\r\n" HOST "\r\n", 400},
    {"HTTP/2.0", "GET / HTTP/2.0\r\n" HOST "\r\n", 505},
    {"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
    {"HTTP/1.2", "GET / HTTP/1.2\r\n" HOST "\r\n", 505},
    {"HTTP/1.10", "GET / HTTP/1.10\r\n" HOST "\r\n", 400},
    {"http in small letters", "GET / http/1.1\r\n" HOST "\r\n", 400},
    {"two spaces before the target", "GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"two spaces behind the target", "GET /  HTTP/1.1\r\n" HOST "\r\n", 400},
    {"a tab for a space", "GET\t/\tHTTP/1.1\r\n" HOST "\r\n", 400},
    {"a space behind the version", "GET / HTTP/1.1 \r\n" HOST "\r\n", 400},
    {"a space before the method", " GET / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"a method that is no token", "G@T / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"a method too long", "GETGETGETGETGETGETGETGETGETGETGET / HTTP/1.1\r\n" HOST "\r\n", 501},
    {"CONNECT", "CONNECT a:80 HTTP/1.1\r\n" HOST "\r\n", 501},
    {"a target that is no path", "GET index.html HTTP/1.1\r\n" HOST "\r\n", 400},
    {"an asterisk for GET", "GET * HTTP/1.1\r\n" HOST "\r\n", 400},
    {"a fragment", "GET /#x HTTP/1.1\r\n" HOST "\r\n", 400},
    {"a target beyond ASCII", "GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"a chunk without a size", CHUNKED "\r\n\r\n", 400},
    {"a chunk with a sign", CHUNKED "+5\r\nhello\r\n0\r\n\r\n", 400},
    {"a chunk with 0x", CHUNKED "0x5\r\nhello\r\n0\r\n\r\n", 400},
    {"a chunk with a leading space", CHUNKED " 5\r\nhello\r\n0\r\n\r\n", 400},
    {"a chunk with a trailing space", CHUNKED "5 \r\nhello\r\n0\r\n\r\n", 400},
    {"a chunk's size too great", CHUNKED "10000000000000005\r\nhello\r\n0\r\n\r\n", 400},
    {"a bare LF behind a chunk's size", CHUNKED "5\nhello\r\n0\r\n\r\n", 400},
    {"a bare LF in a chunk's extension", CHUNKED "5;a\nhello\r\n0\r\n\r\n", 400},
    {"a bare CR in a chunk's extension", CHUNKED "5;a\rb\r\nhello\r\n0\r\n\r\n", 400},
    {"a bare LF behind a chunk", CHUNKED "5\r\nhello\n0\r\n\r\n", 400},
    {"a chunk longer than its size", CHUNKED "5\r\nhelloX\r\n0\r\n\r\n", 400},
    {"Content-Length among the trailers", CHUNKED "0\r\nContent-Length: 5\r\n\r\n", 400},
    {"Transfer-Encoding among the trailers", CHUNKED "0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"Host among the trailers", CHUNKED "0\r\nHost: b\r\n\r\n", 400},
    {"a folded trailer", CHUNKED "0\r\nX: a\r\n b\r\n\r\n", 400},
    {"a bare LF behind the trailers", CHUNKED "0\r\nX: a\r\n\n", 400},
    {"too many names in Connection", GET HOST "Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q\r\n\r\n", 400},
};

static void test_http1__refuses_every_known_trick_however_it_is_cut(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof REFUSALS / sizeof REFUSALS[0]; i++) {
        struct slice text = slice_of_str(REFUSALS[i].text);
        for (size_t step = 1; step <= text.size; step++) {
            struct outcome o;
            parse(HTTP1_REQUEST, false, text, step, &o);
            if (o.last != HTTP1_FAILED || (REFUSALS[i].status != 0 && o.status != REFUSALS[i].status))
                fail_msg("%s (by %zu): event %d status %d: %s", REFUSALS[i].what, step, (int) o.last, o.status, o.text);
        }
    }
}

struct acceptance {
    enum http1_kind kind;
    bool head_only;
    const char *text;
    const char *wanted;
    size_t left; /* bytes that belong to the next message */
};

static const struct acceptance ACCEPTANCES[] = {
    {HTTP1_REQUEST, false, GET HOST "\r\n", "GET / @a\n<end>", 0},
    {HTTP1_REQUEST, false, "\r\n" GET HOST "\r\n", "GET / @a\n<end>", 0},
    {HTTP1_REQUEST, false, GET HOST "X-Name:  a b\t\r\nEmpty:\r\n\r\n", "GET / @a|x-name=a b|empty=\n<end>", 0},
    {HTTP1_REQUEST, false, GET "Host:\r\n\r\n", "GET / @\n<end>", 0},
    {HTTP1_REQUEST, false, GET "Host: [::1]:80\r\n\r\n", "GET / @[::1]:80\n<end>", 0},
    {HTTP1_REQUEST, false, "GET / HTTP/1.0\r\n\r\n", "GET / @ close\n<end>", 0},
    {HTTP1_REQUEST, false, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / @\n<end>", 0},
    {HTTP1_REQUEST, false, GET HOST "Connection: close, X-Drop\r\nx-drop: 1\r\nKeep: 2\r\n\r\n", "GET / @a|keep=2 close\n<end>", 0},
    {HTTP1_REQUEST, false, GET HOST "TE: trailers\r\nUpgrade: h2c\r\nExpect: 100-continue\r\n\r\n", "GET / @a\n<end>", 0},
    {HTTP1_REQUEST, false, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS * @a\n<end>", 0},
    {HTTP1_REQUEST, false, "GET http://A/p?q HTTP/1.1\r\n" HOST "\r\n", "GET /p?q @A\n<end>", 0},
    {HTTP1_REQUEST, false, "GET https://a HTTP/1.1\r\n" HOST "\r\n", "GET / @a\n<end>", 0},
    {HTTP1_REQUEST, false, POST "Content-Length: 5\r\n\r\nhelloGET", "POST / @a\nhello<end>", 3},
    {HTTP1_REQUEST, false, POST "Content-Length: 0\r\n\r\nGET", "POST / @a\n<end>", 3},
    {HTTP1_REQUEST, false, CHUNKED "5;x=\"y\"\r\nhello\r\nA\r\n, chunked!\r\n0\r\n\r\n", "POST / @a\nhello, chunked!<end>", 0},
    {HTTP1_REQUEST, false, CHUNKED "0\r\nX-Sum: 1\r\n\r\nGET", "POST / @a\n+x-sum=1<end>", 3},
    {HTTP1_REQUEST, false, GET HOST "X: \xc3\xa4\r\n\r\n", "GET / @a|x=\xc3\xa4\n<end>", 0},
    {HTTP1_RESPONSE, false, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi!", "200\nhi<end>", 1},
    {HTTP1_RESPONSE, false, "HTTP/1.1 200 OK\nContent-Length: 2\nX: y\n\nhi", "200|x=y\nhi<end>", 0},
    {HTTP1_RESPONSE, false, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200\n<end>", 0},
    {HTTP1_RESPONSE, false, "HTTP/1.0 200 OK\r\n\r\nall of it", "200 close\nall of it<end>", 0},
    {HTTP1_RESPONSE, false, "HTTP/1.1 200 OK\r\n\r\n", "200 close\n<end>", 0},
    {HTTP1_RESPONSE, false, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n", "(100)(103)204\n<end>", 0},
    {HTTP1_RESPONSE, false, "HTTP/1.1 304 Not\r\nContent-Length: 9\r\n\r\n", "304\n<end>", 0},
    {HTTP1_RESPONSE, true, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "200\n<end>", 0},
    {HTTP1_RESPONSE, false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nhi\r\n0\r\nT: v\r\n\r\n", "200\nhi+t=v<end>", 0},
    {HTTP1_RESPONSE, false, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", "200 close\nx<end>", 0},
};

static void test_http1__understands_what_is_well_formed_however_it_is_cut(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof ACCEPTANCES / sizeof ACCEPTANCES[0]; i++) {
        const struct acceptance *a = &ACCEPTANCES[i];
        struct slice text = slice_of_str(a->text);
        for (size_t step = 1; step <= text.size; step++) {
            struct outcome o;
            size_t left = parse(a->kind, a->head_only, text, step, &o);
            if (o.last != HTTP1_END || strcmp(o.text, a->wanted) != 0 || left != a->left)
                fail_msg("row %zu by %zu: event %d status %d left %zu: %s", i, step, (int) o.last, o.status, left, o.text);
        }
    }
}

static void test_http1__refuses_answers_that_are_no_http(void **state)
{
    (void) state;
    static const char *const texts[] = {
        "garbage\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 600 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 101 Switching\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
        "HTTP/1.1 200 O",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct outcome o;
        parse(HTTP1_RESPONSE, false, slice_of_str(texts[i]), 3, &o);
        if (o.last != HTTP1_FAILED)
            fail_msg("%s: %s", texts[i], o.text);
    }
}

/* `count` copies of `unit` between `before` and `after`. */
static struct buf repeated(const char *before, const char *unit, size_t count, const char *after)
{
    struct buf b;
    buf_init(&b, 0);
    buf_append_str(&b, before);
    for (size_t i = 0; i < count; i++)
        buf_append_str(&b, unit);
    buf_append_str(&b, after);
    return b;
}

static void assert_refused(struct buf text, int status)
{
    for (size_t step = 100; step <= text.size; step += text.size - 100 ? text.size - 100 : 1) {
        struct outcome o;
        parse(HTTP1_REQUEST, false, buf_slice(&text), step, &o);
        assert_int_equal(o.last, HTTP1_FAILED);
        assert_int_equal(o.status, status);
    }
    buf_dispose(&text);
}

static void test_http1__holds_everything_to_its_bounds(void **state)
{
    (void) state;
    assert_refused(repeated("GET /", "a", HTTP1_TARGET_MAX, " HTTP/1.1\r\n" HOST "\r\n"), 414);
    assert_refused(repeated("GET /", "a", 100000, ""), 414);
    assert_refused(repeated(GET HOST, "X: y\r\n", HTTP_HEADERS_MAX + 1, "\r\n"), 431);
    assert_refused(repeated(GET HOST "X: ", "y", 17000, "\r\n\r\n"), 431);
    assert_refused(repeated(GET HOST "X: ", "y", 17000, ""), 431);
    assert_refused(repeated(CHUNKED "1;", "e", HTTP1_CHUNK_EXT_MAX + 1, "\r\nx\r\n0\r\n\r\n"), 400);
    assert_refused(repeated(CHUNKED "0\r\n", "X: y\r\n", HTTP_HEADERS_MAX + 1, "\r\n"), 431);
    assert_refused(repeated(CHUNKED "0\r\nX: ", "y", 17000, "\r\n\r\n"), 431);
    struct buf interim = repeated("", "HTTP/1.1 103 Early\r\n\r\n", HTTP1_INFORMATIONAL_MAX + 1, "");
    struct outcome o;
    parse(HTTP1_RESPONSE, false, buf_slice(&interim), interim.size, &o);
    assert_int_equal(o.last, HTTP1_FAILED);
    buf_dispose(&interim);
}

static void test_http1__goes_on_with_the_next_message_after_a_reset(void **state)
{
    (void) state;
    struct http1_parser p;
    http1_parser_init(&p, HTTP1_REQUEST, 0);
    struct slice in = SLICE(CHUNKED "1\r\nx\r\n0\r\nT: v\r\n\r\n" GET HOST "\r\n");
    struct outcome o = {.last = HTTP1_MORE};
    assert_true(feed(&p, &in, &o));
    assert_int_equal(http1_parser_next(&p, &in), HTTP1_MORE);
    assert_false(http1_parser_idle(&p));
    http1_parser_reset(&p);
    assert_true(http1_parser_idle(&p));
    assert_true(feed(&p, &in, &o));
    assert_string_equal(o.text, "POST / @a\nx+t=v<end>GET / @a\n<end>");
    assert_int_equal(in.size, 0);
    http1_parser_reset(&p);
    assert_int_equal(http1_parser_eof(&p), HTTP1_MORE);
    http1_parser_dispose(&p);
}

static void test_http1__writes_heads_anew(void **state)
{
    (void) state;
    struct buf out;
    buf_init(&out, 0);
    struct http_header headers[] = {
        {SLICE_INIT("x"), SLICE_INIT("y")}, {SLICE_INIT("connection"), SLICE_INIT("upgrade")}, {SLICE_INIT("content-length"), SLICE_INIT("99")}};
    struct http_request_head head = {.method = SLICE("POST"), .target = SLICE("/p"), .authority = SLICE("h:1"), .headers = headers, .header_count = 3};
    struct http1_framed framed = {.framing = HTTP1_BODY_LENGTH, .length = 5, .expect_continue = true};
    assert_int_equal(http1_write_request(&out, &head, &framed), 0);
    assert_string_equal(buf_cstr(&out), "POST /p HTTP/1.1\r\nhost: h:1\r\nx: y\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n");
    buf_clear(&out);
    framed = (struct http1_framed){.framing = HTTP1_BODY_CHUNKED, .close = true};
    assert_int_equal(http1_write_response(&out, 404, headers, 3, &framed, SLICE("today")), 0);
    assert_int_equal(http1_write_chunk(&out, SLICE("hello")), 0);
    assert_int_equal(http1_write_chunk(&out, SLICE("")), 0);
    assert_int_equal(http1_write_last_chunk(&out, headers, 2), 0);
    assert_string_equal(buf_cstr(&out), "HTTP/1.1 404 Not Found\r\ndate: today\r\nx: y\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
                                        "5\r\nhello\r\n0\r\nx: y\r\n\r\n");
    buf_dispose(&out);
}

static void test_http1__refuses_to_write_what_would_split_a_head(void **state)
{
    (void) state;
    struct buf out;
    buf_init(&out, 0);
    struct http1_framed framed = {.framing = HTTP1_BODY_NONE};
    const struct http_header bad[] = {{SLICE_INIT("x"), SLICE_INIT("a\r\nb: c")}, {SLICE_INIT("x"), SLICE_INIT("a\nb")}, {SLICE_INIT("x"), SLICE_INIT("a\0b")},
                                      {SLICE_INIT("x y"), SLICE_INIT("a")},      {SLICE_INIT(""), SLICE_INIT("a")},     {SLICE_INIT("x:"), SLICE_INIT("a")}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(http1_write_response(&out, 200, &bad[i], 1, &framed, SLICE("")), GRID_EINVAL);
        struct http_request_head head = {.method = SLICE("GET"), .target = SLICE("/"), .authority = SLICE("h"), .headers = &bad[i], .header_count = 1};
        assert_int_equal(http1_write_request(&out, &head, &framed), GRID_EINVAL);
    }
    struct http_request_head split = {.method = SLICE("GET"), .target = SLICE("/ HTTP/1.1\r\nx: y"), .authority = SLICE("h")};
    assert_int_equal(http1_write_request(&out, &split, &framed), GRID_EINVAL);
    split = (struct http_request_head){.method = SLICE("GET /"), .target = SLICE("/"), .authority = SLICE("h")};
    assert_int_equal(http1_write_request(&out, &split, &framed), GRID_EINVAL);
    split = (struct http_request_head){.method = SLICE("GET"), .target = SLICE("/"), .authority = SLICE("h\r\nx: y")};
    assert_int_equal(http1_write_request(&out, &split, &framed), GRID_EINVAL);
    assert_int_equal(out.size, 0);
    buf_dispose(&out);
}

static bool is_token_byte(int byte)
{
    bool alphanumeric = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    return alphanumeric || (byte != 0 && strchr("!#$%&'*+-.^_`|~", byte));
}

static void test_http1__judges_every_byte_at_every_place_of_a_name_and_a_value(void **state)
{
    (void) state;
    for (size_t size = 1; size <= 20; size++)
        for (size_t at = 0; at < size; at++)
            for (int byte = 0; byte < 256; byte++) {
                char text[20];
                memset(text, (int) (size % 2) ? 'x' : 0xff, size);
                text[at] = (char) byte;
                bool visible = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
                assert_int_equal(http1_value_valid(slice_of(text, size)), visible);
                memset(text, 'x', size);
                text[at] = (char) byte;
                assert_int_equal(http1_name_valid(slice_of(text, size)), is_token_byte(byte));
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http1__refuses_every_known_trick_however_it_is_cut),
        cmocka_unit_test(test_http1__understands_what_is_well_formed_however_it_is_cut),
        cmocka_unit_test(test_http1__refuses_answers_that_are_no_http),
        cmocka_unit_test(test_http1__holds_everything_to_its_bounds),
        cmocka_unit_test(test_http1__goes_on_with_the_next_message_after_a_reset),
        cmocka_unit_test(test_http1__writes_heads_anew),
        cmocka_unit_test(test_http1__judges_every_byte_at_every_place_of_a_name_and_a_value),
        cmocka_unit_test(test_http1__refuses_to_write_what_would_split_a_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
