/* HTTP/1.x: the same events whether the input comes whole or in pieces, and what is written anew parses to the same head.
 * The first byte: bit 0 a response, bit 1 the answer to HEAD, the rest the size of the pieces. */
// links: grid_net
// covers: net/http1.c
#include <stdlib.h>

#include "net/http1.h"

#define CHECK(condition)                                                                                                            \
    do {                                                                                                                            \
        if (!(condition))                                                                                                           \
            abort();                                                                                                                \
    } while (0)

struct run {
    enum http1_kind kind;
    bool head_only;
    size_t header_list_max;
    struct buf seen;  /* every event's content */
    struct buf again; /* the messages, written anew */
    struct buf body;
};

static void see(struct buf *out, struct slice s)
{
    CHECK(buf_append_u32be(out, (uint32_t) s.size) == 0 && buf_append(out, s) == 0);
}

static void see_headers(struct buf *out, const struct http_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK(http1_name_valid(headers[i].name) && http1_value_valid(headers[i].value) && !http1_name_is_hop(headers[i].name));
        see(out, headers[i].name);
        see(out, headers[i].value);
    }
}

static void see_head(struct buf *out, const struct http1_head *head)
{
    see(out, head->request.method);
    see(out, head->request.target);
    see(out, head->request.authority);
    CHECK(buf_append_byte(out, (uint8_t) head->keep_alive) == 0 && buf_append_u32be(out, (uint32_t) head->status) == 0);
    see_headers(out, head->request.headers, head->request.header_count);
}

static void write_again(struct buf *out, enum http1_kind kind, const struct http1_head *head, struct slice body)
{
    struct http1_framed framed = {.framing = HTTP1_BODY_CHUNKED};
    if (kind == HTTP1_REQUEST)
        CHECK(http1_write_request(out, &head->request, &framed) == 0);
    else
        CHECK(http1_write_response(out, head->status, head->request.headers, head->request.header_count, &framed, slice_of(NULL, 0)) == 0);
    CHECK(http1_write_chunk(out, body) == 0 && http1_write_last_chunk(out, head->trailers, head->trailer_count) == 0);
}

/* One event; false when the message is over. */
static bool step(struct run *r, struct http1_parser *p, enum http1_event event)
{
    if (event == HTTP1_HEAD || event == HTTP1_INFORMATIONAL)
        see_head(&r->seen, &p->head);
    if (event == HTTP1_DATA)
        CHECK(buf_append(&r->body, p->data) == 0);
    if (event == HTTP1_FAILED)
        CHECK(p->status >= 400 && p->why);
    if (event != HTTP1_END)
        return event != HTTP1_FAILED;
    see(&r->seen, buf_slice(&r->body));
    see_headers(&r->seen, p->head.trailers, p->head.trailer_count);
    write_again(&r->again, r->kind, &p->head, buf_slice(&r->body));
    return false;
}

/* Parses one message in pieces of `size`; true when it was complete. */
static bool parse(struct run *r, struct slice in, size_t size)
{
    struct http1_parser p;
    http1_parser_init(&p, r->kind, r->header_list_max);
    http1_parser_expect_head_only(&p, r->head_only);
    enum http1_event event = HTTP1_MORE;
    bool going = true;
    while (going && in.size > 0) {
        struct slice piece = slice_first(in, size);
        size_t whole = piece.size;
        do {
            event = http1_parser_next(&p, &piece);
            going = step(r, &p, event);
        } while (going && event != HTTP1_MORE);
        in = slice_from(in, whole - piece.size);
    }
    if (going)
        step(r, &p, event = http1_parser_eof(&p));
    CHECK(buf_append_byte(&r->seen, (uint8_t) event) == 0);
    if (event == HTTP1_END)
        http1_parser_reset(&p);
    http1_parser_dispose(&p);
    return event == HTTP1_END;
}

static struct run run_create(enum http1_kind kind, bool head_only, size_t header_list_max)
{
    struct run r = {.kind = kind, .head_only = head_only, .header_list_max = header_list_max};
    buf_init(&r.seen, 0);
    buf_init(&r.again, 0);
    buf_init(&r.body, 0);
    return r;
}

static void run_dispose(struct run *r)
{
    buf_dispose(&r->seen);
    buf_dispose(&r->again);
    buf_dispose(&r->body);
}

/* What was written anew is understood, and written a second time is the same bytes. */
static void check_again(const struct run *first)
{
    struct run r = run_create(first->kind, false, 4096);
    bool bodyless = first->head_only || first->kind == HTTP1_RESPONSE;
    CHECK(parse(&r, buf_slice(&first->again), SIZE_MAX) || bodyless);
    if (!bodyless)
        CHECK(slice_equal(buf_slice(&r.again), buf_slice(&first->again)));
    run_dispose(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    enum http1_kind kind = data[0] & 1 ? HTTP1_RESPONSE : HTTP1_REQUEST;
    bool head_only = kind == HTTP1_RESPONSE && (data[0] & 2);
    struct run whole = run_create(kind, head_only, 1024), pieces = run_create(kind, head_only, 1024);
    bool complete = parse(&whole, slice_of(data + 1, size - 1), SIZE_MAX);
    parse(&pieces, slice_of(data + 1, size - 1), (size_t) (data[0] >> 2) + 1);
    CHECK(slice_equal(buf_slice(&whole.seen), buf_slice(&pieces.seen)));
    if (complete)
        check_again(&whole);
    run_dispose(&whole);
    run_dispose(&pieces);
    return 0;
}
